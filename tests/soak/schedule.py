"""What is to be done later, done while something else is waited for: one thread, so that no two faults cross."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Schedule"]

_STEP_SECONDS = 0.02


class Schedule:
    """Does what is due whenever somebody waits."""

    def __init__(self, watch: Callable[[], None]) -> None:
        """Begin with nothing to do; `watch` is called again and again meanwhile."""
        self._watch = watch
        self._due: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Have something done after that time."""
        self._due.append((time.monotonic() + seconds, what))

    def forget(self) -> None:
        """Do nothing any more of what was to be done."""
        self._due.clear()

    def pause(self, seconds: float) -> None:
        """Let so much time go by."""
        self.until(lambda: False, seconds)

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition at most that long; return whether it holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self._serve()
            time.sleep(_STEP_SECONDS)
        return True

    def _serve(self) -> None:
        now = time.monotonic()
        due = [what for at, what in self._due if at <= now]
        self._due = [(at, what) for at, what in self._due if at > now]
        for what in due:
            what()
        self._watch()
