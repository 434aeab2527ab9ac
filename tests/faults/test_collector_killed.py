"""A collector that is killed at any moment lands everything all the same, once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from collected import identities, metrics, new_producer_id, publish, spooled

if TYPE_CHECKING:
    from servers.topics import Topics
    from servers.warehouses import Warehouse
    from trailhouse_cli.servers.kafka import KafkaServer

DRIVER = Path(__file__).with_name("collector_driver.py")
#: Each collector gets at most two ranges landed before it dies: 45 of them are enough for all kills.
KILLS = 20
STAGES = ["planned", "inserting", "inserted"]
#: How long an insert takes at most, about: the moment of a kill is chosen within it.
INSERT_SECONDS = 0.06


def drive(task: dict[str, Any]) -> dict[str, Any]:
    """Run the driver; return its answer."""
    done = subprocess.run(
        [sys.executable, str(DRIVER), json.dumps(task)], capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert answer["last"] == 0, done.stderr[-4000:]
    return answer


COUNT = """
import json, sys
from trailhouse_schemas.warehouse import connect
client = connect(sys.argv[1])
print(json.dumps([list(row) for row in client.query(sys.argv[2]).result_rows]))
"""


def ask(url: str, question: str) -> list[list[Any]]:
    """Ask a warehouse in a process of its own: this one has another open."""
    done = subprocess.run([sys.executable, "-c", COUNT, url, question], capture_output=True, text=True, check=True)
    answer: list[list[Any]] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
def test_spools_are_landed_once_by_collectors_killed_20_times_each(
    tmp_path: Path, stage: str, pytestconfig: Any
) -> None:
    """Embedded: the engine dies with the collector, whatever it was doing."""
    producer_id, each, range_events = new_producer_id(), 18_000, 400
    spooled(
        tmp_path / "spool",
        [("metrics_logged", metrics(producer_id, i, 3)) for i in range(each)],
        producer_id,
    )
    seed = int.from_bytes(tmp_path.name.encode()[-4:])
    print("seed", seed)  # noqa: T201 - for who repeats it
    answer = drive(
        {
            "stage": stage,
            "at": 2,
            "kills": KILLS,
            "seed": seed,
            "within_seconds": INSERT_SECONDS,
            "where": {"home": str(tmp_path), "kafka": ""},
            "how": {"flush_rows": range_events, "flush_seconds": 0, "idle_seconds": 0.1},
        }
    )
    assert answer["kills"] == KILLS
    counted = ask(
        f"chdb://{tmp_path}/warehouse",
        "SELECT count(), uniqExact(sequence, ordinal), uniqExact(sequence), min(sequence), max(sequence), "
        "(SELECT count() FROM dead_letters) FROM metrics_logged",
    )
    assert counted == [[each * 3, each * 3, each, 0, each - 1, 0]]


@pytest.mark.long
@pytest.mark.kafka
@pytest.mark.parametrize("stage", STAGES)
def test_topics_are_landed_once_by_collectors_killed_20_times_each(
    kafka: KafkaServer, topics: Topics, server_warehouse: Warehouse, stage: str, tmp_path: Path
) -> None:
    """On servers: the broker keeps the plan, and the insert may go on when the collector is dead."""
    topics.create_catalogue(["metrics_logged"])
    producer_id, each, range_events = new_producer_id(), 18_000, 400
    publish(
        kafka.bootstrap_servers, "metrics_logged", [(producer_id, i, metrics(producer_id, i, 3)) for i in range(each)]
    )
    seed = int.from_bytes(producer_id.encode()[-4:])
    print("seed", seed)  # noqa: T201 - for who repeats it
    answer = drive(
        {
            "stage": stage,
            "at": 2,
            "kills": KILLS,
            "seed": seed,
            "within_seconds": INSERT_SECONDS,
            "where": {"home": str(tmp_path), "kafka": kafka.bootstrap_servers, "warehouse": server_warehouse.url},
            "how": {
                "group": f"killed-{producer_id}",
                "flush_rows": range_events,
                "flush_seconds": 0.05,
                "idle_seconds": 0.1,
                "group_instance_id": "the-only-one",
            },
        }
    )
    assert answer["kills"] == KILLS
    client = server_warehouse.client
    assert identities(client, "metrics_logged") == [(producer_id, i) for i in range(each)]
    assert server_warehouse.count("metrics_logged") == each * 3
    assert server_warehouse.count("dead_letters") == 0
