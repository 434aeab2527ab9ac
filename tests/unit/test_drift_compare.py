"""What a comparison concludes: each case has a defined answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import stats

from trailhouse_analytics import drift
from trailhouse_analytics.drift import Thresholds, Verdict
from trailhouse_analytics.errors import DriftInputError

RANDOM = np.random.default_rng(20_260_101)
NORMAL = RANDOM.normal(3.0, 0.5, 500)


def one(reference: object, current: object, **options: object) -> drift.ColumnFinding:
    """Compare one column."""
    report = drift.compare({"x": reference}, {"x": current}, **options)  # type: ignore[arg-type]
    return report.columns[0]


def test_a_shifted_column_drifts_and_says_so_in_words() -> None:
    """Figures and reason of one numeric column, against SciPy."""
    report = drift.compare({"width": NORMAL}, {"width": NORMAL - 0.5})
    (finding,) = report.columns
    expected = stats.ks_2samp(NORMAL, NORMAL - 0.5)
    assert report.verdict is Verdict.DRIFT
    assert (finding.test, finding.statistic, finding.p_value) == ("ks", expected.statistic, expected.pvalue)
    assert finding.wasserstein == pytest.approx(0.5)
    assert finding.wasserstein_per_sd == pytest.approx(0.5 / NORMAL.std())
    assert finding.wasserstein_per_iqr == pytest.approx(0.5 / stats.iqr(NORMAL), rel=0.02)
    assert report.reasons[0].startswith(f"width: KS {expected.statistic:.3g}, adjusted p ")
    assert f"median {np.median(NORMAL):.3g} -> {np.median(NORMAL) - 0.5:.3g}" in report.reasons[0]
    assert "PSI" in report.reasons[0]


def test_identical_data_does_not_drift() -> None:
    """The same values in another order."""
    report = drift.compare({"x": NORMAL, "c": ["a", "b"] * 250}, {"x": NORMAL[::-1].copy(), "c": ["b", "a"] * 250})
    assert report.verdict is Verdict.NO_DRIFT
    assert [finding.p_value for finding in report.columns] == [1.0, 1.0]


def test_a_million_rows_do_not_flag_a_trivial_shift() -> None:
    """A fiftieth of a standard deviation is significant, and does not matter."""
    random = np.random.default_rng(5)
    finding = one(random.normal(0, 1, 1_000_000), random.normal(0.02, 1, 1_000_000))
    assert finding.verdict is Verdict.NO_DRIFT
    assert finding.adjusted_p_value is not None
    assert finding.adjusted_p_value < 0.05
    assert "significant but too small to matter" in finding.reason


def test_very_large_columns_are_sampled_and_the_report_says_how_large_the_samples_are() -> None:
    """A million rows are tested by a hundred thousand of them."""
    finding = one(np.arange(1_000_000.0), np.arange(500.0))
    assert (finding.reference_rows, finding.reference_size, finding.current_size) == (1_000_000, 100_000, 500)


def test_categories_are_tested_by_chi_square() -> None:
    """By hand: 30/20 against 20/30 is chi-square 4, V 0.2."""
    finding = one(["a"] * 30 + ["b"] * 20, ["a"] * 20 + ["b"] * 30)
    assert (finding.measure, finding.test) == ("categorical", "chi-square")
    assert finding.statistic == pytest.approx(4.0)
    assert finding.cramers_v == pytest.approx(0.2)
    assert finding.verdict is Verdict.DRIFT
    assert "'a' 60% -> 40%" in finding.reason


def test_too_few_values_cannot_tell() -> None:
    """29 values on one side, whatever they are."""
    report = drift.compare({"x": NORMAL[:29]}, {"x": NORMAL + 100})
    assert report.verdict is Verdict.CANNOT_TELL
    assert report.columns[0].p_value is None
    assert report.reasons == (
        "x: cannot tell, too few values: 29 in the reference, 500 in the current data, 30 are needed",
    )


def test_thirty_values_are_enough() -> None:
    """The documented minimum; and it is a setting."""
    assert one(NORMAL[:30], NORMAL[:30] + 100).verdict is Verdict.DRIFT
    assert one(NORMAL[:10], NORMAL[:10] + 100, thresholds=Thresholds(minimum=10)).verdict is Verdict.DRIFT


def test_empty_data_cannot_tell() -> None:
    """Columns without rows, on one side and on both."""
    empty = pa.table({"x": pa.array([], pa.float64()), "c": pa.array([], pa.string())})
    full = pa.table({"x": NORMAL, "c": ["a"] * 500})
    for reference, current in ((empty, full), (full, empty), (empty, empty)):
        assert drift.compare(reference, current).verdict is Verdict.CANNOT_TELL


@pytest.mark.parametrize("value", [7, 7.25, "seven", True])
def test_the_same_constant_on_both_sides_does_not_drift(value: object) -> None:
    """No test is needed, so none is made."""
    finding = one([value] * 40, [value] * 4000)
    assert finding.verdict is Verdict.NO_DRIFT
    assert finding.p_value is None
    assert "constant" in finding.reason


@pytest.mark.parametrize(("before", "after"), [(7, 8), (7.25, 7.5), ("seven", "eight"), (True, False)])
def test_another_constant_drifts(before: object, after: object) -> None:
    """All values changed."""
    finding = one([before] * 40, [after] * 40)
    assert finding.verdict is Verdict.DRIFT


def test_a_constant_that_begins_to_vary_drifts() -> None:
    """The reference has no standard deviation; that of both together stands in."""
    finding = one(np.full(500, 3.3), NORMAL)
    assert finding.verdict is Verdict.DRIFT
    assert finding.wasserstein_per_iqr is None


def test_new_and_vanished_categories_are_named() -> None:
    """Frequent ones drift."""
    finding = one(["a"] * 50 + ["old"] * 50, ["a"] * 50 + ["new"] * 50)
    assert finding.verdict is Verdict.DRIFT
    assert (finding.new_categories, finding.vanished_categories) == (("new",), ("old",))
    assert finding.reason.endswith("new: 'new'; vanished: 'old'")


def test_a_single_row_of_a_new_category_is_named_but_is_no_drift() -> None:
    """One in a thousand may be chance."""
    finding = one(["a"] * 500 + ["b"] * 500, ["a"] * 500 + ["b"] * 499 + ["c"])
    assert finding.verdict is Verdict.NO_DRIFT
    assert finding.new_categories == ("c",)
    assert "new: 'c'" in finding.reason


def test_many_rare_new_categories_together_drift() -> None:
    """Each is rare; pooled they are a third of the data."""
    finding = one(["a"] * 400, ["a"] * 250 + [f"new{i:03}" for i in range(150)])
    assert finding.verdict is Verdict.DRIFT
    assert (len(finding.new_categories), finding.new_category_count) == (100, 150)
    assert finding.reason.endswith("new: 'new000', 'new001', 'new002', 'new003', 'new004' and 145 more")


def test_categories_that_are_all_rare_are_held_against_random_tables() -> None:
    """Forty categories of one row each: no approximation is valid."""
    names = [f"c{i}" for i in range(40)]
    finding = one(names, names)
    assert (finding.test, finding.verdict) == ("chi-square (Monte Carlo)", Verdict.NO_DRIFT)


def test_text_that_looks_like_an_identifier_is_not_compared() -> None:
    """Nearly every value once, on both sides; unless a role says that it is data."""
    before, after = [f"u{i % 300}" for i in range(500)], [f"v{i % 300}" for i in range(500)]
    assert one(before, after).verdict is Verdict.NOT_COMPARED
    assert one(before, after, roles={"x": "feature"}).verdict is Verdict.DRIFT


def test_text_of_which_nothing_repeats_cannot_tell() -> None:
    """No table of such counts is more extreme than another."""
    before, after = [f"u{i}" for i in range(50)], [f"v{i}" for i in range(50)]
    assert one(before, after).verdict is Verdict.CANNOT_TELL


def test_a_column_with_the_role_id_is_not_compared() -> None:
    """Numbers too; and when nothing else is there the whole cannot tell."""
    report = drift.compare({"x": np.arange(500)}, {"x": np.arange(500, 1000)}, roles={"x": "id"})
    assert report.columns[0].verdict is Verdict.NOT_COMPARED
    assert report.verdict is Verdict.CANNOT_TELL


def test_a_missing_and_an_added_column_are_drift_of_the_schema() -> None:
    """Each with its own reason."""
    report = drift.compare({"x": NORMAL, "gone": NORMAL}, {"x": NORMAL, "more": NORMAL})
    assert report.verdict is Verdict.DRIFT
    assert report.reasons == (
        "gone: is missing in the current data",
        "more: is new: the reference does not have it",
    )
    assert [finding.column for finding in report.columns] == ["x", "gone", "more"]


def test_a_target_that_production_does_not_know_yet_is_no_drift() -> None:
    """A feature that is gone is."""
    before, after = {"x": NORMAL, "y": NORMAL}, {"x": NORMAL}
    report = drift.compare(before, after, roles={"y": "target"})
    assert report.verdict is Verdict.NO_DRIFT
    assert report.reasons[-1] == "y: not compared, the current data has no target (yet)"
    assert drift.compare(before, after, roles={"y": "feature"}).verdict is Verdict.DRIFT


def test_a_column_that_is_excluded_is_not_missed() -> None:
    """Nor is one that was not asked for."""
    assert drift.compare({"x": NORMAL, "y": NORMAL}, {"x": NORMAL}, exclude=["y"]).verdict is Verdict.NO_DRIFT
    assert drift.compare({"x": NORMAL, "y": NORMAL}, {"x": NORMAL}, columns=["x"]).verdict is Verdict.NO_DRIFT


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (NORMAL, ["3.1"] * 500, "double to string"),
        ([True, False] * 250, [1, 0] * 250, "bool to int64"),
        ([datetime(2026, 1, 1, tzinfo=UTC)] * 50, ["2026-01-01"] * 50, "timestamp[us, tz=UTC] to string"),
    ],
)
def test_a_changed_type_is_drift_of_the_schema(before: object, after: object, words: str) -> None:
    """The values are not compared."""
    finding = one(before, after)
    assert (finding.verdict, finding.p_value) == (Verdict.DRIFT, None)
    assert finding.reason == f"type changed from {words}"


def test_whole_numbers_that_became_doubles_did_not_change_type() -> None:
    """A single missing value does that in pandas."""
    finding = one(np.arange(500), np.arange(500.0))
    assert (finding.verdict, finding.measure) == (Verdict.NO_DRIFT, "numeric")


def test_missing_values_drift_by_a_test_of_their_own() -> None:
    """By hand: 5 of 100 against 25 of 100 is chi-square 200 (5*75 - 25*95)^2 / (30 * 170 * 100 * 100) = 15.69."""
    before = np.where(np.arange(100) < 5, np.nan, NORMAL[:100])
    after = np.where(np.arange(100) < 25, np.nan, NORMAL[:100])
    finding = one(before, after)
    assert finding.verdict is Verdict.DRIFT
    assert (finding.reference_missing, finding.current_missing) == (0.05, 0.25)
    assert finding.missing_p_value == pytest.approx(stats.chi2.sf(200 * (5 * 75 - 25 * 95) ** 2 / 51_000_000, 1))
    assert finding.reason.startswith("missing 5% -> 25%")


def test_few_missing_values_are_tested_by_fishers_exact_test() -> None:
    """Expected counts under 5."""
    before, after = [None, *NORMAL[:59]], [None, None, *NORMAL[:58]]
    finding = one(before, after)
    assert finding.missing_test == "Fisher"
    assert finding.missing_p_value == pytest.approx(stats.fisher_exact(np.array([[1, 59], [2, 58]])).pvalue)


def test_no_missing_values_are_no_test() -> None:
    """Which would only make the adjustment harder for the others."""
    finding = one(NORMAL, NORMAL)
    assert (finding.missing_test, finding.missing_p_value, finding.reference_missing) == ("", None, 0.0)


def test_all_missing_on_both_sides_does_not_drift() -> None:
    """There is nothing that could have moved."""
    finding = one([None] * 40, [None] * 50)
    assert finding.verdict is Verdict.NO_DRIFT
    assert finding.reason == "all values are missing on both sides"


def test_all_missing_on_one_side_drifts_by_its_missing_values() -> None:
    """Though there are too few values to compare."""
    finding = one(NORMAL, [None] * 500)
    assert finding.verdict is Verdict.DRIFT
    assert finding.reason.startswith("missing 0% -> 100%")


def test_infinities_are_a_test_of_their_own() -> None:
    """They are neither missing nor part of the distribution."""
    finding = one(NORMAL, np.where(np.arange(500) < 50, np.inf, NORMAL))
    assert finding.verdict is Verdict.DRIFT
    assert (finding.reference_infinite, finding.current_infinite) == (0.0, 0.1)
    assert finding.current_size == 450
    assert "infinite 0% -> 10%" in finding.reason


def test_booleans_are_categories() -> None:
    """They have the categories true and false."""
    finding = one([True, False] * 200, [True, True, True, False] * 100)
    assert (finding.measure, finding.verdict) == ("categorical", Verdict.DRIFT)


def test_whole_numbers_with_few_different_values_are_categories_on_both_sides() -> None:
    """At most ten together; one more and they are numbers, on both sides again."""
    ten, eleven = list(range(10)) * 20, list(range(11)) * 20
    assert one(ten, ten).measure == "categorical"
    assert one(ten, [float(i) for i in ten]).measure == "categorical"
    assert one(ten, eleven).measure == "numeric"
    assert one(eleven, ten).measure == "numeric"
    assert one([i / 2 for i in ten], ten).measure == "numeric"


def test_moments_are_compared_only_when_they_are_data() -> None:
    """A later window has later time stamps; a birthday is a feature."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    before = [start + timedelta(hours=i) for i in range(200)]
    after = [moment + timedelta(days=30) for moment in before]
    assert one(before, after).verdict is Verdict.NOT_COMPARED
    finding = one(before, after, roles={"x": "feature"})
    assert finding.verdict is Verdict.DRIFT
    assert finding.wasserstein == pytest.approx(30 * 86_400)


