"""The ledger of permissions: every statement that was published, and so the policy as of any moment.

What was in force goes by the time of publication, what has expired by the moment itself. Between two boundaries (a
publication or an expiry) nothing changes, so each stretch is worked out once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from trailhouse_analytics.queries import ask
from trailhouse_schemas.policy import Decision, PermissionChange, Policy, Principal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from clickhouse_connect.driver.client import Client

__all__ = ["Ending", "Ledger", "read_ledger"]

_KEPT_POLICIES: Final = 512
_NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a permission ended."""

    ended_at: datetime
    #: revoked, expired, restated, denied, or unclear (a statement that is not understood).
    how: str
    #: The grants that ended, or those that deny since.
    grant_ids: tuple[str, ...]


class Ledger:
    """All statements about permissions, in order of publication."""

    def __init__(self, changes: Iterable[PermissionChange]) -> None:
        """Take the statements in order of publication; a time before an earlier one's counts as that one's."""
        self.changes = tuple(_in_step(changes))
        self._published = [change.published_at for change in self.changes]
        expiries = {change.expires_at for change in self.changes if change.expires_at is not None}
        #: Moments at which what is in force may change.
        self.boundaries = sorted({*self._published, *expiries})
        self._policies: OrderedDict[int, Policy] = OrderedDict()
        self._about: dict[Principal, Ledger] = {}
        self._ever = Policy.of(
            (
                replace(change, grant_id=str(number), expires_at=None)
                for number, change in enumerate(self.changes)
                if change.change == "granted" and change.effect == "allow" and not change.doubt()
            ),
            _NEVER,
        )

    def as_of(self, moment: datetime) -> Policy:
        """Return the policy that was in force at `moment`."""
        stretch = bisect_right(self.boundaries, moment)
        policy = self._stretch(stretch)
        return policy if policy.moment == moment else policy.at(moment)

    def ending(self, principal: str, action: str, resource: str, moment: datetime) -> Ending | None:
        """Return how the permission that there once was had ended before `moment`, the latest ending if several.

        None when it had never been permitted by then. It must not be permitted at `moment`.
        """
        if not self._ever.decide(principal, action, resource):
            return None
        for stretch in range(bisect_right(self.boundaries, moment) - 1, 0, -1):
            policy = self._stretch(stretch)
            before = policy.decide(principal, action, resource)
            if before:
                return self._why(before, policy, stretch)
        return None

    def about(self, principal: str) -> Ledger:
        """Return the statements that matter to one principal: what they decide is the same, but for the digest.

        These are the statements about grants that were ever given to them, or to a group that they can ever have been
        in, and those that are not understood.
        """
        who = Principal.parse(principal)
        if who not in self._about:
            reached = self._ever.everywhere(who)
            mattering = {
                c.grant_id for c in self.changes if c.change != "revoked" and (c.doubt() or c.principal in reached)
            }
            self._about[who] = Ledger(change for change in self.changes if change.grant_id in mattering)
        return self._about[who]

    def _why(self, before: Decision, policy: Policy, stretch: int) -> Ending:
        ended_at, after = self.boundaries[stretch], self._stretch(stretch + 1)
        still = {grant.grant_id: grant for grant in after.grants}
        ended = {g.grant_id: g for g in policy.grants if g.grant_id in before.grant_ids and g != still.get(g.grant_id)}
        now = after.decide(before.principal, before.action, before.resource)
        if after.doubts:
            return Ending(ended_at, "unclear", ())
        if now.grant_ids:
            return Ending(ended_at, "denied", tuple(now.grant_ids))
        if any(grant_id in still for grant_id in ended):
            how = "restated"
        else:
            how = "expired" if any(g.expires_at == ended_at for g in ended.values()) else "revoked"
        return Ending(ended_at, how, tuple(ended))

    def _stretch(self, stretch: int) -> Policy:
        """Return the policy between two boundaries; stretch n begins at the nth one, 0 before the first."""
        if stretch not in self._policies:
            begin = self.boundaries[stretch - 1] if stretch else _NEVER
            self._policies[stretch] = Policy.of(self.changes[: bisect_right(self._published, begin)], begin)
            if len(self._policies) > _KEPT_POLICIES:
                self._policies.popitem(last=False)
        self._policies.move_to_end(stretch)
        return self._policies[stretch]

    def unknown_revocations(self) -> list[PermissionChange]:
        """Return the revocations that name a grant that was never given."""
        given = {change.grant_id for change in self.changes if change.change != "revoked"}
        return [change for change in self.changes if change.change == "revoked" and change.grant_id not in given]


def _in_step(changes: Iterable[PermissionChange]) -> Iterator[PermissionChange]:
    latest = _NEVER
    for change in changes:
        latest = max(latest, change.published_at)
        yield change if change.published_at == latest else replace(change, published_at=latest)


def read_ledger(client: Client) -> Ledger:
    """Read all statements about permissions from the warehouse."""
    rows = ask(client, "audit_changes").to_pylist()
    return Ledger(PermissionChange.from_fields(row, row["published_at"]) for row in rows)
