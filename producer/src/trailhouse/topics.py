"""The topics of the catalogue on a cluster: what is there, and making what is not.

Whoever makes a topic makes it here: `trailhouse topics create`, the demo, and a forwarder that finds one lacking.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from trailhouse_schemas.topics import TopicDefinition, TopicFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from trailhouse_schemas.settings import Settings

__all__ = ["Cluster", "create_topics", "look_at"]

_SECONDS: Final = 10.0
#: Names of the kinds of resources in Kafka's protocol.
_TOPIC, _BROKER = "topic", "broker"


@dataclass(frozen=True, slots=True)
class Cluster:
    """What there is."""

    #: Brokers that are up.
    brokers: int
    #: Whether a broker makes topics that somebody asks for, with settings of its own; None where nobody may know.
    makes_topics: bool | None
    #: The topics that were asked about and are there.
    topics: Mapping[str, TopicFound]


def look_at(settings: Settings, names: Iterable[str]) -> Cluster:
    """Ask a cluster about topics; raises `KafkaException` when it does not answer."""
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - slow to import

    admin = AdminClient(settings.kafka_settings({"log_level": 0}))
    metadata = admin.list_topics(timeout=_SECONDS)
    there = {name: metadata.topics[name] for name in sorted(set(names) & set(metadata.topics))}
    brokers = [str(broker) for broker in metadata.brokers]
    config = _config(admin, _TOPIC, list(there))
    of_brokers = [_config(admin, _BROKER, [broker])[broker] for broker in brokers]  # a broker answers for itself alone
    makes = [None if each is None else each.get("auto.create.topics.enable") == "true" for each in of_brokers]
    return Cluster(
        len(brokers),
        True if any(makes) else None if None in makes else False,
        {
            name: TopicFound(
                len(topic.partitions),
                min((len(partition.replicas) for partition in topic.partitions.values()), default=0),
                config[name],
            )
            for name, topic in there.items()
        },
    )


def create_topics(admin: Any, wanted: Sequence[TopicDefinition]) -> dict[str, str | None]:
    """Make topics; return why one was not made by its name, "" for one that was, None for one that is there already.

    Raises:
        KafkaException: the cluster does not answer.
    """
    from confluent_kafka import KafkaError, KafkaException  # noqa: PLC0415 - slow to import
    from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined] # noqa: PLC0415

    if not wanted:
        return {}
    new = [
        NewTopic(t.name, num_partitions=t.partitions, replication_factor=t.replication_factor, config=dict(t.config))
        for t in wanted
    ]
    outcomes: dict[str, str | None] = {}
    for name, future in admin.create_topics(new, operation_timeout=_SECONDS, request_timeout=_SECONDS).items():
        try:
            future.result(2 * _SECONDS)
            outcomes[name] = ""
        except KafkaException as error:
            there = error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS
            outcomes[name] = None if there else error.args[0].str()
    return outcomes


def _config(admin: Any, kind: str, names: Sequence[str]) -> dict[str, dict[str, str] | None]:
    """Return the settings in force of some topics, or of one broker; None where they may not be read."""
    from confluent_kafka import KafkaException  # noqa: PLC0415 - slow to import
    from confluent_kafka.admin import ConfigResource  # type: ignore[attr-defined] # noqa: PLC0415

    found: dict[str, dict[str, str] | None] = dict.fromkeys(names)
    if names:
        asked = admin.describe_configs([ConfigResource(kind, name) for name in names], request_timeout=_SECONDS)
        for resource, future in asked.items():
            try:
                entries = future.result(2 * _SECONDS)
            except KafkaException:
                continue
            found[resource.name] = {entry.name: str(entry.value) for entry in entries.values()}
    return found
