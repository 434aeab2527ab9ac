"""Profiles as sides of a comparison: merged like the data that they are of, and comparable with it."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rows import event
from trailhouse.capture.profiles import profile_dataset
from trailhouse_analytics import drift
from trailhouse_analytics.drift import CategoryCounts, NumericSample, Verdict
from trailhouse_analytics.errors import DriftInputError
from trailhouse_schemas.events import DatasetProfiled

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def data(rows: int, *, seed: int, shift: float = 0.0) -> pd.DataFrame:
    """Columns of every kind; with a shift, every one of them moves."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "x": np.where(random.random(rows) < 0.05 + shift / 5, np.nan, random.normal(shift, 1, rows)),
            "n": random.integers(0, 1000, rows) + int(1000 * shift),
            "k": random.choice(4, rows, p=np.array([0.4, 0.3, 0.2, 0.1]) if not shift else [0.1, 0.2, 0.3, 0.4]),
            "c": random.choice(["a", "b", "c"], rows, p=[0.5, 0.3, 0.2] if not shift else [0.2, 0.3, 0.5]),
            "b": random.random(rows) < 0.3 + shift / 3,
            "t": pd.date_range("2026-01-01", periods=rows, freq="min"),
        }
    )


def profile(frame: pd.DataFrame, **options: Any) -> list[dict[str, Any]]:
    """Profile a frame as the dataset ns/d."""
    return profile_dataset(frame, **({"dataset_id": "ns/d"} | options))


def values(column: drift.Column) -> list[float]:
    """Values of a numeric column's sample."""
    assert isinstance(column.content, NumericSample)
    kept: list[float] = column.content.values.tolist()  # noqa: PD011 - no data frame
    return kept


def test_a_profile_of_small_data_is_the_data() -> None:
    """Below the sample's size nothing is lost: every figure is that of the raw data."""
    before, after = data(800, seed=1), data(600, seed=2, shift=0.5)
    raw = drift.compare(before, after)
    for reference in (before, drift.from_profiles(profile(before))):
        for current in (after, drift.from_profiles(profile(after))):
            report = drift.compare(reference, current)
            assert [f.verdict for f in report.columns] == [f.verdict for f in raw.columns]
            assert [f.p_value for f in report.columns] == [f.p_value for f in raw.columns]
            assert [f.psi for f in report.columns] == [f.psi for f in raw.columns]


def test_comparing_profiles_of_large_data_is_close_to_comparing_the_data() -> None:
    """Samples of 4,096 of 50,000 values: KS within 0.04 (their own 99.9 % band), the verdicts the same."""
    before, after = data(50_000, seed=3), data(50_000, seed=4, shift=0.5)
    raw = drift.compare(before, after)
    stored = drift.compare(drift.from_profiles(profile(before)), drift.from_profiles(profile(after)))
    assert [f.verdict for f in stored.columns] == [f.verdict for f in raw.columns]
    for one, other in zip(stored.columns, raw.columns, strict=True):
        if one.test == "ks":
            assert one.statistic == pytest.approx(other.statistic, abs=0.04)
            assert one.reference_size is not None
            assert one.reference_size <= 4096


def test_a_profile_does_not_drift_from_the_data_that_it_is_of() -> None:
    """Nor from another sample of it."""
    frame = data(50_000, seed=5)
    stored = drift.from_profiles(profile(frame))
    other = drift.from_profiles(profile(frame, seed=1))
    assert drift.compare(frame, stored).verdict is Verdict.NO_DRIFT
    assert drift.compare(stored, other).verdict is Verdict.NO_DRIFT


def test_merged_shards_are_the_whole() -> None:
    """Counts add up, and the sample is the smallest priorities of all; shards of unequal size."""
    frame = data(10_000, seed=6)
    cuts = [frame.iloc[:1000], frame.iloc[1000:9000], frame.iloc[9000:]]
    shards = [profile(cut, shard=i, shards=3) for i, cut in enumerate(cuts)]
    merged = drift.from_profiles([row for shard in shards for row in shard])
    whole = drift.from_profiles(profile(frame))
    assert merged.rows == 10_000
    for name, column in merged.columns.items():
        assert (column.rows, column.nulls, column.type) == (10_000, whole.columns[name].nulls, whole.columns[name].type)
    assert merged.columns["c"].content == CategoryCounts(counts=Counter(frame["c"]), distinct=9)
    kept = [(p, v) for shard in shards for p, v in zip(shard[0]["sample_priorities"], shard[0]["sample"], strict=True)]
    assert values(merged.columns["x"]) == sorted(v for _, v in sorted(kept)[:4096])
    assert drift.compare(merged, frame).verdict is Verdict.NO_DRIFT


