"""The collector without any server: spools into the warehouse, in one process."""

from __future__ import annotations

import threading
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from collected import heartbeat, identities, metrics, new_producer_id, spooled
from trailhouse_cli.servers.process import free_port
from trailhouse_consumer.service import collect
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_schemas.settings import Settings
from trailhouse_schemas.spool import Spool, SpooledEvent, spool_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers.warehouses import Warehouse
    from trailhouse_consumer.collector import Summary

PATIENCE_SECONDS = 60


@pytest.fixture
def run(warehouse: Warehouse, tmp_path: Path) -> Callable[..., Summary]:
    """Collects what lies under the test's directory."""

    def until_idle(**how: Any) -> Summary:
        where = Settings.read(home=str(tmp_path), kafka="", warehouse=warehouse.url)
        return collect(
            where, CollectorSettings.read(**{"flush_seconds": 0, "idle_seconds": 0.1} | how), until_idle=True
        )

    return until_idle


def test_spools_are_landed_by_type_and_leave(run: Callable[..., Summary], warehouse: Warehouse, tmp_path: Path) -> None:
    """Two producers, two types; the owner of the file is who published them; finished spools are gone."""
    first, second = new_producer_id(), new_producer_id()
    for producer_id in (first, second):
        values = [
            ("heartbeat_sent", heartbeat(producer_id, i)) if i % 5 == 0 else ("metrics_logged", metrics(producer_id, i))
            for i in range(50)
        ]
        spooled(tmp_path / "spool", values, producer_id)
    done = run(flush_rows=7)
    assert (done.messages, done.dead_letters) == (100, 0)
    both = sorted((p, i) for p in (first, second) for i in range(50))
    assert identities(warehouse.client, "heartbeat_sent") == [(p, i) for p, i in both if i % 5 == 0]
    assert identities(warehouse.client, "metrics_logged") == [(p, i) for p, i in both if i % 5]
    places = warehouse.client.query("SELECT DISTINCT _topic_id, _partition, _principal_source FROM metrics_logged")
    assert sorted(places.result_rows) == sorted((f"spool:{p}", -1, "spool_owner") for p in (first, second))
    assert spool_files(tmp_path / "spool") == []
    assert run().messages == 0


def test_a_spool_that_is_retained_keeps_its_events_and_is_landed_once(
    run: Callable[..., Summary], warehouse: Warehouse, tmp_path: Path
) -> None:
    """Control facts stay where they were made; what is added later is landed later."""
    producer_id = new_producer_id()
    now_us = time.time_ns() // 1000
    with Spool.create(tmp_path / "control", producer_id, retained=True) as spool:
        for count in (3, 5):
            begin = (spool.last_sequence() if spool.last_sequence() is not None else -1) + 1  # type: ignore[operator]
            spool.append(
                [
                    SpooledEvent(i, "heartbeat_sent", producer_id, now_us, heartbeat(producer_id, i))
                    for i in range(begin, begin + count)
                ]
            )
            assert run().messages == count
        assert len(spool.read()) == 8
    assert identities(warehouse.client, "heartbeat_sent") == [(producer_id, i) for i in range(8)]


def test_a_spool_that_somebody_else_drains_is_left_alone(
    run: Callable[..., Summary], warehouse: Warehouse, tmp_path: Path
) -> None:
    """And a file that is no spool stops nobody."""
    drained, free = spooled(tmp_path / "spool", [("heartbeat_sent", b"x")]), new_producer_id()
    spooled(tmp_path / "spool", [("heartbeat_sent", heartbeat(free, 0))], free)
    (tmp_path / "spool" / "junk.spool").write_bytes(b"this is no database" * 100)
    with Spool.open(tmp_path / "spool" / f"{drained}.spool") as spool:
        assert spool.drainer_lock.acquire()
        assert run().messages == 1
    assert identities(warehouse.client, "heartbeat_sent") == [(free, 0)]
    assert run().dead_letters == 1


