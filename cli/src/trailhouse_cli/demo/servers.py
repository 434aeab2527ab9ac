"""The servers of the demo over Kafka: found or started, with the topics of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from trailhouse_cli.servers.discovery import find_kafka, find_registry
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.settings import Settings

if TYPE_CHECKING:
    from contextlib import ExitStack

__all__ = ["create_topics", "require_named_servers", "start_servers"]

_TIMEOUT_SECONDS = 30


def require_named_servers() -> None:
    """Raise `ServerMissingError` where the settings name a broker or a registry that does not answer; start none."""
    settings = Settings.read()
    if settings.kafka:
        find_kafka(settings).close()
    if settings.registry:
        find_registry(settings).close()


def start_servers(until: ExitStack) -> dict[str, str]:
    """Find or start a broker and a registry that live until `until` closes; return the settings that name them.

    Raises:
        ServerMissingError: one of them cannot be had, with the reasons.
    """
    settings = Settings.read()
    kafka = find_kafka(settings)
    until.callback(kafka.close)
    registry = find_registry(settings)
    until.callback(registry.close)
    create_topics(settings.model_copy(update={"kafka": kafka.bootstrap_servers}))
    return {"TRAILHOUSE_KAFKA": kafka.bootstrap_servers, "TRAILHOUSE_REGISTRY": registry.url}


def create_topics(settings: Settings) -> None:
    """Create the topics of the catalogue that are not there."""
    admin = AdminClient(settings.kafka_settings({"log_level": 0}))
    wanted = [NewTopic(e.topic, num_partitions=e.partitions) for e in CATALOGUE.values()]
    for future in admin.create_topics(wanted, operation_timeout=_TIMEOUT_SECONDS).values():
        try:
            future.result(_TIMEOUT_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
