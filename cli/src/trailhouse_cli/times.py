"""Moments as people write them on a command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import click

__all__ = ["MOMENT", "parse_moment"]

_AGO: Final = re.compile(r"(\d+)\s*(s|m|h|d|w)")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_moment(text: str, now: datetime) -> datetime:
    """Return the moment that `text` means, in UTC: ISO 8601, `now`, `today`, or an age such as `90m`, `24h`, `7d`.

    Raises:
        ValueError: it means none.
    """
    word = text.strip()
    if word == "now":
        return now
    if word == "today":
        return now.replace(hour=0, minute=0, second=0, microsecond=0)
    age = _AGO.fullmatch(word)
    try:
        if age:
            return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
        moment = datetime.fromisoformat(word)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is no moment; write 2026-01-31, 2026-01-31T12:00:00+01:00, 24h or 7d (ago), today or now"
        ) from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


class _Moment(click.ParamType[datetime]):
    name = "moment"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return parse_moment(str(value), datetime.now(UTC))
        except ValueError as error:
            self.fail(str(error), param, ctx)


#: A click parameter type: a moment in UTC.
MOMENT: Final = _Moment()
