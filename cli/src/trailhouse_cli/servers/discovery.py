"""Finds a broker and a registry: the one that the settings name, else one of our own by the first way that works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trailhouse_cli.servers import kafka, registry
from trailhouse_cli.servers.errors import ServerMissingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from trailhouse_schemas.settings import Settings

    Server = TypeVar("Server")

__all__ = ["find_kafka", "find_registry"]


def find_kafka(settings: Settings) -> kafka.KafkaServer:
    """Return a broker that answers: the settings' one, else from a container, else from the jars.

    A broker that the settings name and that does not answer is an error, not a reason to take another. Close what you
    get. Raises `ServerMissingError` with the reason of every way, `ServerStartError`.
    """
    if settings.kafka:
        return kafka.ForeignKafka(settings.kafka)
    return _first("Kafka", "TRAILHOUSE_KAFKA is not set", (_container_kafka, kafka.JarKafka))


def find_registry(settings: Settings) -> registry.RegistryServer:
    """Return a schema registry that answers: the settings' one, else from a container, else from the archive.

    Errors as in `find_kafka`.
    """
    if settings.registry:
        return registry.ForeignRegistry(settings.registry)
    return _first("schema registry", "TRAILHOUSE_REGISTRY is not set", (_container_registry, registry.JarRegistry))


def _first(what: str, reason: str, ways: tuple[Callable[[], Server], ...]) -> Server:
    """Return the server of the first way that is there."""
    reasons = [reason]
    for way in ways:
        try:
            return way()
        except ServerMissingError as error:
            reasons.append(str(error))
    raise ServerMissingError(f"No {what}: {'; '.join(reasons)}")


def _container_kafka() -> kafka.KafkaServer:
    from trailhouse_cli.servers.containers import ContainerKafka  # noqa: PLC0415 - not where the settings name one

    return ContainerKafka()


def _container_registry() -> registry.RegistryServer:
    from trailhouse_cli.servers.containers import ContainerRegistry  # noqa: PLC0415 - not where the settings name one

    return ContainerRegistry()
