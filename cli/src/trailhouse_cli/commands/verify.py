"""`trailhouse verify`: the accounting of loss."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
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

if TYPE_CHECKING:
    from datetime import datetime

    from trailhouse_analytics.loss import Accounting

__all__ = ["command"]

_EXIT_UNSOUND: Final = 1
_EXIT_UNKNOWN: Final = 2
#: Numbers that are shown even where they are 0.
_ALWAYS: Final = ("emitted", "landed", "lost", "doubled")
#: Rows that people are shown; other formats have them all.
_SHOWN: Final = 12


@click.command()
@period_options
@click.option("--run", "run_id", help="Only producers of this run (id, unique prefix, or unique name).")
@click.option(
    "--spool",
    "spools",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Directory of spools that may still hold events [default: those of the settings]; can be repeated.",
)
@click.option(
    "--grace", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Seconds of delay allowed."
)
@click.option("--all", "show_all", is_flag=True, help="Show complete producers, too, however many there are.")
@warehouse_option
@format_options
def command(
    *,
    project: str | None,
    since: datetime | None,
    until: datetime | None,
    run_id: str | None,
    spools: tuple[Path, ...],
    grace: float,
    show_all: bool,
    warehouse: str | None,
    **how: Any,
) -> int:
    """Account for every event: what producers say they emitted, against what is in the warehouse and in the spools.

    Exit code 0 when nothing is lost and nothing doubled, 1 when something is, 2 when a spool cannot be read, so that
    nobody can say. The period, project and run choose the producers; each is accounted for as a whole.
    """
    from trailhouse_analytics.loss import verify  # noqa: PLC0415 - slow to import
    from trailhouse_analytics.runs import check_project, find_run  # noqa: PLC0415

    client = open_warehouse(warehouse)
    try:
        check_project(client, project)
        accounting = verify(
            client,
            spools=spools or _spools(warehouse),
            project=project or "",
            run_id=find_run(client, run_id, project=project).run_id if run_id else "",
            since=since,
            until=until,
            grace=timedelta(seconds=grace),
        )
    finally:
        client.close()
    print_report(_report(accounting, show_all=show_all, whole=how["format_"] != "table"), **how)
    if not accounting.sound:
        return _EXIT_UNSOUND
    if not accounting.whole:
        unread = _counted(len(accounting.unreadable), "spool")
        click.echo(f"trailhouse: {unread} cannot be read, so nobody can say that nothing is lost; see above", err=True)
        return _EXIT_UNKNOWN
    return 0


def _spools(warehouse: str | None) -> tuple[Path, ...]:
    from trailhouse_schemas.settings import Settings  # noqa: PLC0415

    settings = Settings.read(warehouse=warehouse)
    return (settings.spool_directory, settings.control_directory)


def _report(accounting: Accounting, *, show_all: bool, whole: bool) -> Report:
    from trailhouse_analytics.loss import Verdict, accounts_table, findings_table, silent_ranks_table  # noqa: PLC0415

    totals = accounting.totals
    accounts, findings, notes = accounting.accounts, accounting.findings, list(accounting.notes)
    if not whole and not show_all and len(accounts) > _SHOWN:
        odd = [account for account in accounts if account.verdict is not Verdict.COMPLETE]
        accounts = tuple(sorted(odd, key=lambda a: list(Verdict).index(a.verdict))[:_SHOWN])
        left = totals.producers - len(accounts)
        notes.append(
            f"{_counted(left, 'more producer')} with '--all'"
            if accounts
            else f"'--all' lists the {_counted(left, 'producer')}"
        )
    if not whole and not show_all and len(findings) > _SHOWN:
        notes.append(f"{_counted(len(findings) - _SHOWN, 'more stretch', 'es')} with '--all'")
        findings = findings[:_SHOWN]
    silent = accounting.silent_ranks
    if not whole and not show_all and len(silent) > _SHOWN:
        notes.append(f"{_counted(len(silent) - _SHOWN, 'more run')} with silent ranks with '--all'")
        silent = silent[:_SHOWN]
    if totals.ends_unknown:
        notes.append(
            f"{_counted(totals.ends_unknown, 'producer')} never said their end: what each formed in its last flush "
            "interval, and did not write, is not known of"
        )
    numbers = [
        name
        for name in ("emitted", "landed", "dead_letters", "waiting", "refused", "dropped", "expired", "lost", "doubled")
        if name in _ALWAYS or getattr(totals, name)
    ]
    found_dead = any(account.found_dead_at is not None for account in accounts)
    return Report(
        title=f"{totals.lost:,} lost, {totals.doubled:,} doubled of {_counted(totals.emitted, 'event')} "
        f"of {_counted(totals.producers, 'producer')}",
        facts={"verdict": accounting.verdict.value, "unreadable_spools": len(accounting.unreadable) or None},
        sections=(
            Section(
                name="producers",
                title="Producers",
                table=accounts_table(accounts),
                columns=(
                    Column("producer_id", "producer"),
                    Column("run_id", "run", show=_shortened),
                    Column("rank", "rank"),
                    *(Column(name, name.replace("_", " ")) for name in numbers),
                    Column("end", "end"),
                    *([Column("found_dead_at", "found dead (UTC)")] if found_dead else []),
                    Column("verdict", "verdict"),
                ),
                totals={"producer_id": "all", **{name: getattr(totals, name) for name in numbers}},
                empty="complete, all of them" if totals.producers else "there are none",
            ),
            Section(
                name="findings",
                title="Sequences that are not simply there",
                table=findings_table(findings),
                empty="none",
            ),
            Section(
                name="silent_ranks",
                title="Ranks that never reported, or do not report any more",
                table=silent_ranks_table(silent),
                columns=(
                    Column("run_id", "run", show=_shortened),
                    Column("attempt", "attempt"),
                    Column("world_size", "of ranks"),
                    Column("never_heard_of", "never heard of"),
                    Column("lost_contact", "lost contact"),
                ),
                empty="none",
            ),
        ),
        notes=notes,
    )


def _counted(count: int, what: str, ending: str = "s") -> str:
    return f"{count:,} {what}{'' if count == 1 else ending}"


def _shortened(run_id: str) -> str:
    return f"…{run_id[-12:]}" if len(run_id) > 14 else run_id  # noqa: PLR2004 - runs of a sweep begin alike
