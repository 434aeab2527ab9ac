"""Cost, against cases that were worked by hand: each docstring has the sum."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from cost_facts import allocated, at, dropped, emptied, finished, heartbeat, held, priced, released, sampled, team
from rows import insert_events
from servers.warehouses import new_warehouse
from trailhouse_analytics.accounting import cost, prices
from trailhouse_analytics.errors import CostInputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.warehouses import Warehouse
    from trailhouse_analytics.accounting import CostReport
    from trailhouse_schemas.events import Event

HOUR = 3600


@pytest.fixture(scope="module")
def one_warehouse(chdb_directory: Path) -> Iterator[Warehouse]:
    """One database for all tests here."""
    made = new_warehouse(chdb_directory)
    yield made
    dropped(made)


@pytest.fixture
def warehouse(one_warehouse: Warehouse) -> Warehouse:
    """The database, without facts."""
    return emptied(one_warehouse)


def rows(report: CostReport, *names: str) -> list[tuple[Any, ...]]:
    """Return the rows of a report, of these columns; amounts as `Decimal` without trailing zeros."""
    return [tuple(row[name] for name in names) for row in report.rows.to_pylist()]


def only(report: CostReport) -> dict[str, Any]:
    """Return the only row of a report."""
    (row,) = report.rows.to_pylist()
    return dict(row)


def codes(report: CostReport) -> set[str]:
    """Return the codes of the notes of a report."""
    return {note.code for note in report.warnings}


def test_time_is_quantity_times_fraction_times_duration_and_costs_its_price(warehouse: Warehouse) -> None:
    """2 devices x 0.25 of each x 3 h = 1.5 h; x 2.50 = 3.75."""
    insert_events(warehouse.client, [priced("gpu", 0, "2.50"), *held("a", 1, 4, quantity=2, fraction=0.25)])
    row = only(cost(warehouse.client, now=at(10)))
    assert (row["project"], row["currency"], row["unit"]) == ("p", "EUR", "GPU")
    assert row["allocated_seconds"] == Decimal("1.5") * HOUR
    assert row["cost"] == Decimal("3.75")
    assert row["unpriced_seconds"] == 0


def test_a_third_of_a_device_counts_as_a_third(warehouse: Warehouse) -> None:
    """1/3 x 3 h at 10.00: 0.333333333 x 3 x 10 = 9.99999999, which is 10.00."""
    insert_events(warehouse.client, [priced("gpu", 0, "10"), *held("a", 0, 3, fraction=1 / 3)])
    row = only(cost(warehouse.client, now=at(10)))
    assert row["allocated_seconds"] == Decimal("3599.999996")
    assert row["cost"] == Decimal("10.00")


def test_an_allocation_over_a_price_change_costs_both_prices(warehouse: Warehouse) -> None:
    """1 h at 2.00 and 2 h at 3.00 = 8.00."""
    insert_events(warehouse.client, [priced("gpu", 0, "2"), priced("gpu", 2, "3"), *held("a", 1, 4)])
    report = cost(warehouse.client, by=["sku"], now=at(10))
    assert rows(report, "sku", "cost", "allocated_seconds") == [("gpu", Decimal(8), 3 * HOUR)]


def test_a_price_of_a_second_and_of_an_hour_are_the_same_money(warehouse: Warehouse) -> None:
    """0.001 a second x 3,600 = 3.60."""
    insert_events(warehouse.client, [priced("gpu", 0, "0.001", pricing_unit="unit_second"), *held("a", 0, 1)])
    assert only(cost(warehouse.client, now=at(10)))["cost"] == Decimal("3.60")


def test_a_withdrawn_price_leaves_time_unpriced_not_free(warehouse: Warehouse) -> None:
    """2 h at 2.00 = 4.00, then 3 h without a price."""
    insert_events(warehouse.client, [priced("gpu", 0, "2"), priced("gpu", 2, None), *held("a", 0, 5)])
    report = cost(warehouse.client, now=at(10))
    row = only(report)
    assert (row["cost"], row["unpriced_seconds"], row["allocated_seconds"]) == (Decimal(4), 3 * HOUR, 5 * HOUR)
    assert "unpriced" in codes(report)


def test_time_before_the_first_price_and_a_price_of_nothing_are_told_apart(warehouse: Warehouse) -> None:
    """1 h without a price; 2 h that cost 0.00."""
    insert_events(warehouse.client, [priced("gpu", 1, "0"), *held("a", 0, 3)])
    row = only(cost(warehouse.client, now=at(10)))
    assert (row["cost"], row["unpriced_seconds"]) == (Decimal(0), HOUR)


def test_what_never_had_a_price_has_no_cost(warehouse: Warehouse) -> None:
    """Null, not 0."""
    insert_events(warehouse.client, held("a", 0, 3))
    row = only(cost(warehouse.client, now=at(10)))
    assert (row["cost"], row["currency"], row["unpriced_seconds"]) == (None, None, 3 * HOUR)


def test_a_corrected_price_replaces_the_one_of_its_moment_and_what_was_believed_stays(warehouse: Warehouse) -> None:
    """2 h: first believed at 2.00 = 4.00; corrected at hour 8 to 5.00 = 10.00."""
    insert_events(warehouse.client, [priced("gpu", 0, "2"), *held("a", 0, 2)], published_at=at(3))
    insert_events(warehouse.client, [priced("gpu", 0, "5")], published_at=at(8))
    assert only(cost(warehouse.client, now=at(10)))["cost"] == Decimal(10)
    assert only(cost(warehouse.client, as_of=at(7)))["cost"] == Decimal(4)
    assert only(cost(warehouse.client, as_of=at(8)))["cost"] == Decimal(10)


def test_a_voided_price_never_was_and_the_one_before_goes_on(warehouse: Warehouse) -> None:
    """4 h at 2.00 = 8.00: the 9.00 from hour 2 on was taken back."""
    insert_events(warehouse.client, [priced("gpu", 0, "2"), priced("gpu", 2, "9"), *held("a", 0, 4)])
    assert only(cost(warehouse.client, now=at(10)))["cost"] == Decimal(22)
    insert_events(warehouse.client, [priced("gpu", 2, None, voided=True)], published_at=at(5))
    assert only(cost(warehouse.client, now=at(10)))["cost"] == Decimal(8)
    assert [price.unit_price for price in prices(warehouse.client)] == [Decimal(2)]


def test_the_most_specific_price_holds(warehouse: Warehouse) -> None:
    """Any gpu 1.00; model H100 2.00; H100 as spot 3.00; pool x 5.00; model goes before pool where both name one."""
    facts: list[Event] = [
        priced("any", 0, "1"),
        priced("h100", 0, "2", model="H100"),
        priced("h100-spot", 0, "3", model="H100", capacity_type="spot"),
        priced("x", 0, "5", pool="x"),
    ]
    for name, fields in {
        "plain": {},
        "model": {"model": "H100"},
        "spot": {"model": "H100", "capacity_type": "spot"},
        "pool": {"pool": "x"},
        "both": {"pool": "x", "model": "H100"},
    }.items():
        facts += held(name, 0, 1, **fields)
    insert_events(warehouse.client, facts)
    found = dict(rows(cost(warehouse.client, by=["allocation"], now=at(10)), "allocation", "cost"))
    assert found == {"plain": 1, "model": 2, "spot": 3, "pool": 5, "both": 2}


def test_where_the_specific_price_is_withdrawn_the_general_one_holds(warehouse: Warehouse) -> None:
    """1 h at 7.00 and 1 h at 1.00 = 8.00."""
    facts = [priced("any", 0, "1"), priced("h100", 0, "7", model="H100"), priced("h100", 1, None, model="H100")]
    insert_events(warehouse.client, [*facts, *held("a", 0, 2, model="H100")])
    assert only(cost(warehouse.client, now=at(10)))["cost"] == Decimal(8)


def test_of_two_prices_that_are_equally_specific_the_later_one_holds(warehouse: Warehouse) -> None:
    """1 h at 1.00 and 1 h at 2.00 = 3.00; of the same moment the later published one: 4.00 for each of 2 h = 8.00."""
    insert_events(warehouse.client, [priced("old", 0, "1"), priced("new", 1, "2"), *held("a", 0, 2)])
    assert only(cost(warehouse.client, now=at(10)))["cost"] == Decimal(3)
    insert_events(warehouse.client, [priced("k", 0, "4"), priced("l", 1, "4")], published_at=at(5))
    assert only(cost(warehouse.client, now=at(10)))["cost"] == Decimal(8)


def test_currencies_never_add_up(warehouse: Warehouse) -> None:
    """1 h at 2.00 EUR, then 1 h at 3.00 USD, then 1 h without a price: three rows and three totals."""
    facts = [priced("e", 0, "2"), priced("e", 1, "3", currency="USD"), priced("e", 2, None), *held("a", 0, 3)]
    insert_events(warehouse.client, facts)
    report = cost(warehouse.client, now=at(10))
    expected = {("EUR", Decimal(2), 0), ("USD", Decimal(3), 0), (None, None, HOUR)}
    assert set(rows(report, "currency", "cost", "unpriced_seconds")) == expected
    assert {(row["currency"], row["cost"]) for row in report.totals.to_pylist()} == {(c, m) for c, m, _ in expected}
    assert "currencies" in codes(report)


def test_days_are_cut_at_midnight(warehouse: Warehouse) -> None:
    """From 22:00 on the 1st to 03:00 on the 3rd: 2 h, 24 h, 3 h at 1.00; week and month by their first day."""
    insert_events(warehouse.client, [priced("gpu", 0, "1"), *held("a", 22, 51)])
    report = cost(warehouse.client, by=["day"], now=at(100))
    assert [(str(day), money) for day, money in rows(report, "day", "cost")] == [
        ("2026-03-01", 2),
        ("2026-03-02", 24),
        ("2026-03-03", 3),
    ]
    weeks = rows(cost(warehouse.client, by=["week"], now=at(100)), "week", "cost")
    assert [(str(week), money) for week, money in weeks] == [("2026-02-23", 2), ("2026-03-02", 27)]
    (month,) = rows(cost(warehouse.client, by=["month"], now=at(100)), "month", "cost")
    assert (str(month[0]), month[1]) == ("2026-03-01", 29)
    assert len(rows(cost(warehouse.client, by=["hour"], now=at(100)), "hour")) == 29


def test_the_period_cuts_allocations(warehouse: Warehouse) -> None:
    """Held 0 to 10; from 2.5 to 4: 1.5 h at 2.00 = 3.00; another that ends at 2.5 is not in it."""
    insert_events(warehouse.client, [priced("gpu", 0, "2"), *held("a", 0, 10), *held("b", 0, 2.5)])
    row = only(cost(warehouse.client, since=at(2.5), until=at(4), now=at(20)))
    assert (row["allocations"], row["cost"]) == (1, Decimal(3))


def test_an_open_allocation_counts_up_to_now(warehouse: Warehouse) -> None:
    """From 1 to now, 4: 3 h at 2.00 = 6.00."""
    insert_events(warehouse.client, [priced("gpu", 0, "2"), allocated("a", 1)])
    report = cost(warehouse.client, now=at(4))
    assert (only(report)["cost"], only(report)["open"], codes(report)) == (Decimal(6), 1, {"open"})


def test_nothing_counts_after_now(warehouse: Warehouse) -> None:
    """Released at 10, but it is only 3: 2 h; what starts at 5 is not there."""
    insert_events(warehouse.client, [*held("a", 1, 10), allocated("b", 5)])
    row = only(cost(warehouse.client, now=at(3), until=at(20)))
    assert (row["allocations"], row["allocated_seconds"]) == (1, 2 * HOUR)


def test_a_lost_allocation_counts_up_to_the_last_sign_of_life(warehouse: Warehouse) -> None:
    """Last heard of at 3, due at 3.1, now 9: from 1 to 3 = 2 h."""
    ours = {"run_id": "r", "project": "p"}
    facts = [allocated("a", 1, **ours), heartbeat("w", 1, 1.1, **ours), heartbeat("w", 3, 3.1, **ours)]
    insert_events(warehouse.client, facts)
    report = cost(warehouse.client, by=["run"], now=at(9))
    row = only(report)
    assert (row["allocated_seconds"], row["lost"], row["open"]) == (2 * HOUR, 1, 0)
    assert codes(report) == {"lost", "unpriced"}
    assert only(cost(warehouse.client, now=at(3.05)))["open"] == 1


def test_a_run_is_lost_only_when_none_of_its_ranks_is_due(warehouse: Warehouse) -> None:
    """One rank was found dead, the other one lives: still open, 1 to 9 = 8 h."""
    ours = {"run_id": "r", "project": "p"}
    facts = [
        allocated("a", 1, **ours),
        heartbeat("w0", 2, 20, **ours),
        heartbeat("w1", 8.9, 9.1, **ours),
        heartbeat("other", 5, None, phase="found_dead", subject_producer_id="w0"),
    ]
    insert_events(warehouse.client, facts)
    assert only(cost(warehouse.client, now=at(9)))["allocated_seconds"] == 8 * HOUR
    insert_events(warehouse.client, [heartbeat("other", 8.95, None, phase="found_dead", subject_producer_id="w1")])
    lost = only(cost(warehouse.client, now=at(9)))
    assert (lost["allocated_seconds"], lost["lost"]) == (Decimal("7.9") * HOUR, 1)


def test_a_sample_is_a_sign_of_life(warehouse: Warehouse) -> None:
    """Last heartbeat at 2, but measured until 2.5: from 1 to 2.5 = 1.5 h."""
    ours = {"run_id": "r", "project": "p"}
    insert_events(
        warehouse.client, [allocated("a", 1, **ours), heartbeat("w", 2, 2.1, **ours), sampled("a", 2, 0.5, 1.0)]
    )
    assert only(cost(warehouse.client, now=at(9)))["allocated_seconds"] == Decimal("1.5") * HOUR


def test_outside_of_runs_the_producer_is_the_holder(warehouse: Warehouse) -> None:
    """Its producer was last heard of at 2: 1 h; another producer's life is not its own."""
    facts = [allocated("a", 1, producer_id="w"), heartbeat("w", 2, 2.1), heartbeat("v", 8, 20)]
    insert_events(warehouse.client, facts)
    assert only(cost(warehouse.client, now=at(9)))["allocated_seconds"] == HOUR


