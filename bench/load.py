"""What the benchmarks publish: small single events, and records of 200 metric points."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from trailhouse_schemas import wire
from trailhouse_schemas.catalogue import CATALOGUE, by_name
from trailhouse_schemas.versions import latest

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "POINTS_PER_RECORD",
    "count_messages",
    "make_topics",
    "publish_points",
    "publish_single_events",
    "single_event",
]

POINTS_PER_RECORD: Final = 200
_PRODUCERS: Final = 8
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
    for future in admin.create_topics([NewTopic(t, num_partitions=partitions) for t in topics]).values():
        future.result()


def _publish(bootstrap_servers: str, name: str, count: int, partitions: int, fields: Mapping[str, object]) -> int:
    version, topic = latest(name), by_name(name).topic
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
    ids = [str(uuid.uuid4()) for _ in range(_PRODUCERS)]
    total = 0
    for number in range(count):
        rank = number % _PRODUCERS
        sequence = number // _PRODUCERS
        value = wire.encode(version, {**_envelope(ids[rank], rank), "sequence": sequence, **fields})
        total += len(value)
        headers: dict[str, str | bytes | None] = {wire.IDENTITY_HEADER: wire.identity_to_bytes(ids[rank], sequence)}
        while True:
            try:
                producer.produce(topic, value, key=ids[rank], partition=rank % partitions, headers=headers)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1000 == 0:
            producer.poll(0)
    assert producer.flush(120) == 0
    return total // count


_SAMPLE: Final = {
    "allocation_id": "a-1", "resource": "gpu", "device": "0", "model": "H100", "interval_start": _STARTED,
    "interval_seconds": 10.0, "utilization": 0.87, "memory_used_bytes": 60 << 30, "memory_total_bytes": 80 << 30,
    "power_watts": 640.0, "energy_joules": 6400.0, "temperature_celsius": None, "read_bytes": None,
    "written_bytes": None,
}  # fmt: skip


def single_event(producer_id: str, sequence: int, **fields: object) -> bytes:
    """Return the value of one ResourcesSampled event."""
    record = {**_envelope(producer_id, 0), **_SAMPLE, "sequence": sequence, **fields}
    return wire.encode(latest("resources_sampled"), record)


def publish_single_events(bootstrap_servers: str, count: int, partitions: int = 2) -> int:
    """Publish `count` ResourcesSampled events of eight producers; return the mean size of a value in bytes."""
    return _publish(bootstrap_servers, "resources_sampled", count, partitions, _SAMPLE)


def publish_points(bootstrap_servers: str, records: int, partitions: int = 2) -> int:
    """Publish `records` MetricsLogged events of 200 points each; return the mean size of a value in bytes."""
    points = [
        {"name": f"metric_{n % 4}", "step": n // 4, "value": n * 0.37, "logged_at": _STARTED}
        for n in range(POINTS_PER_RECORD)
    ]
    fields = {"split": "train", "dataset_digest": "", "model_id": "", "segment": {}, "points": points}
    return _publish(bootstrap_servers, "metrics_logged", records, partitions, fields)


def count_messages(bootstrap_servers: str, name: str) -> int:
    """Return how many messages the topic of an event type holds."""
    from confluent_kafka import Consumer, TopicPartition  # noqa: PLC0415

    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "bench-count"})
    topic = by_name(name).topic
    total = 0
    for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        total += high - low
    consumer.close()
    return total
