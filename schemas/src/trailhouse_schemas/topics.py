"""What the topics of the catalogue are like, and how one that is there differs: whoever makes or checks one asks here.

What landing and permissions rest on is part of a topic's definition: the broker's clock (`_published_at`), nothing
thrown out by compaction (offsets without holes), and control facts that are kept for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trailhouse_schemas.catalogue import EventType

__all__ = ["TopicDefinition", "TopicFound", "definition_of", "differences"]

#: Copies of a partition, where there are as many brokers.
_REPLICAS: Final = 3


@dataclass(frozen=True, slots=True)
class TopicDefinition:
    """A topic as it should be."""

    name: str
    #: At least as many.
    partitions: int
    #: Copies of each partition, at least as many.
    replication_factor: int
    #: Kafka's own settings of the topic, by Kafka's names.
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicFound:
    """A topic as it is."""

    partitions: int
    #: The fewest copies that a partition has.
    replication_factor: int
    #: Kafka's settings in force; None where nobody may read them.
    config: Mapping[str, str] | None


def definition_of(
    event_type: EventType, *, brokers: int, partitions: int | None = None, replication_factor: int | None = None
) -> TopicDefinition:
    """Return the topic of an event type.

    Args:
        event_type: Whose topic.
        brokers: Number of brokers of the cluster: a topic has three copies, or as many as there are brokers.
        partitions: Instead of the catalogue's number.
        replication_factor: Instead of what follows from the brokers.
    """
    replicas = replication_factor or min(_REPLICAS, max(1, brokers))
    config = {"message.timestamp.type": "LogAppendTime", "cleanup.policy": "delete"}
    if replicas > 1:
        # One copy may be away, and what was acknowledged is in two all the same.
        config["min.insync.replicas"] = str(max(1, min(2, replicas - 1)))
    if event_type.control:
        config |= {"retention.ms": "-1", "retention.bytes": "-1"}  # the grants of all times are the grants of today
    return TopicDefinition(event_type.topic, partitions or event_type.partitions, replicas, config)


def differences(wanted: TopicDefinition, found: TopicFound) -> list[str]:
    """Return a line for each thing that is not as it should be, with the way out; more of anything is fine."""
    lines = []
    if found.partitions < wanted.partitions:
        lines.append(
            f"{found.partitions} partitions instead of {wanted.partitions}: give it more with "
            f"'kafka-topics --alter --topic {wanted.name} --partitions {wanted.partitions}'"
        )
    if found.replication_factor < wanted.replication_factor:
        lines.append(
            f"replication factor {found.replication_factor} instead of {wanted.replication_factor}: "
            "move it with 'kafka-reassign-partitions', or lose it with its broker"
        )
    if found.config is None:
        return [*lines, "its settings cannot be read: allow DESCRIBE_CONFIGS to this user"]
    lines.extend(
        f"{name}={found.config.get(name, 'not known')} instead of {value}: set it with "
        f"'kafka-configs --alter --topic {wanted.name} --add-config {name}={value}'"
        for name, value in wanted.config.items()
        if not _will_do(name, value, found.config.get(name))
    )
    return lines


def _will_do(name: str, wanted: str, found: str | None) -> bool:
    if name == "min.insync.replicas" and found is not None and found.isdigit():
        return int(found) >= int(wanted)
    return found == wanted
