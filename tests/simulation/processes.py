"""Simulated processes: each runs real code in a thread of its own, and only one of all at a time.

A process stops at each of its calls to the broker or the warehouse, and goes on when the schedule says so, with the
fate that the schedule has for the call. So what happens is the schedule's doing alone, and happens again in the same
way. A process that is not let go on is a stopped one (SIGSTOP); one that is killed never gets past its call.
"""

from __future__ import annotations

import threading
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Fate", "Killed", "Process", "current"]

#: Who makes this call so often without another between has nothing to do: to let it go on would be a waste.
_IDLE_CALL: Final = "consume"
_IDLE_CALLS: Final = 2

_running = threading.local()


def current() -> Process:
    """Return the process whose code this is."""
    process: Process = _running.process
    return process


class Fate(StrEnum):
    """What becomes of a call."""

    GO = "go"
    #: It has no effect, and says so.
    REFUSED = "refused"
    #: It has its effect; the answer is lost.
    LOST = "lost"
    #: The answer is a time-out; it takes effect when the schedule says so.
    LATER = "later"
    #: The server has begun with it; the process stops in the middle.
    BEGUN = "begun"
    #: An insert whose token is remembered, and whose rows are not there.
    HOLLOW = "hollow"


class Killed(BaseException):
    """The process is dead. Nothing of what it would still do reaches anybody."""


class Process:
    """One process."""

    def __init__(self, name: str, work: Callable[[Process], None]) -> None:
        """Begin to work, up to the first call."""
        self.name = name
        #: The call at which it stands.
        self.call = "start"
        self.dead = False
        self.error: BaseException | None = None
        #: The range whose plan it has stored and may be inserting: none of its tokens may be forgotten meanwhile.
        self.holding = ""
        self._work = work
        self._fate = Fate.GO
        self._free = 0
        self._idle = 0
        self._until: str | None = None
        self._go = threading.Lock()
        self._stopped = threading.Lock()
        self._go.acquire()
        self._stopped.acquire()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def at(self, call: str) -> Fate:
        """Stop before a call, and return what shall become of it. To be called by the process itself."""
        if self.dead:
            raise Killed
        self._idle = self._idle + 1 if call == self.call == _IDLE_CALL else 0
        self.call = call
        if self._free > 0 and self._until != call and self._idle < _IDLE_CALLS:
            self._free -= 1
            return Fate.GO
        self._stopped.release()
        self._go.acquire()
        if self.dead:
            raise Killed
        return self._fate

    def go_on(self, calls: int, fate: Fate = Fate.GO, *, until: str | None = None) -> bool:
        """Let it make so many calls, the first with this fate, at most; return whether it stands before `until`."""
        if self.dead:
            return False
        self._fate, self._free, self._idle, self._until = fate, calls - 1, 0, until
        self._go.release()
        self._stopped.acquire()
        return self.call == until

    def kill(self) -> None:
        """End it where it stands."""
        if not self.dead:
            self.dead = True
            self._go.release()
        self._thread.join()

    def _run(self) -> None:
        _running.process = self
        try:
            self._go.acquire()
            if not self.dead:
                self._work(self)
        except Killed:
            return
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the schedule's finding
            self.error = error
        self.dead = True
        self._stopped.release()
