"""Builds a collector from settings and runs it: what the command `collect`, the demo and the tests share."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from trailhouse_consumer.backoff import Backoff
from trailhouse_consumer.collector import Collector, Summary
from trailhouse_consumer.landing import Landing, Stage
from trailhouse_consumer.monitoring import Metrics
from trailhouse_consumer.monitoring.server import served
from trailhouse_consumer.monitoring.warehouse import warehouse_watched
from trailhouse_consumer.sources import Limits, Partition, Plan, Source
from trailhouse_consumer.sources.spool import SpoolSource
from trailhouse_consumer.warehouse import Warehouse, said_plainly
from trailhouse_schemas.errors import WarehouseUnavailableError
from trailhouse_schemas.warehouse import check, connect, migrate, parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

    from trailhouse_consumer.settings import CollectorSettings
    from trailhouse_schemas.settings import Settings

__all__ = ["collect"]


def collect(
    where: Settings,
    how: CollectorSettings,
    *,
    spools: Sequence[Path] | None = None,
    until_idle: bool = False,
    migrate_first: bool = False,
    on_stage: Callable[[Stage, Partition, Plan], None] | None = None,
    take_up: Callable[[Path], int] | None = None,
) -> Summary:
    """Collect into the warehouse until stopped by SIGTERM or SIGINT, or until idle.

    Args:
        where: Kafka, registry and warehouse. An embedded warehouse is migrated first, a server's is checked.
        how: The collector's settings. An embedded warehouse is served meanwhile, unless they say otherwise.
        spools: Directories of spools; those of the settings by default: all without Kafka, with Kafka the control
            facts' alone, because a forwarder publishes the others.
        until_idle: End when everything is landed.
        migrate_first: Migrate a server's warehouse too.
        on_stage: Is told of each stage of each range.
        take_up: Brings into the spools of a directory what dead producers have left elsewhere on this machine; returns
            how many are still to be waited for.

    Raises:
        WarehouseError: the warehouse is locked, behind or ahead; it does not answer, with `until_idle`, or is embedded
            and not there. A service waits for a server.
        SourceUnavailableError: Kafka does not answer, with `until_idle`; a service waits for it.
    """
    how = how.model_copy(update={"kafka_client": where.kafka_client | how.kafka_client})
    place = parse_url(where.warehouse_url)
    embedded = place.embedded
    create = embedded or migrate_first
    stopping = threading.Event()
    with ExitStack() as opened:
        # From the beginning: who is told to end while it connects is not told again.
        opened.enter_context(_signals_to(stopping.set))
        sources = _sources(where, how, spools, take_up, until_idle=until_idle)
        metrics = Metrics()
        if how.metrics_port:
            opened.enter_context(served(metrics, how.metrics_address, how.metrics_port))
            opened.callback(metrics.health.ended)
        backoff = Backoff("warehouse", how.backoff_seconds, metrics)
        clients: list[Client] = []
        for first in (True, *[False] * how.landers):
            prepare = (migrate if create else check) if first else None
            client = _connect(
                where, backoff, stopping, prepare, create=create and first, wait=not (embedded or until_idle)
            )
            if client is None:
                return Summary()
            opened.callback(client.close)
            clients.append(client)
        if place.directory is not None and how.serve:
            from trailhouse_consumer.serving.beside import serving_beside  # noqa: PLC0415 - not with a server

            opened.enter_context(
                serving_beside(place.directory, place.database, how.serve_port, for_long=not until_idle)
            )
        if how.metrics_port:
            opened.enter_context(warehouse_watched(lambda: _open(where, None, create=False), metrics.health))
            for source in sources:
                source.watch()
        warehouse = Warehouse(*clients)
        collector = Collector(
            sources,
            warehouse,
            Landing(warehouse, on_stage),
            settings=how,
            metrics=metrics,
            registry=_registry(where),
        )
        with _signals_to(collector.stop):
            if stopping.is_set():
                collector.stop()
            return collector.run(until_idle=until_idle)


def _connect(
    where: Settings,
    backoff: Backoff,
    stopping: threading.Event,
    prepare: Callable[[Client], object] | None,
    *,
    create: bool,
    wait: bool,
) -> Client | None:
    """Open the warehouse; with `wait`, when it answers, or return None when told to end before that."""
    while not stopping.wait(backoff.left_seconds):
        try:
            client = _open(where, prepare, create=create)
        except WarehouseUnavailableError as error:
            if not wait:
                raise
            backoff.failed(error)
            continue
        backoff.answered()
        return client
    return None


def _open(where: Settings, prepare: Callable[[Client], object] | None, *, create: bool) -> Client:
    """Open the warehouse and prepare it; raises `WarehouseError`."""
    with said_plainly():
        client = connect(where.warehouse_url, password=where.warehouse_password.get_secret_value(), create=create)
        try:
            if prepare is not None:
                prepare(client)
        except BaseException:
            client.close()
            raise
    return client


def _sources(
    where: Settings,
    how: CollectorSettings,
    spools: Sequence[Path] | None,
    take_up: Callable[[Path], int] | None,
    *,
    until_idle: bool,
) -> list[Source]:
    limits = Limits(how.flush_rows, how.flush_bytes, how.flush_seconds, wait_at_end=not until_idle)
    sources: list[Source] = []
    if where.kafka:
        from trailhouse_consumer.sources.kafka import KafkaSource  # noqa: PLC0415 - not without Kafka

        source = KafkaSource(where.kafka, how, limits)
        if until_idle:
            source.expect_answer()
        sources.append(source)
    if spools is None:
        spools = [where.control_directory] if where.kafka else [where.spool_directory, where.control_directory]
    if spools:
        sources.append(SpoolSource(spools, limits, take_up))
    return sources


def _registry(where: Settings) -> Any:
    if not where.registry:
        return None
    from trailhouse_schemas.registry import Registry  # noqa: PLC0415 - not without a registry

    return Registry.of(where)


@contextmanager
def _signals_to(stop: Callable[[], None]) -> Iterator[None]:
    """Let SIGTERM and SIGINT call `stop` instead of ending the process; only the main thread may ask for that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: stop()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
