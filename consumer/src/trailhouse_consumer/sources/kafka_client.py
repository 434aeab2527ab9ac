"""The Kafka client of a collector: its settings, and what its errors mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError

from trailhouse_schemas.settings import EVERY_KAFKA_CLIENT

if TYPE_CHECKING:
    from trailhouse_consumer.settings import CollectorSettings

__all__ = ["AWAY", "LOST", "admin_settings", "client_settings", "text"]

#: Codes of errors that say that no broker answers.
AWAY: Final = frozenset({KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN})  # noqa: SLF001
#: Codes of errors that say that somebody else has the partition.
LOST: Final = frozenset(
    {
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError._ASSIGNMENT_LOST,  # noqa: SLF001 - the client's own name for it
        110,  # FENCED_MEMBER_EPOCH
        113,  # STALE_MEMBER_EPOCH
    }
)
#: No fetch may hold more than this, whatever the bound of the memory.
_FETCH_BYTES: Final = 32 << 20
#: The bytes that the client holds are bounded, not the messages.
_QUEUED_MESSAGES: Final = 10_000_000
#: The client's own defaults.
_HEARTBEAT_MS: Final = 3_000
_POLL_MS: Final = 300_000


def client_settings(servers: str, how: CollectorSettings) -> dict[str, Any]:
    """Return the settings of the Kafka client of a collector with these settings."""
    # The client counts the bytes of the messages alone; it needs as much again, and more, to keep them.
    queue_bytes = max(1 << 20, how.memory_mib << 16)
    settings: dict[str, Any] = {
        "client.id": "trailhouse-collector",
        "log_level": 2,
        "queued.max.messages.kbytes": queue_bytes >> 10,
        "fetch.max.bytes": min(_FETCH_BYTES, queue_bytes),
        "fetch.message.max.bytes": 1 << 20,
        # A full queue is looked at again soon: the client's own second of rest stands still with its queue run dry.
        "queued.min.messages": _QUEUED_MESSAGES,
        "fetch.queue.backoff.ms": 10,
    }
    if how.group_protocol == "classic":
        settings["partition.assignment.strategy"] = "cooperative-sticky"
        session_ms = int(how.session_timeout_seconds * 1000)
        settings["session.timeout.ms"] = session_ms
        settings["heartbeat.interval.ms"] = min(_HEARTBEAT_MS, session_ms // 3)
        # The client refuses a session that is longer.
        settings["max.poll.interval.ms"] = max(_POLL_MS, session_ms)
    named = {"group.instance.id": how.group_instance_id} if how.group_instance_id else {}
    # What the protocol of landing rests on is nobody's choice.
    return (
        settings
        | how.kafka_client
        | dict(EVERY_KAFKA_CLIENT)
        | named
        | {
            "bootstrap.servers": servers,
            "group.id": how.group,
            "group.protocol": how.group_protocol,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
        }
    )


def admin_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Return those of a consumer's settings that an admin client takes."""
    skip = (
        "group.",
        "heartbeat.",
        "enable.",
        "auto.",
        "partition.",
        "queued.",
        "fetch.",
        "session.",
        "max.",
        "isolation.",
    )
    return {name: value for name, value in settings.items() if not name.startswith(skip)}


def text(error: BaseException) -> str:
    """Return what an error says, in the client's own words where it has some."""
    first = error.args[0] if error.args else error
    return first.str() if isinstance(first, KafkaError) else str(error)
