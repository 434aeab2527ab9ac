"""What was done, held against what was permitted when it was done.

A use is what somebody asked for and was allowed (AccessDecided), or what a run says it read or wrote (DatasetLogged,
ModelLogged, ArtifactLogged). The warehouse counts uses by stretches of time in which no permission changed, so that
each needs judging once, however many there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from trailhouse_analytics.permissions.tables import AuditTable, table_of
from trailhouse_analytics.queries import ask
from trailhouse_schemas.policy import Principal

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from clickhouse_connect.driver.client import Client

    from trailhouse_analytics.permissions.ledger import Ending, Ledger
    from trailhouse_schemas.policy import Decision

__all__ = ["Scope", "Use", "activity", "after_end", "denials", "read_uses", "unauthorised"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BEFORE_EVERYTHING: Final = -(1 << 62)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which events are asked about."""

    until: datetime
    since: datetime | None = None
    project: str = ""
    principal: str = ""

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the questions: a principal may be written with its kind or, a user, without."""
        who = Principal.parse(self.principal)
        return {
            "since": self.since,
            "until": self.until,
            "project": self.project,
            "principals": sorted({str(who), f"{who.kind}:{who.name}"}) if self.principal else [],
        }


@dataclass(frozen=True, slots=True)
class Use:
    """The equal uses of one stretch of time in which no permission changed, and whether they were permitted."""

    #: asked (a decision says so) or logged (a run says so).
    evidence: str
    #: What was decided, where somebody asked; empty for what was logged.
    decided: str
    principal: str
    action: str
    resource: str
    project: str
    times: int
    first_at: datetime
    last_at: datetime
    run_ids: tuple[str, ...]
    #: The grants that the decisions named.
    named_grant_ids: tuple[str, ...]
    #: How many come from somebody who was verified to be another.
    claims_not_borne_out: int
    #: What the policy said at that time.
    permission: Decision
    #: How the permission had ended, where there had been one.
    ending: Ending | None

    @property
    def happened(self) -> bool:
        """Whether it was done or allowed, and not just asked for."""
        return self.decided != "deny"


def read_uses(client: Client, ledger: Ledger, scope: Scope) -> list[Use]:
    """Read what was asked for and done, each judged by the policy of its own time."""
    boundaries = [_BEFORE_EVERYTHING, *((b - _EPOCH) // timedelta(microseconds=1) for b in ledger.boundaries)]
    rows = ask(client, "audit_uses", boundaries=boundaries, **scope.parameters).to_pylist()
    return [_use(row, ledger) for row in rows]


def _use(row: Mapping[str, Any], ledger: Ledger) -> Use:
    principal = str(Principal.parse(row["principal"]))
    question = (principal, row["action"], row["resource"])
    theirs = ledger.about(principal)
    permission = theirs.as_of(row["first_at"]).decide(*question)
    return Use(
        evidence=row["evidence"],
        decided=row["decision"],
        principal=principal,
        action=row["action"],
        resource=row["resource"],
        project=row["project"],
        times=row["times"],
        first_at=row["first_at"],
        last_at=row["last_at"],
        run_ids=tuple(row["run_ids"]),
        named_grant_ids=tuple(row["named_grant_ids"]),
        claims_not_borne_out=row["claims_not_borne_out"],
        permission=permission,
        ending=None if permission or row["decision"] == "deny" else theirs.ending(*question, row["first_at"]),
    )


def activity(uses: Iterable[Use]) -> AuditTable:
    """Return who did what: how often it was asked for, denied and done, and how often without a permission."""
    groups = _grouped(uses, lambda use: (use.principal, use.action, use.resource, use.project))
    return table_of(
        "activity",
        (
            {
                "principal": principal,
                "action": action,
                "resource": resource,
                "project": project,
                "asked": sum(use.times for use in group if use.evidence == "asked"),
                "denied": sum(use.times for use in group if not use.happened),
                "done": sum(use.times for use in group if use.evidence == "logged"),
                "not_permitted": sum(use.times for use in group if use.happened and not use.permission),
                "runs": len(_runs(group)),
                **_when(group),
            }
            for (principal, action, resource, project), group in groups.items()
        ),
    )


def denials(client: Client, scope: Scope) -> AuditTable:
    """Return every denial, with the reason that was given."""
    return table_of("denials", ask(client, "audit_denials", **scope.parameters).to_pylist())


def unauthorised(uses: Sequence[Use]) -> AuditTable:
    """Return what was done or allowed although no permission for it had ever been in force."""
    denied = [use for use in uses if not use.happened]
    stray = [use for use in uses if use.happened and not use.permission and use.ending is None]
    groups = _grouped(stray, lambda use: (use.principal, use.action, use.resource, use.project, use.evidence))
    return table_of(
        "unauthorised",
        (
            {
                "principal": principal,
                "action": action,
                "resource": resource,
                "project": project,
                "evidence": evidence,
                "times": sum(use.times for use in group),
                "run_ids": _runs(group),
                **_when(group),
                "denied_before": any(
                    (use.principal, use.action, use.resource) == (principal, action, resource)
                    and use.first_at <= max(other.last_at for other in group)
                    for use in denied
                ),
                "reason": group[-1].permission.reason,
            }
            for (principal, action, resource, project, evidence), group in groups.items()
        ),
    )


def after_end(uses: Iterable[Use]) -> AuditTable:
    """Return what was done or allowed after its permission had been revoked, had expired or was denied; how long."""
    late = [use for use in uses if use.happened and use.ending is not None]
    groups = _grouped(
        late, lambda use: (use.principal, use.action, use.resource, use.project, use.evidence, use.ending)
    )
    rows = []
    for (principal, action, resource, project, evidence, ending), group in groups.items():
        when = _when(group)
        rows.append(
            {
                "principal": principal,
                "action": action,
                "resource": resource,
                "project": project,
                "evidence": evidence,
                "how": ending.how,
                "ended_at": ending.ended_at,
                "grant_ids": list(ending.grant_ids),
                "times": sum(use.times for use in group),
                "run_ids": _runs(group),
                **when,
                "first_after": when["first_at"] - ending.ended_at,
                "last_after": when["last_at"] - ending.ended_at,
            }
        )
    return table_of("after_end", rows)


def _grouped(uses: Iterable[Use], key: Callable[[Use], Hashable]) -> dict[Any, list[Use]]:
    groups: dict[Any, list[Use]] = {}
    for use in uses:
        groups.setdefault(key(use), []).append(use)
    return groups


def _runs(group: Iterable[Use]) -> list[str]:
    return sorted({run_id for use in group for run_id in use.run_ids})


def _when(group: Sequence[Use]) -> dict[str, datetime]:
    return {"first_at": min(use.first_at for use in group), "last_at": max(use.last_at for use in group)}
