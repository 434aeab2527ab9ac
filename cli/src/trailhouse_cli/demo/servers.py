"""The servers of the demo over Kafka: found or started, with the topics of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka.admin import AdminClient

from trailhouse.topics import create_topics
from trailhouse_cli.errors import ServerStartError
from trailhouse_cli.servers.discovery import find_kafka, find_registry
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.settings import Settings
from trailhouse_schemas.topics import definition_of

if TYPE_CHECKING:
    from contextlib import ExitStack

__all__ = ["make_topics", "require_named_servers", "start_servers"]

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
    make_topics(settings.model_copy(update={"kafka": kafka.bootstrap_servers}))
    return {"TRAILHOUSE_KAFKA": kafka.bootstrap_servers, "TRAILHOUSE_REGISTRY": registry.url}


def make_topics(settings: Settings) -> None:
    """Create the topics of the catalogue that are not there; raises `ServerStartError` when one is refused."""
    admin = AdminClient(settings.kafka_settings({"log_level": 0}))
    brokers = len(admin.list_topics(timeout=_TIMEOUT_SECONDS).brokers)
    wanted = [definition_of(event_type, brokers=brokers) for event_type in CATALOGUE.values()]
    for topic, refused in create_topics(admin, wanted).items():
        if refused:
            raise ServerStartError("kafka", f"topic {topic} is refused", refused)