def test_a_sample_of_shards_is_not_weighted_by_how_many_shards_there_are() -> None:
    """A shard of 500 rows beside one of 50,000 is 1 % of the merged sample, not half."""
    large = pd.DataFrame({"x": np.random.default_rng(7).normal(0, 1, 50_000)})
    small = pd.DataFrame({"x": np.random.default_rng(8).normal(100, 1, 500)})
    rows = profile(large, shard=0, shards=2) + profile(small, shard=1, shards=2)
    merged = np.array(values(drift.from_profiles(rows).columns["x"]))
    assert len(merged) == 4096
    assert 10 < (merged > 50).sum() < 90


def test_a_shard_that_is_not_there_yet_is_noted() -> None:
    """The others speak for all, and the report says so."""
    frame = data(1000, seed=9)
    side = drift.from_profiles(profile(frame, shard=0, shards=3))
    assert side.notes == ("ns/d: 2 shards not profiled (yet), the others speak for all",)
    assert side.notes[0] in drift.compare(frame, side).reasons


def test_the_highest_revision_wins_and_of_two_alike_the_later() -> None:
    """Whatever order they come in."""
    old, new = data(500, seed=10), data(700, seed=11)
    rows = [*profile(new, revision=1), *profile(old, revision=0)]
    assert drift.from_profiles(rows).rows == 700
    assert drift.from_profiles([*profile(old), *profile(new)]).rows == 700


def test_a_revision_that_is_cut_into_other_shards_replaces_all() -> None:
    """Four shards restated as two are two."""
    frame = data(1000, seed=12)
    old = [row for i in range(4) for row in profile(frame, shard=i, shards=4)]
    new = [row for i in range(2) for row in profile(frame.iloc[:300], shard=i, shards=2, revision=1)]
    side = drift.from_profiles([*old, *new])
    assert (side.rows, side.notes) == (600, ())


def test_windows_that_follow_one_another_are_merged() -> None:
    """And those that overlap are refused, for their rows would count twice."""
    frame = data(900, seed=13)
    windows = [
        profile(frame.iloc[i * 300 : (i + 1) * 300], window_start=DAY + i * h, window_end=DAY + (i + 1) * h)
        for h in (timedelta(hours=1),)
        for i in range(3)
    ]
    assert drift.from_profiles([row for window in windows for row in window]).rows == 900
    whole_day = profile(frame, window_start=DAY, window_end=DAY + timedelta(days=1))
    with pytest.raises(DriftInputError, match="overlap"):
        drift.from_profiles([*windows[0], *whole_day])
    with pytest.raises(DriftInputError, match="partly of windows"):
        drift.from_profiles([*windows[0], *profile(frame)])


def test_categories_beyond_the_most_frequent_are_compared_together() -> None:
    """Only what both sides count singly is compared singly; nothing is called new that may only be unlisted."""
    random = np.random.default_rng(14)
    names = [f"c{i:03}" for i in range(300)]
    before = pd.DataFrame({"c": random.choice(names, 5000)})
    after = pd.DataFrame({"c": random.choice(names, 5000)})
    report = drift.compare(drift.from_profiles(profile(before)), drift.from_profiles(profile(after)))
    assert report.columns[0].new_categories == ()
    moved = pd.DataFrame({"c": ["surprise"] * 2500 + before["c"].tolist()[:2500]})
    assert drift.compare(drift.from_profiles(profile(before)), moved).verdict is Verdict.DRIFT


def test_a_category_that_a_sample_may_have_missed_is_not_called_vanished() -> None:
    """One row in 50,000 of whole numbers that are compared as categories."""
    frame = pd.DataFrame({"k": [0, 1] * 25_000 + [2]})
    stored = drift.from_profiles(profile(frame))
    finding = drift.compare(frame, stored).columns[0]
    assert finding.measure == "categorical"
    assert (finding.vanished_categories, finding.verdict) == ((), Verdict.NO_DRIFT)
    assert 2 not in values(stored.columns["k"])


@settings(deadline=None, max_examples=50)
@given(
    rows=st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9), st.just(float("inf"))), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    size=st.integers(1, 80),
)
def test_shards_cut_anywhere_merge_to_the_whole(rows: list[float | None], cuts: list[int], size: int) -> None:
    """Counts are the whole's; the sample too where no shard's was cut off, else it is as large as theirs."""
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    pieces = [pd.DataFrame({"x": pd.Series(rows[a:b], dtype=float)}) for a, b in itertools.pairwise(bounds)]
    shards = [profile(piece, shard=i, shards=len(pieces), sample_size=size) for i, piece in enumerate(pieces)]
    merged = drift.from_profiles([row for shard in shards for row in shard]).columns["x"]
    finite = sorted(value for value in rows if value is not None and np.isfinite(value))
    assert (merged.rows, merged.nulls, merged.infinities) == (len(rows), rows.count(None), rows.count(float("inf")))
    kept = values(merged)
    cut_off = any(np.isfinite(piece["x"]).sum() > size for piece in pieces)
    assert kept == finite if not cut_off else len(kept) == size
    assert set(kept) <= set(finite)


