"""A collector whose name in the group was taken by another comes back when that one is gone."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from collected import metrics, new_producer_id, publish
from trailhouse_cli.servers.waiting import wait_until
from trailhouse_consumer.errors import SourceUnavailableError
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_consumer.sources import Limits
from trailhouse_consumer.sources.kafka import KafkaSource

if TYPE_CHECKING:
    from servers.topics import Topics
    from trailhouse_cli.servers.kafka import KafkaServer


def has_partitions(source: KafkaSource) -> bool:
    """Poll a source; return whether it has any partition."""
    try:
        source.poll(0.1)
    except SourceUnavailableError:
        return False
    return bool(source.partitions())


@pytest.mark.kafka
def test_a_collector_whose_name_was_taken_joins_anew(kafka: KafkaServer, topics: Topics) -> None:
    """The client is of no use any more then, and says so once: who only logs that waits for ever."""
    topics.create_catalogue(["metrics_logged"])
    producer_id = new_producer_id()
    how = CollectorSettings(
        group=f"fenced-{producer_id}",
        session_timeout_seconds=2,
        kafka_client={"group.instance.id": uuid.uuid4().hex, "heartbeat.interval.ms": "500"},
    )
    limits = Limits(1_000, 1 << 20, 0.0)
    first, second = (KafkaSource(kafka.bootstrap_servers, how, limits) for _ in range(2))
    try:
        assert wait_until(lambda: has_partitions(first), seconds=30)
        assert wait_until(lambda: has_partitions(second), seconds=30)
        assert wait_until(lambda: not has_partitions(first), seconds=30)
        second.close()
        publish(kafka.bootstrap_servers, "metrics_logged", [(producer_id, 0, metrics(producer_id, 0))])
        assert wait_until(lambda: has_partitions(first) and bool(first.due()), seconds=30)
    finally:
        first.close()
        second.close()
