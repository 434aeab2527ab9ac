"""`trailhouse drift` on files: exit codes, formats, and one line for what is wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from trailhouse_analytics.drift import FILE_SUFFIXES
from trailhouse_cli.commands.drift import parse_side
from trailhouse_cli.errors import BadInputError
from trailhouse_cli.main import main

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def sides(tmp_path: Path) -> tuple[str, str]:
    """A reference and a shifted window of two columns, as a CSV and a Parquet file."""
    random = np.random.default_rng(21)
    before = pd.DataFrame({"width": random.normal(3, 0.5, 300), "code": random.choice(["01", "02"], 300)})
    after = before.assign(width=before["width"] - 0.4)
    before.to_csv(tmp_path / "before.csv", index=False)
    after.to_parquet(tmp_path / "after.parquet")
    return str(tmp_path / "before.csv"), str(tmp_path / "after.parquet")


def run(*arguments: str) -> int:
    """Run the command and return its exit code."""
    with pytest.raises(SystemExit) as caught:
        main(["drift", *arguments])
    return int(caught.value.code or 0)


def test_drift_exits_with_1_and_says_why(sides: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """The verdict, a table, and the reasons; text that a CSV shows as numbers is believed to be text."""
    assert run("--reference", sides[0], "--current", sides[1]) == 1
    out = capsys.readouterr().out
    assert "verdict: drift" in out
    assert "* width: KS " in out
    assert "type changed" not in out


def test_no_drift_exits_with_0(sides: tuple[str, str]) -> None:
    """A file against itself."""
    assert run("-r", sides[1], "-c", sides[1]) == 0


def test_cannot_tell_exits_with_3(sides: tuple[str, str]) -> None:
    """Too few values for the minimum that was asked for."""
    assert run("-r", sides[0], "-c", sides[1], "--minimum", "1000") == 3


@pytest.mark.parametrize("format_", ["json", "csv", "parquet", "html"])
def test_every_format_says_the_same(sides: tuple[str, str], tmp_path: Path, format_: str) -> None:
    """Written to a file; the exit code stays."""
    out = tmp_path / f"report.{format_}"
    assert run("-r", sides[0], "-c", sides[1], "--format", format_, "--output", str(out)) == 1
    if format_ == "json":
        report = json.loads(out.read_text("utf-8"))
        assert report["verdict"] == "drift"
        assert [row["verdict"] for row in report["sections"]["columns"]] == ["drift", "no drift"]
        assert report["notes"][0].startswith("width: KS ")
    elif format_ == "parquet":
        assert pq.read_table(out).column("column").to_pylist() == ["width", "code"]
    else:
        assert "width" in out.read_text("utf-8")


def test_columns_roles_and_thresholds_can_be_chosen(sides: tuple[str, str]) -> None:
    """Each changes the verdict."""
    both = ("-r", sides[0], "-c", sides[1])
    off = [f"--threshold={name}=off" for name in ("ks", "psi", "jensen_shannon", "wasserstein_per_sd")]
    assert run(*both, "--column", "code") == 0
    assert run(*both, "--exclude", "width") == 0
    assert run(*both, "--role", "width=id") == 0
    assert run(*both, *off) == 0
    assert run(*both, *off[:-1], "--threshold", "wasserstein_per_sd=0.5") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-r", "no.csv", "-c", "no.csv"], "File no.csv does not exist"),
        (["-r", "{0}", "-c", "{0}", "--alpha", "2"], "alpha 2.0 is no probability"),
        (["-r", "{0}", "-c", "{0}", "--threshold", "size=1"], "'size' is no effect"),
        (["-r", "{0}", "-c", "{0}", "--threshold", "psi=much"], "'much' is no size"),
        (["-r", "{0}", "-c", "{0}", "--role", "width"], "--role 'width' is not of the form"),
        (["-r", "{0}", "-c", "{0}", "--column", "height"], "Column 'height' is on neither side"),
        (["-r", "{0}"], "Missing option '--current'"),
        (["-r", "ns/d@monday..tuesday", "-c", "{0}"], "'monday' is no moment"),
        (["-r", "ns/d@2026-02-01..2026-01-01", "-c", "{0}"], "ends before it begins"),
        (["-r", "ns/d@1", "-c", "{0}", "--warehouse", "chdb:///nowhere/at/all"], "is not there"),
        (["-r", "@", "-c", "{0}"], "is neither a file nor DATASET"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    sides: tuple[str, str], capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """No traceback; the line names the value."""
    assert run(*(argument.format(*sides) for argument in arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ns/d", {"dataset_id": "ns/d", "version": "", "split": None}),
        ("ns/d@1.2", {"dataset_id": "ns/d", "version": "1.2", "split": None}),
        ("ns/d:train", {"dataset_id": "ns/d", "version": "", "split": "train"}),
        ("ns/d@1.2:train", {"dataset_id": "ns/d", "version": "1.2", "split": "train"}),
        ("pg://db:5432/d@1", {"dataset_id": "pg://db:5432/d", "version": "1", "split": None}),
        ("ns/d@sha256:0123", {"dataset_id": "ns/d", "version": "sha256:0123", "split": None}),
        (
            "ns/d@2026-05-01..2026-05-31T12:30:00:test",
            {
                "dataset_id": "ns/d",
                "window": (datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 31, 12, 30, tzinfo=UTC)),
                "split": "test",
            },
        ),
        (
            "ns/d@today..now",
            {"dataset_id": "ns/d", "window": (datetime(2026, 6, 1, tzinfo=UTC), NOW), "split": None},
        ),
    ],
)
def test_a_dataset_is_named_with_its_version_window_and_split(text: str, expected: dict[str, object]) -> None:
    """DATASET, DATASET@VERSION, DATASET@START..END, each with :SPLIT."""
    assert parse_side(text, NOW) == expected


@pytest.mark.parametrize("text", [*(f"data{suffix}" for suffix in FILE_SUFFIXES), "./data", "/tmp/data"])  # noqa: S108
def test_what_looks_like_a_file_is_one_though_it_is_not_there(text: str) -> None:
    """So that the error is about the file."""
    assert parse_side(text, NOW) == Path(text)


def test_a_window_with_one_end_is_refused() -> None:
    """Both ends are needed."""
    with pytest.raises(BadInputError, match="is no moment"):
        parse_side("ns/d@2026-01-01..", NOW)