def test_an_identifier_in_a_profile_is_not_compared() -> None:
    """Its distinct values give it away though only some are listed."""
    before = pd.DataFrame({"user": [f"u{i}" for i in range(5000)], "x": np.arange(5000)})
    report = drift.compare(drift.from_profiles(profile(before)), before)
    assert [finding.verdict for finding in report.columns] == [Verdict.NOT_COMPARED, Verdict.NO_DRIFT]
    assert drift.from_profiles(profile(before, roles={"x": "id"})).columns["x"].role == "id"


def test_numbers_profiled_as_categories_are_compared_with_numbers() -> None:
    """A column that was said to be categorical, against raw whole numbers and against doubles."""
    frame = pd.DataFrame({"k": np.random.default_rng(15).integers(0, 5, 600)})
    stored = drift.from_profiles(profile(frame, categorical=["k"]))
    for other in (frame, frame.astype(float), drift.from_profiles(profile(frame.astype(float), categorical=["k"]))):
        report = drift.compare(stored, other)
        assert report.columns[0].measure == "categorical"
        assert report.columns[0].statistic == pytest.approx(0.0)


def test_profiles_without_samples_are_compared_by_their_counts_over_the_same_edges() -> None:
    """And with raw data, which can be counted over any edges; over different edges one cannot tell."""
    before, after = data(2000, seed=16)[["x"]], data(2000, seed=17, shift=0.8)[["x"]]
    stored = profile(before, sample_size=0)
    reference = drift.from_profiles(stored)
    same_edges = drift.from_profiles(profile(after, sample_size=0, reference=stored))
    other_edges = drift.from_profiles(profile(after, sample_size=0))
    found = drift.compare(reference, same_edges).columns[0]
    assert (found.verdict, found.test) == (Verdict.DRIFT, "chi-square")
    assert drift.compare(reference, after).columns[0].statistic == pytest.approx(found.statistic)
    assert drift.compare(reference, before).columns[0].statistic == pytest.approx(0.0)
    only_values = drift.compare(reference, other_edges, thresholds=drift.Thresholds(cohens_h=None))
    assert only_values.verdict is Verdict.CANNOT_TELL


def test_events_and_mappings_are_the_same() -> None:
    """As the producer makes them, as they are decoded, as the warehouse gives them."""
    rows = profile(data(500, seed=18))
    events = [event(DatasetProfiled, **row) for row in rows]
    report = drift.compare(drift.from_profiles(rows), drift.from_profiles(events))
    assert report.verdict is Verdict.NO_DRIFT
    assert {finding.statistic for finding in report.columns if finding.test} == {0.0}


def test_parts_of_different_types_are_a_changed_type() -> None:
    """A window in which numbers had become text; a part without values is of any type."""
    frame, text = pd.DataFrame({"x": np.arange(50.0)}), pd.DataFrame({"x": ["1", "2"] * 25})
    empty = pd.DataFrame({"x": pd.Series([None] * 50, dtype=object)})
    mixed = drift.from_profiles([*profile(frame, shard=0, shards=2), *profile(text, shard=1, shards=2)])
    holed = drift.from_profiles([*profile(frame, shard=0, shards=2), *profile(empty, shard=1, shards=2)])
    finding = drift.compare(frame, mixed).columns[0]
    assert finding.reason == "type changed from double to mixed (double, string)"
    assert drift.compare(mixed, mixed).columns[0].verdict is Verdict.NOT_COMPARED
    assert (holed.columns["x"].type, holed.columns["x"].nulls, values(holed.columns["x"])) == (
        "double",
        50,
        list(range(50)),
    )


def test_an_empty_profile_cannot_tell() -> None:
    """A window without a single row."""
    frame = data(500, seed=19)
    assert drift.compare(frame, drift.from_profiles(profile(frame.iloc[:0]))).verdict is Verdict.CANNOT_TELL


def test_profiles_of_different_things_are_not_merged() -> None:
    """Nor is nothing a profile."""
    frame = data(50, seed=20)
    with pytest.raises(DriftInputError, match="no profile"):
        drift.from_profiles([], label="ns/d@1")
    for field, other in (("version", "2"), ("split", "test"), ("dataset_id", "ns/e")):
        with pytest.raises(DriftInputError, match=f"several {field}s"):
            drift.from_profiles([*profile(frame), *profile(frame, **{field: other})])
    with pytest.raises(DriftInputError, match="2 segments"):
        drift.from_profiles([*profile(frame), *profile(frame, segment={"country": "DE"})])
