"""Who may do what as of a moment: grants expanded through groups, each with the way by which it reaches somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trailhouse_analytics.errors import AnalyticsError
from trailhouse_analytics.permissions.tables import AuditTable, table_of
from trailhouse_schemas.patterns import matches, overlap
from trailhouse_schemas.policy import Principal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from trailhouse_schemas.policy import Grant, GrantPath, Policy

__all__ = ["effective_permissions", "who_can"]


def effective_permissions(policy: Policy, principal: str = "") -> AuditTable:
    """Return every allow and deny that reaches each user and service, or one principal (a group too).

    An allow that a deny covers wholly is left out, since it allows nothing; one that a deny touches names it in
    `but_denied` as ACTION RESOURCE. `expires_at` is when the first grant of the way expires, memberships included.
    """
    chosen = [Principal.parse(principal)] if principal else policy.principals()
    return table_of("permissions", (row for who in chosen for row in _rows(policy, who)))


def who_can(policy: Policy, action: str, resource: str, others: Iterable[str] = ()) -> AuditTable:
    """Return all who may do `action` with `resource`, out of those whom a grant names and `others`.

    Raises:
        AnalyticsError: it is not one action and one resource that is asked about.
    """
    for what, value in (("Action", action), ("Resource", resource)):
        if not value or "*" in value:
            raise AnalyticsError(f"{what} {value!r} is not one; ask about one, such as read dataset:emea/sales")
    if ":" not in resource:
        raise AnalyticsError(f"Resource {resource!r} has no kind; write kind:name, such as dataset:emea/sales")
    candidates = dict.fromkeys([*map(str, policy.principals()), *others])
    decisions = (policy.decide(name, action, resource) for name in sorted(candidates))
    return table_of(
        "who_can",
        (
            {
                "principal": decision.principal,
                "through": [str(path) for path in decision.paths],
                "expires_at": _last([path.expires_at for path in decision.paths]),
                "grant_ids": decision.grant_ids,
            }
            for decision in decisions
            if decision
        ),
    )


def _rows(policy: Policy, who: Principal) -> Iterator[Mapping[str, object]]:
    allows, denies = policy.reaching(who)
    for path in allows:
        touching = [deny.grant for deny in denies if _touches(deny.grant, path.grant)]
        if not any(_covers(deny, path.grant) for deny in touching):
            yield _row(who, path, [f"{', '.join(deny.actions)} {deny.resource}" for deny in touching])
    for path in denies:
        yield _row(who, path, [])


def _row(who: Principal, path: GrantPath, but_denied: list[str]) -> Mapping[str, object]:
    return {
        "principal": str(who),
        "effect": path.grant.effect,
        "actions": list(path.grant.actions),
        "resource": path.grant.resource,
        "through": [f"group:{membership.group}" for membership in path.memberships],
        "but_denied": but_denied,
        "expires_at": path.expires_at,
        "grant_ids": list(path.grant_ids),
        "granted_at": path.grant.granted_at,
    }


def _touches(deny: Grant, allow: Grant) -> bool:
    """Return whether there is something that both speak of."""
    return overlap(deny.resource, allow.resource) and any(
        overlap(mine, theirs) for mine in deny.actions for theirs in allow.actions
    )


def _covers(deny: Grant, allow: Grant) -> bool:
    """Return whether the deny speaks of all that the allow speaks of."""
    return matches(deny.resource, allow.resource) and all(
        any(matches(mine, theirs) for mine in deny.actions) for theirs in allow.actions
    )


def _last(ends: list[object]) -> object:
    """Return when the last of several ways ends; None when one of them never does."""
    return None if None in ends else max(ends, default=None)  # type: ignore[type-var]
