"""A process that died without a word is found dead by whoever takes up its spool, and `trailhouse verify` says when."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uuid_utils

from collected import heartbeat
from messages import consume
from producing import accounted, command, decode, read_spools, run_script, start_script
from trailhouse.forwarder import Forwarder
from trailhouse.forwarding import forward_paths
from trailhouse.publisher import Publisher
from trailhouse_schemas.settings import Settings
from trailhouse_schemas.spool import Spool, SpooledEvent, spool_files

if TYPE_CHECKING:
    from servers.topics import Topics
    from trailhouse_cli.servers.kafka import KafkaServer

QUICK = {"TRAILHOUSE_SAMPLE_INTERVAL_SECONDS": "0"}
NAMES = ("heartbeat_sent", "metrics_logged", "run_started", "run_finished")
#: Says its producer's id once it has logged, and goes on without end.
TRAIN = """
    import time, trailhouse
    run = trailhouse.start_run(project="p")
    run.log({"loss": 1.0}, step=0)
    print(run.producer_id, flush=True)
    while True:
        run.log({"loss": 1.0}, step=1)
        time.sleep(0.01)
"""


def killed(spool: Path, environment: dict[str, str] | None = None, *, seconds: float = 1.0) -> str:
    """Run a training, kill it when it has logged for a while, and return its producer."""
    process = start_script(TRAIN, spool, QUICK | (environment or {}))
    assert process.stdout is not None
    producer_id = process.stdout.readline().strip()
    time.sleep(seconds)
    process.kill()
    process.communicate()
    return producer_id


def deaths(messages: list[Any]) -> Counter[str]:
    """Count how often each producer was said to be dead."""
    said = [decode(m.value()) for m in messages if m.topic() == "trailhouse.heartbeat_sent"]
    return Counter(e["subject_producer_id"] for e in said if e["phase"] == "found_dead")


def end_of(report: dict[str, Any], producer_id: str) -> dict[str, Any]:
    """Return the account of one producer."""
    (account,) = (row for row in report["sections"]["producers"] if row["producer_id"] == producer_id)
    return dict(account)


def test_the_collector_finds_the_dead_and_verify_says_when(tmp_path: Path) -> None:
    """Not overdue in half a minute: dead, at once. Who finished is not."""
    spool = tmp_path / "spool"
    dead = killed(spool)
    run_script("import trailhouse\nwith trailhouse.start_run(project='p') as run:\n    run.log({'a': 1})", spool, QUICK)
    (lives,) = {e.producer_id for e in read_spools(spool)} - {dead}
    report = accounted(spool)
    found = end_of(report, dead)
    assert (found["end"], found["verdict"], found["lost"]) == ("found dead", "complete", 0)
    assert found["reason"].startswith(f"found dead at {found['found_dead_at'][:10]}")
    said_at = datetime.fromisoformat(found["found_dead_at"])
    assert timedelta(0) < datetime.now(UTC) - said_at < timedelta(minutes=5)
    assert (end_of(report, lives)["end"], end_of(report, lives)["found_dead_at"]) == ("finished", None)
    assert [row["verdict"] for row in report["sections"]["producers"]].count("complete") == 2
    assert accounted(spool)["sections"]["producers"] == report["sections"]["producers"]
    assert spool_files(spool) == []


@pytest.mark.kafka
def test_two_services_of_a_node_and_their_successors_say_it_once(
    kafka: KafkaServer, topics: Topics, tmp_path: Path
) -> None:
    """Each dead process once, though one had published all it had by itself; the living and the finished never."""
    topics.create_catalogue(NAMES)
    spool = tmp_path / "spool"
    dead = [killed(spool), killed(spool), killed(spool, {"TRAILHOUSE_KAFKA": kafka.bootstrap_servers}, seconds=3)]
    run_script("import trailhouse\nwith trailhouse.start_run(project='p') as run:\n    run.log({'a': 1})", spool, QUICK)
    lives = start_script(TRAIN, spool, QUICK)
    try:
        assert lives.stdout is not None
        lives.stdout.readline()
        services = [
            subprocess.Popen(
                [
                    Path(sys.executable).with_name("trailhouse"),
                    *("forward", "--kafka", kafka.bootstrap_servers, "--spool", str(spool)),
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        try:
            until = time.monotonic() + 60
            while sorted(file.name for file in spool_files(spool))[1:] and time.monotonic() < until:
                time.sleep(0.1)
        finally:
            for service in services:
                service.kill()
                service.communicate()
        done = command(spool, "forward", "--kafka", kafka.bootstrap_servers, "--once")
        assert done.returncode == 0, done.stderr
        assert deaths(consume(kafka, NAMES)) == Counter(dead)
    finally:
        lives.kill()
        lives.communicate()
    done = command(spool, "spool", "forward", "--kafka", kafka.bootstrap_servers)
    assert (done.returncode, spool_files(spool)) == (0, [])
    assert sorted(deaths(consume(kafka, NAMES)).values()) == [1, 1, 1, 1]


@pytest.mark.kafka
def test_a_spool_that_stays_for_what_was_refused_says_its_death_no_second_time(
    kafka: KafkaServer, topics: Topics, tmp_path: Path
) -> None:
    """The mark is in the spool; and one that had finished is not taken for dead when its last word has left it."""
    topics.create_catalogue(NAMES)
    spool = tmp_path / "spool"
    dead = killed(spool)
    run_script("import trailhouse\nwith trailhouse.start_run(project='p') as run:\n    run.log({'a': 1})", spool, QUICK)
    for path in spool_files(spool):
        with Spool.open(path) as opened:
            (first,) = opened.read("metrics_logged", limit_events=1)
            opened.refuse(first.sequence, "made up by this test")
    for _ in range(3):
        assert command(spool, "forward", "--kafka", kafka.bootstrap_servers, "--once").returncode == 0
    assert deaths(consume(kafka, NAMES)) == Counter([dead])
    assert len(spool_files(spool)) == 2


@pytest.mark.kafka
def test_a_process_that_dies_while_its_spool_is_emptied_is_found_dead(
    kafka: KafkaServer, topics: Topics, tmp_path: Path
) -> None:
    """It lived when its spool was taken up, and the spool is empty and removed before anybody looks again."""
    topics.create_catalogue(NAMES)
    me = str(uuid_utils.uuid7())
    writer = Spool.create(tmp_path, me)
    writer.append([SpooledEvent(0, "heartbeat_sent", me, 1, heartbeat(me, 0, phase="started"))])
    asked = 0

    def dies_soon() -> bool:
        nonlocal asked
        asked += 1
        if asked == 2:
            writer.close()
        return False

    forwarder = Forwarder(Publisher(Settings(kafka=kafka.bootstrap_servers)))
    left = forward_paths([writer.path], forwarder, should_stop=dies_soon, on_forwarded=lambda _path, _count: None)
    assert (left, spool_files(tmp_path)) == (0, [])
    assert deaths(consume(kafka, NAMES)) == Counter([me])
