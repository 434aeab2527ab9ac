"""Real processes and a real broker: who sends a spool sends it alone, and what is refused stands in nobody's way."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from messages import consume
from producing import accounted, command, run_script, start_script
from trailhouse_schemas.spool import spool_files
from trailhouse_schemas.wire import IDENTITY_HEADER, identity_from_bytes

if TYPE_CHECKING:
    from servers.topics import Topics
    from servers.warehouses import Warehouse
    from trailhouse_cli.servers.kafka import KafkaServer

QUICK = {"TRAILHOUSE_SAMPLE_INTERVAL_SECONDS": "0"}
NAMES = ("heartbeat_sent", "metrics_logged", "run_started", "run_finished")


@pytest.mark.kafka
def test_a_process_and_two_services_of_its_node_send_each_event_once(
    kafka: KafkaServer, topics: Topics, tmp_path: Path
) -> None:
    """All three look at the same spools all the time; the lock decides who sends, and nobody sends what was sent."""
    topics.create_catalogue()
    train = """
        import time, trailhouse
        with trailhouse.start_run(project="p") as run:
            for step in range(2_000):
                run.log({"loss": float(step)}, step=step)
                time.sleep(0.001)
    """
    environment = QUICK | {"TRAILHOUSE_KAFKA": kafka.bootstrap_servers, "TRAILHOUSE_FLUSH_INTERVAL_SECONDS": "0.01"}
    services = [
        subprocess.Popen(
            [
                Path(sys.executable).with_name("trailhouse"),
                *("forward", "--kafka", kafka.bootstrap_servers, "--spool", str(tmp_path)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        trainings = [start_script(train, tmp_path, environment) for _ in range(2)]
        for training in trainings:
            _, err = training.communicate(timeout=90)
            assert (training.returncode, err) == (0, "")
        until = time.monotonic() + 30
        while spool_files(tmp_path) and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        for service in services:
            service.terminate()
            service.communicate()
    said = [identity_from_bytes(dict(m.headers())[IDENTITY_HEADER]) for m in consume(kafka, NAMES)]
    by_producer: dict[str, list[int]] = {}
    for each in said:
        by_producer.setdefault(each.producer_id, []).append(each.sequence)
    assert len(by_producer) == 2
    for sequences in by_producer.values():
        assert Counter(sequences) == Counter(range(len(sequences)))


@pytest.mark.kafka
def test_what_is_refused_for_good_is_kept_counted_and_shown_and_its_neighbours_arrive(
    kafka: KafkaServer, topics: Topics, server_warehouse: Warehouse, tmp_path: Path
) -> None:
    """Parameters that are too large for the broker, and an event of a year to come, which the collector keeps aside."""
    topics.create_catalogue()
    spool = tmp_path / "spool"
    train = """
        import random, trailhouse
        from datetime import UTC, datetime
        from trailhouse_schemas.events import ParametersLogged
        with trailhouse.start_run(project="p") as run:
            for step in range(100):
                run.log({"loss": float(step)}, step=step)
            run.emit(ParametersLogged, parameters={"noise": random.Random(1).randbytes(2 << 20).hex()})
            run.emit(ParametersLogged, parameters={"a": "1"}, occurred_at=datetime(2250, 1, 1, tzinfo=UTC))
            for step in range(100, 200):
                run.log({"loss": float(step)}, step=step)
    """
    done = run_script(train, spool, QUICK | {"TRAILHOUSE_KAFKA": kafka.bootstrap_servers})
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("for good") == 1
    listed = command(spool, "spool", "list", "-f", "json")
    (row,) = json.loads(listed.stdout)["sections"]["spools"]
    assert (row["process"], row["waiting"], row["refused"]) == ("finished", 0, 1)
    checked = command(spool, "spool", "verify", "-f", "json")
    (finding,) = json.loads(checked.stdout)["sections"]["findings"]
    assert (checked.returncode, finding["kind"]) == (1, "refused")
    assert "MSG_SIZE_TOO_LARGE" in finding["detail"]
    report = accounted(spool, server_warehouse, kafka=kafka.bootstrap_servers)
    (account,) = report["sections"]["producers"]
    assert (account["refused"], account["dead_letters"]) == (1, 1)
    assert (account["lost"], account["doubled"], account["waiting"]) == (0, 0, 0)
    points = "SELECT count(), uniqExact(step) FROM metrics_logged"
    assert server_warehouse.client.query(points).first_row == (200, 200)


def test_the_end_waits_no_longer_than_its_time_out_for_a_broker_that_never_answers(tmp_path: Path) -> None:
    """One that takes the connection and says nothing, as a broker that hangs does; what is left is said, and kept."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        train = """
            import time, trailhouse
            run = trailhouse.start_run(project="p")
            for step in range(100):
                run.log({"loss": float(step)}, step=step)
            time.sleep(0.5)
            began = time.monotonic()
            run.finish(timeout=1)
            print(time.monotonic() - began)
        """
        kafka = f"127.0.0.1:{silent.getsockname()[1]}"
        done = run_script(train, tmp_path / "spool", QUICK | {"TRAILHOUSE_KAFKA": kafka})
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 10
    (row,) = json.loads(command(tmp_path / "spool", "spool", "list", "-f", "json").stdout)["sections"]["spools"]
    assert (row["process"], row["waiting"]) == ("finished", 5)
    assert f"5 events are still in {tmp_path / 'spool'}" in done.stderr
