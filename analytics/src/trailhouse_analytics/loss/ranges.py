"""Sets of sequences as sorted, disjoint ranges (first, last), both ends included.

A set costs memory for its gaps, not for its members, so that a producer of millions of events is a handful of ranges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Range", "Ranges", "intersect", "joined", "size", "subtract"]

Range = tuple[int, int]
Ranges = list[Range]


def size(ranges: Iterable[Range]) -> int:
    """Return the number of sequences in the ranges."""
    return sum(last - first + 1 for first, last in ranges)


def joined(ranges: Iterable[Range]) -> Ranges:
    """Return the ranges sorted, with those that touch or overlap made one."""
    found: Ranges = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def subtract(ranges: Sequence[Range], taken: Sequence[Range]) -> Ranges:
    """Return what is in `ranges` and not in `taken`; both sorted and disjoint."""
    found: Ranges = []
    at = 0
    for first, last in ranges:
        begin = first
        while at < len(taken) and taken[at][1] < begin:
            at += 1
        look = at
        while look < len(taken) and taken[look][0] <= last:
            if taken[look][0] > begin:
                found.append((begin, taken[look][0] - 1))
            begin = max(begin, taken[look][1] + 1)
            look += 1
        if begin <= last:
            found.append((begin, last))
        at = max(at, look - 1)
    return found


def intersect(ranges: Sequence[Range], other: Sequence[Range]) -> Ranges:
    """Return what is in both; both sorted and disjoint."""
    return subtract(ranges, subtract(ranges, other))
