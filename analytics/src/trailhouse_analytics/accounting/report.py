"""What a question about cost is answered with: rows in Arrow, totals, and what to know about them.

Rounding happens here and once: time to a millionth of a unit second, money to the currency's smallest coin (or as
many digits as asked for), each by `rounding.round_table`. So rows sum to the totals, and used, idle and unmeasured sum
to allocated, to the last digit; the totals are the same for every grouping.

Time without a price is in the row of its group's currency, as `unpriced_seconds`, where the group has one currency;
else in a row of its own without a currency and without a cost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from trailhouse_analytics.accounting.allocations import STATES
from trailhouse_analytics.accounting.currencies import MOST_DIGITS, minor_digits
from trailhouse_analytics.accounting.grouping import MOMENTS
from trailhouse_analytics.accounting.ledger import PARTS
from trailhouse_analytics.accounting.moments import from_micros
from trailhouse_analytics.accounting.rounding import apportion, round_half_even, round_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    import pandas as pd

    from trailhouse_analytics.accounting.grouping import Dimension
    from trailhouse_analytics.accounting.ledger import Ledger
    from trailhouse_analytics.accounting.timelines import Integers

__all__ = ["UNITS", "CostReport", "Note", "Subjects", "rows_and_totals"]

#: What a quantity of one is, by kind of resource.
UNITS: Final = {"gpu": "GPU", "cpu": "core", "memory": "GiB", "storage": "GiB", "disk": "GiB"}

_TIME_DIGITS: Final = 6
_WORD: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Note:
    """Something to know about a report: what it is about, how often, and a line for people."""

    code: str
    count: int
    text: str

    def __str__(self) -> str:
        """Return the line."""
        return self.text


@dataclass(frozen=True, slots=True)
class CostReport:
    """Cost of a period.

    `rows` has the columns of `by`, then:

    currency             null for time without a price in a group that has several currencies or none
    unit                 of what the time is: GPU, core, GiB, …; "mixed" where the row has several
    allocations          how many it has; of these `open` are still held and `lost` counted up to the last sign of life
    allocated_seconds    quantity x fraction x time, in unit seconds: used + idle + unmeasured
    used_seconds         measured time x utilization
    idle_seconds         the rest of measured time
    unmeasured_seconds   time of which no sample says anything
    unpriced_seconds     time that has no price (part of allocated)
    double_booked_seconds  time in which the device was promised more than once (part of allocated)
    cost                 of priced time: used_cost + idle_cost + unmeasured_cost; null without a currency
    utilization          used / measured time, null where nothing was measured
    """

    by: tuple[str, ...]
    since: datetime | None
    until: datetime | None
    now: datetime
    as_of: datetime | None
    rows: pa.Table
    #: One row a currency, columns as `rows` has after those of `by`.
    totals: pa.Table
    warnings: tuple[Note, ...] = field(default=())

    def to_arrow(self) -> pa.Table:
        """Return the rows."""
        return self.rows

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a data frame; amounts are `Decimal`."""
        frame: pd.DataFrame = self.rows.to_pandas()
        return frame


@dataclass(frozen=True, slots=True)
class Subjects:
    """What the pieces of time are about, a value each a piece."""

    allocation: Integers
    state: Integers
    resource: Sequence[str]


@dataclass(slots=True)
class _Row:
    group: int
    currency: int
    time: list[int]
    unpriced: int
    double_booked: int
    money: list[int] | None


