"""How long a run was kept by its calls of log: what it measured itself, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["log_calls_in_words"]

_UNITS: Final = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns"))


def log_calls_in_words(by_duration: Sequence[int]) -> str:
    """Return how many calls there were, and within what time half of them, 99 % and the longest were done.

    Args:
        by_duration: calls by duration; the number at n counts those of less than 2^n ns and no less than half of that.

    Returns:
        Nothing where there were none. Times are bounds, within a factor of two.
    """
    calls = sum(by_duration)
    if not calls:
        return ""
    half, most, longest = (_within(by_duration, calls * share) for share in (0.5, 0.99, 1.0))
    return f"{calls:,}; half took less than {half}, 99 % less than {most}, the longest less than {longest}"


def _within(by_duration: Sequence[int], calls: float) -> str:
    seen = 0
    for bits, count in enumerate(by_duration):
        seen += count
        if seen >= calls:
            nanoseconds = 1 << bits
            size, unit = next((size, unit) for size, unit in _UNITS if nanoseconds >= size)
            return f"{nanoseconds / size:.3g} {unit}"
    raise AssertionError(f"{calls} of {seen} calls")
