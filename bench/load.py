"""What the benchmarks publish: small single events, and records of 200 metric points."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from itertools import count, islice
from typing import TYPE_CHECKING, Final

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from trailhouse_schemas import wire
from trailhouse_schemas.catalogue import CATALOGUE, by_name
from trailhouse_schemas.versions import latest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Headers = dict[str, str | bytes | None]

__all__ = [
    "PARTITIONS",
    "POINTS_PER_RECORD",
    "make_topics",
    "point_events",
    "publish_points",
    "publish_single_events",
    "single_event",
    "single_events",
]

#: Of a topic, unless something else is said.
PARTITIONS: Final = 2
POINTS_PER_RECORD: Final = 200
_PRODUCERS: Final = 8
_ENCODED_EVERY: Final = 1000
_STARTED: Final = datetime(2026, 1, 1, tzinfo=UTC)


def _envelope(producer_id: str, rank: int) -> dict[str, object]:
    return {
        "occurred_at": datetime.now(UTC),
        "producer_id": producer_id,
        "project": "bench",
        "run_id": "01930000-0000-7000-8000-000000000000",
        "attempt": 0,
        "rank": rank,
        "world_size": _PRODUCERS,
        "host": "node-17",
        "principal": "bench",
    }


def make_topics(bootstrap_servers: str, names: list[str], partitions: int) -> None:
    """Create the topics of these event types afresh; those of the catalogue's others are deleted."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    topics = [by_name(name).topic for name in names]
    old = {event_type.topic for event_type in CATALOGUE.values()} & set(admin.list_topics(timeout=10).topics)
    for future in admin.delete_topics(sorted(old)).values() if old else ():
        future.result()
    deadline = time.monotonic() + 30
    while old & set(admin.list_topics(timeout=10).topics) and time.monotonic() < deadline:
        time.sleep(0.1)
    config = {"message.timestamp.type": "LogAppendTime"}
    for future in admin.create_topics([NewTopic(t, num_partitions=partitions, config=config) for t in topics]).values():
        future.result()


def _events(name: str, fields: Mapping[str, object]) -> Iterator[tuple[str, bytes, Headers, int]]:
    """Yield key, value, headers and number of the producer of one event after the other, without end.

    Encoding each would take longer than all that is measured: only now and then one is encoded, and the others have
    another sequence in its place.
    """
    version = latest(name)
    ids = [str(uuid.uuid4()) for _ in range(_PRODUCERS)]
    for sequence in count():
        if sequence % _ENCODED_EVERY == 0:
            records = [{**_envelope(producer_id, rank), **fields} for rank, producer_id in enumerate(ids)]
            encoded = [[wire.encode(version, record | {"sequence": n}) for n in (0, 1)] for record in records]
            places = [next(i for i, (x, y) in enumerate(zip(*pair, strict=True)) if x != y) for pair in encoded]
        number = _varint(2 * sequence)
        for rank, producer_id in enumerate(ids):
            value, place = encoded[rank][0], places[rank]
            headers: Headers = {wire.IDENTITY_HEADER: wire.identity_to_bytes(producer_id, sequence)}
            yield producer_id, value[:place] + number + value[place + 1 :], headers, rank


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def _publish(bootstrap_servers: str, name: str, total: int, partitions: int, fields: Mapping[str, object]) -> int:
    topic = by_name(name).topic
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 20,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    size = 0
    for number, (key, value, headers, rank) in enumerate(islice(_events(name, fields), total)):
        size += len(value)
        while True:
            try:
                producer.produce(topic, value, key=key, partition=rank % partitions, headers=headers)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1000 == 0:
            producer.poll(0)
    assert producer.flush(120) == 0
    return size // total


_SAMPLE: Final = {
    "allocation_id": "a-1", "resource": "gpu", "device": "0", "model": "H100", "interval_start": _STARTED,
    "interval_seconds": 10.0, "utilization": 0.87, "memory_used_bytes": 60 << 30, "memory_total_bytes": 80 << 30,
    "power_watts": 640.0, "energy_joules": 6400.0, "temperature_celsius": None, "read_bytes": None,
    "written_bytes": None,
}  # fmt: skip


_POINTS: Final = {
    "split": "train", "dataset_digest": "", "model_id": "", "segment": {},
    "points": [
        {"name": f"metric_{n % 4}", "step": n // 4, "value": n * 0.37, "logged_at": _STARTED}
        for n in range(POINTS_PER_RECORD)
    ],
}  # fmt: skip


def single_event(producer_id: str, sequence: int, **fields: object) -> bytes:
    """Return the value of one ResourcesSampled event."""
    record = {**_envelope(producer_id, 0), **_SAMPLE, "sequence": sequence, **fields}
    return wire.encode(latest("resources_sampled"), record)


def single_events() -> Iterator[tuple[str, bytes, Headers, int]]:
    """Yield key, value, headers and number of the producer of ResourcesSampled events, without end."""
    return _events("resources_sampled", _SAMPLE)


def publish_single_events(bootstrap_servers: str, total: int, partitions: int = PARTITIONS) -> int:
    """Publish `total` ResourcesSampled events of eight producers; return the mean size of a value in bytes."""
    return _publish(bootstrap_servers, "resources_sampled", total, partitions, _SAMPLE)


def publish_points(bootstrap_servers: str, records: int, partitions: int = PARTITIONS) -> int:
    """Publish `records` MetricsLogged events of 200 points each; return the mean size of a value in bytes."""
    return _publish(bootstrap_servers, "metrics_logged", records, partitions, _POINTS)


def point_events() -> Iterator[tuple[str, bytes, Headers, int]]:
    """Yield key, value, headers and number of the producer of MetricsLogged events, without end."""
    return _events("metrics_logged", _POINTS)
