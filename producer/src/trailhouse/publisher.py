"""The connection to Kafka: hands messages over, and says of each whether it was acknowledged, refused or neither.

Messages are never given up by a time-out: an idempotent producer that gives up one may yet deliver the next. Whoever
does not want to wait any longer abandons the connection, and what became of the open messages is not known then.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from trailhouse.forking import may_destroy, never_destroy
from trailhouse.kafka_errors import LastSaid
from trailhouse.once import LOGGER, inform
from trailhouse.topics import create_topics
from trailhouse_schemas.catalogue import by_topic
from trailhouse_schemas.errors import UnknownEventTypeError
from trailhouse_schemas.topics import definition_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trailhouse_schemas.settings import Settings

__all__ = ["Message", "Outcome", "Publisher", "publisher_of"]

_METADATA_SECONDS: Final = 2.0
#: The broker decides what is too large, not the client.
_LARGEST_MESSAGE_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Message:
    """One message for one partition."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message."""

    acknowledged: bool
    #: Refused for good: sending it again would not help.
    refused: bool
    reason: str = ""


class Publisher:
    """One connection to one Kafka cluster; one thread at a time publishes."""

    def __init__(self, settings: Settings) -> None:
        """Remember the settings; nothing is connected yet."""
        self._settings = settings
        self._said = LastSaid()
        self._producer: Any = None
        self._partitions: dict[str, int] = {}
        self._lock = threading.Lock()
        self._down = False

    def partitions(self, topic: str) -> int | None:
        """Return the number of partitions of a topic, which is created if need be; None while nobody can say."""
        from confluent_kafka import KafkaException  # noqa: PLC0415 - slow to import

        if topic not in self._partitions:
            with self._lock:
                try:
                    cluster = self._connected().list_topics(topic, timeout=_METADATA_SECONDS)
                except KafkaException as error:
                    self._tell(self._said.or_else(self._producer, error))
                    return None
                found = cluster.topics[topic]
                if found.error is not None or not found.partitions:
                    self._create(topic, len(cluster.brokers), str(found.error))
                    return None
                self._recovered()
                self._partitions[topic] = len(found.partitions)
        return self._partitions[topic]

    def publish(self, messages: Sequence[Message], should_stop: Callable[[], bool]) -> list[Outcome | None]:
        """Send messages in order and wait for what becomes of each; None for those that are open when told to stop."""
        from confluent_kafka import KafkaException  # noqa: PLC0415 - slow to import

        outcomes: list[Outcome | None] = [None] * len(messages)
        open_messages = 0

        def delivered(at: int, error: Any) -> None:
            nonlocal open_messages
            open_messages -= 1
            outcomes[at] = _outcome(error)
            if error is None:
                self._recovered()

        with self._lock:
            try:
                producer = self._connected()
            except KafkaException as error:
                self._tell(self._said.or_else(None, error))
                return outcomes
            for at, message in enumerate(messages):
                open_messages += 1
                refused = _hand_over(producer, message, lambda error, _, at=at: delivered(at, error), should_stop)
                if refused is not None:
                    delivered(at, refused)
                elif should_stop():
                    break
            while open_messages and not should_stop():
                producer.poll(0.05)
            if open_messages:
                self._abandon()
            elif any(o is not None and not o.acknowledged and not o.refused for o in outcomes):
                reasons = {o.reason for o in outcomes if o is not None and not o.acknowledged}
                self._partitions.clear()
                self._tell("; ".join(sorted(reasons)))
                self._abandon()
        return outcomes

    def _connected(self) -> Any:
        if self._producer is None:
            from confluent_kafka import Producer  # noqa: PLC0415 - slow to import

            self._producer = Producer(
                self._settings.kafka_settings(
                    {
                        "client.id": f"trailhouse-{os.getpid()}",
                        "compression.type": "lz4",
                        "linger.ms": 5,
                        "message.max.bytes": _LARGEST_MESSAGE_BYTES,
                        "socket.keepalive.enable": True,
                        "reconnect.backoff.max.ms": 5_000,
                        "log_level": 0,
                    },
                    {"enable.idempotence": True, "acks": "all", "message.timeout.ms": 0, "error_cb": self._on_error},
                )
            )
            never_destroy(self._producer)
        return self._producer

    def _abandon(self) -> None:
        """Leave the connection; what is still queued in it is not sent any more."""
        producer, self._producer = self._producer, None
        producer.purge(in_queue=True, in_flight=True, blocking=False)
        producer.poll(0)
        may_destroy(producer)  # with its threads: a broker that refuses for days is tried again and again

    def _on_error(self, error: Any) -> None:
        from confluent_kafka import KafkaError  # noqa: PLC0415 - loaded with the connection

        self._said(error)
        if error.code() in {KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION, KafkaError._SSL}:  # noqa: SLF001 - its public names
            self._tell(self._said.reason or error.str())

    def _tell(self, reason: str) -> None:
        if not self._down:
            self._down = True
            LOGGER.warning(
                "trailhouse: Kafka at %s cannot take events now (%s); they wait in the spool",
                self._settings.kafka_shown,
                reason,
            )

    def _recovered(self) -> None:
        if self._down:
            self._down, self._said.reason = False, ""
            inform(f"Kafka at {self._settings.kafka} takes events again")

    def _create(self, topic: str, brokers: int, reason: str) -> None:
        """Make a topic of the catalogue that is not there; where that is not allowed, somebody else has to."""
        from confluent_kafka import KafkaException  # noqa: PLC0415 - slow to import
        from confluent_kafka.admin import AdminClient  # noqa: PLC0415

        if not self._settings.create_topics:
            self._tell(f"topic {topic}: {reason}; make it with 'trailhouse topics create'")
            return
        try:
            wanted = definition_of(by_topic(topic), brokers=brokers)
            admin = AdminClient(self._settings.kafka_settings({"log_level": 0}))
            refused = create_topics(admin, [wanted])[topic]
            if refused == "":
                inform(f"created topic {topic} with {wanted.partitions} partitions")
        except (KafkaException, UnknownEventTypeError, TimeoutError) as error:
            refused = str(error)
        if refused:
            self._tell(f"topic {topic}: {reason}; it cannot be created: {refused}")


