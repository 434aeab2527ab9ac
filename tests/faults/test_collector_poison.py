"""A record that kills the collector, or that the warehouse refuses, costs some tries and is in nobody's way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collected import NOW, dead_reasons, identities, metrics, new_producer_id, record, spooled
from trailhouse_consumer.service import collect
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_schemas.errors import WarehouseUnavailableError
from trailhouse_schemas.settings import Settings
from trailhouse_schemas.versions import latest
from trailhouse_schemas.wire import encode

if TYPE_CHECKING:
    from servers.warehouses import Warehouse
    from trailhouse_consumer.landing import Stage

DRIVER = Path(__file__).with_name("collector_driver.py")


def test_a_record_that_kills_every_collector_becomes_a_dead_letter(server_warehouse: Warehouse, tmp_path: Path) -> None:
    """Its range is tried three times, then its records one by one, it ten times more."""
    producer_id = new_producer_id()
    spooled(tmp_path / "spool", [("metrics_logged", metrics(producer_id, i)) for i in range(12)], producer_id)
    task: dict[str, Any] = {
        "stage": "planned",
        "poison": 4,
        "kills": 100,
        "seed": 0,
        "where": {"home": str(tmp_path), "kafka": "", "warehouse": server_warehouse.url},
        "how": {"flush_seconds": 0, "idle_seconds": 0.1},
    }
    done = subprocess.run(
        [sys.executable, str(DRIVER), json.dumps(task)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert identities(server_warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(12) if i != 4]
    assert dead_reasons(server_warehouse.client) == {4: "kills_the_collector"}
    assert json.loads(done.stdout.splitlines()[-1])["kills"] == 13


def test_a_record_that_collectors_happen_to_die_over_is_landed(server_warehouse: Warehouse, tmp_path: Path) -> None:
    """Alone in its range, whose plan outlives nine of them."""
    producer_id = new_producer_id()
    spooled(tmp_path / "spool", [("metrics_logged", metrics(producer_id, 0))], producer_id)
    task: dict[str, Any] = {
        "stage": "planned",
        "at": 1,
        "kills": 9,
        "seed": 0,
        "where": {"home": str(tmp_path), "kafka": "", "warehouse": server_warehouse.url},
        "how": {"flush_seconds": 0, "idle_seconds": 0.1},
    }
    done = subprocess.run(
        [sys.executable, str(DRIVER), json.dumps(task)], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert json.loads(done.stdout.splitlines()[-1])["kills"] == 9
    assert identities(server_warehouse.client, "metrics_logged") == [(producer_id, 0)]
    assert dead_reasons(server_warehouse.client) == {}


def test_waiting_for_the_warehouse_is_no_try_however_often_collectors_end_meanwhile(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """Twelve are stopped while the warehouse does not answer; the next one lands the record."""
    producer_id = new_producer_id()
    spooled(tmp_path / "spool", [("metrics_logged", metrics(producer_id, 0))], producer_id)
    where = Settings.read(home=str(tmp_path), kafka="", warehouse=warehouse.url)
    how = CollectorSettings.read(flush_seconds=0, idle_seconds=0.1)

    def away(stage: Stage, *_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise WarehouseUnavailableError(f"away when {stage}")

    for _ in range(12):
        assert collect(where, how, on_stage=away).rows == 0
    assert collect(where, how, until_idle=True).rows == 2
    assert dead_reasons(warehouse.client) == {}


def test_a_record_that_the_warehouse_refuses_becomes_a_dead_letter(warehouse: Warehouse, tmp_path: Path) -> None:
    """One value beyond a constraint that somebody has set on the table."""
    warehouse.client.command("ALTER TABLE metrics_logged ADD CONSTRAINT low CHECK value < 100")
    producer_id = new_producer_id()
    point = {"name": "m", "step": 1, "value": 1000.0, "logged_at": NOW}
    high = encode(latest("metrics_logged"), record("metrics_logged", producer_id, 4, points=[point]))
    values = [("metrics_logged", high if i == 4 else metrics(producer_id, i)) for i in range(12)]
    spooled(tmp_path / "spool", values, producer_id)
    done = collect(
        Settings.read(home=str(tmp_path), kafka="", warehouse=warehouse.url),
        CollectorSettings.read(flush_seconds=0, idle_seconds=0.1),
        until_idle=True,
    )
    assert identities(warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(12) if i != 4]
    assert dead_reasons(warehouse.client) == {4: "rejected"}
    assert (done.messages, done.dead_letters) == (12, 1)