def test_durations_are_numbers() -> None:
    """In seconds."""
    before = [timedelta(seconds=i) for i in range(200)]
    finding = one(before, [value + timedelta(seconds=100) for value in before])
    assert finding.wasserstein == pytest.approx(100.0)


def test_lists_are_not_compared() -> None:
    """They have no distribution."""
    assert one([[1, 2]] * 50, [[3]] * 50).verdict is Verdict.NOT_COMPARED


def test_unequal_sizes_find_what_equal_sizes_find() -> None:
    """A window of a few hundred rows against a large reference."""
    random = np.random.default_rng(11)
    reference = random.choice(["a", "b"], 100_000)
    assert one(reference, ["a"] * 270 + ["b"] * 30).verdict is Verdict.DRIFT
    assert one(random.normal(0, 1, 100_000), random.normal(1, 1, 300)).verdict is Verdict.DRIFT


def test_values_at_the_ends_of_the_doubles_have_an_answer() -> None:
    """Nothing overflows into an exception."""
    huge = np.linspace(-1.0, 1.0, 100) * 1.7e308
    assert one(huge, huge).verdict is Verdict.NO_DRIFT
    assert one(huge, np.full(100, 1.7e308)).verdict is Verdict.DRIFT


def test_the_adjustment_is_over_all_tests_of_all_columns() -> None:
    """Values and missing values of every column are one family."""
    random = np.random.default_rng(3)
    frames = [
        {f"x{i}": np.where(random.random(200) < 0.1, np.nan, random.normal(size=200)) for i in range(4)}
        for _ in range(2)
    ]
    report = drift.compare(*frames)
    raw = [p for f in report.columns for p in (f.p_value, f.missing_p_value)]
    adjusted = [p for f in report.columns for p in (f.adjusted_p_value, f.missing_adjusted_p_value)]
    assert None not in raw
    np.testing.assert_allclose(adjusted, stats.false_discovery_control(raw))  # type: ignore[arg-type]


