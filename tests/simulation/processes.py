"""Simulated processes: each runs real code in threads of its own, and only one thread of all at a time.

A thread stops at each of its calls to the broker or the warehouse, and goes on when the schedule says so, with the fate
that the schedule has for the call. So what happens is the schedule's doing alone, and happens again in the same way. A
process that is not let go on is a stopped one (SIGSTOP); one that is killed never gets past its calls.

The threads of a process are its lanes: the loop, and one for each piece of work that the loop has given to others. The
first lane in the order goes on; work that is new is first, so that it is done before the loop asks anybody again. Who
puts another lane first lets the loop and its work overlap.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Beside", "Fate", "Killed", "Process", "current", "wait"]

#: A loop that makes this call so often without another between has nothing to do: to let it go on would be a waste.
_IDLE_CALL: Final = "consume"
_IDLE_CALLS: Final = 2
#: The loop has nothing to do until its work is done.
_WAIT: Final = "wait"

_running = threading.local()


def current() -> Process:
    """Return the process whose code this is."""
    process: Process = _running.process
    return process


def wait(steps: Sequence[Future[Any]], *_: object) -> None:
    """Stand in for `concurrent.futures.wait`: let the other lanes go first, or time out when the schedule says so."""
    if not all(step.done() for step in steps):
        current().at(_WAIT)


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


class _Thread(threading.Thread):
    """Does one piece of work after another: to start a thread for each would take longer than most of them."""

    free: Final[list[_Thread]] = []

    def __init__(self) -> None:
        super().__init__(name="simulated", daemon=True)
        self.go = threading.Lock()
        self.go.acquire()
        self.work: Callable[[], None] = lambda: None
        self.start()

    def run(self) -> None:
        while True:
            self.go.acquire()
            self.work()


class _Lane:
    """One thread of a process."""

    __slots__ = ("call", "idle", "process", "thread", "work")

    def __init__(self, process: Process, work: Callable[[], None]) -> None:
        self.process = process
        self.work = work
        #: The call at which it stands.
        self.call = "start"
        self.idle = 0
        self.thread: _Thread | None = None

    def go(self) -> None:
        """Let it go on, or begin."""
        if self.thread is None:
            self.thread = _Thread.free.pop() if _Thread.free else _Thread()
            self.thread.work = self._run
        self.thread.go.release()

    def stand(self) -> None:
        """Wait until it is to go on."""
        assert self.thread is not None
        self.thread.go.acquire()
        self.process.running = self
        if self.process.dead:
            raise Killed

    def _run(self) -> None:
        process = _running.process = self.process
        process.running = self
        assert self.thread is not None
        try:
            self.work()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the schedule's finding
            process.error = error
        _Thread.free.append(self.thread)
        process.ended(self)


class Process:
    """One process."""

    def __init__(self, work: Callable[[Process], None]) -> None:
        """Get ready to work; nothing happens before it is let go on."""
        self.dead = False
        self.error: BaseException | None = None
        #: The ranges, by partition, whose plans it has stored and that it may be inserting.
        self.holding: dict[int, str] = {}
        self._loop = _Lane(self, lambda: work(self))
        #: Those that go on before others, first.
        self.lanes = [self._loop]
        self.running = self._loop
        self._fate = Fate.GO
        self._free = 0
        self._until: str | None = None
        self._stopped = threading.Lock()
        self._stopped.acquire()

    @property
    def busy(self) -> bool:
        """Whether it has work beside its loop."""
        return len(self.lanes) > 1

    def begin(self, work: Callable[[], None]) -> None:
        """Have work done beside the loop."""
        self.lanes.insert(0, _Lane(self, work))

    def other(self) -> None:
        """Let another lane go first."""
        self.lanes.append(self.lanes.pop(0))

    def at(self, call: str) -> Fate:
        """Stop before a call, and return what shall become of it. To be called by the process itself."""
        if self.dead:
            raise Killed
        lane = self.running
        lane.idle = lane.idle + 1 if call == lane.call == _IDLE_CALL else 0
        lane.call = call
        if self.busy and (call == _WAIT or lane.idle >= _IDLE_CALLS):
            self.lanes.remove(lane)
            self.lanes.append(lane)
        if self.lanes[0] is not lane:
            self._pass_on()
            lane.stand()
        elif self._free <= 0 or self._until == call or lane.idle >= _IDLE_CALLS:
            self._stopped.release()
            lane.stand()
        self._free -= 1
        fate, self._fate = self._fate, Fate.GO
        return fate

    def go_on(self, calls: int, fate: Fate = Fate.GO, *, until: str | None = None) -> bool:
        """Let it make so many calls, the first with this fate, at most; return whether it stands before `until`."""
        if self.dead:
            return False
        self._fate, self._free, self._until = fate, calls, until
        for lane in self.lanes:
            lane.idle = 0
        self.lanes[0].go()
        self._stopped.acquire()
        return self.running.call == until

    def come_to(self, call: str, calls: int) -> None:
        """Let it end its work, and go on until the loop stands before a call."""
        while self.busy and not self.dead:
            if self.lanes[0] is self._loop:
                self.other()
            self.go_on(calls, until=call)
        self.go_on(calls, until=call)

    def kill(self) -> None:
        """End it where it stands."""
        self.dead = True
        while self.lanes:
            lane = self.lanes[0]
            if lane.thread is None:
                self.lanes.remove(lane)
            else:
                lane.go()
                self._stopped.acquire()

    def ended(self, lane: _Lane) -> None:
        """Go on with the next lane when one has come to its end; the end of the loop is the end of all."""
        self.lanes.remove(lane)
        self._loop.idle = 0
        self.dead = self.dead or lane is self._loop or self.error is not None
        if self.dead:
            self._stopped.release()
        else:
            self._pass_on()

    def _pass_on(self) -> None:
        """Let the lane go on that is first now, unless the schedule wants to be asked."""
        lane = self.lanes[0]
        if self._free > 0 and (lane.thread is None or lane.call != self._until):
            lane.go()
        else:
            self.running = lane
            self._stopped.release()


class Beside:
    """An executor whose work is done in lanes of the process."""

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Begin it."""
        future: Future[Any] = Future()

        def do() -> None:
            try:
                future.set_result(work(*arguments))
            except Exception as error:  # noqa: BLE001 - whatever it is, who waits for it gets it
                future.set_exception(error)

        current().begin(do)
        return future

    def shutdown(self) -> None:
        """Have nothing left."""
