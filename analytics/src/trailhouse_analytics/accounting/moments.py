"""Moments as whole microseconds since 1970 (UTC), so that differences of moments are exact."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from trailhouse_analytics.errors import CostInputError

__all__ = ["DAY", "FIRST", "HOUR", "LAST", "SECOND", "from_micros", "to_micros"]

SECOND: Final = 1_000_000
HOUR: Final = 3_600 * SECOND
DAY: Final = 24 * HOUR

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_micros(moment: datetime) -> int:
    """Return the microseconds since 1970; raises `CostInputError` for a moment without a time zone."""
    if moment.tzinfo is None:
        raise CostInputError(f"Moment {moment.isoformat()} has no time zone; write datetime(…, tzinfo=UTC)")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """Return the moment that is so many microseconds after 1970."""
    return _EPOCH + timedelta(microseconds=micros)


#: The first and the last moment that the warehouse can hold.
FIRST: Final = to_micros(datetime(1900, 1, 1, tzinfo=UTC))
LAST: Final = to_micros(datetime(2299, 12, 31, tzinfo=UTC))
