"""The rules of permissions: who may do what, decided from grants alone. Pure: no clock, no I/O, no settings.

The producer decides with these rules before something is done, the analytics decide with them afterwards as of any
moment; that both give the same answer is why they are here, where both may import them.

- What no grant allows is denied. A deny that covers a question outweighs every allow.
- The latest published statement about a grant id holds. The same event published twice is one statement.
- A grant holds from its publication until it is revoked, and before the moment `expires_at`, not at it.
- Patterns know `*` (any text, `/` included, also none) and nothing else. Case counts; names are compared character by
  character, and are never taken for paths.
- Membership of a group is a grant of the action `member` on `group:NAME`, by name: no wildcard makes a member.
  Groups may be in groups, in circles too.
- A deny of `member` keeps its grantee, and everyone in a grantee that is a group, out of that group's allows. It does
  not take them out of the group's denies: a deny never allows anything, not even by a detour.
- A statement that is not understood could be a deny of anything: until it is restated or revoked, all is denied.
"""

from __future__ import annotations

import hashlib
import json
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from trailhouse_schemas.patterns import matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

__all__ = [
    "MEMBER",
    "Decision",
    "Grant",
    "GrantPath",
    "PermissionChange",
    "Policy",
    "Principal",
]

#: The action that makes a member of a group.
MEMBER: Final = "member"
_GROUP: Final = "group"
_KINDS: Final = ("user", _GROUP, "service")
_ALLOW: Final = "allow"
_DENY: Final = "deny"


class Principal(NamedTuple):
    """Somebody who is given something: a user, a service or a group."""

    kind: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Principal:
        """Return whom `service:NAME`, `group:NAME`, `user:NAME` or just `NAME` (a user) means."""
        kind, colon, name = text.partition(":")
        return cls(kind, name) if colon and kind in _KINDS else cls("user", text)

    def __str__(self) -> str:
        """Return what `parse` reads: the plain name of a user, `KIND:NAME` of others."""
        return self.name if self.kind == "user" else f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class PermissionChange:
    """One published PermissionChanged event, as it was read: nothing about it is known to make sense."""

    grant_id: str
    change: str
    effect: str
    grantee_kind: str
    grantee: str
    actions: tuple[str, ...]
    resource: str
    expires_at: datetime | None
    #: When the broker, or the spool, took it.
    published_at: datetime
    #: The event's identity.
    producer_id: str
    sequence: int
    requested_by: str = ""
    approved_by: str = ""
    reason: str = ""

    @classmethod
    def from_fields(cls, fields: Mapping[str, object], published_at: datetime) -> PermissionChange:
        """Return the change that a decoded record or a row of the warehouse tells of; raises `KeyError`."""
        actions = fields["actions"]
        values = {name: fields[name] for name in cls.__slots__ if name not in {"actions", "published_at"}}
        texts = tuple(str(action) for action in actions) if isinstance(actions, (list, tuple)) else ()
        return cls(**values, actions=texts, published_at=published_at)  # type: ignore[arg-type]

    @property
    def principal(self) -> Principal:
        """Who is given something. `service:etl` is a service, whether or not `grantee_kind` says so too."""
        kind, _, name = self.grantee.partition(":")
        return Principal(kind, name) if kind in _KINDS and name else Principal(self.grantee_kind, self.grantee)

    def doubt(self) -> str:
        """Return what about this statement cannot be understood; empty when all can."""
        if self.change == "revoked":
            return "" if self.grant_id else "names no grant"
        doubts = {
            "names no grant": not self.grant_id,
            f"says {self.change!r}, which is neither granted nor revoked": self.change != "granted",
            f"has the effect {self.effect!r}, which is neither allow nor deny": self.effect not in {_ALLOW, _DENY},
            f"is for {self.grantee!r} of kind {self.grantee_kind!r}": (
                self.grantee_kind not in _KINDS
                or not self.principal.name
                or self.principal.kind != self.grantee_kind != "user"
            ),
            "names no resource": not self.resource,
            "names no action": not self.actions or not all(self.actions),
        }
        return next((text for text, is_so in doubts.items() if is_so), "")


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant that is in force."""

    grant_id: str
    effect: str
    principal: Principal
    actions: tuple[str, ...]
    resource: str
    expires_at: datetime | None
    #: Since when it has been there without a break; it may have been restated since.
    granted_at: datetime

    def covers(self, action: str, resource: str) -> bool:
        """Return whether this grant speaks of that action on that resource."""
        if action == MEMBER and self.effect == _ALLOW:
            return MEMBER in self.actions and self.resource == resource
        return matches(self.resource, resource) and any(matches(pattern, action) for pattern in self.actions)

    @property
    def group(self) -> str:
        """Name of the group that this grant makes a member of; empty when it does not."""
        kind, _, name = self.resource.partition(":")
        is_membership = self.effect == _ALLOW and kind == _GROUP and MEMBER in self.actions and "*" not in name
        return name if is_membership else ""


@dataclass(frozen=True, slots=True)
class GrantPath:
    """How a grant reaches somebody: the memberships on the way, then the grant itself."""

    memberships: tuple[Grant, ...]
    grant: Grant

    @property
    def grant_ids(self) -> tuple[str, ...]:
        """All grants of the path, in its order."""
        return (*(membership.grant_id for membership in self.memberships), self.grant.grant_id)

    @property
    def expires_at(self) -> datetime | None:
        """When the first grant of the path expires."""
        ends = [g.expires_at for g in (*self.memberships, self.grant) if g.expires_at is not None]
        return min(ends, default=None)

    def __str__(self) -> str:
        """Return the path in words: `through group:a, group:b`, or `directly`."""
        groups = ", ".join(f"group:{membership.group}" for membership in self.memberships)
        return f"through {groups}" if groups else "directly"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether somebody may do something, and why. True exactly when it is allowed."""

    allowed: bool
    principal: str
    action: str
    resource: str
    #: As of when it was decided.
    moment: datetime
    #: One line in words.
    reason: str
    #: Digest of all grants in force that were known (sha256:…); empty when they were not.
    policy_digest: str
    #: The grants that determined it, each with how it reaches the principal; none where nothing allows it.
    paths: tuple[GrantPath, ...] = ()

    def __bool__(self) -> bool:
        """Return whether it is allowed."""
        return self.allowed

    @property
    def effect(self) -> str:
        """`allow` or `deny`."""
        return _ALLOW if self.allowed else _DENY

    @property
    def grant_ids(self) -> list[str]:
        """The grants that determined it, memberships included, each once."""
        return list(dict.fromkeys(grant_id for path in self.paths for grant_id in path.grant_ids))