def rows_and_totals(
    ledger: Ledger,
    dimensions: Sequence[Dimension],
    representative: Integers,
    subjects: Subjects,
    currencies: Sequence[str],
    *,
    digits: int | None = None,
) -> tuple[pa.Table, pa.Table]:
    """Round a ledger and make the tables `rows` and `totals` of a `CostReport` of it.

    Args:
        ledger: The exact sums.
        dimensions: What it is grouped by.
        representative: Of each group, a piece in it.
        subjects: What the pieces are about.
        currencies: Names of the currencies.
        digits: Digits after the point of money; the currency's own when None.
    """
    rounded = _rounded(ledger, currencies, digits)
    rows, row_of = _merged(rounded, ledger.group)
    order = _order(rows, dimensions, representative, currencies)
    scale = max(MOST_DIGITS, digits or 0)
    groups = [representative[rows[i].group] for i in order]
    columns: dict[str, pa.Array] = {
        d.name: _values(d, [int(d.codes[piece]) for piece in groups]) for d in dimensions if d.name != "currency"
    }
    body = _body([rows[i] for i in order], _counts(row_of[ledger.row_of], order, subjects), currencies, scale, digits)
    whole, whole_of = _merged(rounded, np.zeros(len(ledger), np.int64))
    order = _order(whole, (), representative, currencies)
    totals = _body(
        [whole[i] for i in order], _counts(whole_of[ledger.row_of], order, subjects), currencies, scale, digits
    )
    return pa.table(columns | body), pa.table(totals)


def _rounded(ledger: Ledger, currencies: Sequence[str], digits: int | None) -> list[_Row]:
    """Round each currency's total first, then what it consists of: so totals do not depend on how it is grouped."""
    unit = 10**_TIME_DIGITS
    time, double = ledger.time * unit, ledger.double_booked * unit
    rows = [
        _Row(group, currency, [], 0, 0, None)
        for group, currency in zip(ledger.group.tolist(), ledger.currency.tolist(), strict=True)
    ]
    by_currency = [np.flatnonzero(ledger.currency == number) for number in range(-1, len(currencies))]
    sums = [int(time[which].sum()) for which in by_currency]
    totals = apportion(round_half_even(sum(sums), ledger.seconds), sums, ledger.seconds)
    sums = [int(double[which].sum()) for which in by_currency]
    doubles = apportion(round_half_even(sum(sums), ledger.seconds), sums, ledger.seconds)
    for number, which in enumerate(by_currency, start=-1):
        parts = round_table(time[which].tolist(), ledger.seconds, totals[number + 1])
        booked = apportion(doubles[number + 1], double[which].tolist(), ledger.seconds)
        money: Sequence[list[int] | None] = [None] * len(which)
        if number >= 0:
            coin = 10 ** (minor_digits(currencies[number]) if digits is None else digits)
            money = round_table((ledger.money[which] * coin).tolist(), ledger.currency_units)
        for index, time_parts, overlap, money_parts in zip(which.tolist(), parts, booked, money, strict=True):
            row = rows[index]
            row.time, row.double_booked, row.money = time_parts, overlap, money_parts
            row.unpriced = sum(time_parts) if number < 0 else 0
    return rows


def _merged(rounded: Sequence[_Row], group: Integers) -> tuple[list[_Row], Integers]:
    """Put what has no price to the one currency of its group, and add up what is then the same row."""
    currencies: dict[int, set[int]] = {}
    for row, number in zip(rounded, group.tolist(), strict=True):
        if row.currency >= 0:
            currencies.setdefault(number, set()).add(row.currency)
    rows: list[_Row] = []
    place: dict[tuple[int, int], int] = {}
    row_of = np.zeros(len(rounded), np.int64)
    for index, (row, number) in enumerate(zip(rounded, group.tolist(), strict=True)):
        known = currencies.get(number, set())
        currency = next(iter(known)) if row.currency < 0 and len(known) == 1 else row.currency
        at = place.setdefault((number, currency), len(rows))
        if at == len(rows):
            rows.append(_Row(number, currency, [0] * len(PARTS), 0, 0, None))
        into = rows[at]
        into.time = [a + b for a, b in zip(into.time, row.time, strict=True)]
        into.unpriced += row.unpriced
        into.double_booked += row.double_booked
        if row.money is not None:
            into.money = [a + b for a, b in zip(into.money or [0] * len(PARTS), row.money, strict=True)]
        row_of[index] = at
    return rows, row_of


def _order(
    rows: Sequence[_Row], dimensions: Sequence[Dimension], representative: Integers, currencies: Sequence[str]
) -> list[int]:
    """Return the order of the rows: by time where it is grouped by time; the dearest first, then by name."""

    def key(index: int) -> tuple[Any, ...]:
        row = rows[index]
        values = [(d.name, d.members[d.codes[representative[row.group]]]) for d in dimensions if d.name != "currency"]
        moments = [str(value) for name, value in values if name in MOMENTS]
        names = [str(value) for name, value in values if name not in MOMENTS]
        currency = currencies[row.currency] if row.currency >= 0 else "~"
        return (moments, -sum(row.money or [0]), -sum(row.time), names, currency)

    return sorted(range(len(rows)), key=key)


