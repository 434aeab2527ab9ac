"""Profiles of columns: every figure against NumPy, SciPy or a case worked by hand, alone and merged."""

from __future__ import annotations

import itertools
import math
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import stats

from envelopes import in_envelope
from trailhouse.capture.edges import edges_from
from trailhouse.capture.merged_profiles import merge_profiles
from trailhouse.capture.profiles import PROBABILITIES, profile_dataset
from trailhouse_schemas.errors import TrailhouseError
from trailhouse_schemas.events import DatasetProfiled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def profile(data: Any, **said: Any) -> dict[str, dict[str, Any]]:
    """Return the profiles of data by column; every one fits its event."""
    found = profile_dataset(data, dataset_id="tests/data", **said)
    for fields in found:
        in_envelope(DatasetProfiled, fields)
    return {fields["column"]: fields for fields in found}


def is_consistent(fields: Mapping[str, Any]) -> bool:
    """Say whether a profile's counts sum to its rows."""
    there = fields["rows"] - fields["nulls"]
    if fields["measure"] == "categorical":
        return bool(sum(top["count"] for top in fields["top_categories"]) + fields["other_count"] == there)
    ascending = all(a < b for a, b in itertools.pairwise(fields["edges"]))
    return bool(ascending and (sum(fields["counts"]) == there or not fields["edges"]))


def test_a_small_column_worked_by_hand() -> None:
    """1, 2, 2, 5, one missing, one infinite."""
    found = profile(pa.table({"x": [1.0, 2.0, 2.0, 5.0, None, math.inf]}), edges={"x": [1, 2, 5]})["x"]
    assert (found["rows"], found["nulls"], found["infinities"], found["distinct"]) == (6, 1, 1, 4)
    assert (found["min"], found["max"], found["mean"], found["m2"]) == (1.0, 5.0, 2.5, 9.0)
    assert found["edges"] == [1.0, 2.0, 5.0]
    assert found["counts"] == [0, 1, 3, 1]
    assert {"probability": 0.5, "value": 2.0} in found["quantiles"]
    assert sorted(found["sample"]) == [1.0, 2.0, 2.0, 5.0]


def test_the_last_bin_holds_its_upper_edge_and_what_is_outside_is_counted() -> None:
    """Bins are [e0, e1), …, [en-1, en]; the first and the last count are outside."""
    values = np.array([-5.0, 0.0, 0.5, 1.0, 2.0, 2.1, -math.inf, math.inf])
    assert profile(values, edges={"values": [0, 1, 2]})["values"]["counts"] == [2, 2, 2, 2]


@pytest.mark.parametrize(
    "make",
    [
        lambda dice: dice.normal(1e6, 1e-3, 5000),
        lambda dice: dice.integers(-3, 4, 5000),
        lambda dice: dice.lognormal(0, 3, 5000),
        lambda dice: dice.random(7).astype("f4"),
        lambda dice: dice.choice([0, 1], 5000).astype("uint8"),
    ],
)
def test_figures_are_those_of_numpy_and_scipy(make: Callable[[np.random.Generator], Any]) -> None:
    """Moments, quantiles, counts and distinct values."""
    seed = random.randrange(2**32)  # noqa: S311  not for secrets
    print(f"seed {seed}")  # noqa: T201  to repeat a failure
    values = make(np.random.default_rng(seed))
    found = profile(values)["values"]
    doubles = values.astype("f8")
    assert found["mean"] == pytest.approx(doubles.mean(), rel=1e-12)
    assert found["m2"] == pytest.approx(float(stats.moment(doubles, 2)) * len(doubles), rel=1e-6)
    expected = np.quantile(doubles, PROBABILITIES)
    assert [quantile["value"] for quantile in found["quantiles"]] == pytest.approx(expected.tolist())
    inside, _ = np.histogram(doubles, found["edges"])
    assert found["counts"] == [0, *inside.tolist(), 0]
    assert found["distinct"] == len(np.unique(doubles))
    assert is_consistent(found)


