"""Adds up time and money, in integers: nothing is rounded here, so any way to cut or group sums to the same.

Time counts in units of a resource times seconds (a GPU for a second, a core for a second, a GiB for a second), money
in its currency. Both are numerators over one denominator for the whole ledger.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from trailhouse_analytics.accounting.allocations import WEIGHT_SCALE
from trailhouse_analytics.accounting.moments import SECOND
from trailhouse_analytics.accounting.prices import PRICE_SCALE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trailhouse_analytics.accounting.timelines import Integers

__all__ = ["PARTS", "Ledger", "Postings", "add_up"]

#: What allocated time consists of, in the order of the ledger's columns.
PARTS: Final = ("used", "idle", "unmeasured")

_MILLIONTHS: Final = 1_000_000
_SECONDS_AN_HOUR: Final = 3_600


@dataclass(frozen=True, slots=True)
class Postings:
    """What is to be added up, a row a piece of time."""

    #: Microseconds that the piece lasts.
    length_us: Integers
    #: Microseconds measured, and in use (in millionths), added up over the measured devices.
    measured_us: Integers
    used: NDArray[np.object_]
    #: Overbooked microseconds, added up over the named devices.
    overbooked_us: Integers
    #: Quantity times fraction, in 10^-9.
    weight: NDArray[np.object_]
    #: How many devices the measured ones, and the overbooked ones, are out of.
    devices: Integers
    named_devices: Integers
    #: Price of an hour of one unit, in 10^-12 of the currency; 0 where there is none.
    per_hour: NDArray[np.object_]
    #: Number of the currency, -1 for none: then it has no price.
    currency: Integers


@dataclass(frozen=True, slots=True)
class Ledger:
    """Exact sums, a row for each group and currency. Numerators; see `seconds` and `money` for their denominators."""

    group: Integers
    #: Number of the currency, -1 for what has no price.
    currency: Integers
    #: Time: a column each of `PARTS`.
    time: NDArray[np.object_]
    double_booked: NDArray[np.object_]
    #: Money: a column each of `PARTS`.
    money: NDArray[np.object_]
    #: Denominator of time, in unit seconds.
    seconds: int
    #: Denominator of money, in the currency.
    currency_units: int
    #: The row of each piece that was added up.
    row_of: Integers

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.group)


def add_up(postings: Postings, group: Integers) -> Ledger:
    """Add up all pieces of a group and currency."""
    common = math.lcm(1, *np.unique(postings.devices).tolist(), *np.unique(postings.named_devices).tolist())
    weight = postings.weight
    per_device = weight * (common // postings.devices.astype(object))
    allocated = postings.length_us * weight * (_MILLIONTHS * common)
    measured = postings.measured_us * per_device * _MILLIONTHS
    used = postings.used * per_device
    time = np.stack([used, measured - used, allocated - measured], axis=1)
    named = weight * (common // postings.named_devices.astype(object))
    double_booked = postings.overbooked_us * named * _MILLIONTHS
    money = time * postings.per_hour[:, None]
    seconds = SECOND * 10**WEIGHT_SCALE * _MILLIONTHS * common
    currencies = int(postings.currency.max(initial=-1)) + 2
    keys, row_of = np.unique(group * currencies + postings.currency + 1, return_inverse=True)
    order = np.argsort(row_of, kind="stable")
    first = np.searchsorted(row_of[order], np.arange(len(keys)))

    def total(values: NDArray[np.object_]) -> NDArray[np.object_]:
        return np.add.reduceat(values[order], first, axis=0) if len(keys) else values

    return Ledger(
        group=keys // currencies,
        currency=keys % currencies - 1,
        time=total(time),
        double_booked=total(double_booked),
        money=total(money),
        seconds=seconds,
        currency_units=seconds * 10**PRICE_SCALE * _SECONDS_AN_HOUR,
        row_of=row_of.astype(np.int64),
    )
