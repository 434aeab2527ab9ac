"""Publishing outlives what goes wrong for a while: brokers that refuse, disks that are full."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from trailhouse.forwarder import Forwarder
from trailhouse.forwarding import ForwarderThread
from trailhouse.publisher import Message, Publisher
from trailhouse.settings import ProducerSettings
from trailhouse_schemas.errors import SpoolError
from trailhouse_schemas.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def _after(seconds: float) -> Callable[[], bool]:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() > until


def test_connections_that_are_given_up_leave_no_threads_behind() -> None:
    """Each has three at least."""
    publisher = Publisher(ProducerSettings(kafka="127.0.0.1:9"))
    before = _threads()
    for _ in range(10):
        publisher.publish([Message("trailhouse.x", 0, b"key", b"value", [])], _after(0.05))
    assert _threads() - before < 10


def test_a_spool_that_fails_for_a_while_is_forwarded_when_it_can_be_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that was full does not end the forwarding of a process that trains for weeks."""
    monkeypatch.setattr("trailhouse.forwarding._PAUSE_SECONDS", 0.01)
    tries: list[Path] = []

    def forward(_: Forwarder, spool: Spool, __: Callable[[], bool]) -> int:
        tries.append(spool.path)
        if len(tries) < 3:
            raise SpoolError(f"Spool {spool.path} cannot be written (disk full); free disk space")
        return 0

    monkeypatch.setattr(Forwarder, "forward", forward)
    with Spool.create(tmp_path, "0190163d-8694-739b-aea5-966c26f8ad91") as spool:
        thread = ForwarderThread(spool.path, ProducerSettings.read(kafka="127.0.0.1:9"))
        thread.start()
        until = time.monotonic() + 10
        while len(tries) < 3 and time.monotonic() < until:
            time.sleep(0.01)
        thread.finish(time.monotonic() + 5)
    assert len(tries) >= 3
