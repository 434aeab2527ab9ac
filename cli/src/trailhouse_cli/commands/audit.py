"""`trailhouse audit`: who may do what, who did what, and what of it needs attention."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from trailhouse_cli.reporting import (
    Column,
    Report,
    Section,
    format_options,
    open_warehouse,
    period_options,
    print_report,
    warehouse_option,
)
from trailhouse_cli.times import MOMENT

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from trailhouse_analytics.permissions import AuditReport, AuditTable

__all__ = ["command", "report_of"]

_HEADING: Final = "Audit (times in UTC)"
_FINDINGS_EXIT_CODE: Final = 1
_SHORT_ID: Final = 8
_SECONDS: Final = {"d": 86_400, "h": 3_600, "min": 60}


def _duration(value: timedelta) -> str:
    seconds = value.total_seconds()
    for unit, length in _SECONDS.items():
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.3g} s"


def _count(value: list[str]) -> str:
    return str(len(value))


def _below(value: list[str]) -> str:
    return "\n".join(value)


def _way(value: list[str]) -> str:
    return ", ".join(value) or "directly"


_WHO: Final = (
    Column("principal", "who"),
    Column("action", "did"),
    Column("resource", "with"),
    Column("project", "project"),
)
_TITLES: Final[dict[str, tuple[str, str, tuple[Column, ...]]]] = {
    "unauthorised": (
        "Done without a permission ever",
        "nothing was done without a permission",
        (
            *_WHO,
            Column("times", "times"),
            Column("run_ids", "runs", _count),
            Column("first_at", "first"),
            Column("last_at", "last"),
            Column("denied_before", "was denied it"),
        ),
    ),
    "after_end": (
        "Done after the permission had ended",
        "nothing was done after its permission had ended",
        (
            *_WHO,
            Column("evidence", "evidence"),
            Column("times", "times"),
            Column("how", "which had been"),
            Column("ended_at", "at"),
            Column("first_after", "first after", _duration),
            Column("last_after", "last after", _duration),
        ),
    ),
    "denials": (
        "Denied",
        "nothing was denied",
        (
            Column("moment", "when"),
            Column("principal", "who"),
            Column("action", "wanted to"),
            Column("resource", "with"),
            Column("reason", "why"),
        ),
    ),
    "unused": (
        "Granted and not used",
        "every grant was used, or is not that old",
        (
            Column("grant_id", "grant"),
            Column("grantee", "to"),
            Column("actions", "may"),
            Column("resource", "with"),
            Column("granted_at", "since"),
            Column("last_used_at", "last used"),
        ),
    ),
    "activity": (
        "Who did what",
        "nothing was asked for or done",
        (
            *_WHO,
            Column("asked", "asked"),
            Column("denied", "denied"),
            Column("done", "done"),
            Column("not_permitted", "not permitted"),
            Column("runs", "runs"),
            Column("last_at", "last"),
        ),
    ),
    "permissions": (
        "Who may do what",
        "nobody may do anything",
        (
            Column("principal", "who"),
            Column("effect", ""),
            Column("actions", "may"),
            Column("resource", "with"),
            Column("through", "through", _way),
            Column("but_denied", "but denied"),
            Column("expires_at", "until"),
            Column("grant_ids", "grants", _below),
        ),
    ),
    "who_can": (
        "Who can",
        "nobody: no grant in force allows it",
        (
            Column("principal", "who"),
            Column("through", "how"),
            Column("expires_at", "until"),
            Column("grant_ids", "grants", _below),
        ),
    ),
}
_FINDINGS: Final = ("unauthorised", "after_end", "denials", "unused")


def _section(answer: AuditTable) -> Section:
    title, empty, columns = _TITLES[answer.name]
    return Section(answer.name, title, answer.table, columns, empty=empty)


def report_of(found: AuditReport, names: tuple[str, ...] = _FINDINGS) -> Report:
    """Return what is printed of an audit: its facts, the tables of these names, and what is odd."""
    facts: dict[str, Any] = {
        "done_without_permission": sum(row["times"] for row in found.unauthorised.to_rows()),
        "done_after_its_end": sum(row["times"] for row in found.after_end.to_rows()),
        "denied": len(found.denials),
        f"grants_unused_for_{found.unused_days}_days": len(found.unused),
        "since": found.since,
        "until": found.until,
        "as_of": found.as_of,
        "grants_in_force": len(found.policy.grants),
        "users_and_services": len(found.policy.principals()),
        "policy_digest": found.policy.digest,
    }
    return Report(_HEADING, [_section(getattr(found, name)) for name in names], facts, found.notes)


def _as_of_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--as-of", type=MOMENT, help="By the grants of this moment [default: --until, else now].")(
        command
    )


def _scope_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what says which events are looked at."""
    command = click.option("--principal", default="", help="Only this user (NAME) or service (service:NAME).")(command)
    return warehouse_option(period_options(command))


