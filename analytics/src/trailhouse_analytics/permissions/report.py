"""The whole audit in one: who may do what, who did what, and what needs attention."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from trailhouse_analytics.errors import AnalyticsError
from trailhouse_analytics.permissions.effective import effective_permissions
from trailhouse_analytics.permissions.known import check_principal
from trailhouse_analytics.permissions.ledger import read_ledger
from trailhouse_analytics.permissions.unused import unused
from trailhouse_analytics.permissions.uses import Scope, activity, after_end, denials, read_uses, unauthorised
from trailhouse_analytics.queries import ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clickhouse_connect.driver.client import Client

    from trailhouse_analytics.permissions.ledger import Ledger
    from trailhouse_analytics.permissions.tables import AuditTable
    from trailhouse_analytics.permissions.uses import Use
    from trailhouse_schemas.policy import Policy

__all__ = ["DEFAULT_UNUSED_DAYS", "AuditReport", "audit"]

DEFAULT_UNUSED_DAYS: Final = 90


@dataclass(frozen=True, slots=True)
class AuditReport:
    """All answers of the audit about one stretch of time, and the policy at the moment that was asked about."""

    as_of: datetime
    since: datetime | None
    until: datetime
    unused_days: int
    policy: Policy
    permissions: AuditTable
    activity: AuditTable
    denials: AuditTable
    unauthorised: AuditTable
    after_end: AuditTable
    unused: AuditTable
    #: What is odd, one line each.
    notes: Sequence[str]

    @property
    def findings(self) -> int:
        """How many things need attention: uses without a permission or after its end, and unused grants."""
        return len(self.unauthorised) + len(self.after_end) + len(self.unused)


def audit(
    client: Client,
    *,
    as_of: datetime | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    project: str = "",
    principal: str = "",
    unused_days: int = DEFAULT_UNUSED_DAYS,
) -> AuditReport:
    """Answer all questions of the audit.

    Args:
        client: The warehouse, from `trailhouse_schemas.warehouse.connect`.
        as_of: The moment whose permissions are listed; `until` by default.
        since: Begin of the time whose uses are looked at, included; None for the beginning.
        until: Its end, excluded; now by default.
        project: Only uses in this project; empty for all.
        principal: Only this user or service; empty for all.
        unused_days: Grants count as unused that were there and not used for so many days before `until`.

    Raises:
        AnalyticsError: nothing is known of this project or principal, or the number of days is not positive.
    """
    if unused_days < 1:
        raise AnalyticsError(f"Grants cannot be unused for {unused_days} days; give 1 or more")
    if project and not ask(client, "audit_known_project", project=project).num_rows:
        raise AnalyticsError(f"Project {project!r} is not known; 'trailhouse runs' lists those that are")
    check_principal(client, principal)
    until = until or datetime.now(UTC)
    scope = Scope(until=until, since=since, project=project, principal=principal)
    ledger = read_ledger(client)
    uses = read_uses(client, ledger, scope)
    policy = ledger.as_of(as_of or until)
    return AuditReport(
        as_of=policy.moment,
        since=since,
        until=until,
        unused_days=unused_days,
        policy=policy,
        permissions=effective_permissions(policy, principal),
        activity=activity(uses),
        denials=denials(client, scope),
        unauthorised=unauthorised(uses),
        after_end=after_end(uses),
        unused=unused(
            ledger,
            read_uses(client, ledger, Scope(until=until)),
            since=until - timedelta(days=unused_days),
            until=until,
            principal=principal,
        ),
        notes=tuple(_notes(ledger, policy, uses)),
    )


def _notes(ledger: Ledger, policy: Policy, uses: Sequence[Use]) -> Iterator[str]:
    if not ledger.changes:
        yield "no grant was ever given: all that was done was done without a permission"
    for doubt in policy.doubts:
        yield f"{doubt}: all is denied until it is restated, or taken back with 'trailhouse revoke'"
    for change in ledger.unknown_revocations():
        yield f"the revocation of {change.published_at:%Y-%m-%d %H:%M:%S} names grant {change.grant_id!r}, never given"
    refused = sum(use.times for use in uses if not use.happened and use.permission)
    if refused:
        yield (
            f"denied although permitted: {_uses(refused)}; the grants could not be known, or were read before they "
            "were given; see the reasons in 'trailhouse audit denials'"
        )
    strangers = sum(use.claims_not_borne_out for use in uses)
    if strangers:
        yield (
            f"{_uses(strangers)} named a principal other than the one that could be verified (such as the owner of the "
            "spool): the names of these are claims"
        )


def _uses(count: int) -> str:
    return f"{count:,} {'use' if count == 1 else 'uses'}"
