"""Where the time of training steps goes, by activity, in stretches of steps that are the same on all ranks.

A stretch is `every` steps by their numbers: steps 0 to 99, 100 to 199, … So the stretches of two ranks can be laid
beside each other without the ranks knowing of each other.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

from trailhouse import clock
from trailhouse.once import warn_once
from trailhouse_schemas.events import StepsTimed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

__all__ = ["ACTIVITIES", "StepTimer"]

#: What the time of a step can go into.
ACTIVITIES: Final = ("compute", "data_wait", "exposed_communication", "checkpoint", "init", "compile", "restore")


class StepTimer:
    """Times steps and what is done in them; one thread, the training loop's. Made by `run.time_steps`.

    An activity inside another one counts for itself alone. Time before the first step (init, restore) counts to the
    first stretch; what lies between two steps to the stretch of the step before it.
    """

    def __init__(self, every: int, emit: Callable[..., bool]) -> None:
        """Make a timer with stretches of `every` steps."""
        self.every = max(1, int(every))
        self._emit = emit
        self._nanoseconds = dict.fromkeys(ACTIVITIES, 0)
        #: Activities that are going on, the outermost first, each with the time of those inside it.
        self._inside: list[int] = []
        self._began_ns = 0
        self._first: int | None = None
        self._last = 0

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Time one step; steps come in ascending order."""
        now = time.monotonic_ns()
        try:
            number = int(number)
            if self._first is not None and number // self.every != self._first // self.every:
                self._end_stretch(now)
            if not self._began_ns:
                self._began_ns = now
            if self._first is None:
                self._first = number
            self._last = number
        except Exception as error:  # noqa: BLE001 - whatever was handed in, the training loop goes on
            warn_once(f"a step cannot be timed ({type(error).__name__}: {error})")
        yield

    @contextmanager
    def activity(self, name: str) -> Iterator[None]:
        """Time one of `ACTIVITIES`."""
        begin = time.monotonic_ns()
        if not self._began_ns:
            self._began_ns = begin
        if name not in self._nanoseconds:
            warn_once(f"activity {name!r} is not known; it may be {', '.join(ACTIVITIES)}")
        self._inside.append(0)
        try:
            yield
        finally:
            took = time.monotonic_ns() - begin
            own = took - self._inside.pop()
            if self._inside:
                self._inside[-1] += took
            if name in self._nanoseconds:
                self._nanoseconds[name] += max(0, own)

    def close(self) -> None:
        """Record the stretch that is open; the next step begins another one."""
        self._end_stretch(time.monotonic_ns())
        self._began_ns = 0

    def __enter__(self) -> Self:
        """Return the timer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Record the stretch that is open."""
        self.close()

    def _end_stretch(self, now_ns: int) -> None:
        if self._first is None:
            return
        self._emit(
            StepsTimed,
            first_step=self._first,
            last_step=self._last,
            started_at=clock.moment(clock.microseconds_at(self._began_ns)),
            duration_ns=max(0, now_ns - self._began_ns),
            **{f"{name}_ns": spent for name, spent in self._nanoseconds.items()},
        )
        self._nanoseconds = dict.fromkeys(ACTIVITIES, 0)
        self._began_ns = now_ns
        self._first = None
