"""Drift of what is in the warehouse: versions and windows, splits, segments, revisions, as of a moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from rows import event, insert_events
from trailhouse.capture.profiles import profile_dataset
from trailhouse_analytics import drift
from trailhouse_analytics.drift import Verdict
from trailhouse_analytics.errors import DriftInputError
from trailhouse_cli.main import main
from trailhouse_schemas.events import DatasetProfiled

if TYPE_CHECKING:
    from servers.warehouses import Warehouse

DAY = timedelta(days=1)
START = datetime(2026, 3, 1, tzinfo=UTC)


def data(seed: int, *, rows: int = 400, shift: float = 0.0) -> pd.DataFrame:
    """A number and a category, both of which move with a shift."""
    random = np.random.default_rng(seed)
    share = 0.5 + shift / 4
    return pd.DataFrame({"x": random.normal(shift, 1, rows), "c": np.where(random.random(rows) < share, "a", "b")})


def store(warehouse: Warehouse, frame: pd.DataFrame, *, published_at: datetime = START, **options: Any) -> None:
    """Profile a frame as the dataset ns/d, and land it."""
    profiles = profile_dataset(frame, **({"dataset_id": "ns/d"} | options))
    insert_events(
        warehouse.client, [event(DatasetProfiled, **profile) for profile in profiles], published_at=published_at
    )


def windows(warehouse: Warehouse, shifts: list[float]) -> None:
    """Store one window a day from 1 March on."""
    for i, shift in enumerate(shifts):
        window = {"window_start": START + i * DAY, "window_end": START + (i + 1) * DAY}
        store(warehouse, data(100 + i, shift=shift), version=f"day {i}", **window)


def test_two_versions_are_compared(warehouse: Warehouse) -> None:
    """What was stored is what was profiled: the figures are those of the raw data."""
    before, after = data(1), data(2, shift=1)
    store(warehouse, before, version="1")
    store(warehouse, after, version="2")
    report = drift.compare(
        drift.from_warehouse(warehouse.client, "ns/d", version="1"),
        drift.from_warehouse(warehouse.client, "ns/d", version="2"),
    )
    raw = drift.compare(before, after)
    assert (report.verdict, report.reference, report.current) == (Verdict.DRIFT, "ns/d@1", "ns/d@2")
    assert [finding.p_value for finding in report.columns] == [finding.p_value for finding in raw.columns]


def test_without_a_version_the_one_published_last_is_meant(warehouse: Warehouse) -> None:
    """Not the one with the greatest name."""
    store(warehouse, data(1), version="9", published_at=START)
    store(warehouse, data(2), version="10", published_at=START + DAY)
    assert drift.from_warehouse(warehouse.client, "ns/d").label == "ns/d@10"
    assert drift.from_warehouse(warehouse.client, "ns/d", as_of=START).label == "ns/d@9"


def test_windows_within_a_stretch_are_merged(warehouse: Warehouse) -> None:
    """Begin included, end excluded, each of a version of its own; the version's profile is none of them."""
    store(warehouse, data(1, rows=2000), version="1")
    windows(warehouse, [0, 0, 1.5])
    reference = drift.from_warehouse(warehouse.client, "ns/d", version="1")
    quiet = drift.from_warehouse(warehouse.client, "ns/d", window=(START, START + 2 * DAY))
    moved = drift.from_warehouse(warehouse.client, "ns/d", window=(START + 2 * DAY, START + 3 * DAY))
    assert (quiet.rows, moved.rows) == (800, 400)
    named = drift.from_warehouse(warehouse.client, "ns/d", version="day 1", window=(START, START + 3 * DAY))
    assert named.rows == 400
    assert drift.compare(reference, quiet).verdict is Verdict.NO_DRIFT
    assert drift.compare(reference, moved).verdict is Verdict.DRIFT


def test_a_version_of_windows_alone_is_its_last_window(warehouse: Warehouse) -> None:
    """Published last, even where it overlaps an earlier one."""
    store(warehouse, data(1, rows=300), version="1")
    hour = timedelta(hours=1)
    for i, rows in enumerate((100, 150)):
        window = {"window_start": START + i * hour, "window_end": START + i * hour + DAY}
        store(warehouse, data(i, rows=rows), version="production", published_at=START + i * DAY, **window)
    side = drift.from_warehouse(warehouse.client, "ns/d", version="production")
    assert (side.rows, side.label) == (150, "ns/d@production")


def test_a_restated_window_replaces_what_was_said_before_which_stays_readable(warehouse: Warehouse) -> None:
    """The higher revision counts; as of an earlier moment the lower one does."""
    window = {"window_start": START, "window_end": START + DAY}
    store(warehouse, data(1, rows=300), published_at=START + DAY, **window)
    store(warehouse, data(1, rows=350), published_at=START + 2 * DAY, revision=1, **window)
    stretch = (START, START + DAY)
    assert drift.from_warehouse(warehouse.client, "ns/d", window=stretch).rows == 350
    earlier = drift.from_warehouse(warehouse.client, "ns/d", window=stretch, as_of=START + DAY)
    assert earlier.rows == 300


