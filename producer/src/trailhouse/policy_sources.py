"""Where the current grants are read from: the control topic where Kafka is configured, else the retained spools.

Both promise the same: `read` returns every statement about permissions that was ever published, in order of
publication, or raises `PolicyUnknownError`. A source that cannot be sure to know all of them raises: a statement that
is missed could be a deny. `PolicyUnavailableError` says that trying again may help, and that nothing is wrong with what
was read before.
"""

from __future__ import annotations

import io
import sqlite3
import stat
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

from fastavro import parse_schema, schemaless_reader

from trailhouse.errors import PolicyUnavailableError, PolicyUnknownError
from trailhouse.forking import unforked
from trailhouse.kafka_errors import LastSaid
from trailhouse_schemas.catalogue import by_model
from trailhouse_schemas.errors import DecodeError, RegistryUnavailableError, SpoolError
from trailhouse_schemas.events import PermissionChanged
from trailhouse_schemas.policy import PermissionChange
from trailhouse_schemas.spool import Spool, spool_files
from trailhouse_schemas.versions import by_fingerprint, latest
from trailhouse_schemas.wire import read_header

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from trailhouse.settings import ProducerSettings
    from trailhouse_schemas.registry import Registry
    from trailhouse_schemas.settings import Settings
    from trailhouse_schemas.spool import SpooledEvent

__all__ = ["KafkaPolicySource", "PolicySource", "SpoolPolicySource", "source_of"]

_TYPE: Final = by_model(PermissionChanged)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_POLL_SECONDS: Final = 0.5
_PAUSE_SECONDS: Final = 0.1
_MOST_MESSAGES: Final = 1_000
_TRIES: Final = 20


class PolicySource(Protocol):
    """Knows all statements about permissions."""

    def read(self) -> list[PermissionChange]:
        """Return all statements, in order of publication; raises `PolicyUnknownError` unless it is sure of them."""


def source_of(settings: ProducerSettings) -> PolicySource:
    """Return the source of grants that the settings name."""
    ignored = frozenset(settings.permission_ignore.split())
    if not settings.kafka:
        return SpoolPolicySource(settings.control_directory, ignored)
    registry = None
    if settings.registry:
        from trailhouse_schemas.registry import Registry  # noqa: PLC0415 - an extra

        registry = Registry.of(settings)
    return KafkaPolicySource(settings, registry, settings.permission_timeout_seconds, ignored)


class SpoolPolicySource:
    """Grants of the embedded mode: what the retained spools of control facts hold."""

    def __init__(self, directory: Path, ignored: Collection[str] = ()) -> None:
        """Read from `directory`, but for the events named as PRODUCER_ID:SEQUENCE in `ignored`."""
        self.directory = directory
        self._ignored = ignored

    def read(self) -> list[PermissionChange]:
        """Return all statements, by time of appending, producer and sequence."""
        try:
            mode = self.directory.stat().st_mode
        except OSError as error:
            raise PolicyUnavailableError(
                f"Grants are not known: directory {self.directory} cannot be read ({error.strerror}); "
                "give one with 'trailhouse grant', or set TRAILHOUSE_HOME"
            ) from error
        _refuse_if_open_to_all(self.directory, mode)
        found = []
        for path in spool_files(self.directory):
            try:
                _refuse_if_open_to_all(path, path.stat().st_mode)
                with unforked():
                    producer_id, events = _permission_events(path)
            except (SpoolError, sqlite3.Error, KeyError, OSError) as error:
                busy = isinstance(error.__cause__ or error, (sqlite3.OperationalError, OSError))
                raise (PolicyUnavailableError if busy else PolicyUnknownError)(
                    f"Grants are not known: spool {path} cannot be read ({error})"
                ) from error
            for event in events:
                place = f"{producer_id}:{event.sequence}"
                if place not in self._ignored:
                    moment = _EPOCH + timedelta(microseconds=event.appended_us)
                    found.append(
                        ((event.appended_us, producer_id, event.sequence), _change(event.value, moment, place))
                    )
        return [change for _, change in sorted(found, key=lambda item: item[0])]


def _refuse_if_open_to_all(path: Path, mode: int) -> None:
    if mode & stat.S_IWOTH:
        raise PolicyUnknownError(
            f"Grants are not to be trusted: everybody may write to {path}; take that right away (chmod o-w)"
        )


def _permission_events(path: Path) -> tuple[str, list[SpooledEvent]]:
    """Return the producer and its statements; only the right to read is needed."""
    for _ in range(_TRIES):
        before = path.stat()
        with Spool.open(path, read_only=True) as spool:
            if not spool.retained:
                raise SpoolError(f"Spool {path} does not keep what has landed")
            events: list[SpooledEvent] = []
            while part := spool.read(_TYPE.name, after=events[-1].sequence if events else -1):
                events += part
            after = path.stat()
            if (before.st_mtime_ns, before.st_size, before.st_ino) == (after.st_mtime_ns, after.st_size, after.st_ino):
                return spool.producer_id, events
    raise OSError(f"Spool {path} changes faster than it can be read")


