"""Asks the warehouse, beside the loop, whether it answers and has the tables of this version."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from trailhouse_consumer.warehouse import brief
from trailhouse_schemas.errors import TrailhouseError
from trailhouse_schemas.warehouse import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clickhouse_connect.driver.client import Client

    from trailhouse_consumer.monitoring.health import Health

__all__ = ["warehouse_watched"]

_EVERY_SECONDS: Final = 10.0
#: How long who ends waits for an answer that is still to come.
_END_SECONDS: Final = 5.0


@contextmanager
def warehouse_watched(
    open_client: Callable[[], Client], health: Health, every_seconds: float = _EVERY_SECONDS
) -> Iterator[None]:
    """Tell `health` of the warehouse every so often, from a thread of its own, as long as the context lasts.

    Args:
        open_client: opens the warehouse; may raise a `TrailhouseError`.
        health: is told.
        every_seconds: how often.
    """
    ending = threading.Event()

    def watch() -> None:
        client: Client | None = None
        while True:
            try:
                client = client or open_client()
                check(client)
                health.warehouse("")
            except TrailhouseError as error:
                health.warehouse(str(error))
            except Exception as error:  # noqa: BLE001 - the driver's many; the loop says what it means for landing
                health.warehouse(f"does not answer: {brief(error)}")
                _close(client)
                client = None
            if ending.wait(every_seconds):
                break
        _close(client)

    thread = threading.Thread(target=watch, name="warehouse-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(_END_SECONDS)


def _close(client: Client | None) -> None:
    if client is not None:
        client.close()
