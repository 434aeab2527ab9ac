"""Findings in words: one short clause for each thing that was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["count_of", "listed", "number", "p_value", "share"]

_TINY = 1e-300
_SHOWN = 5


def number(value: float) -> str:
    """Return three significant digits: 0.31, 1.24e+06."""
    return f"{value:.3g}"


def p_value(value: float) -> str:
    """Return a p-value: 0.12, 2e-07, and below 1e-300 where a double ends."""
    if value < _TINY:
        return "< 1e-300"
    return f"{value:.2g}"


def share(value: float) -> str:
    """Return a share in per cent: 12.5%."""
    return f"{100 * value:.3g}%"


def listed(names: Sequence[str], count: int | None = None) -> str:
    """Return the first few names, quoted, and how many more there are; `count` in all, if not all are given."""
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    more = (len(names) if count is None else count) - _SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown


def count_of(count: int, noun: str) -> str:
    """Return a count with its noun: 1 column, 2 columns."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
