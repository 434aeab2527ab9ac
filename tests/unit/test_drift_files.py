"""Files as sides of a comparison: read within bounds, or refused in one line."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from trailhouse_analytics import drift
from trailhouse_analytics.drift import CategoryCounts, NumericSample, Verdict, files
from trailhouse_analytics.drift.accumulate import ColumnAccumulator
from trailhouse_analytics.errors import DriftInputError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def frame() -> pd.DataFrame:
    """Numbers, text, flags and missing values."""
    random = np.random.default_rng(8)
    return pd.DataFrame(
        {
            "x": np.where(random.random(2000) < 0.1, np.nan, random.normal(size=2000)),
            "n": random.integers(0, 1000, 2000),
            "c": np.array(["red", "green", None])[random.integers(0, 3, 2000)],
            "b": random.random(2000) < 0.3,
        }
    )


def test_csv_parquet_and_frame_of_the_same_data_do_not_differ(frame: pd.DataFrame, tmp_path: Path) -> None:
    """Every figure is the same, whichever way the data came."""
    frame.to_csv(tmp_path / "data.csv", index=False)
    frame.to_csv(tmp_path / "data.csv.gz", index=False)
    frame.to_csv(tmp_path / "data.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "data.parquet")
    for name in ("data.csv", "data.csv.gz", "data.tsv", "data.parquet"):
        report = drift.compare(frame, drift.from_file(tmp_path / name))
        assert report.verdict is Verdict.NO_DRIFT, name
        assert [finding.statistic for finding in report.columns] == [0.0] * 4
        assert [f.current_missing for f in report.columns] == [f.reference_missing for f in report.columns]


def test_a_csv_whose_first_block_misleads_about_its_types_is_read_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole numbers that turn into decimals, nothing that turns into text, numbers that turn into text."""
    monkeypatch.setattr(files, "_BLOCK_BYTES", 1000)
    lines = ["i,empty,mixed,day"] + ["7,,3,2026-01-01"] * 500 + ["7.5,late,three,2026-01-01T12:00:00.25"] * 40
    path = tmp_path / "data.csv"
    path.write_text("\n".join(lines), "utf-8")
    columns = drift.from_file(path).columns
    assert {name: column.type for name, column in columns.items()} == {
        "i": "double",
        "empty": "string",
        "mixed": "string",
        "day": "timestamp[ns]",
    }
    assert columns["empty"].nulls == 500
    assert columns["mixed"].content == CategoryCounts(counts={"3": 500, "three": 40}, distinct=2)


def test_a_column_of_a_csv_can_be_said_to_be_text(tmp_path: Path) -> None:
    """Postcodes look like numbers."""
    path = tmp_path / "data.csv"
    path.write_text("code\n01234\n", "utf-8")
    assert drift.from_file(path).columns["code"].type == "int64"
    assert drift.from_file(path, text=["code", "other"]).columns["code"].content == CategoryCounts(
        counts={"01234": 1}, distinct=1
    )


def test_text_that_is_not_utf8_is_still_text(tmp_path: Path) -> None:
    """Also when only a later block shows it."""
    path = tmp_path / "data.csv"
    path.write_bytes(b"c\n" + b"plain\n" * 5 + "caf\xe9\n".encode("latin-1"))
    assert drift.from_file(path).columns["c"].content == CategoryCounts(counts={"plain": 5, "caf\\xe9": 1}, distinct=2)
    path.write_bytes(b"c\n" + b"plain\n" * 2_000_000 + "caf\xe9\n".encode("latin-1"))
    assert drift.from_file(path).rows == 2_000_001


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("data.csv", b"", "is empty"),
        ("data.csv", b"a,b\n", "has a header but no rows"),
        ("data.csv", b"\n\n\n", "is no readable CSV"),
        ("data.csv", b"a,b\n1,2\n1,2,3\n", "is no readable CSV"),
        ("data.csv", b"a,a\n1,2\n", "has two columns named 'a'"),
        ("data.csv", b"\x80\xff,b\n1,2\n", "is no readable CSV"),
        ("data.csv.gz", b"this is not gzip", "data.csv.gz"),
        ("data.parquet", b"a,b\n1,2\n", "is no Parquet file, whatever its name says"),
        ("data.parquet", b"PAR1 and then nothing", "is no readable Parquet"),
        ("data.xlsx", b"PK\x03\x04", "is of no known kind"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    """The line names the file."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DriftInputError, match=words) as caught:
        drift.from_file(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_paths_can_be_compared_as_they_are(frame: pd.DataFrame, tmp_path: Path) -> None:
    """As text or as a path."""
    frame.to_csv(tmp_path / "data.csv", index=False)
    assert drift.compare(str(tmp_path / "data.csv"), tmp_path / "data.csv").verdict is Verdict.NO_DRIFT


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Nor is a directory a file."""
    with pytest.raises(DriftInputError, match=r"no\.csv does not exist"):
        drift.from_file(tmp_path / "no.csv")
    with pytest.raises(DriftInputError, match="is not a file"):
        drift.from_file(tmp_path)


def test_a_parquet_file_without_rows_is_refused(tmp_path: Path) -> None:
    """Like a CSV that has only a header."""
    pq.write_table(pa.table({"x": pa.array([], pa.float64())}), tmp_path / "data.parquet")
    with pytest.raises(DriftInputError, match="no rows"):
        drift.from_file(tmp_path / "data.parquet")


def test_a_truncated_gzip_is_refused(tmp_path: Path) -> None:
    """As a download that broke off leaves it."""
    path = tmp_path / "data.csv.gz"
    path.write_bytes(gzip.compress(b"a\n" + b"1\n" * 1000)[:-10])
    with pytest.raises(DriftInputError, match=r"data\.csv\.gz"):
        drift.from_file(path)


def test_what_is_kept_of_a_large_column_is_a_uniform_sample_of_bounded_size() -> None:
    """50,000 values in batches; 1,000 are kept, and a Kolmogorov-Smirnov test finds nothing odd about them."""
    accumulator = ColumnAccumulator("x", pa.float64(), max_values=1000)
    values = np.linspace(0, 1, 50_000)
    for batch in np.array_split(values, 37):
        accumulator.add(pa.array(batch))
    content = accumulator.finish().content
    assert isinstance(content, NumericSample)
    assert (len(content.values), content.population, content.complete) == (1000, 50_000, False)
    assert stats.kstest(content.values, "uniform").pvalue > 1e-4


def test_how_the_rows_are_cut_into_batches_does_not_matter() -> None:
    """The same data gives the same sample."""
    values = np.random.default_rng(1).normal(size=9000)
    kept = []
    for batches in (1, 7, 500):
        accumulator = ColumnAccumulator("x", pa.float64(), max_values=100)
        for batch in np.array_split(values, batches):
            accumulator.add(pa.array(batch))
        content = accumulator.finish().content
        assert isinstance(content, NumericSample)
        kept.append(content.values.tolist())  # noqa: PD011 - no data frame
    assert kept[0] == kept[1] == kept[2]


def test_categories_beyond_the_bound_are_counted_together() -> None:
    """What is counted singly is counted exactly."""
    accumulator = ColumnAccumulator("c", pa.string(), max_categories=2)
    for batch in (["a", "b", "a"], ["c", "a", "d", None]):
        accumulator.add(pa.array(batch))
    column = accumulator.finish()
    assert column.content == CategoryCounts(counts={"a": 3, "b": 1}, other=2, distinct=4)
    assert (column.rows, column.nulls) == (7, 1)
