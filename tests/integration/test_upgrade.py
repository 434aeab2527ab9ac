"""A warehouse is migrated under a collector of the version before: it goes on, and one that starts anew is refused."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

from collected import metrics, new_producer_id, spooled
from trailhouse_cli.servers.waiting import wait_until
from trailhouse_schemas.warehouse import connect, migrate, migrations
from trailhouse_schemas.warehouse.migrate import Migration
from watched import watched

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_NEXT = """
ALTER TABLE metrics_logged ADD COLUMN IF NOT EXISTS of_the_next_version Int64 DEFAULT 7;
CREATE TABLE IF NOT EXISTS next_version (x Int64) ENGINE = MergeTree ORDER BY x;
"""


def test_a_collector_goes_on_while_the_warehouse_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it lands has the new column's default; it says at /ready that it is to be upgraded."""
    url = f"chdb://{tmp_path / 'warehouse'}"
    settings: dict[str, Any] = {
        "home": tmp_path, "warehouse": url, "kafka": "", "config": "/dev/null",
        "collect_flush_seconds": 0,
    }  # fmt: skip

    def land(rows: int) -> None:
        producer_id = new_producer_id()
        spooled(tmp_path / "spool", [("metrics_logged", metrics(producer_id, i, 1)) for i in range(10)], producer_id)
        asked = "SELECT count() FROM metrics_logged"
        assert wait_until(lambda: client.query(asked).result_rows == [(rows,)], seconds=60)

    with watched(settings) as collector:
        assert wait_until(lambda: collector.checks()[0] == 200, seconds=60), collector.checks()
        client = connect(url)  # through the collector, which serves it
        land(10)
        new = (*migrations(), Migration(len(migrations()) + 1, "next", _NEXT))
        with monkeypatch.context() as upgraded:
            upgraded.setattr(sys.modules[Migration.__module__], "migrations", lambda: new)
            assert [migration.name for migration in migrate(client)] == ["next"]
        land(20)
        found = client.query("SELECT DISTINCT of_the_next_version FROM metrics_logged").result_rows
        assert found == [(7,)]
        assert wait_until(lambda: "this version knows" in str(collector.checks()), seconds=60), collector.checks()
        client.close()
        collector.process.terminate()
        assert collector.process.wait(60) == 0
    done = subprocess.run(
        [sys.executable, "-m", "trailhouse_cli", "collect", "--until-idle", "--kafka", "", "--warehouse", url],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, "upgrade Trailhouse" in done.stderr) == (2, True), done.stderr
