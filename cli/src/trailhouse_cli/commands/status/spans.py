"""Spans of time and amounts as people read them at a glance."""

from __future__ import annotations

from typing import Final

__all__ = ["ago", "amount", "span"]

_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400
#: From here on amounts are in thousands, then in millions, and so on.
_MANY: Final = 10_000


def span(seconds: float) -> str:
    """Return a span such as `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `4 d 1 h`."""
    if seconds < 10:  # noqa: PLR2004 - below, tenths matter
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def ago(seconds: float) -> str:
    """Return how long ago something was."""
    return f"{span(seconds)} ago"


def amount(value: float) -> str:
    """Return an amount such as `0`, `812`, `12.4 k`, `3.1 M`."""
    for unit in ("", " k", " M", " G"):
        if abs(value) < _MANY:
            return f"{value:,.0f}" if not unit else f"{value:,.1f}{unit}"
        value /= 1000
    return f"{value:,.1f} T"