def test_shards_are_merged(warehouse: Warehouse) -> None:
    """Each landed by a rank of its own."""
    for shard in range(4):
        store(warehouse, data(shard, rows=100), version="1", shard=shard, shards=4)
    side = drift.from_warehouse(warehouse.client, "ns/d", version="1")
    assert (side.rows, side.notes) == (400, ())


def test_a_split_is_named_or_the_only_one_or_the_whole(warehouse: Warehouse) -> None:
    """With several splits and no whole one has to say which."""
    store(warehouse, data(1, rows=300), version="1", split="train")
    assert drift.from_warehouse(warehouse.client, "ns/d", version="1").label == "ns/d@1:train"
    store(warehouse, data(2, rows=100), version="1", split="test")
    with pytest.raises(DriftInputError, match="several splits, 'test', 'train'; name one"):
        drift.from_warehouse(warehouse.client, "ns/d", version="1")
    assert drift.from_warehouse(warehouse.client, "ns/d", version="1", split="test").rows == 100
    store(warehouse, data(3, rows=400), version="1")
    assert drift.from_warehouse(warehouse.client, "ns/d", version="1").rows == 400


def test_a_segment_is_named_or_the_whole(warehouse: Warehouse) -> None:
    """Whatever the order of its keys."""
    store(warehouse, data(1, rows=300), version="1")
    store(warehouse, data(2, rows=100), version="1", segment={"country": "DE", "age": "30-40"})
    store(warehouse, data(3, rows=50), version="1", segment={"name": 'O\'Neill \\ "x"'})
    assert drift.from_warehouse(warehouse.client, "ns/d").rows == 300
    segment = {"age": "30-40", "country": "DE"}
    side = drift.from_warehouse(warehouse.client, "ns/d", segment=segment)
    assert (side.rows, side.label) == (100, "ns/d@1[age=30-40,country=DE]")
    assert drift.from_warehouse(warehouse.client, "ns/d", segment={"name": 'O\'Neill \\ "x"'}).rows == 50
    with pytest.raises(DriftInputError, match="has no segment 'country=FR'"):
        drift.from_warehouse(warehouse.client, "ns/d", segment={"country": "FR"})


def test_a_digest_names_the_data(warehouse: Warehouse) -> None:
    """Of a version that was profiled twice with other data."""
    store(warehouse, data(1, rows=300), version="1", digest="sha256:1")
    store(warehouse, data(1, rows=310), version="1", digest="sha256:2")
    assert drift.from_warehouse(warehouse.client, "ns/d", digest="sha256:1").rows == 300
    assert drift.from_warehouse(warehouse.client, "ns/d").rows == 310


def test_what_is_not_there_is_said_with_what_is(warehouse: Warehouse) -> None:
    """Dataset, version, split, window."""
    windows(warehouse, [0])
    with pytest.raises(DriftInputError, match="Dataset 'ns/e' has no profiles"):
        drift.from_warehouse(warehouse.client, "ns/e")
    with pytest.raises(DriftInputError, match="profiles of windows only, 1 window from 2026-03-01"):
        drift.from_warehouse(warehouse.client, "ns/d")
    with pytest.raises(DriftInputError, match="has no window within"):
        drift.from_warehouse(warehouse.client, "ns/d", window=(START + 5 * DAY, START + 6 * DAY))
    store(warehouse, data(1), version="1")
    with pytest.raises(DriftInputError, match="has no version '7'; it has '1'"):
        drift.from_warehouse(warehouse.client, "ns/d", version="7")
    with pytest.raises(DriftInputError, match="'ns/d' has no splits; leave 'test' out"):
        drift.from_warehouse(warehouse.client, "ns/d", version="1", split="test")


def test_the_command_compares_versions_windows_and_files(
    warehouse: Warehouse, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit codes 0, 1 and 2 over the warehouse."""
    store(warehouse, data(1, rows=2000), version="1")
    windows(warehouse, [0, 1.5])
    data(7, rows=500).to_csv(tmp_path / "data.csv", index=False)

    def run(reference: str, current: str) -> int:
        with pytest.raises(SystemExit) as caught:
            main(["drift", "-r", reference, "-c", current, "--warehouse", warehouse.url])
        return int(caught.value.code or 0)

    assert run("ns/d@1", "ns/d@2026-03-01..2026-03-02") == 0
    assert run("ns/d@1", "ns/d@2026-03-02..2026-03-03") == 1
    assert run("ns/d@1", str(tmp_path / "data.csv")) == 0
    assert "Drift of" in capsys.readouterr().out
    assert run("ns/d@1", "ns/unknown@1") == 2
    assert "trailhouse: Dataset 'ns/unknown' has no profiles" in capsys.readouterr().err