def _unused_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--unused-days",
        type=click.IntRange(min=1),
        default=90,
        show_default=True,
        help="A grant that was there, and not used, for so many days is listed.",
    )(command)


def _audit(warehouse: str | None, project: str | None, **asked: Any) -> AuditReport:
    from trailhouse_analytics.permissions import audit  # noqa: PLC0415 - slow to import

    with closing(open_warehouse(warehouse)) as client:
        return audit(client, project=project or "", **asked)


@click.group(invoke_without_command=True)
@_scope_options
@_as_of_option
@_unused_option
@click.option("--fail-on-findings", is_flag=True, help="Exit with 1 when anything needs attention.")
@format_options
@click.pass_context
def command(context: click.Context, /, *, fail_on_findings: bool, **options: Any) -> None:
    """Report what needs attention: done without a permission or after its end, denials, grants that nobody uses.

    The commands below answer single questions.
    """
    if context.invoked_subcommand is not None:
        given = [name for name, value in options.items() if context.get_parameter_source(name) is not _DEFAULT]
        if fail_on_findings or given:
            option = (given or ["fail_on_findings"])[0].strip("_").replace("_", "-")
            raise click.UsageError(f"Option --{option} goes behind {context.invoked_subcommand}")
        return
    printing = {name: options.pop(name) for name in ("format_", "output", "section")}
    found = _audit(**options)
    print_report(report_of(found), **printing)
    if fail_on_findings and found.findings:
        context.exit(_FINDINGS_EXIT_CODE)


_DEFAULT: Final = click.core.ParameterSource.DEFAULT


def _single(name: str, help_: str) -> None:
    """Add the command that prints one table of the audit."""

    @command.command(name.replace("_", "-"), help=help_)
    @_scope_options
    @_unused_option
    @format_options
    def single(**options: Any) -> None:
        printing = {key: options.pop(key) for key in ("format_", "output", "section")}
        print_report(report_of(_audit(**options), (name,)), **printing)


_single("activity", "Who did what: asked for, denied, done, and how often without a permission.")
_single("denials", "What was denied, to whom, and why.")
_single("unauthorised", "What was done although no permission for it had ever been in force.")
_single("after_end", "What was done after its permission was revoked, expired or denied, and how long after.")
_single("unused", "Grants that were there for a long time and that nobody used.")


@command.command()
@click.option("--principal", default="", help="Only this user (NAME), service (service:NAME) or group (group:NAME).")
@_as_of_option
@warehouse_option
@format_options
def permissions(*, principal: str, as_of: datetime | None, warehouse: str | None, **printing: Any) -> None:
    """Who may do what, with groups expanded: each permission and the way by which it reaches somebody."""
    _permissions(principal, as_of, warehouse, printing)


@command.command("what-can")
@click.argument("principal")
@_as_of_option
@warehouse_option
@format_options
def what_can(*, principal: str, as_of: datetime | None, warehouse: str | None, **printing: Any) -> None:
    """What PRINCIPAL can do: NAME of a user, service:NAME, or group:NAME."""
    _permissions(principal, as_of, warehouse, printing)


def _permissions(principal: str, as_of: datetime | None, warehouse: str | None, printing: dict[str, Any]) -> None:
    from trailhouse_analytics.permissions import effective_permissions  # noqa: PLC0415 - slow to import

    policy = _policy(warehouse, as_of, principal)
    found = _section(effective_permissions(policy, principal))
    if principal:
        found = replace(found, title=f"What {principal} may do", empty="nothing: no grant in force reaches this name")
    facts = {"as_of": policy.moment, "policy_digest": policy.digest}
    print_report(Report(_HEADING, [found], facts, _doubts(policy)), **printing)


@command.command("who-can")
@click.argument("action")
@click.argument("resource")
@_as_of_option
@warehouse_option
@format_options
def who_can(*, action: str, resource: str, as_of: datetime | None, warehouse: str | None, **printing: Any) -> None:
    """Who can do ACTION with RESOURCE, such as read dataset:emea/sales, and through what."""
    from trailhouse_analytics import permissions as analytics  # noqa: PLC0415 - slow to import

    policy = _policy(warehouse, as_of)
    table = analytics.who_can(policy, action, resource)
    facts = {"as_of": policy.moment, "action": action, "resource": resource, "policy_digest": policy.digest}
    print_report(Report(_HEADING, [_section(table)], facts, _doubts(policy)), **printing)


def _policy(warehouse: str | None, as_of: datetime | None, principal: str = "") -> Any:
    from trailhouse_analytics.permissions import check_principal, read_ledger  # noqa: PLC0415 - slow to import

    with closing(open_warehouse(warehouse)) as client:
        check_principal(client, principal)
        return read_ledger(client).as_of(as_of or datetime.now(UTC))


def _doubts(policy: Any) -> list[str]:
    return [f"{doubt}: all is denied until it is restated, or taken back" for doubt in policy.doubts]
