"""Gives permissions and takes them back, and returns when that is known to all who ask from then on.

Who may do so is decided by the rights on the control directory, or on the control topic: only what could be written
there is a statement. What was written is read back before a call returns, from where `authorize` reads it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from trailhouse.access import current_settings, forget_grants
from trailhouse.api import emit
from trailhouse.control import require_writable
from trailhouse.errors import GrantError, PolicyUnavailableError, PolicyUnknownError
from trailhouse.policy_sources import source_of
from trailhouse.recorder import new_id
from trailhouse_schemas.events import PermissionChanged
from trailhouse_schemas.policy import MEMBER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trailhouse.settings import ProducerSettings
    from trailhouse_schemas.policy import PermissionChange

__all__ = ["grant", "revoke"]

_LOOK_AGAIN_SECONDS: Final = 0.05

GranteeKind = Literal["user", "group", "service"]


def grant(
    grantee: str,
    actions: str | Iterable[str],
    resource: str,
    *,
    effect: Literal["allow", "deny"] = "allow",
    grantee_kind: GranteeKind = "user",
    expires_at: datetime | None = None,
    requested_by: str = "",
    approved_by: str = "",
    reason: str = "",
) -> str:
    """Give a permission, or a denial that outweighs every permission; return its grant id when it is in force.

    Args:
        grantee: name of a user, group or service.
        actions: read, write, train, deploy, …; `*` stands for any text; `member` (of `group:NAME`) makes a member.
        resource: kind:name, such as dataset:emea/*, where `*` stands for any text.
        effect: allow or deny.
        grantee_kind: user, group or service.
        expires_at: from when on it holds no longer; with a time zone; None: never.
        requested_by: who asked for it.
        approved_by: who approved it.
        reason: why.

    Raises:
        GrantError: it is not a grant that can be given, or it could not be written in time.
        PolicyUnavailableError: Kafka does not answer; nothing was written.
        ControlUnavailableError: the directory of control facts cannot be written; nothing was.
    """
    wanted = [actions] if isinstance(actions, str) else list(actions)
    _refuse_nonsense(grantee, wanted, resource, effect, expires_at)
    settings = current_settings()
    if settings.kafka:
        _refuse_silence(settings)
    grant_id = new_id()
    _state(
        grant_id,
        "granted",
        effect=effect,
        grantee_kind=grantee_kind,
        grantee=grantee,
        actions=wanted,
        resource=resource,
        expires_at=expires_at,
        requested_by=requested_by,
        approved_by=approved_by,
        reason=reason,
    )
    return grant_id


def revoke(grant_id: str, *, reason: str = "", requested_by: str = "", approved_by: str = "") -> None:
    """Take a grant back, for good; return when it is in force no longer.

    Raises:
        GrantError: no such grant is known, it was revoked before, or the revocation could not be written in time.
        ControlUnavailableError: the directory of control facts cannot be written; nothing was.
        PolicyUnknownError: the grants cannot be read.
    """
    known = _latest(source_of(current_settings()).read(), grant_id)
    if known is None:
        raise GrantError(f"Grant {grant_id!r} is not known; 'trailhouse audit permissions' lists those in force")
    if known.change == "revoked":
        raise GrantError(f"Grant {grant_id!r} was revoked on {known.published_at:%Y-%m-%d %H:%M:%S} UTC already")
    _state(
        grant_id,
        "revoked",
        effect=known.effect if known.effect in {"allow", "deny"} else "deny",
        grantee_kind=known.grantee_kind if known.grantee_kind in {"user", "group", "service"} else "user",
        grantee=known.grantee,
        actions=list(known.actions),
        resource=known.resource,
        expires_at=known.expires_at,
        requested_by=requested_by,
        approved_by=approved_by,
        reason=reason,
    )


def _refuse_nonsense(grantee: str, actions: list[str], resource: str, effect: str, expires_at: datetime | None) -> None:
    if not grantee or "*" in grantee or grantee != grantee.strip():
        raise GrantError(f"Grantee {grantee!r} is nobody; name one user, group or service")
    if not actions or not all(action and action == action.strip() for action in actions):
        raise GrantError(f"Actions {actions!r} are none; name one at least, such as read")
    kind, colon, name = resource.partition(":")
    if resource != "*" and not (kind and colon and name):
        raise GrantError(f"Resource {resource!r} is none; write kind:name, such as dataset:emea/*, or *")
    if MEMBER in actions and effect == "allow" and (kind != "group" or "*" in resource):
        raise GrantError(f"Nobody can be a member of {resource!r}; name one group, as group:NAME")
    if expires_at is not None and expires_at.tzinfo is None:
        raise GrantError(f"Expiry {expires_at.isoformat()} has no time zone; write datetime(…, tzinfo=UTC)")
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise GrantError(f"Expiry {expires_at.isoformat()} is past; name a moment to come")


def _refuse_silence(settings: ProducerSettings) -> None:
    """Raise unless Kafka answers; that it has no topic yet, or an odd one, is no reason not to write to it."""
    try:
        source_of(settings).read()
    except PolicyUnavailableError:
        raise
    except PolicyUnknownError:
        return


def _state(grant_id: str, change: str, **fields: Any) -> None:
    """Publish one statement, and wait until it can be read."""
    settings = current_settings()
    require_writable(settings)
    emit(PermissionChanged, grant_id=grant_id, change=change, **fields)
    source = source_of(settings)
    deadline = time.monotonic() + settings.finish_timeout_seconds
    error: PolicyUnknownError | None = None
    while True:
        try:
            found = _latest(source.read(), grant_id)
        except PolicyUnknownError as unknown:
            error = unknown
        else:
            if found is not None and found.change == change:
                forget_grants()
                return
        if time.monotonic() >= deadline:
            raise GrantError(
                f"Grant {grant_id} was {change}, but cannot be read back within {settings.finish_timeout_seconds:g} s"
                + (f" ({error})" if error else "; it waits in the spool until it can be published")
            )
        time.sleep(_LOOK_AGAIN_SECONDS)


def _latest(changes: Iterable[PermissionChange], grant_id: str) -> PermissionChange | None:
    found = None
    for change in changes:
        if change.grant_id == grant_id:
            found = change
    return found
