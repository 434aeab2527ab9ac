"""docker-compose.yml, started: what a training script on the machine logs is in the warehouse, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servers.composed import Composed, composed
from trailhouse_cli.servers.waiting import wait_until
from trailhouse_schemas.warehouse import check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.docker, pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def server() -> Iterator[Composed]:
    """The services of one machine."""
    with composed("docker-compose.yml") as services:
        yield services


def test_what_runs_log_is_landed_once(server: Composed, tmp_path: Path) -> None:
    """A collector that is killed in the middle included; `verify` misses nothing and finds nothing twice."""
    client = server.client()
    check(client)
    scripts = server.runs(tmp_path, 4, 200, 0.05)
    count = "SELECT count() FROM metrics_logged"
    assert wait_until(lambda: int(client.query(count).result_rows[0][0]) > 0, seconds=120)
    server.kill("collector")
    server.start("collector")
    assert [script.wait(300) for script in scripts] == [0] * len(scripts)
    assert wait_until(lambda: int(client.query(count).result_rows[0][0]) == 4 * 200, seconds=120)
    verified = server.command(tmp_path, ["verify"])
    assert verified.returncode == 0, verified.stdout + verified.stderr
