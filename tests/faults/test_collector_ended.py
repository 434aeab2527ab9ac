"""A collector that is told to end does so, whatever it is at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from soak.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.warehouses import Warehouse

_ENDS_SECONDS = 30.0


class EndsWhoAsks(Proxy):
    """Tells the collector to end while its question number `at` is answered."""

    at = 0
    asked = 0
    pid = 0

    def treat(self, insert: bool, upstream: Callable[[], Any]) -> Any:
        """Send the signal, and answer."""
        self.asked += 1
        if self.asked == self.at:
            os.kill(self.pid, signal.SIGTERM)
        return upstream()


@pytest.mark.parametrize("at", [1, 3, 6])
def test_a_collector_that_is_told_to_end_while_it_connects_ends(
    server_warehouse: Warehouse, at: int, tmp_path: Path
) -> None:
    """The signal comes once: who lets it pass goes on for ever."""
    host, rest = server_warehouse.url.split("@")[1].split(":")
    port, database = rest.split("/")
    proxy = EndsWhoAsks(int(port), seed=0)
    proxy.at = at
    collector = subprocess.Popen(
        [Path(sys.executable).with_name("trailhouse"), "collect", "--kafka", "127.0.0.1:1"],
        env=os.environ
        | {
            "TRAILHOUSE_HOME": str(tmp_path),
            "TRAILHOUSE_WAREHOUSE": f"clickhouse://default@{host}:{proxy.port}/{database}",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    proxy.pid = collector.pid
    try:
        said, _ = collector.communicate(timeout=_ENDS_SECONDS)
    finally:
        collector.kill()
        proxy.close()
    assert collector.returncode == 0, said
    assert proxy.asked >= at