def _counts(row_of: Integers, order: Sequence[int], subjects: Subjects) -> Mapping[str, list[Any]]:
    number = len(order)
    place = np.zeros(number, np.int64)
    place[list(order)] = np.arange(number)
    at = place[row_of] if number else row_of
    pairs = np.unique(np.stack([at, subjects.allocation, subjects.state], axis=1), axis=0)
    kinds: list[set[str]] = [set() for _ in range(number)]
    for row, resource in set(zip(at.tolist(), subjects.resource, strict=True)):
        kinds[row].add(UNITS.get(resource, resource))
    return {
        "unit": [kind.pop() if len(kind) == 1 else "mixed" for kind in kinds],
        "allocations": np.bincount(pairs[:, 0], minlength=number).tolist(),
        "open": np.bincount(pairs[pairs[:, 2] == STATES.index("open"), 0], minlength=number).tolist(),
        "lost": np.bincount(pairs[pairs[:, 2] == STATES.index("lost"), 0], minlength=number).tolist(),
    }


def _body(
    rows: Sequence[_Row], counts: Mapping[str, list[Any]], currencies: Sequence[str], scale: int, digits: int | None
) -> dict[str, pa.Array]:
    def time(values: Sequence[int]) -> pa.Array:
        return _decimals(values, _TIME_DIGITS)

    def money(values: Iterable[int | None]) -> pa.Array:
        coins = zip(values, (row.currency for row in rows), strict=True)
        return _decimals([None if value is None else value * scaled[currency] for value, currency in coins], scale)

    scaled = [10 ** (scale - (minor_digits(name) if digits is None else digits)) for name in currencies]
    utilization = [row.time[0] / (row.time[0] + row.time[1]) if row.time[0] + row.time[1] else None for row in rows]
    return {
        "currency": pa.array([currencies[row.currency] if row.currency >= 0 else None for row in rows], pa.string()),
        "unit": pa.array(counts["unit"], pa.string()),
        "allocations": pa.array(counts["allocations"], pa.int64()),
        "open": pa.array(counts["open"], pa.int64()),
        "lost": pa.array(counts["lost"], pa.int64()),
        "allocated_seconds": time([sum(row.time) for row in rows]),
        **{f"{part}_seconds": time([row.time[i] for row in rows]) for i, part in enumerate(PARTS)},
        "unpriced_seconds": time([row.unpriced for row in rows]),
        "double_booked_seconds": time([row.double_booked for row in rows]),
        "cost": money(None if row.money is None else sum(row.money) for row in rows),
        **{
            f"{part}_cost": money(None if row.money is None else row.money[i] for row in rows)
            for i, part in enumerate(PARTS)
        },
        "utilization": pa.array(utilization, pa.float64()),
    }


def _decimals(values: Sequence[int | None], digits: int) -> pa.Array:
    """Return decimals whose digits, without the point, are `values`: two 64-bit words each, the lower one first."""
    words = np.empty((len(values), 2), np.uint64)
    words[:, 0] = [(value or 0) & _WORD for value in values]
    words[:, 1] = [((value or 0) >> 64) & _WORD for value in values]
    known = pa.array([value is not None for value in values], pa.bool_())
    buffers = [known.buffers()[1], pa.py_buffer(words)]
    return pa.Array.from_buffers(pa.decimal128(38, digits), len(values), buffers)


def _values(dimension: Dimension, codes: Sequence[int]) -> pa.Array:
    values = [dimension.members[code] for code in codes]
    if dimension.name == "hour":
        return pa.array([from_micros(value) for value in values], pa.timestamp("us", "UTC"))
    if dimension.name in MOMENTS:
        return pa.array([from_micros(value).date() for value in values], pa.date32())
    if dimension.name == "attempt":
        return pa.array(values, pa.int64())
    return pa.array(values, pa.string())