def test_pandas_polars_arrow_and_numpy_give_the_same_profiles() -> None:
    """Every type of column."""
    frame = pd.DataFrame(
        {
            "i": [1, 2, 3],
            "f": [1.5, None, math.inf],
            "s": ["a", None, "ü"],
            "b": [True, False, True],
            "t": pd.to_datetime(pd.Series(["2024-01-01", "2024-01-02", None])),
            "c": pd.Categorical(["x", "y", None]),
            "n": [None, None, None],
        }
    )
    expected = profile(frame)
    assert expected == profile(pl.from_pandas(frame).with_columns(n=None))
    assert expected == profile(pa.Table.from_pandas(frame, preserve_index=False))
    numbers = profile(frame[["i", "f"]].to_numpy())
    assert [numbers["1"][name] for name in ("nulls", "counts", "sample")] == [
        expected["f"][name] for name in ("nulls", "counts", "sample")
    ]
    assert all(map(is_consistent, expected.values()))


def test_times_are_seconds() -> None:
    """Moments since 1970 UTC, days at their midnight, durations and times of day as they are."""
    found = profile(
        pa.table(
            {
                "moment": [datetime(2024, 1, 1, tzinfo=UTC)],
                "wall": [datetime(1970, 1, 2)],  # noqa: DTZ001
                "day": [date(1970, 1, 3)],
                "length": [timedelta(milliseconds=1500)],
                "time": pa.array([3600], pa.time32("s")),
                "money": [Decimal("2.50")],
            }
        )
    )
    expected = {"moment": 1704067200.0, "wall": 86400.0, "day": 172800.0, "length": 1.5, "time": 3600.0, "money": 2.5}
    assert {name: fields["mean"] for name, fields in found.items()} == expected
    numpy = profile(np.array(["1970-01-02", "NaT"], "datetime64[D]"))["values"]
    assert (numpy["mean"], numpy["nulls"]) == (86400.0, 1)


def test_categories_are_counted_and_the_rare_ones_summed() -> None:
    """The most frequent first, then by text."""
    values = [f"c{i:03}" for i in range(150) for _ in range(1 + (i == 77) + 2 * (i == 5))]
    found = profile({"x": [*values, None]})["x"]
    assert found["top_categories"][:3] == [
        {"value": "c005", "count": 3},
        {"value": "c077", "count": 2},
        {"value": "c000", "count": 1},
    ]
    assert (len(found["top_categories"]), found["other_count"], found["distinct"]) == (100, 50, 150)
    assert (found["nulls"], is_consistent(found)) == (1, True)


def test_numbers_may_be_said_to_be_categories() -> None:
    """A code is no quantity."""
    found = profile(pd.DataFrame({"zip": [8001, 8001, 9000], "code": [1.0, None, 2.0]}), categorical=["zip", "code"])
    assert found["zip"]["top_categories"] == [{"value": "8001", "count": 2}, {"value": "9000", "count": 1}]
    assert (found["code"]["nulls"], is_consistent(found["code"])) == (1, True)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [None],
        [5.0],
        [5.0] * 100,
        [0.0, -0.0],
        [math.inf, -math.inf, None],
        [1e308, -1e308],
        [1e308] * 3 + [-1e308] * 3,
        [5e-324, 0.0],
        list(np.linspace(1e308, 1.7e308, 100)),
        [-1.7e308 + 3.4e306 * i for i in range(100)],
        [1e15 + i for i in range(100)],
        [1 + i * 2**-52 for i in range(100)],
        [0.0] * 10_000 + list(range(1000)),
    ],
)
def test_every_column_of_numbers_has_a_profile(values: list[Any]) -> None:
    """Empty, constant, infinite, huge, tiny and skewed ones."""
    found = profile({"x": pa.array(values, pa.float64())})["x"]
    assert found["measure"] == "numeric"
    assert is_consistent(found)
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if finite:
        assert (found["min"], found["max"]) == (min(finite), max(finite))
        infinite = found["infinities"]
        assert found["counts"][0] + found["counts"][-1] == infinite  # edges of its own leave nothing finite outside


