"""Sessions: a handle of the engine that a client comes back to, with its settings and temporary tables."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trailhouse_consumer.serving.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from trailhouse_consumer.serving.engine import Handle

__all__ = ["Sessions"]

#: A handle costs memory; who makes a session a request is told to end some.
_MAX_SESSIONS: Final = 1000


@dataclass
class _Session:
    handle: Handle
    seconds: float
    used: bool
    #: When it ends by itself; told by the monotonic clock.
    until: float


class Sessions:
    """The sessions of a server; those of writers and of readers are apart."""

    def __init__(self) -> None:
        """Begin with none."""
        self._sessions: dict[tuple[bool, str], _Session] = {}
        self._lock = threading.Lock()

    def take(
        self, name: str, open_handle: Callable[[], Handle], *, read_only: bool, seconds: float, must_exist: bool
    ) -> Handle:
        """Return the handle of a session, which nobody else has until it is given back.

        Raises:
            Refused: somebody else has it (SESSION_IS_LOCKED), or it is not there and must be.
        """
        self._end(self._outlived())
        with self._lock:
            session = self._sessions.get((read_only, name))
            if session is None:
                if must_exist:
                    raise Refused(372, "SESSION_NOT_FOUND", f"Session {name} not found")
                if len(self._sessions) >= _MAX_SESSIONS:
                    raise Refused(202, "TOO_MANY_SIMULTANEOUS_QUERIES", "Too many sessions; end some, or use none")
                session = _Session(open_handle(), seconds, used=False, until=0.0)
                self._sessions[read_only, name] = session
            if session.used:
                raise Refused(373, "SESSION_IS_LOCKED", f"Session {name} is locked by a concurrent client")
            session.used = True
            session.seconds = seconds
            return session.handle

    def give_back(self, name: str, *, read_only: bool, end: bool) -> None:
        """Let others have the session; with `end`, there is none any more."""
        with self._lock:
            session = self._sessions[read_only, name]
            session.used = False
            session.until = time.monotonic() + session.seconds
            if end:
                del self._sessions[read_only, name]
        if end:
            session.handle.close()

    def close(self) -> None:
        """End all."""
        with self._lock:
            ended = list(self._sessions.values())
            self._sessions.clear()
        self._end(ended)

    def _outlived(self) -> list[_Session]:
        now = time.monotonic()
        with self._lock:
            names = [name for name, session in self._sessions.items() if not session.used and session.until < now]
            return [self._sessions.pop(name) for name in names]

    @staticmethod
    def _end(sessions: list[_Session]) -> None:
        for session in sessions:
            session.handle.close()