def test_the_end_of_its_attempt_closes_what_nobody_released(warehouse: Warehouse) -> None:
    """Attempt 0 finished at 3: 2 h; attempt 1 is still there, from 4 to 9: 5 h."""
    facts = [allocated("a", 1, run_id="r"), finished("r", 3), allocated("b", 4, run_id="r", attempt=1)]
    insert_events(warehouse.client, facts)
    report = cost(warehouse.client, by=["attempt", "state"], now=at(9))
    found = set(rows(report, "attempt", "state", "allocated_seconds"))
    assert found == {(0, "finished", 2 * HOUR), (1, "open", 5 * HOUR)}
    assert {"finished", "open"} <= codes(report)


def test_a_release_holds_against_the_end_of_the_run(warehouse: Warehouse) -> None:
    """Released at 5 though the run finished at 3: 4 h."""
    insert_events(warehouse.client, [allocated("a", 1, run_id="r"), released("a", 5), finished("r", 3)])
    assert only(cost(warehouse.client, now=at(9)))["allocated_seconds"] == 4 * HOUR


def test_a_restated_allocation_counts_as_last_stated(warehouse: Warehouse) -> None:
    """First 1 device from 1, then 2 devices from 2, released at 6, restated to 4: 2 x 2 h."""
    insert_events(warehouse.client, [allocated("a", 1), released("a", 6)], published_at=at(6))
    insert_events(warehouse.client, [allocated("a", 2, quantity=2)], published_at=at(7))
    insert_events(warehouse.client, [released("a", 4)], published_at=at(8))
    found = [only(cost(warehouse.client, as_of=at(h), now=at(9)))["allocated_seconds"] for h in (6, 7, 8)]
    assert found == [5 * HOUR, 8 * HOUR, 4 * HOUR]


