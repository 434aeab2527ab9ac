"""A collector runs, and at the same time other programs use its embedded warehouse, each as it always does."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import clickhouse_connect
import pytest

from collected import metrics, new_producer_id, spooled
from trailhouse_cli.servers.process import free_port
from trailhouse_cli.servers.waiting import wait_until
from trailhouse_schemas.spool import spool_files
from trailhouse_schemas.warehouse import connect
from trailhouse_schemas.warehouse.served import Tokens, find_served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WAIT_SECONDS = 60.0


class Collecting:
    """`trailhouse collect` with an embedded warehouse, from spools, on a home of its own."""

    def __init__(self, home: Path, *arguments: str) -> None:
        """Start it; returns when it serves, unless it is told not to."""
        self.home = home
        self.warehouse = home / "warehouse"
        self.metrics_port = free_port()
        self.environment = os.environ | {
            "TRAILHOUSE_HOME": str(home),
            "TRAILHOUSE_COLLECT_METRICS_PORT": str(self.metrics_port),
            "TRAILHOUSE_COLLECT_FLUSH_SECONDS": "0",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "trailhouse_cli", "collect", "--kafka", "", *arguments], env=self.environment
        )

    @property
    def served(self) -> str:
        """Where it serves; empty while it does not."""
        found = find_served(self.warehouse) if self.warehouse.exists() else None
        return str(found) if found else ""

    def spool(self, events: int) -> None:
        """Publish so many events."""
        producer_id = new_producer_id()
        spooled(
            self.home / "spool", [("metrics_logged", metrics(producer_id, i, 1)) for i in range(events)], producer_id
        )

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command with the same settings."""
        return subprocess.run(
            [sys.executable, "-m", "trailhouse_cli", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def ended(self, number: signal.Signals) -> int:
        """End it by a signal; return its exit code."""
        self._process.send_signal(number)
        return self._process.wait(_WAIT_SECONDS)

    def close(self) -> None:
        """End it if it runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def collecting(tmp_path: Path) -> Iterator[Collecting]:
    """A collector that serves."""
    started = Collecting(tmp_path)
    assert wait_until(lambda: bool(started.served), seconds=_WAIT_SECONDS)
    yield started
    started.close()


def landed(client: Any) -> int:
    """Return how many rows there are."""
    return int(client.query("SELECT count() FROM metrics_logged").first_row[0])


def test_reports_curl_and_a_notebook_answer_while_a_collector_runs(collecting: Collecting) -> None:
    """What it lands meanwhile, they see."""
    collecting.spool(5)
    client = connect(f"chdb://{collecting.warehouse}")
    assert wait_until(lambda: landed(client) == 5, seconds=_WAIT_SECONDS)
    for name in ("cost", "runs list", "status", "dead-letters list"):
        done = collecting.command(*name.split())
        assert done.returncode == 0, (name, done.stderr)
    token = Tokens.of(collecting.warehouse).read
    host, port = collecting.served.split(":")
    notebook = clickhouse_connect.get_client(host=host, port=int(port), password=token, database="trailhouse")
    assert landed(notebook) == 5
    curl = shutil.which("curl")
    if curl is not None:
        asked = [curl, "-s", "--noproxy", "*", "-u", f"me:{token}", f"http://{collecting.served}", "--data-binary"]
        done = subprocess.run(
            [*asked, "SELECT count() FROM metrics_logged"], capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stdout == "5\n"
    collecting.spool(7)
    assert wait_until(lambda: landed(notebook) == 12, seconds=_WAIT_SECONDS)
    notebook.close()
    client.close()


def test_a_backup_is_taken_while_a_collector_runs(collecting: Collecting, tmp_path: Path) -> None:
    """It is a warehouse of its own; nothing is left beside the one that was saved."""
    collecting.spool(5)
    client = connect(f"chdb://{collecting.warehouse}")
    assert wait_until(lambda: landed(client) == 5, seconds=_WAIT_SECONDS)
    client.close()
    done = collecting.command("warehouse", "backup", str(tmp_path / "saved"))
    assert done.returncode == 0, done.stderr
    assert not list((collecting.warehouse / "backups").iterdir())
    other = f"chdb://{tmp_path / 'other'}"
    done = collecting.command("warehouse", "restore", str(tmp_path / "saved"), "--warehouse", other)
    assert done.returncode == 0, done.stderr
    restored = Collecting(tmp_path / "elsewhere", "--warehouse", other)
    try:
        assert wait_until(lambda: bool(find_served(tmp_path / "other")), seconds=_WAIT_SECONDS)
        client = connect(other)
        assert landed(client) == 5
        client.close()
    finally:
        restored.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_when_the_collector_has_ended_reports_open_the_warehouse_themselves(
    collecting: Collecting, number: signal.Signals
) -> None:
    """However it has ended."""
    collecting.spool(5)
    client = connect(f"chdb://{collecting.warehouse}")
    assert wait_until(lambda: landed(client) == 5, seconds=_WAIT_SECONDS)
    client.close()
    assert collecting.ended(number) == (0 if number is signal.SIGTERM else -number)
    assert collecting.served == ""
    done = collecting.command("cost", "--format", "json")
    assert done.returncode == 0, done.stderr


def test_a_collector_that_is_told_not_to_serve_shuts_others_out(tmp_path: Path) -> None:
    """And they are told why."""
    started = Collecting(tmp_path, "--no-serve")
    try:
        started.spool(1)
        assert wait_until(lambda: spool_files(tmp_path / "spool") == [], seconds=_WAIT_SECONDS)
        assert started.served == ""
        done = started.command("cost")
        assert (done.returncode, "open in another process that does not serve it" in done.stderr) == (2, True), done
    finally:
        started.close()