class KafkaPolicySource:
    """Grants of a cluster: the control topic, from its beginning to where it ends now. Joins no group."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry | None = None,
        timeout_seconds: float = 10.0,
        ignored: Collection[str] = (),
    ) -> None:
        """Read from that broker, but for the messages named as PARTITION:OFFSET in `ignored`."""
        self._settings = settings
        self._registry = registry
        self._timeout_seconds = timeout_seconds
        self._ignored = ignored

    def read(self) -> list[PermissionChange]:
        """Return all statements, by offset within a partition, by the broker's time across several."""
        from confluent_kafka import Consumer, KafkaException  # noqa: PLC0415 - slow, and only who has a broker needs it

        said = LastSaid()
        promised = {
            "group.id": "trailhouse-permissions",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "allow.auto.create.topics": False,
            "error_cb": said,
        }
        try:
            consumer = Consumer(self._settings.kafka_settings({"log_level": 0}, promised))
        except KafkaException as error:
            raise self._unavailable(said.or_else(None, error)) from error
        deadline = time.monotonic() + self._timeout_seconds
        try:
            while True:
                try:
                    return self._read(consumer, deadline)
                except KafkaException as error:
                    if time.monotonic() + _PAUSE_SECONDS >= deadline:
                        raise self._unavailable(said.or_else(consumer, error)) from error
                time.sleep(_PAUSE_SECONDS)  # a partition is without a leader for a moment, now and then
        finally:
            consumer.close()

    def _unavailable(self, reason: str) -> PolicyUnavailableError:
        return PolicyUnavailableError(
            f"Grants are not known: Kafka at {self._settings.kafka_shown} says {reason}; "
            "start it, or set TRAILHOUSE_KAFKA"
        )

    def _read(self, consumer: Any, deadline: float) -> list[PermissionChange]:
        ends = self._ends(consumer, deadline)
        found = []
        for partition, end in ends.items():
            latest_us = 0
            for message in self._messages(consumer, partition, end, deadline):
                offset = message.offset()
                latest_us = max(latest_us, message.timestamp()[1] * 1_000)
                place = f"{partition}:{offset}"
                if place not in self._ignored:
                    change = _change(message.value(), _EPOCH + timedelta(microseconds=latest_us), place, self._registry)
                    found.append(((latest_us, partition, offset), change))
        return [change for _, change in sorted(found, key=lambda item: item[0])]

    def _ends(self, consumer: Any, deadline: float) -> dict[int, int]:
        """Return where each partition ends; all must be there from their first message on."""
        from confluent_kafka import TopicPartition  # noqa: PLC0415

        topic = consumer.list_topics(_TYPE.topic, timeout=_left(deadline)).topics[_TYPE.topic]
        if topic.error is not None or not topic.partitions:
            raise PolicyUnknownError(
                f"Grants are not known: topic {_TYPE.topic} is not there; give one with 'trailhouse grant'"
            )
        ends = {}
        for partition in topic.partitions:
            low, ends[partition] = consumer.get_watermark_offsets(
                TopicPartition(_TYPE.topic, partition), timeout=_left(deadline)
            )
            if low > 0:
                raise PolicyUnknownError(
                    f"Grants are not known: topic {_TYPE.topic} has lost its first {low} messages; "
                    "keep all (retention.ms=-1), and give the grants anew"
                )
        return ends

    def _messages(self, consumer: Any, partition: int, end: int, deadline: float) -> list[Any]:
        """Return the messages of a partition, from the first to the one before `end`, without a hole."""
        from confluent_kafka import KafkaException, TopicPartition  # noqa: PLC0415

        messages: list[Any] = []
        if end > 0:
            consumer.assign([TopicPartition(_TYPE.topic, partition, 0)])
        while len(messages) < end:
            for message in consumer.consume(_MOST_MESSAGES, timeout=min(_POLL_SECONDS, _left(deadline))):
                if message.error() is not None:
                    raise KafkaException(message.error())
                if message.offset() >= end:
                    break
                if message.offset() != len(messages):
                    raise PolicyUnknownError(
                        f"Grants are not known: topic {_TYPE.topic} lacks offset {len(messages)} of partition "
                        f"{partition}; keep all (cleanup.policy=delete), and give the grants anew"
                    )
                messages.append(message)
        return messages


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise PolicyUnavailableError(
            "Grants are not known: Kafka did not answer in time; start it, or set TRAILHOUSE_PERMISSION_TIMEOUT_SECONDS"
        )
    return left


def _change(
    value: bytes | None, published_at: datetime, place: str, registry: Registry | None = None
) -> PermissionChange:
    """Decode one statement; raises `PolicyUnknownError`."""
    try:
        return PermissionChange.from_fields(_fields(value, registry), published_at)
    except RegistryUnavailableError as error:
        raise PolicyUnavailableError(f"Grants are not known: {error}") from error
    except Exception as error:
        raise PolicyUnknownError(
            f"Grants are not known: statement {place} cannot be read ({' '.join(str(error).split())[:300]}); "
            f"mend what is missing, or set TRAILHOUSE_PERMISSION_IGNORE={place} to do without that statement"
        ) from error


def _fields(value: bytes | None, registry: Registry | None) -> dict[str, Any]:
    header = read_header(value)
    if header.fingerprint is not None:
        writer = by_fingerprint(header.fingerprint).schema
    elif registry is None:
        raise DecodeError("it was written with a registry, and TRAILHOUSE_REGISTRY is not set")
    else:
        writer = registry.schema_of(header.registry_id or 0)
    record = f"{writer.get('namespace', '')}.{writer.get('name', '')}"
    if record != _TYPE.record:
        raise DecodeError(f"it is a {record}, not a {_TYPE.record}")
    stream = io.BytesIO((value or b"")[header.body_at :])
    fields: Any = schemaless_reader(stream, parse_schema(writer, _write_hint=False), latest(_TYPE.name).parsed)
    if stream.read(1):
        raise DecodeError("bytes are left over after the record")
    return dict(fields)