def test_a_void_allocation_never_was(warehouse: Warehouse) -> None:
    """Nothing is left of it; before it was voided it was there."""
    insert_events(warehouse.client, held("a", 1, 2))
    insert_events(warehouse.client, [released("a", 2, reason="void")], published_at=at(5))
    assert cost(warehouse.client, now=at(9)).rows.num_rows == 0
    assert cost(warehouse.client, as_of=at(4)).rows.num_rows == 1


def test_an_end_before_the_begin_counts_as_nothing_and_is_said(warehouse: Warehouse) -> None:
    """Started at 5, released at 3."""
    insert_events(warehouse.client, [*held("a", 5, 3), *held("b", 1, 2)])
    report = cost(warehouse.client, now=at(9))
    assert (only(report)["allocated_seconds"], "reversed" in codes(report)) == (HOUR, True)


def test_used_is_utilization_times_measured_time(warehouse: Warehouse) -> None:
    """4 h at 8.00 = 32; measured 2 h at 25 %: used 0.5 h = 4.00, idle 1.5 h = 12.00, unmeasured 2 h = 16.00."""
    facts = [priced("gpu", 0, "8"), *held("a", 0, 4), sampled("a", 1, 2, 0.25), sampled("a", 3, 1, None)]
    insert_events(warehouse.client, facts)
    row = only(cost(warehouse.client, now=at(9)))
    seconds = [row[f"{part}_seconds"] for part in ("used", "idle", "unmeasured")]
    assert seconds == [HOUR // 2, HOUR * 3 // 2, 2 * HOUR]
    assert [row[f"{part}_cost"] for part in ("used", "idle", "unmeasured")] == [4, 12, 16]
    assert row["utilization"] == 0.25


def test_each_device_has_its_part(warehouse: Warehouse) -> None:
    """2 devices for 2 h: device 0 measured throughout at 50 %, device 1 not: used 1 h, idle 1 h, unmeasured 2 h."""
    insert_events(warehouse.client, [*held("a", 0, 2, quantity=2), sampled("a", 0, 2, 0.5)])
    row = only(cost(warehouse.client, now=at(9)))
    assert (row["used_seconds"], row["idle_seconds"], row["unmeasured_seconds"]) == (HOUR, HOUR, 2 * HOUR)


def test_the_cores_of_a_cpu_are_measured_as_a_whole(warehouse: Warehouse) -> None:
    """16 cores for 1 h at 75 % in one sample: used 12 core hours."""
    facts = [*held("a", 0, 1, resource="cpu", quantity=16), sampled("a", 0, 1, 0.75, resource="cpu", device="cpu")]
    insert_events(warehouse.client, facts)
    row = only(cost(warehouse.client, by=["resource"], now=at(9)))
    assert (row["unit"], row["used_seconds"], row["unmeasured_seconds"]) == ("core", 12 * HOUR, 0)


def test_memory_is_used_as_far_as_it_is_filled(warehouse: Warehouse) -> None:
    """8 GiB for 2 h; in the first hour 2 of 8 GiB are filled, in the second nothing is known: used 2 GiB h."""
    filled = {"resource": "memory", "device": "", "memory_used_bytes": 2 * 2**30, "memory_total_bytes": 8 * 2**30}
    facts = [*held("a", 0, 2, resource="memory", quantity=8), sampled("a", 0, 1, None, **filled)]
    insert_events(warehouse.client, [*facts, sampled("a", 1, 1, None, resource="memory", memory_used_bytes=1)])
    row = only(cost(warehouse.client, now=at(9)))
    assert (row["unit"], row["used_seconds"], row["unmeasured_seconds"]) == ("GiB", 2 * HOUR, 8 * HOUR)


def test_samples_of_another_resource_say_nothing(warehouse: Warehouse) -> None:
    """What the process's CPU did is no use of the GPU that it holds."""
    insert_events(warehouse.client, [*held("a", 0, 1), sampled("a", 0, 1, 1.0, resource="cpu")])
    assert only(cost(warehouse.client, now=at(9)))["unmeasured_seconds"] == HOUR


def test_overlapping_and_doubled_samples_count_once(warehouse: Warehouse) -> None:
    """[0, 2) at 100 %, [1, 3) at 50 %, told twice: 1 h full, then 2 h half: used 2 h, idle 1 h, unmeasured 1 h."""
    facts = [*held("a", 0, 4), sampled("a", 0, 2, 1.0), sampled("a", 1, 2, 0.5), sampled("a", 1, 2, 0.5)]
    insert_events(warehouse.client, facts)
    insert_events(warehouse.client, [sampled("a", 0, 2, 1.0, producer_id="other")])
    row = only(cost(warehouse.client, now=at(9)))
    assert (row["used_seconds"], row["idle_seconds"], row["unmeasured_seconds"]) == (2 * HOUR, HOUR, HOUR)


def test_an_unmeasured_sample_hides_no_measured_one(warehouse: Warehouse) -> None:
    """[0, 2) at 100 % and [1, 2) with nothing measured: used 2 h."""
    insert_events(warehouse.client, [*held("a", 0, 2), sampled("a", 0, 2, 1.0), sampled("a", 1, 1, None)])
    assert only(cost(warehouse.client, now=at(9)))["used_seconds"] == 2 * HOUR


def test_samples_are_cut_with_the_time_that_they_measure(warehouse: Warehouse) -> None:
    """Sample [22, 26) at 50 % over midnight and a price change at 25: 1 h at 1; then 1 h at 1 and 1 h at 3."""
    facts = [priced("gpu", 0, "1"), priced("gpu", 25, "3"), *held("a", 23, 26), sampled("a", 22, 4, 0.5)]
    insert_events(warehouse.client, facts)
    found = rows(cost(warehouse.client, by=["day"], now=at(50)), "used_seconds", "used_cost", "cost")
    assert found == [(HOUR // 2, Decimal("0.5"), 1), (HOUR, 2, 4)]


def test_utilization_outside_of_0_to_1_is_the_nearest_of_these(warehouse: Warehouse) -> None:
    """150 % is all there is."""
    insert_events(warehouse.client, [*held("a", 0, 1), sampled("a", 0, 1, 1.5)])
    assert only(cost(warehouse.client, now=at(9)))["used_seconds"] == HOUR


def test_a_device_that_is_promised_twice_is_paid_twice_and_reported(warehouse: Warehouse) -> None:
    """a: 0 to 4, b: 3 to 6 on one device: 1 h of each overlaps; both are counted, 7 h."""
    on = {"node": "n", "devices": ["0"]}
    insert_events(warehouse.client, [*held("a", 0, 4, **on), *held("b", 3, 6, **on, project="q")])
    report = cost(warehouse.client, now=at(9))
    assert set(rows(report, "project", "allocated_seconds", "double_booked_seconds")) == {
        ("p", 4 * HOUR, HOUR),
        ("q", 3 * HOUR, HOUR),
    }
    assert "double_booked" in codes(report)
    mine = only(cost(warehouse.client, project="q", now=at(9)))
    assert mine["double_booked_seconds"] == HOUR


def test_fractions_of_a_device_may_be_held_together(warehouse: Warehouse) -> None:
    """0.5 and 0.5 fill the device; a third 0.5 from 1 to 2 books 1.5 of it: 0.5 h of each is double-booked."""
    on = {"node": "n", "devices": ["0"], "fraction": 0.5}
    insert_events(warehouse.client, [*held("a", 0, 4, **on), *held("b", 0, 4, **on)])
    assert only(cost(warehouse.client, now=at(9)))["double_booked_seconds"] == 0
    insert_events(warehouse.client, held("c", 1, 2, **on))
    assert only(cost(warehouse.client, now=at(9)))["double_booked_seconds"] == 3 * HOUR // 2


def test_the_same_device_name_on_two_nodes_is_two_devices(warehouse: Warehouse) -> None:
    """Device 0 of n and device 0 of m."""
    facts = [*held("a", 0, 4, node="n", devices=["0"]), *held("b", 0, 4, node="m", devices=["0"])]
    insert_events(warehouse.client, facts)
    assert only(cost(warehouse.client, now=at(9)))["double_booked_seconds"] == 0


def test_a_team_is_that_of_the_moment(warehouse: Warehouse) -> None:
    """Project p is of red from 1 and blue from 3; run r of green from 4; 0 to 5: none 1, red 2, blue 1, green 1."""
    facts = [
        team("project", "p", 1, "red"),
        team("project", "p", 3, "blue"),
        team("run", "r", 4, "green"),
        team("principal", "eve", 0, "black"),
        *held("a", 0, 5, run_id="r"),
        *held("b", 0, 5, project="q", principal="eve"),
    ]
    insert_events(warehouse.client, facts)
    found = dict(rows(cost(warehouse.client, by=["team"], now=at(9)), "team", "allocated_seconds"))
    assert found == {"": HOUR, "red": 2 * HOUR, "blue": HOUR, "green": HOUR, "black": 5 * HOUR}
    assert only(cost(warehouse.client, team="red", now=at(9)))["allocated_seconds"] == 2 * HOUR


def test_a_removed_team_is_no_team(warehouse: Warehouse) -> None:
    """Red from 0 to 2, then none."""
    facts = [team("project", "p", 0, "red"), team("project", "p", 2, "", operation="remove"), *held("a", 0, 5)]
    insert_events(warehouse.client, facts)
    found = dict(rows(cost(warehouse.client, by=["team"], now=at(9)), "team", "allocated_seconds"))
    assert found == {"red": 2 * HOUR, "": 3 * HOUR}


def test_rows_are_rounded_so_that_they_sum_to_the_total(warehouse: Warehouse) -> None:
    """Three times 1 h at 0.333 = 0.999, so 1.00: two rows of 0.33 and one of 0.34."""
    facts: list[Event] = [priced("gpu", 0, "0.333")]
    for name in "abc":
        facts += held(name, 0, 1)
    insert_events(warehouse.client, facts)
    report = cost(warehouse.client, by=["allocation"], now=at(9))
    assert sorted(money for (money,) in rows(report, "cost")) == [Decimal("0.33"), Decimal("0.33"), Decimal("0.34")]
    assert report.totals.column("cost").to_pylist() == [Decimal(1)]
    fine = cost(warehouse.client, by=["allocation"], now=at(9), digits=3)
    assert rows(fine, "cost") == [(Decimal("0.333"),)] * 3


@pytest.mark.parametrize(("currency", "money"), [("JPY", "334"), ("KWD", "333.500")])
def test_money_is_rounded_to_the_smallest_coin(warehouse: Warehouse, currency: str, money: str) -> None:
    """333.5 is 334 yen (half to even) and 333.500 dinars."""
    insert_events(warehouse.client, [priced("gpu", 0, "333.5", currency=currency), *held("a", 0, 1)])
    assert only(cost(warehouse.client, now=at(9)))["cost"] == Decimal(money)


def test_rows_that_add_up_unlike_things_are_marked(warehouse: Warehouse) -> None:
    """GPU hours and core hours are no sum; their money is."""
    facts = [priced("gpu", 0, "2"), priced("cpu", 0, "0.1", resource="cpu"), *held("a", 0, 1)]
    insert_events(warehouse.client, [*facts, *held("b", 0, 1, resource="cpu", quantity=10)])
    report = cost(warehouse.client, now=at(9))
    assert (only(report)["unit"], only(report)["cost"]) == ("mixed", Decimal(3))
    assert "mixed_units" in codes(report)
    assert codes(cost(warehouse.client, by=["project", "resource"], now=at(9))) == set()


def test_an_unreadable_price_stops_no_report(warehouse: Warehouse) -> None:
    """A price that is no number counts as none, and is said."""
    bad = priced("gpu", 0, "2").model_copy(update={"unit_price": "two"})
    insert_events(warehouse.client, [bad, *held("a", 0, 1)])
    report = cost(warehouse.client, now=at(9))
    assert only(report)["cost"] is None
    assert "unreadable_price" in codes(report)


def test_nothing_is_a_report_too(warehouse: Warehouse) -> None:
    """All columns, no rows."""
    report = cost(warehouse.client, by=["project", "day", "team", "sku", "hour"], now=at(9))
    assert (report.rows.num_rows, report.totals.num_rows, report.warnings) == (0, 0, ())
    assert report.rows.column_names[:3] == ["project", "day", "team"]
    assert list(report.to_pandas().columns) == report.to_arrow().column_names


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"project": "q"}, "Project 'q' is not known; known are p"),
        ({"run": "q"}, "Run 'q' is not known"),
        ({"by": ["planet"]}, "Cost cannot be grouped by 'planet'"),
        ({"since": at(3), "until": at(3)}, "is none"),
        ({"digits": 13}, "13 digits"),
        ({"since": at(3).replace(tzinfo=None)}, "has no time zone"),
    ],
)
def test_a_question_without_an_answer_is_refused_in_one_line(
    warehouse: Warehouse, arguments: dict[str, Any], text: str
) -> None:
    """The error names the value."""
    insert_events(warehouse.client, held("a", 0, 1))
    with pytest.raises(CostInputError, match=text) as refused:
        cost(warehouse.client, now=at(9), **arguments)
    assert "\n" not in str(refused.value)
