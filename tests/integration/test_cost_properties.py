"""Cost of facts made at random, held against an account that walks through time by the definitions, step by step."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cost_facts import START, dropped, emptied
from rows import event, insert_events
from servers.warehouses import new_warehouse
from trailhouse_analytics.accounting import cost
from trailhouse_analytics.accounting.cost import account
from trailhouse_schemas.events import PriceSet, ResourcesAllocated, ResourcesReleased, ResourcesSampled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.warehouses import Warehouse
    from trailhouse_schemas.events import Event

NOW: Final = 60 * 3600 * 1_000_000  # two and a half days after the start, in microseconds
DAY: Final = 24 * 3600 * 1_000_000
NOTHING: Final = (Fraction(0),) * 7

Sums = dict[tuple[Any, ...], tuple[Fraction, ...]]


@dataclass(frozen=True)
class Held:
    """An allocation."""

    project: str
    model: str
    devices: tuple[str, ...]
    fraction: float
    start: int
    end: int | None


@dataclass(frozen=True)
class Priced:
    """A price."""

    sku: str
    model: str
    start: int
    price: str | None
    currency: str


@dataclass(frozen=True)
class Measured:
    """A sample: `of` is the index of its allocation."""

    of: int
    device: str
    start: int
    length: int
    thousandths: int | None


def moment(micros: int) -> datetime:
    """Return the moment so many microseconds after the start."""
    return START + timedelta(microseconds=micros)


MOMENTS = st.integers(0, NOW + DAY)
ALLOCATIONS = st.builds(
    Held,
    project=st.sampled_from(["p", "q"]),
    model=st.sampled_from(["", "H100"]),
    devices=st.sampled_from([("0",), ("0", "1"), ("0", "1", "2")]),
    fraction=st.sampled_from([1.0, 0.5, 0.3, 1 / 7]),
    start=MOMENTS,
    end=st.none() | MOMENTS,
)
PRICES = st.builds(
    Priced,
    sku=st.sampled_from(["a", "b"]),
    model=st.sampled_from(["", "H100"]),
    start=MOMENTS,
    price=st.none() | st.sampled_from(["0", "2.5", "0.333333333333", "17.77", "-1"]),
    currency=st.sampled_from(["EUR", "USD"]),
)
SAMPLES = st.builds(
    Measured,
    of=st.integers(0, 3),
    device=st.sampled_from(["0", "1", "7"]),
    start=MOMENTS,
    length=st.integers(1, DAY),
    thousandths=st.none() | st.integers(0, 1000),
)


@pytest.fixture(scope="module")
def warehouse(chdb_directory: Path) -> Iterator[Warehouse]:
    """One database for all examples."""
    made = new_warehouse(chdb_directory)
    yield made
    dropped(made)


def stated(held: list[Held], priced: list[Priced], measured: list[Measured]) -> list[Event]:
    """Return the events that state these facts, in the order of the lists."""
    events: list[Event] = []
    for number, one in enumerate(held):
        events.append(
            event(
                ResourcesAllocated,
                allocation_id=f"a{number}",
                project=one.project,
                node="n",
                resource="gpu",
                model=one.model,
                devices=list(one.devices),
                fraction=one.fraction,
                quantity=len(one.devices),
                started_at=moment(one.start),
            )
        )
        if one.end is not None:
            events.append(event(ResourcesReleased, allocation_id=f"a{number}", ended_at=moment(one.end)))
    events += [
        event(
            PriceSet,
            sku_id=one.sku,
            resource="gpu",
            model=one.model,
            unit_price=one.price,
            currency=one.currency,
            valid_from=moment(one.start),
        )
        for one in priced
    ]
    events += [
        event(
            ResourcesSampled,
            allocation_id=f"a{one.of}",
            resource="gpu",
            device=one.device,
            interval_start=moment(one.start),
            interval_seconds=one.length / 1_000_000,
            utilization=None if one.thousandths is None else one.thousandths / 1000,
        )
        for one in measured
    ]
    return events


def price_at(priced: list[Priced], model: str, at: int) -> Priced | None:
    """Return the price that holds: of what is on the list the most specific, the later, the later stated one."""
    corrected = {(one.sku, one.start): (number, one) for number, one in enumerate(priced)}
    on_list: dict[str, tuple[int, Priced]] = {}
    for (sku, start), (number, one) in sorted(corrected.items(), key=lambda item: item[0][1]):
        if start <= at:
            on_list[sku] = (number, one)
    fit = [
        (bool(one.model), one.start, -ord(one.sku), one)
        for _, one in on_list.values()
        if one.price is not None and one.model in {"", model}
    ]
    return max(fit, key=lambda item: item[:3])[-1] if fit else None


def use_at(measured: list[Measured], of: int, device: str, at: int) -> int | None:
    """Return the utilization in thousandths: of the sample that began last and has not ended."""
    begun = [
        (one.start, number, one)
        for number, one in enumerate(measured)
        if (one.of, one.device) == (of, device) and one.thousandths is not None and one.start <= at
    ]
    last = max(begun, key=lambda item: item[:2])[-1] if begun else None
    return last.thousandths if last and at < last.start + last.length else None


def walked(held: list[Held], priced: list[Priced], measured: list[Measured]) -> Sums:
    """Return, by project, day and currency: used, idle, unmeasured, double-booked seconds, and the money of parts."""
    ends = [min(NOW, NOW if one.end is None else one.end) for one in held]
    cuts = {0, NOW, *range(0, NOW, DAY)}
    cuts |= {one.start for one in held} | set(ends) | {one.start for one in priced}
    cuts |= {one.start for one in measured} | {one.start + one.length for one in measured}
    sums: Sums = defaultdict(lambda: NOTHING)
    shares = [Fraction(str(one.fraction)).limit_denominator(10**30) for one in held]
    weights = [
        Fraction(round(share * len(one.devices) * 10**9), 10**9) for share, one in zip(shares, held, strict=True)
    ]
    shares = [Fraction(round(share * 10**9), 10**9) for share in shares]
    for begin, end in pairwise(sorted(cut for cut in cuts if cut <= NOW)):
        there = [i for i, one in enumerate(held) if one.start <= begin < ends[i]]
        booked: dict[str, Fraction] = defaultdict(Fraction)
        for i in there:
            for device in held[i].devices:
                booked[device] += shares[i]
        for i in there:
            one, length = held[i], Fraction(end - begin, 1_000_000) * weights[i]
            known = {m.device for m in measured if m.of == i and m.thousandths is not None}
            devices = max(len(one.devices), len(known))
            uses = [use_at(measured, i, device, begin) for device in known]
            used = sum((length * Fraction(use, 1000) / devices for use in uses if use is not None), Fraction(0))
            seen = length * len([use for use in uses if use is not None]) / devices
            double = length * len([d for d in one.devices if booked[d] > 1]) / len(one.devices)
            price = price_at(priced, one.model, begin)
            rate = Fraction(price.price or 0) / 3600 if price else Fraction(0)
            parts = (used, seen - used, length - seen)
            key = (one.project, moment(begin).date(), price.currency if price else "")
            amounts = (*parts, double, *(part * rate for part in parts))
            sums[key] = tuple(a + b for a, b in zip(sums[key], amounts, strict=True))
    return dict(sums)


def exact(warehouse: Warehouse, by: list[str], **period: datetime | None) -> Sums:
    """Return what the account says before it is rounded."""
    found = account(
        warehouse.client,
        by=by,
        since=period.get("since"),
        until=period.get("until"),
        only={},
        now=moment(NOW),
        as_of=None,
    )
    ledger, representative = found.grouped()
    sums: Sums = {}
    for row in range(len(ledger)):
        piece = representative[ledger.group[row]]
        key = tuple(d.members[d.codes[piece]] for d in found.dimensions)
        key = tuple((START.fromtimestamp(v / 1e6, START.tzinfo)).date() if isinstance(v, int) else v for v in key)
        currency = found.currencies[ledger.currency[row]] if ledger.currency[row] >= 0 else ""
        seconds = [*ledger.time[row], ledger.double_booked[row]]
        sums[*key, currency] = (
            *(Fraction(int(value), ledger.seconds) for value in seconds),
            *(Fraction(int(value), ledger.currency_units) for value in ledger.money[row]),
        )
    return sums


def added(*parts: Sums, drop: tuple[int, ...] = ()) -> Sums:
    """Add up sums, without some parts of their keys."""
    total: Sums = {}
    for part in parts:
        for key, amounts in part.items():
            kept = tuple(value for index, value in enumerate(key) if index not in drop)
            total[kept] = tuple(a + b for a, b in zip(total.get(kept, NOTHING), amounts, strict=True))
    return total


@settings(
    max_examples=20,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    held=st.lists(ALLOCATIONS, min_size=1, max_size=4),
    priced=st.lists(PRICES, max_size=5),
    measured=st.lists(SAMPLES, max_size=8),
    split=st.integers(0, NOW),
)
@example(
    held=[Held("p", "", ("0",), 1 / 7, 135, None), Held("p", "", ("0",), 0.3, 409, None)],
    priced=[Priced("a", "", 4999, "0", "EUR"), Priced("a", "", 203781, None, "EUR")],
    measured=[],
    split=0,
)
def test_the_parts_sum_to_the_whole_however_it_is_cut(
    warehouse: Warehouse, held: list[Held], priced: list[Priced], measured: list[Measured], split: int
) -> None:
    """The account is the walk through time; any period in two parts and any grouping sums to the same, exactly."""
    emptied(warehouse)
    insert_events(warehouse.client, stated(held, priced, measured))
    whole = exact(warehouse, ["project", "day"])
    assert whole == walked(held, priced, measured)
    halves = [exact(warehouse, ["project"], until=moment(split)), exact(warehouse, ["project"], since=moment(split))]
    assert added(*halves) == added(whole, drop=(1,))
    reports = [
        cost(warehouse.client, by=by, now=moment(NOW)) for by in ((), ("project",), ("allocation", "hour", "sku"))
    ]
    for report in reports:
        assert report.totals.equals(reports[0].totals)
        _assert_sums(report.rows.to_pylist(), report.totals.to_pylist())


def _assert_sums(rows: list[dict[str, Any]], totals: list[dict[str, Any]]) -> None:
    """Hold the rows against the totals, and each row's parts against the row."""
    for row in [*rows, *totals]:
        parts = ("used", "idle", "unmeasured")
        assert sum(row[f"{part}_seconds"] for part in parts) == row["allocated_seconds"]
        assert row["unpriced_seconds"] <= row["allocated_seconds"]
        if row["currency"] is None:
            assert (row["cost"], row["unpriced_seconds"]) == (None, row["allocated_seconds"])
        else:
            assert sum(row[f"{part}_cost"] for part in parts) == row["cost"]
    amounts = [name for name in (totals or [{}])[0] if name.endswith("_seconds")]
    for name in amounts:
        assert sum((row[name] for row in rows), Decimal(0)) == sum((row[name] for row in totals), Decimal(0)), name
    for total in totals:
        ours = [row for row in rows if row["currency"] == total["currency"]]
        for name in ("cost", "used_cost", "idle_cost", "unmeasured_cost"):
            if total["currency"] is not None:
                assert sum((row[name] for row in ours), Decimal(0)) == total[name], name
