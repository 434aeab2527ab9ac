"""A broker that goes away: training does not notice, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from messages import consume
from producing import decode, read_spools, start_script
from trailhouse_cli.servers.waiting import wait_until
from trailhouse_schemas.spool import spool_files

if TYPE_CHECKING:
    from servers.topics import Topics
    from trailhouse_cli.servers.kafka import KafkaServer

NAMES = ("heartbeat_sent", "metrics_logged", "run_started", "run_finished")
QUICK = {"TRAILHOUSE_SAMPLE_INTERVAL_SECONDS": "0", "TRAILHOUSE_HEARTBEAT_INTERVAL_SECONDS": "3600"}
#: Waits for a line on its standard input before each of its three parts; prints the slowest call of log of each.
TRAIN = """
    import sys, time, trailhouse
    with trailhouse.start_run(project="p") as run:
        for part in range(3):
            sys.stdin.readline()
            slowest = 0
            for step in range(part * 500, part * 500 + 500):
                began = time.perf_counter()
                run.log({"loss": float(step)}, step=step)
                slowest = max(slowest, time.perf_counter() - began)
                time.sleep(0.001)
            print(slowest, flush=True)
        run.finish(timeout=%s)
    print("trained", flush=True)
"""


def start(spool: Path, kafka: KafkaServer, timeout: float) -> subprocess.Popen[str]:
    """Start the training; the broker may be up or down."""
    process = start_script(TRAIN % timeout, spool, QUICK | {"TRAILHOUSE_KAFKA": kafka.bootstrap_servers}, stdin=True)
    assert process.stdin is not None
    assert process.stdout is not None
    return process


def part(process: subprocess.Popen[str]) -> float:
    """Let the training do its next part; return the seconds that the slowest call of log took."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def check_all_is_there(messages: list[Any]) -> None:
    """Every event is there; one that is there twice is there twice in one partition."""
    places: dict[int, set[tuple[str, int]]] = {}
    points: dict[int, list[float]] = {}
    finished = []
    for message in messages:
        event = decode(message.value())
        places.setdefault(event["sequence"], set()).add((message.topic(), message.partition()))
        points[event["sequence"]] = [p["value"] for p in event.get("points", [])]
        if event.get("phase") == "finished":
            finished.append(event["events_emitted"])
    assert sorted(places) == list(range(len(places)))
    assert all(len(where) == 1 for where in places.values())
    assert [v for sequence in sorted(points) for v in points[sequence]] == [float(step) for step in range(1_500)]
    assert set(finished) == {len(places)}


def test_a_broker_that_has_lost_what_it_knew_of_the_producer_costs_nothing(
    kafka: KafkaServer, topics: Topics, tmp_path: Path
) -> None:
    """Topics are made anew between two parts: their logs know no producer, and the next number is not the first."""
    topics.create_catalogue()
    process = start(tmp_path, kafka, timeout=60)
    part(process)
    assert wait_until(lambda: spool_files(tmp_path) != [] and read_spools(tmp_path) == [], seconds=60)
    before = consume(kafka, NAMES)
    topics.create_catalogue()
    part(process)
    part(process)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    after = consume(kafka, NAMES)
    assert before
    assert after
    check_all_is_there([*before, *after])
    assert spool_files(tmp_path) == []


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_broker_that_is_away_for_a_while_costs_nothing(
    kafka: KafkaServer, topics: Topics, tmp_path: Path, end: str
) -> None:
    """Stopped or killed in the middle of a run and started again: the run ends with an empty spool."""
    topics.create_catalogue()
    process = start(tmp_path, kafka, timeout=60)
    slowest = [part(process)]
    getattr(kafka, end)()
    slowest.append(part(process))
    kafka.start()
    slowest.append(part(process))
    assert process.stdout is not None
    assert process.stdout.read() == "trained\n"
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err.count("cannot take events now") <= 1
    check_all_is_there(consume(kafka, NAMES))
    assert spool_files(tmp_path) == []
    assert max(slowest) < 1


def test_a_broker_that_stays_away_delays_the_end_by_the_time_out_at_most(
    kafka: KafkaServer, topics: Topics, tmp_path: Path
) -> None:
    """The end says how much is left; `trailhouse forward` publishes it when the broker is back."""
    topics.create_catalogue()
    process = start(tmp_path, kafka, timeout=2)
    part(process)
    kafka.stop()
    part(process)
    part(process)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 15
    assert process.returncode == 0
    left = read_spools(tmp_path)
    assert left
    assert f"{len(left)} events are still in {tmp_path}" in err
    assert err.count("cannot take events now") == 1
    kafka.start()
    done = subprocess.run(
        [
            Path(sys.executable).with_name("trailhouse"),
            *("forward", "--kafka", kafka.bootstrap_servers, "--spool", tmp_path, "--until-empty", "--timeout", "60"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    check_all_is_there(consume(kafka, NAMES))
    assert spool_files(tmp_path) == []
