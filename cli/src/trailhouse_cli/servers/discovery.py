"""Finds servers: the one that the settings name, else one of our own by the first way that works on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from trailhouse_cli.errors import ServerMissingError
from trailhouse_cli.servers import clickhouse, kafka, registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trailhouse_schemas.settings import Settings

__all__ = ["find_clickhouse", "find_kafka", "find_registry"]

_Server = TypeVar("_Server")


def find_kafka(settings: Settings, *, port: int = 0) -> kafka.KafkaServer:
    """Return a broker that answers: the settings' one, else from a container, else from the jars.

    A broker that the settings name and that does not answer is an error, not a reason to take another. One of our own
    listens on `port`, on any free one by default. Close what you get.

    Raises:
        ServerMissingError: there is none, with the reason of every way.
        ServerStartError: one of our own did not come up.
    """
    if settings.kafka:
        return kafka.ForeignKafka(settings.kafka, settings.kafka_client)

    def from_container() -> kafka.KafkaServer:
        from trailhouse_cli.servers.containers import ContainerKafka  # noqa: PLC0415 - heavy

        return ContainerKafka(port=port)

    return _first("Kafka", "TRAILHOUSE_KAFKA is not set", (from_container, lambda: kafka.JarKafka(port=port)))


def find_registry(settings: Settings, *, port: int = 0) -> registry.RegistryServer:
    """Return a schema registry that answers: the settings' one, else from a container, else from the archive.

    All else as in `find_kafka`.
    """
    if settings.registry:
        return registry.ForeignRegistry(settings.registry)

    def from_container() -> registry.RegistryServer:
        from trailhouse_cli.servers.containers import ContainerRegistry  # noqa: PLC0415 - heavy

        return ContainerRegistry(port=port)

    return _first(
        "schema registry", "TRAILHOUSE_REGISTRY is not set", (from_container, lambda: registry.JarRegistry(port=port))
    )


def find_clickhouse(settings: Settings, embedded_directory: Path | None) -> clickhouse.ClickHouseServer:
    """Return where a warehouse can be: the settings' one, a container, the program `clickhouse`, else embedded.

    Without `embedded_directory` there must be a server: the last way is not taken, and an embedded warehouse of the
    settings is passed over. Errors as in `find_kafka`, and `WarehouseError` where the settings name one that is silent.
    """
    if settings.warehouse and (embedded_directory is not None or not settings.warehouse.startswith("chdb:")):
        return clickhouse.ForeignClickHouse(settings.warehouse, settings.warehouse_password.get_secret_value())

    def from_container() -> clickhouse.ClickHouseServer:
        from trailhouse_cli.servers.containers import ContainerClickHouse  # noqa: PLC0415 - heavy

        return ContainerClickHouse()

    def embedded() -> clickhouse.ClickHouseServer:
        if embedded_directory is None:
            raise ServerMissingError("chDB is no server")
        return clickhouse.EmbeddedClickHouse(embedded_directory)

    ways = (from_container, clickhouse.BinaryClickHouse, embedded)
    return _first("ClickHouse server", "TRAILHOUSE_WAREHOUSE names none", ways)


def _first(what: str, reason: str, ways: tuple[Callable[[], _Server], ...]) -> _Server:
    """Return the server of the first way that is there."""
    reasons = [reason]
    for way in ways:
        try:
            return way()
        except ServerMissingError as error:
            reasons.append(str(error))
    raise ServerMissingError(f"No {what}: {'; '.join(reasons)}")