def test_edges_of_random_data_hold_all_of_it() -> None:
    """Whatever the distribution and scale, generated edges ascend and enclose the data."""
    seed = random.randrange(2**32)  # noqa: S311  not for secrets
    print(f"seed {seed}")  # noqa: T201  to repeat a failure
    dice = np.random.default_rng(seed)
    kinds: list[Callable[[int], Any]] = [
        lambda size: dice.normal(size=size),
        dice.standard_cauchy,
        dice.random,
        lambda size: dice.integers(0, 30, size),
    ]
    for _ in range(300):
        scale, shift = 10.0 ** dice.integers(-300, 300), 10.0 ** dice.integers(-300, 300)
        kind = dice.integers(4)
        ordered = np.sort(kinds[kind](200).astype(float) * scale + shift)
        bounds = edges_from(ordered).bounds
        assert all(a < b for a, b in itertools.pairwise(bounds)), (kind, scale, shift)
        assert bounds[0] <= ordered[0], (kind, scale, shift)
        assert bounds[-1] >= ordered[-1], (kind, scale, shift)


def test_equal_edges_have_equal_names() -> None:
    """The name is a digest of the edges."""
    given = profile(np.arange(3), edges={"values": [0, 1, 2]})["values"]
    other = profile(np.arange(5), edges={"values": [0.0, 1.0, 2.0]})["values"]
    third = profile(np.arange(5), edges={"values": [0.0, 1.0, 3.0]})["values"]
    assert given["edges_name"] == other["edges_name"] != third["edges_name"]


def test_a_reference_gives_its_edges() -> None:
    """A window of production data is counted over the edges of the training data, given as dicts or as events."""
    dice = np.random.default_rng(0)
    training = profile_dataset(pd.DataFrame({"x": dice.normal(size=1000), "c": ["a"] * 1000}), dataset_id="tests/a")
    events = [in_envelope(DatasetProfiled, fields) for fields in training]
    later = pd.DataFrame({"x": dice.normal(3, size=500), "c": ["b"] * 500, "new": range(500)})
    for reference in (training, events):
        found = profile(later, reference=reference)
        assert found["x"]["edges"] == training[0]["edges"]
        assert found["x"]["counts"][-1] > 0
        assert found["new"]["edges"] != []


def test_the_sample_is_uniform_and_repeatable() -> None:
    """Its values are spread like the data (Kolmogorov-Smirnov), and the same for the same seed."""
    values = np.arange(100_000.0)
    one = profile(values, seed=1)["values"]
    assert one == profile(values, seed=1)["values"]
    assert one["sample"] != profile(values, seed=2)["values"]["sample"]
    assert (len(one["sample"]), len(set(one["sample"]))) == (4096, 4096)
    assert one["sample_priorities"] == sorted(one["sample_priorities"])
    assert all(0 < priority <= 1 for priority in one["sample_priorities"])
    assert stats.kstest(np.array(one["sample"]) / 1e5, "uniform").pvalue > 1e-4


def test_a_row_has_one_priority_in_all_columns() -> None:
    """The samples of two complete columns are of the same rows."""
    values = np.arange(20_000.0)
    found = profile(pd.DataFrame({"a": values, "b": -values}))
    assert found["a"]["sample"] == [-value for value in found["b"]["sample"]]


def test_shards_merge_into_the_whole() -> None:
    """Counts and moments exactly; the sample is a uniform sample of the whole."""
    seed = random.randrange(2**32)  # noqa: S311  not for secrets
    print(f"seed {seed}")  # noqa: T201  to repeat a failure
    dice = np.random.default_rng(seed)
    x = dice.normal(1e3, 1, 30_000)
    x[::17] = np.nan
    x[5] = math.inf
    frame = pd.DataFrame({"x": x, "c": dice.choice(list("abcde"), 30_000), "few": dice.integers(0, 4, 30_000)})
    whole = profile(frame)
    cuts = [0, 1000, 1000, 22_000, 30_000]  # one shard has no rows
    shards = [
        fields
        for number, (start, end) in enumerate(itertools.pairwise(cuts))
        for fields in profile(frame[start:end], shard=number, shards=4, reference=list(whole.values())).values()
    ]
    merged = {fields["column"]: fields for fields in merge_profiles(shards)}
    for fields in merged.values():
        in_envelope(DatasetProfiled, fields)
    for name in ("rows", "nulls", "infinities", "min", "max", "edges_name", "edges", "counts"):
        assert merged["x"][name] == whole["x"][name]
    assert merged["x"]["mean"] == pytest.approx(whole["x"]["mean"], rel=1e-12)
    assert merged["x"]["m2"] == pytest.approx(whole["x"]["m2"], rel=1e-9)
    assert merged["x"]["distinct"] is None
    assert len(merged["x"]["sample"]) == 4096
    finite = x[np.isfinite(x)]
    assert set(merged["x"]["sample"]) <= set(finite.tolist())
    assert stats.ks_2samp(merged["x"]["sample"], finite).pvalue > 1e-4
    assert merged["c"] == {**whole["c"], "shards": 1}
    large = set(x[1000:22_000].tolist())
    from_large = sum(value in large for value in merged["x"]["sample"])
    assert from_large == pytest.approx(4096 * 0.7, abs=200)  # its share of the rows, within about seven sigma