class Policy:
    """All grants that are in force at one moment."""

    def __init__(self, grants: Iterable[Grant], moment: datetime, doubts: Iterable[str] = ()) -> None:
        """Take the grants that are in force at `moment`, and what could not be understood."""
        self.moment = moment
        self.grants = tuple(sorted(grants, key=lambda grant: grant.grant_id))
        #: What was said about permissions and is not understood, one line each.
        self.doubts = tuple(doubts)
        self._memberships: dict[Principal, list[Grant]] = {}
        self._by_grantee: dict[Principal, list[Grant]] = {}
        for grant in self.grants:
            self._by_grantee.setdefault(grant.principal, []).append(grant)
            if grant.group:
                self._memberships.setdefault(grant.principal, []).append(grant)
        self._reaching: dict[Principal, tuple[list[GrantPath], list[GrantPath]]] = {}

    @classmethod
    def of(cls, changes: Iterable[PermissionChange], moment: datetime) -> Policy:
        """Return the policy at `moment` that follows from `changes`, given in order of publication.

        All of them count, whatever their time of publication says: give only those that were published by then.
        """
        seen: set[tuple[str, int]] = set()
        latest: dict[str, PermissionChange] = {}
        since: dict[str, datetime] = {}
        for change in changes:
            if (change.producer_id, change.sequence) in seen:
                continue
            seen.add((change.producer_id, change.sequence))
            latest[change.grant_id] = change
            if change.change == "revoked":
                since.pop(change.grant_id, None)
            else:
                since.setdefault(change.grant_id, change.published_at)
        doubts, grants = [], []
        for grant_id, change in latest.items():
            doubt = change.doubt()
            if doubt:
                doubts.append(f"grant {grant_id!r} {doubt}")
            elif change.change == "granted" and (change.expires_at is None or moment < change.expires_at):
                grants.append(_grant(change, since[grant_id]))
        return cls(grants, moment, sorted(doubts))

    def at(self, moment: datetime) -> Policy:
        """Return this policy at another moment at which the same grants are in force."""
        same = copy(self)
        same.moment = moment
        return same

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the grants and doubts in canonical form, as sha256:…; equal for what decides equally."""
        canonical = [
            [
                grant.grant_id,
                grant.effect,
                *grant.principal,
                sorted(set(grant.actions)),
                grant.resource,
                None if grant.expires_at is None else grant.expires_at.isoformat(timespec="microseconds"),
            ]
            for grant in self.grants
        ]
        text = json.dumps([canonical, self.doubts], ensure_ascii=False, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    def principals(self) -> list[Principal]:
        """Return the users and services that a grant names, in order of name."""
        return sorted({g.principal for g in self.grants if g.principal.kind != _GROUP}, key=str)

    def everywhere(self, principal: Principal) -> set[Principal]:
        """Return somebody with all groups that they were made a member of, directly or not, whatever denies say."""
        return set(self._groups(principal, frozenset()))

    def reaching(self, principal: Principal) -> tuple[list[GrantPath], list[GrantPath]]:
        """Return the allows and the denies that reach somebody, directly and through groups, each with its path."""
        if principal not in self._reaching:
            everywhere = self._groups(principal, frozenset())
            denies = self._paths(everywhere, _DENY)
            shut_out = frozenset(
                group for group in everywhere if any(p.grant.covers(MEMBER, str(group)) for p in denies)
            )
            allows = self._paths(self._groups(principal, shut_out), _ALLOW)
            self._reaching[principal] = (allows, denies)
        return self._reaching[principal]

    def decide(self, principal: str, action: str, resource: str) -> Decision:
        """Decide whether `principal` may do `action` with `resource`."""
        who = Principal.parse(principal)

        def decision(allowed: bool, reason: str, paths: Iterable[GrantPath] = ()) -> Decision:
            return Decision(allowed, principal, action, resource, self.moment, reason, self.digest, tuple(paths))

        refusal = _refusal(who, action, resource)
        if refusal:
            return decision(allowed=False, reason=f"Denied: {refusal}")
        if self.doubts:
            return decision(
                allowed=False, reason=f"Denied: {self.doubts[0]}; all is denied until it is restated or revoked"
            )
        allows, denies = self.reaching(who)
        denying = [path for path in denies if path.grant.covers(action, resource)]
        if denying:
            (first, *_) = denying
            return decision(
                False, f"Denied by grant {first.grant.grant_id} {first}; a deny outweighs every allow", denying
            )
        allowing = [path for path in allows if path.grant.covers(action, resource)]
        if allowing:
            (first, *_) = allowing
            return decision(True, f"Allowed by grant {first.grant.grant_id} {first}", allowing)
        return decision(False, f"Denied: no grant allows {principal} to {action} {resource}")

    def _groups(self, principal: Principal, shut_out: frozenset[Principal]) -> dict[Principal, tuple[Grant, ...]]:
        """Return the shortest path of memberships to the principal itself and to each group that it is in."""
        found: dict[Principal, tuple[Grant, ...]] = {principal: ()}
        waiting = [principal]
        for member in waiting:
            for membership in self._memberships.get(member, ()):
                group = Principal(_GROUP, membership.group)
                if group not in found and group not in shut_out:
                    found[group] = (*found[member], membership)
                    waiting.append(group)
        return found

    def _paths(self, reached: Mapping[Principal, tuple[Grant, ...]], effect: str) -> list[GrantPath]:
        return [
            GrantPath(memberships, grant)
            for grantee, memberships in reached.items()
            for grant in self._by_grantee.get(grantee, ())
            if grant.effect == effect
        ]


def _grant(change: PermissionChange, since: datetime) -> Grant:
    return Grant(
        change.grant_id,
        change.effect,
        change.principal,
        change.actions,
        change.resource,
        change.expires_at,
        since,
    )


def _refusal(who: Principal, action: str, resource: str) -> str:
    """Return why a question has no other answer than no; empty for an ordinary one."""
    if not who.name or not action or not resource:
        return "principal, action and resource must be named, all three"
    if who.kind == _GROUP:
        return f"{who} is a group, and only users and services act"
    if "*" in who.name + action + resource:
        return f"{action} {resource} is a pattern, and a decision is about one resource"
    if ".." in resource.partition(":")[2].split("/"):
        return f"{resource} has a '..' in it, and names are no paths"
    return ""