def test_a_threshold_can_be_set_and_switched_off() -> None:
    """Which effect matters is the user's to say."""
    off = Thresholds(ks=None, wasserstein_per_sd=None, psi=None, jensen_shannon=None)
    assert one(NORMAL, NORMAL + 1, thresholds=off).verdict is Verdict.NO_DRIFT
    assert one(NORMAL, NORMAL + 0.1, thresholds=Thresholds(ks=0.0)).verdict is Verdict.DRIFT


def test_pandas_polars_and_arrow_are_the_same() -> None:
    """Whichever library holds the data."""
    values = {"x": NORMAL.tolist(), "c": ["a", None] * 250}
    sides = [pd.DataFrame(values), pl.DataFrame(values), pa.table(values), pa.RecordBatch.from_pydict(values), values]
    found = [drift.compare(side, pa.table({"x": NORMAL + 1, "c": ["b"] * 500})) for side in sides]
    assert {(report.verdict, report.columns[0].statistic, report.columns[1].statistic) for report in found} == {
        (Verdict.DRIFT, found[0].columns[0].statistic, found[0].columns[1].statistic)
    }


def test_an_object_column_of_this_and_that_is_text() -> None:
    """As nothing else can hold it."""
    frame = pd.DataFrame({"x": [1, "two", None, 3.5] * 10})
    finding = drift.compare(frame, frame).columns[0]
    assert (finding.measure, finding.reference_missing) == ("categorical", 0.25)