def test_merging_does_not_depend_on_the_order() -> None:
    """Nor on the grouping: (a + b) + c is a + (b + c)."""
    dice = np.random.default_rng(3)
    edges = {"values": np.linspace(-4, 4, 9).tolist()}
    parts = [
        profile_dataset(dice.normal(size=3000), dataset_id="tests/a", shard=shard, shards=3, edges=edges)[0]
        for shard in range(3)
    ]
    forwards = merge_profiles([merge_profiles(parts[:2])[0], parts[2]])[0]
    backwards = merge_profiles([parts[0], merge_profiles(parts[:0:-1])[0]])[0]
    assert forwards["m2"] == pytest.approx(backwards.pop("m2"))
    assert forwards["mean"] == pytest.approx(backwards.pop("mean"))
    assert {name: value for name, value in forwards.items() if name not in {"m2", "mean"}} == backwards


def test_small_shards_merge_exactly() -> None:
    """While the sample holds every value, quantiles and distinct values are those of the whole."""
    values = np.array([3.0, 1.0, 2.0, 2.0, 9.0, 4.0])
    edges = {"values": [0.0, 5.0, 10.0]}
    whole = profile(values, edges=edges)["values"]
    shards = [
        fields
        for number in range(2)
        for fields in profile(values[number::2], shard=number, shards=2, edges=edges).values()
    ]
    merged = merge_profiles(shards)[0]
    assert (merged["quantiles"], merged["distinct"]) == (whole["quantiles"], whole["distinct"])
    assert sorted(merged["sample"]) == sorted(whole["sample"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "int64"}, "type is 'double' and 'int64'"),
        ({"edges_name": "edges:other"}, "over different edges"),
        ({"dataset_id": "tests/other"}, "dataset_id is"),
    ],
)
def test_profiles_of_different_things_do_not_merge(change: dict[str, Any], said: str) -> None:
    """One line says what differs."""
    fields = profile(np.arange(3.0))["values"]
    with pytest.raises(TrailhouseError, match=said):
        merge_profiles([fields, fields | change])


@pytest.mark.parametrize(
    ("data", "said", "message"),
    [
        (object(), {}, "has no columns in memory"),
        (np.arange(3), {"edges": {"values": [1]}}, "give from 2"),
        (np.arange(3), {"edges": {"values": [2, 1]}}, "do not ascend"),
        (np.arange(3), {"edges": {"values": [1, math.nan]}}, "do not ascend"),
        (np.arange(3), {"shard": 2, "shards": 2}, "numbered from 0"),
        (np.arange(3), {"window_start": datetime(2024, 1, 1)}, "no time zone"),  # noqa: DTZ001
        (
            np.arange(3),
            {"window_start": datetime(2024, 1, 2, tzinfo=UTC), "window_end": datetime(2024, 1, 1, tzinfo=UTC)},
            "not after its start",
        ),
    ],
)
def test_plainly_wrong_arguments_are_named(data: Any, said: dict[str, Any], message: str) -> None:
    """In one line."""
    with pytest.raises(TrailhouseError, match=message):
        profile(data, **said)


def test_odd_columns_have_a_profile() -> None:
    """Lists, records, objects and tensors."""
    frame = pd.DataFrame({"list": [[1], [1], None], "object": [{1, 2}, None, 3]})
    found = profile(frame)
    assert found["list"]["top_categories"] == [{"value": "[1]", "count": 2}]
    assert found["object"]["nulls"] == 1
    assert profile(np.zeros((2, 3, 3)))["values"]["measure"] == "categorical"