def _hand_over(
    producer: Any, message: Message, on_delivery: Callable[..., None], should_stop: Callable[[], bool]
) -> Any:
    """Queue a message, waiting for room; return the error when the client itself refuses it."""
    from confluent_kafka import KafkaException  # noqa: PLC0415 - loaded with the connection

    while not should_stop():
        try:
            producer.produce(
                message.topic,
                message.value,
                message.key,
                partition=message.partition,
                headers=message.headers,
                on_delivery=on_delivery,
            )
        except BufferError:
            producer.poll(0.1)
        except KafkaException as error:
            return error.args[0]
        else:
            break
    return None


def _outcome(error: Any) -> Outcome:
    if error is None:
        return Outcome(acknowledged=True, refused=False)
    from confluent_kafka import KafkaError  # noqa: PLC0415 - loaded with the connection

    refusals = {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.INVALID_MSG_SIZE,
    }
    return Outcome(acknowledged=False, refused=error.code() in refusals, reason=f"{error.name()}: {error.str()}")


class _Known:
    lock = threading.Lock()
    publishers: Final[dict[tuple[str, ...], Publisher]] = {}


def publisher_of(settings: Settings) -> Publisher:
    """Return the process's publisher for these servers: connections are shared by all runs of a process."""
    key = (settings.kafka, str(settings.create_topics), *map(str, sorted(settings.kafka_client.items())))
    with _Known.lock:
        return _Known.publishers.setdefault(key, Publisher(settings))


def _in_child() -> None:
    _Known.lock = threading.Lock()
    _Known.publishers.clear()


os.register_at_fork(after_in_child=_in_child)
