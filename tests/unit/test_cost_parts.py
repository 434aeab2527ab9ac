"""The pure parts of cost: cutting time, rounding, choosing prices, ends of allocations, devices promised twice."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhouse_analytics.accounting.allocations import STATES, Life, ends, exact_weights
from trailhouse_analytics.accounting.currencies import minor_digits
from trailhouse_analytics.accounting.double_booking import Booking, overbooked, overbooked_micros
from trailhouse_analytics.accounting.grouping import parse_by
from trailhouse_analytics.accounting.moments import FIRST, from_micros, to_micros
from trailhouse_analytics.accounting.prices import UNPRICED, Price, ResourceClass, price_timeline
from trailhouse_analytics.accounting.rounding import apportion, round_half_even, round_table
from trailhouse_analytics.accounting.teams import Teams
from trailhouse_analytics.accounting.timelines import Pieces, Timeline, cut, grid
from trailhouse_analytics.errors import CostInputError

INTEGERS = st.integers(-(10**30), 10**30)


def pieces(*stretches: tuple[int, int]) -> Pieces:
    """Return stretches of time, each of an owner of its own."""
    begin, end = (np.array(moments, np.int64) for moments in zip(*stretches, strict=True))
    return Pieces(np.arange(len(stretches)), begin, end)


def test_a_piece_is_cut_where_its_timeline_steps_and_nowhere_else() -> None:
    """Steps at its edges cut nothing off."""
    timeline = Timeline.of([(10, 1), (20, 2), (30, 3)], 0)
    cuts, source, values = cut(pieces((5, 20), (20, 30), (12, 13)), [timeline], np.zeros(3, np.int64))
    assert (cuts.begin.tolist(), cuts.end.tolist()) == ([5, 10, 20, 12], [10, 20, 30, 13])
    assert (source.tolist(), values.tolist()) == ([0, 0, 1, 2], [0, 1, 2, 1])


def test_each_piece_has_its_own_timeline() -> None:
    """Two timelines, cut in one go, in the order of the pieces."""
    timelines = [Timeline.of([(10, 1)], 0), Timeline.of([(7, 5)], 4)]
    cuts, source, values = cut(pieces((5, 12), (5, 12), (11, 12)), timelines, np.array([1, 0, 0]))
    assert source.tolist() == [0, 0, 1, 1, 2]
    assert values.tolist() == [4, 5, 0, 1, 1]
    assert (cuts.begin.tolist(), cuts.end.tolist()) == ([5, 7, 5, 10, 11], [7, 12, 10, 12, 12])


def test_nothing_can_be_cut() -> None:
    """No pieces, no timelines, no harm."""
    none = Pieces(*(np.zeros(0, np.int64) for _ in range(3)))
    cuts, source, values = cut(none, [], np.zeros(0, np.int64))
    assert (len(cuts), len(source), len(values), len(grid(none, 10).starts)) == (0, 0, 0, 1)


def test_a_grid_starts_at_whole_widths_also_before_1970() -> None:
    """-5 lies in the stretch from -10 on."""
    assert grid(pieces((-5, 11)), 10).starts.tolist() == [-10, 0, 10]


def test_a_timeline_keeps_the_last_of_a_moment_and_no_step_to_the_same() -> None:
    """At 10 first 1, then 2; at 20 still 2."""
    timeline = Timeline.of([(10, 1), (10, 2), (20, 2)], 0)
    assert (timeline.starts.tolist(), timeline.values.tolist()) == ([FIRST, 10], [0, 2])


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"), [(5, 2, 2), (7, 2, 4), (-5, 2, -2), (-7, 2, -4), (8, 3, 3), (0, 3, 0)]
)
def test_halves_are_rounded_to_even(numerator: int, denominator: int, expected: int) -> None:
    """Below nothing, too."""
    assert round_half_even(numerator, denominator) == expected


def test_largest_remainders_get_what_lacks() -> None:
    """1.2 + 2.5 + 3.5 = 7.2: 7 is 1 + 3 + 3, the first of the equal ones."""
    assert apportion(7, [12, 25, 35], 10) == [1, 3, 3]


@given(st.lists(st.tuples(INTEGERS, INTEGERS, INTEGERS), max_size=30), st.integers(1, 10**20))
def test_a_rounded_table_sums_both_ways(cells: list[tuple[int, int, int]], denominator: int) -> None:
    """Rows and columns sum to their exact sums rounded down or up, all to the total rounded half to even."""
    rounded = round_table(cells, denominator)
    assert sum(map(sum, rounded)) == round_half_even(sum(map(sum, cells)), denominator)
    for exact, found in zip([*cells, *zip(*cells, strict=True)], [*rounded, *zip(*rounded, strict=True)], strict=True):
        assert abs(sum(found) * denominator - sum(exact)) < denominator
    for exact, found in zip(cells, rounded, strict=True):
        assert all(abs(f * denominator - e) < 3 * denominator for e, f in zip(exact, found, strict=True))


def test_what_is_a_whole_number_already_stays() -> None:
    """A row of whole coins is not touched by what others lack."""
    assert round_table([[10, 20, 0], [4, 4, 0], [4, 4, 0]], 10) == [[1, 2, 0], [1, 0, 0], [0, 1, 0]]


def test_weights_are_exact() -> None:
    """0.1 x 3 is 0.3, and a large memory keeps its last digit."""
    assert exact_weights([3.0, 1234567.123456], [0.1, 1.0]).tolist() == [300_000_000, 1_234_567_123_456_000]


def price(sku: str, at: int, unit_price: str | None, **fields: Any) -> Price:
    """Return a price of a GPU hour."""
    own: dict[str, Any] = {
        "pool": "",
        "resource": "gpu",
        "model": "",
        "capacity_type": "",
        "currency": "EUR",
        "pricing_unit": "unit_hour",
        "published_at": from_micros(0),
        "set_by": "",
    }
    number = None if unit_price is None else Decimal(unit_price)
    return Price(sku=sku, valid_from=from_micros(at), unit_price=number, **(own | fields))


def test_a_sku_that_comes_to_be_for_something_else_leaves_what_it_was_for() -> None:
    """The sku was for any model, then for one: others have no price from then on."""
    known = [price("a", 10, "1"), price("a", 20, "2", model="H100")]
    timeline = price_timeline(known, ResourceClass("", "gpu", "A100", "on_demand"))
    assert (timeline.starts.tolist()[1:], timeline.values.tolist()) == ([10, 20], [UNPRICED, 0, UNPRICED])


def test_equal_prices_go_by_name() -> None:
    """Equally specific, since the same moment, published at the same moment: the first by sku_id."""
    known = [price("b", 10, "1"), price("a", 10, "2")]
    assert price_timeline(known, ResourceClass("", "gpu", "", "spot")).values.tolist() == [UNPRICED, 1]


def test_a_price_is_an_exact_integer_an_hour() -> None:
    """In 10^-12 of the currency."""
    assert price("a", 0, "0.000000000001").per_hour == 1
    assert price("a", 0, "2.5", pricing_unit="unit_second").per_hour == 25 * 10**11 * 3600


def stated(**columns: list[Any]) -> pa.Table:
    """Return a table of allocations without an end, but for what is given."""
    count = len(columns["started_us"])
    own = {"run": ["r"] * count, "attempt": [0] * count, "producer": ["w"] * count}
    times = {name: pa.array(columns.get(name, [None] * count), pa.int64()) for name in ("released_us", "finished_us")}
    return pa.table(own | times | {"started_us": pa.array(columns["started_us"], pa.int64())})


def test_the_first_known_end_holds() -> None:
    """Released, else finished, else lost or open; never after now, never before the begin."""
    table = stated(started_us=[5] * 5, released_us=[9, None, None, 2, 99], finished_us=[8, 8, None, None, None])
    found = ends(table, {("r", 0, ""): Life(7, alive=False)}, [FIRST] * 5, 20)
    assert found.end.tolist() == [9, 8, 7, 5, 20]
    assert [STATES[code] for code in found.state] == ["released", "finished", "lost", "released", "released"]
    open_ = ends(stated(started_us=[5]), {}, [FIRST], 20)
    assert (open_.end.tolist(), STATES[open_.state[0]]) == ([20], "open")


def test_overbooked_time_is_found_within_any_stretch() -> None:
    """Whole devices over [0, 10) and [4, 6) and [6, 8): overbooked in [4, 8)."""
    whole = 10**9
    booked = [Booking(i, ("n", "0"), *when, whole) for i, when in enumerate([(0, 10), (4, 6), (6, 8)])]
    found = overbooked([*booked, Booking(3, ("n", "1"), 0, 10, whole)])
    stretches = Pieces(np.array([0, 0, 1, 2, 3]), np.array([0, 5, 4, 6, 0]), np.array([5, 100, 6, 8, 10]))
    assert overbooked_micros(found, stretches).tolist() == [1, 3, 2, 2, 0]


def test_a_team_is_the_runs_else_the_projects_else_the_principals() -> None:
    """What is taken away makes room for the next."""
    changes = [
        {"kind": kind, "entity": name, "operation": operation, "value": value, "valid_from_us": at}
        for kind, name, operation, value, at in (
            ("principal", "eve", "set", '"c"', 0),
            ("project", "p", "set", '"b"', 10),
            ("run", "r", "add", "plain", 20),
            ("run", "r", "remove", '"other"', 25),
            ("run", "r", "remove", "", 30),
        )
    ]
    teams = Teams(changes)
    timeline = teams.timeline(teams.key("r", "p", "eve"))
    assert [teams.names[value] for value in timeline.values] == ["", "c", "b", "plain", "b"]
    assert timeline.starts.tolist()[1:] == [0, 10, 20, 30]
    assert teams.key("x", "p", "y") == ("", "p", "")


def test_dimensions_are_known_by_the_names_that_people_use() -> None:
    """Each once; an unknown one is refused with what is near."""
    assert parse_by(["Project", "resource-model", "model", "day"]) == ("project", "model", "day")
    with pytest.raises(CostInputError, match="did you mean principal"):
        parse_by(["principle"])


def test_moments_are_whole_microseconds() -> None:
    """There and back, to the last one."""
    moment = datetime(2026, 3, 1, 12, 30, 15, 123457, tzinfo=UTC)
    assert from_micros(to_micros(moment)) == moment


def test_currencies_have_their_coins() -> None:
    """2 digits for most."""
    assert [minor_digits(name) for name in ("EUR", "USD", "JPY", "KWD", "CLF")] == [2, 2, 0, 3, 4]
