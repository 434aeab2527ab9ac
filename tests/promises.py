"""What the SDK promises of what a killed process had logged: the one place where the bound is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["KILL_MAY_LOSE_SECONDS", "must_survive"]

#: What `log` took in so many seconds before a kill may be lost: the flush interval. 0: nothing may be.
KILL_MAY_LOSE_SECONDS: Final = 0.0
#: What a busy machine may take to get round to writing, on top.
_SCHEDULING_SECONDS: Final = 0.3


def must_survive(logged_at: Sequence[float], killed_at: float, *, busy: float = 1.0) -> int:
    """Return how many of these calls, in order, must be found after the kill.

    Args:
        logged_at: when each call of `log` had returned, by the wall clock.
        killed_at: when the process was killed, by the same.
        busy: how much longer than on a machine with little to do things may take.
    """
    if not KILL_MAY_LOSE_SECONDS:
        return len(logged_at)
    latest = killed_at - KILL_MAY_LOSE_SECONDS - _SCHEDULING_SECONDS * busy
    return sum(at < latest for at in logged_at)
