"""The clock that stamps events: the wall clock at process start, carried on by the monotonic clock.

An NTP step in the middle of a run so neither reorders events nor makes negative durations. How far the wall clock has
moved away since is in every heartbeat (`clock_offset_us`).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["base_ns", "microseconds_at", "moment", "now", "now_us"]

_BASE_NS: Final = time.time_ns() - time.monotonic_ns()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def base_ns() -> int:
    """Return the nanoseconds since 1970 (UTC) at which the monotonic clock read 0, as this process takes it."""
    return _BASE_NS


def microseconds_at(monotonic_ns: int) -> int:
    """Return the microseconds since 1970 (UTC) of a reading of `time.monotonic_ns()`."""
    return (_BASE_NS + monotonic_ns) // 1000


def now_us() -> int:
    """Return the present in microseconds since 1970 (UTC)."""
    return microseconds_at(time.monotonic_ns())


def now() -> datetime:
    """Return the present, in UTC."""
    return moment(now_us())


def moment(microseconds: int) -> datetime:
    """Return the moment that many microseconds after 1970, in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)
