"""Events that another program publishes, without the SDK, by what docs/publishing.md says."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from trailhouse_analytics.loss import verify
from trailhouse_cli.servers.cache import fetched
from trailhouse_cli.servers.java import find_java
from trailhouse_consumer.service import collect
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_schemas.settings import Settings

if TYPE_CHECKING:
    from servers.topics import Topics
    from servers.warehouses import Warehouse
    from trailhouse_cli.servers.kafka import KafkaServer

EXAMPLE = Path(__file__).parents[2] / "examples" / "java" / "Publish.java"
RUN_ID = "01930000-0000-7000-8000-00000000cafe"
STEPS = 1_000


def test_a_program_in_java_publishes_a_run_that_is_landed_whole(
    kafka: KafkaServer, topics: Topics, server_warehouse: Warehouse, tmp_path: Path
) -> None:
    """Each of its events once, none of them a dead letter, and the account of them closed."""
    topics.create_catalogue(["heartbeat_sent", "metrics_logged"])
    jars = fetched("kafka")
    published = subprocess.run(
        [find_java(17), "-cp", f"{jars}/*", str(EXAMPLE), kafka.bootstrap_servers, "churn", RUN_ID, str(STEPS)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert published.returncode == 0, published.stderr[-2000:]
    assert f"{STEPS + 2} events" in published.stdout
    done = collect(
        Settings.read(home=str(tmp_path), kafka=kafka.bootstrap_servers, warehouse=server_warehouse.url),
        CollectorSettings.read(group="java"),
        until_idle=True,
    )
    assert (done.rows, done.dead_letters, done.duplicates) == (STEPS + 2, 0, 0)
    (account,) = verify(server_warehouse.client).accounts
    assert (account.emitted, account.landed, account.lost, account.doubled) == (STEPS + 2, STEPS + 2, 0, 0)
    found = server_warehouse.client.query(
        "SELECT project, run_id, name, step, value FROM metrics_logged ORDER BY step"
    ).result_rows
    assert found == [("churn", RUN_ID, "loss", step, 1.0 / (step + 1)) for step in range(STEPS)]
