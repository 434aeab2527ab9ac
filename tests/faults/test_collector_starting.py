"""A collector that starts: it waits for a warehouse that fails it, and ends when it is told to."""

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


class Interrupting(Proxy):
    """Cuts the connections of some questions, and tells the collector to end while a later one is answered."""

    cut = range(0)
    ends_at = 0
    asked = 0
    pid = 0

    def treat(self, insert: bool, upstream: Callable[[], Any]) -> Any:
        """Cut, or answer."""
        self.asked += 1
        if self.asked in self.cut:
            return None
        if self.asked == self.ends_at:
            os.kill(self.pid, signal.SIGTERM)
        return upstream()


def start(warehouse: Warehouse, home: Path, *, cut: range, ends_at: int) -> tuple[int, str, Interrupting]:
    """Run a collector that reaches a warehouse, but no Kafka; return its exit code and what it said."""
    who, place = warehouse.url.split("@")
    host, rest = place.split(":")
    port, database = rest.split("/")
    proxy = Interrupting(int(port), seed=0)
    proxy.cut, proxy.ends_at = cut, ends_at
    collector = subprocess.Popen(
        [Path(sys.executable).with_name("trailhouse"), "collect", "--kafka", "127.0.0.1:1"],
        env=os.environ
        | {
            "TRAILHOUSE_HOME": str(home),
            "TRAILHOUSE_WAREHOUSE": f"{who}@{host}:{proxy.port}/{database}",
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
    return collector.returncode, said, proxy


@pytest.mark.parametrize("at", [1, 3, 6])
def test_a_collector_that_is_told_to_end_while_it_connects_ends(
    server_warehouse: Warehouse, at: int, tmp_path: Path
) -> None:
    """The signal comes once: who lets it pass goes on for ever."""
    code, said, proxy = start(server_warehouse, tmp_path, cut=range(0), ends_at=at)
    assert code == 0, said
    assert proxy.asked >= at


@pytest.mark.parametrize("at", [1, 4, 5, 6])
def test_a_collector_waits_for_a_warehouse_that_fails_it_while_it_connects(
    server_warehouse: Warehouse, at: int, tmp_path: Path
) -> None:
    """Whichever question it is that is not answered: the client itself asks three times."""
    cut = range(at, at + 3)
    code, said, proxy = start(server_warehouse, tmp_path, cut=cut, ends_at=cut.stop + 1)
    assert code == 0, said
    assert proxy.asked > cut.stop
