"""Asks for permission before something is done: decided against the current grants, recorded, and denied in doubt.

`authorize` never raises and never lets anything through because something is broken: where the grants cannot be known
(no source, one that could not be read for too long, a statement that is lost or not understood) it denies and says why.
Grants are read again when they are older than TRAILHOUSE_PERMISSION_REFRESH_SECONDS; what another process revoked
meanwhile may count until then.

This is a door for programs that go through it. What keeps others out are the rights on the data itself.
"""

from __future__ import annotations

import math
import os
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from trailhouse.api import current_run, emit
from trailhouse.errors import PermissionDeniedError, PolicyUnavailableError, PolicyUnknownError
from trailhouse.once import warn_once
from trailhouse.policy_sources import source_of
from trailhouse.settings import ProducerSettings
from trailhouse_schemas.events import AccessDecided
from trailhouse_schemas.policy import Decision, PermissionChange, Policy

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["authorize", "current_settings", "forget_grants", "require"]


def authorize(principal: str, action: str, resource: str, *, purpose: str = "") -> Decision:
    """Decide whether `principal` may do `action` with `resource`, and record the decision. Never raises.

    Args:
        principal: NAME of a user, or service:NAME.
        action: read, write, train, deploy, …
        resource: dataset:DATASET_ID, model:NAME, artifact:NAME, project:NAME, …; one, never a pattern.
        purpose: what for; it goes into the record.

    Returns:
        The decision: true exactly when it is allowed; with the reason and the grants that determined it.
    """
    principal, action, resource = str(principal), str(action), str(resource)
    moment = datetime.now(UTC)
    try:
        decision = _known_policy(moment).decide(principal, action, resource)
    except Exception as error:  # noqa: BLE001 - whatever is broken, nothing is allowed because of it
        why = str(error) if isinstance(error, PolicyUnknownError) else f"{type(error).__name__}: {error}"
        decision = Decision(False, principal, action, resource, moment, f"Denied: {why}", "")
    try:
        emit(
            AccessDecided,
            occurred_at=moment,
            subject=principal,
            action=action,
            resource=resource,
            decision=decision.effect,
            grant_ids=decision.grant_ids,
            policy_digest=decision.policy_digest,
            purpose=str(purpose),
            reason=decision.reason,
        )
    except Exception as error:  # noqa: BLE001 - see above
        warn_once(f"a decision about access cannot be recorded ({error})", key=("decision",))
        return replace(decision, allowed=False, reason=f"Denied: it cannot be recorded ({error})", paths=())
    return decision


def require(principal: str, action: str, resource: str, *, purpose: str = "") -> Decision:
    """Decide as `authorize` does, and return the decision when it is allowed; raises `PermissionDeniedError`."""
    decision = authorize(principal, action, resource, purpose=purpose)
    if not decision:
        raise PermissionDeniedError(decision)
    return decision


def current_settings() -> ProducerSettings:
    """Return the settings of the run that is open, else those of the process; raises `SettingsError`."""
    run = current_run()
    return run.recorder.settings if run is not None else ProducerSettings.read()


def forget_grants() -> None:
    """Read the grants anew at the next decision, however recently they were read."""
    with _Known.lock:
        _Known.grants.clear()


class _Grants:
    """The grants of one source, as they were last read."""

    def __init__(self) -> None:
        self._changes: list[PermissionChange] | None = None
        self._error = PolicyUnknownError("Grants are not known: they were never read")
        self._read_at = self._tried_at = -math.inf
        self._policy: Policy | None = None
        self._ends_at: datetime | None = None

    def policy(self, settings: ProducerSettings, moment: datetime) -> Policy:
        """Return the policy at `moment`; raises `PolicyUnknownError`. Reads, or tries to, once a refresh interval."""
        if _seconds() - self._tried_at >= settings.permission_refresh_seconds:
            self._tried_at = _seconds()
            try:
                self._changes = source_of(settings).read()
            except PolicyUnknownError as error:
                self._error = error
            else:
                self._read_at, self._policy = self._tried_at, None
        if self._changes is None:
            raise self._error.with_traceback(None)
        age = _seconds() - self._read_at
        if self._tried_at > self._read_at:
            if not isinstance(self._error, PolicyUnavailableError):
                raise self._error.with_traceback(None)
            if age >= settings.permission_max_age_seconds:
                raise PolicyUnknownError(f"{self._error}; what was read {age:.0f} s ago is too old")
            warn_once(f"{self._error}; decided by what was read before", key=("stale grants", str(self._error)))
        if self._policy is None or moment < self._policy.moment or (self._ends_at and moment >= self._ends_at):
            self._policy = Policy.of(self._changes, moment)
            self._ends_at = min(
                (c.expires_at for c in self._changes if c.expires_at and c.expires_at > moment), default=None
            )
        return self._policy.at(moment)


class _Known:
    lock = threading.Lock()
    grants: Final[dict[tuple[object, ...], _Grants]] = {}


def _known_policy(moment: datetime) -> Policy:
    settings = current_settings()
    key = (
        settings.kafka,
        *sorted(settings.kafka_client.items()),
        settings.registry,
        settings.control_directory,
        settings.permission_ignore,
    )
    with _Known.lock:
        return _Known.grants.setdefault(key, _Grants()).policy(settings, moment)


def _clock() -> Callable[[], float]:
    """Return a clock that goes on while the machine sleeps, where there is one."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic if boot is None else lambda: time.clock_gettime(boot)


_seconds: Final = _clock()


def _in_child() -> None:
    _Known.lock = threading.Lock()
    _Known.grants.clear()


os.register_at_fork(after_in_child=_in_child)
