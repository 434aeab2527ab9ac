"""Reads whole topics, as a test compares them with what was sent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, TopicPartition

from trailhouse_schemas.catalogue import by_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trailhouse_cli.servers.kafka import KafkaServer

__all__ = ["consume"]


def consume(kafka: KafkaServer, names: Iterable[str]) -> list[Any]:
    """Return all messages of these event types' topics, each partition in order."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": "unused",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    found: list[Any] = []
    try:
        expected, begins = 0, []
        for topic in (by_name(name).topic for name in names):
            for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
                low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
                expected += high - low
                if high > low:
                    begins.append(TopicPartition(topic, partition, low))
        consumer.assign(begins)
        until = time.monotonic() + 30
        while len(found) < expected:
            found += [m for m in consumer.consume(1_000, timeout=0.2) if m.error() is None]
            assert time.monotonic() < until, "the messages do not come"
    finally:
        consumer.close()
    return found