def test_events_that_a_forwarder_has_begun_to_publish_are_left_to_it(
    run: Callable[..., Summary], warehouse: Warehouse, tmp_path: Path
) -> None:
    """The broker may have them already; those before them, and those of other types, are landed."""
    producer_id = new_producer_id()
    values = [("metrics_logged", metrics(producer_id, i)) for i in range(9)]
    spooled(tmp_path / "spool", [*values, ("heartbeat_sent", heartbeat(producer_id, 9))], producer_id)
    file = tmp_path / "spool" / f"{producer_id}.spool"
    with Spool.open(file) as spool:
        spool.choose_partitions([(i, 1) for i in range(2, 5)])
    for messages in (3, 0):
        with capture_logs() as logs:
            assert run().messages == messages
        said = [log["reason"] for log in logs if log["event"] == "spool left alone"]
        assert len(said) == 1
        assert "run 'trailhouse forward'" in said[0]
    assert identities(warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(2)]
    assert identities(warehouse.client, "heartbeat_sent") == [(producer_id, 9)]
    with Spool.open(file) as spool:
        assert [event.sequence for event in spool.read()] == list(range(2, 9))
        spool.delete([2, 3, 4])
    assert run().messages == 4


def spoil(spool: Path, begin: int, end: int) -> None:
    """Overwrite pages of a spool."""
    pages = spool.read_bytes()
    spool.write_bytes(pages[: begin * 4096] + b"\xff" * 4096 * (end - begin) + pages[end * 4096 :])


@pytest.mark.parametrize("damage", ["all but the first pages", "values", "no producer", "no rights", "a directory"])
def test_a_damaged_spool_is_left_out_and_the_others_are_landed(
    damage: str, run: Callable[..., Summary], warehouse: Warehouse, tmp_path: Path
) -> None:
    """It is said once; and it is as it was."""
    directory = tmp_path / "spool"
    bad = "0-bad" if damage == "no producer" else f"00000000{new_producer_id()[8:]}"
    spooled(directory, [("metrics_logged", metrics(new_producer_id(), i, 20)) for i in range(300)], bad)
    file = directory / f"{bad}.spool"
    pages = file.stat().st_size // 4096
    if damage == "all but the first pages":
        spoil(file, 2, pages)
    elif damage == "values":
        spoil(file, pages // 2, pages // 2 + 3)
    elif damage == "no rights":
        file.with_name(file.name + ".drainer").mkdir()
    elif damage == "a directory":
        file.unlink()
        file.mkdir()
    good = new_producer_id()
    spooled(directory, [("metrics_logged", metrics(good, i)) for i in range(3)], good)
    with capture_logs() as logs:
        assert run().messages == 3
    assert identities(warehouse.client, "metrics_logged") == [(good, i) for i in range(3)]
    assert [str(file) in log["reason"] for log in logs if log["event"] == "spool left alone"] == [True]
    assert sum(log["event"] == "partition lost" for log in logs) <= 1
    assert spool_files(directory) == [file]


def test_what_is_spooled_while_the_collector_runs_is_landed_and_measured(warehouse: Warehouse, tmp_path: Path) -> None:
    """As a service: metrics over HTTP say what it has done."""
    port = free_port()
    producer_id = new_producer_id()
    where = Settings.read(home=str(tmp_path), kafka="", warehouse=warehouse.url)
    how = CollectorSettings.read(flush_seconds=0.1, idle_seconds=3, metrics_port=port)
    thread = threading.Thread(target=collect, args=(where, how), kwargs={"until_idle": True})
    thread.start()
    with Spool.create(tmp_path / "spool", producer_id) as spool:
        for i in range(20):
            value = metrics(producer_id, i) if i != 7 else b"junk"
            spool.append([SpooledEvent(i, "metrics_logged", producer_id, time.time_ns() // 1000, value)])
            time.sleep(0.02)
        deadline = time.monotonic() + PATIENCE_SECONDS
        said = ""
        while 'trailhouse_messages_total{topic="trailhouse.metrics_logged"} 20.0' not in said:
            assert time.monotonic() < deadline, said
            time.sleep(0.1)
            try:
                said = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
            except OSError:
                continue
    thread.join(PATIENCE_SECONDS)
    assert 'trailhouse_rows_total{topic="trailhouse.metrics_logged"} 38.0' in said
    assert 'trailhouse_dead_letters_total{reason="no_header",topic="trailhouse.metrics_logged"} 1.0' in said
    assert "trailhouse_insert_seconds_count" in said
    assert warehouse.count("metrics_logged") == 38