def test_the_report_is_a_table() -> None:
    """One row a column, the same schema whatever was found."""
    report = drift.compare({"x": NORMAL, "gone": NORMAL}, {"x": NORMAL + 1})
    table = report.to_arrow()
    assert table.schema == drift.COLUMNS
    assert table.column("verdict").to_pylist() == ["drift", "drift"]
    assert list(report.to_pandas()["column"]) == ["x", "gone"]


def test_data_without_a_column_in_common_is_bad_input() -> None:
    """Everything missing and everything new is more likely a mistake."""
    with pytest.raises(DriftInputError, match="no column in common: 'a' against 'b'"):
        drift.compare({"a": [1]}, {"b": [1]})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": ["nope"]}, "Column 'nope' is on neither side"),
        ({"exclude": ["nope"]}, "Column 'nope' is on neither side"),
        ({"alpha": 5}, "alpha 5 is no probability"),
        ({"thresholds": Thresholds(minimum=0)}, "minimum 0 is no number"),
    ],
)
def test_options_that_make_no_sense_are_bad_input(options: dict[str, object], words: str) -> None:
    """In one line that names the value."""
    with pytest.raises(DriftInputError, match=words):
        drift.compare({"x": NORMAL}, {"x": NORMAL}, **options)  # type: ignore[arg-type]


def test_what_is_no_data_is_bad_input() -> None:
    """A list of numbers has no columns."""
    with pytest.raises(DriftInputError, match="Cannot compare a list"):
        drift.compare([1, 2, 3], {"x": NORMAL})


def test_two_columns_of_one_name_are_bad_input() -> None:
    """Which of the two would it be?"""
    frame = pd.DataFrame([[1, 2]], columns=["x", "x"])
    with pytest.raises(DriftInputError, match="two columns named 'x'"):
        drift.compare(frame, frame)
