"""Devices that were promised twice: where the fractions of all allocations of one device sum to more than the device.

Overlaps are counted and paid as they are; this says how much of the time they are, so that somebody can look. Only
allocations that name their devices can be held against each other; a device is known by its name on its node.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from trailhouse_analytics.accounting.allocations import WEIGHT_SCALE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trailhouse_analytics.accounting.timelines import Integers, Pieces

__all__ = ["Booking", "Overbooked", "overbooked", "overbooked_micros"]

_WHOLE: Final = 10**WEIGHT_SCALE


@dataclass(frozen=True, slots=True)
class Booking:
    """One device of one allocation, for the allocation's time; `share` of the device in 10^-9."""

    allocation: int
    device: tuple[str, ...]
    begin: int
    end: int
    share: int


@dataclass(frozen=True, slots=True)
class Overbooked:
    """A device with its overbooked time: `total[i]` microseconds of it lie before `moments[i]`."""

    moments: Integers
    total: Integers
    #: The allocations that hold the device.
    allocations: Integers

    def within(self, begin: Integers, end: Integers) -> Integers:
        """Return how much of each stretch is overbooked, in microseconds."""
        return self._before(end) - self._before(begin)

    def _before(self, moment: Integers) -> Integers:
        index = np.clip(np.searchsorted(self.moments, moment, "right") - 1, 0, len(self.moments) - 1)
        following = np.minimum(index + 1, len(self.moments) - 1)
        growing = self.total[following] > self.total[index]
        past = np.maximum(moment - self.moments[index], 0)
        before: Integers = self.total[index] + np.where(growing, past, 0)
        return before


def overbooked(bookings: Sequence[Booking]) -> list[Overbooked]:
    """Return the devices that were overbooked at any time."""
    by_device: dict[tuple[str, ...], list[Booking]] = {}
    for booking in bookings:
        if booking.begin < booking.end:
            by_device.setdefault(booking.device, []).append(booking)
    found = []
    for held in by_device.values():
        if len(held) == 1:
            continue
        changes: dict[int, int] = {}
        for booking in held:
            changes[booking.begin] = changes.get(booking.begin, 0) + booking.share
            changes[booking.end] = changes.get(booking.end, 0) - booking.share
        moments = sorted(changes)
        total, booked, over = [0], 0, 0
        for begin, end in itertools.pairwise(moments):
            booked += changes[begin]
            over += end - begin if booked > _WHOLE else 0
            total.append(over)
        if over:
            owners = np.unique(np.array([booking.allocation for booking in held], np.int64))
            found.append(Overbooked(np.array(moments, np.int64), np.array(total, np.int64), owners))
    return found


def overbooked_micros(devices: Sequence[Overbooked], pieces: Pieces) -> Integers:
    """Return the overbooked microseconds of each piece, added up over its devices; pieces are sorted by owner."""
    micros = np.zeros(len(pieces), np.int64)
    for device in devices:
        first = np.searchsorted(pieces.owner, device.allocations, "left")
        last = np.searchsorted(pieces.owner, device.allocations, "right")
        ours = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)])
        micros[ours] += device.within(pieces.begin[ours], pieces.end[ours])
    return micros
