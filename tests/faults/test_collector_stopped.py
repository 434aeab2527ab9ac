"""A collector that is stopped, loses its partitions to another, and is resumed: a zombie harms nobody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from collected import identities, metrics, new_producer_id, publish
from trailhouse_consumer.service import collect
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_schemas.settings import Settings

if TYPE_CHECKING:
    from servers.topics import Topics
    from servers.warehouses import Warehouse
    from trailhouse_cli.servers.kafka import KafkaServer

DRIVER = Path(__file__).with_name("collector_driver.py")
EVENTS = 5_000


def stopped(process: int) -> bool:
    """Return whether a child of that process is stopped."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return any(Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T" for child in children)


def resume(process: int) -> None:
    """Let its children go on."""
    for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
        os.kill(int(child), signal.SIGCONT)


@pytest.mark.kafka
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
@pytest.mark.parametrize(
    ("stage", "name"),
    [("planned", ""), ("inserted", ""), ("inserted", "of-both")],
    ids=["planned", "inserted", "named"],
)
def test_a_stopped_collector_that_has_lost_its_partitions_lands_nothing_twice(
    kafka: KafkaServer,
    topics: Topics,
    server_warehouse: Warehouse,
    stage: str,
    name: str,
    protocol: str,
    tmp_path: Path,
) -> None:
    """It has stored its plan; the other one, of the same name too, finds it and lands the range; the first goes on."""
    topics.create_catalogue(["metrics_logged"])
    producer_id = new_producer_id()
    values = [(producer_id, i, metrics(producer_id, i)) for i in range(EVENTS)]
    publish(kafka.bootstrap_servers, "metrics_logged", values)
    where = {"home": str(tmp_path), "kafka": kafka.bootstrap_servers, "warehouse": server_warehouse.url}
    how = {
        "group": f"stopped-{producer_id}",
        "group_protocol": protocol,
        "group_instance_id": name,
        "session_timeout_seconds": 2,
        "flush_rows": 500,
        "flush_seconds": 0.05,
        "idle_seconds": 0.5,
        "kafka_client": {"heartbeat.interval.ms": "500"} if protocol == "classic" else {},
    }
    task = {"stage": stage, "at": 2, "kills": 1, "seed": 0, "within_seconds": 0, "signal": "SIGSTOP"}
    first = subprocess.Popen(
        [sys.executable, str(DRIVER), json.dumps(task | {"where": where, "how": how})],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 90
    while not stopped(first.pid):
        assert first.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    try:
        while server_warehouse.count("metrics_logged") < 2 * EVENTS:
            assert time.monotonic() < deadline
            collect(Settings.read(**where), CollectorSettings.read(**how), until_idle=True)
    finally:
        resume(first.pid)
    _, said = first.communicate(timeout=90)
    assert first.returncode == 0, said
    assert identities(server_warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(EVENTS)]
    assert server_warehouse.count("metrics_logged") == 2 * EVENTS
    assert server_warehouse.count("dead_letters") == 0
