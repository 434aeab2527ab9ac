"""What a collector says of its lag and its readiness, between a real broker and a warehouse that comes and goes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from collected import metrics, new_producer_id, publish
from trailhouse_cli.servers.waiting import wait_until
from trailhouse_schemas.catalogue import CATALOGUE
from watched import PATIENCE_SECONDS, Watched, watched

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers.topics import Topics
    from servers.warehouses import Warehouse
    from trailhouse_cli.servers.clickhouse import ClickHouseServer
    from trailhouse_cli.servers.kafka import KafkaServer

pytestmark = pytest.mark.kafka

TOPIC = CATALOGUE["metrics_logged"].topic
#: Messages of a quarter of a megabyte that fill the memory of a small collector.
LARGE = 60
PARTITIONS = CATALOGUE["metrics_logged"].partitions


@pytest.fixture
def how(kafka: KafkaServer, topics: Topics, server_warehouse: Warehouse, tmp_path: Path) -> dict[str, Any]:
    """Those of a collector of one topic."""
    topics.create_catalogue(["metrics_logged"])
    return {
        "home": tmp_path,
        "kafka": kafka.bootstrap_servers,
        "warehouse": server_warehouse.url,
        "collect_group": f"watched-{new_producer_id()}",
        "collect_flush_seconds": 0.05,
        "collect_session_timeout_seconds": 6,
        "collect_backoff_seconds": 1,
    }


@pytest.fixture
def send(kafka: KafkaServer) -> Callable[..., None]:
    """Publishes so many events of one producer to one partition."""
    producer_id = new_producer_id()
    sent = [0]

    def send_to(partition: int, count: int, *, points: int = 1) -> None:
        numbers = range(sent[0], sent[0] + count)
        sent[0] += count
        values = [(producer_id, i, metrics(producer_id, i, points)) for i in numbers]
        publish(kafka.bootstrap_servers, "metrics_logged", values, partition=partition)

    return send_to


def published_at(servers: str, partition: int, offset: int) -> float:
    """Return the broker's time of one message, in seconds since 1970."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "looks"})
    consumer.assign([TopicPartition(TOPIC, partition, offset)])
    message = consumer.poll(PATIENCE_SECONDS)
    assert message is not None
    consumer.close()
    stamp: int = message.timestamp()[1]
    return stamp / 1000


def assert_is_age_of(running: Watched, at: float, name: str, **labels: str) -> None:
    """Hold an age against the time of what it is the age of: between asking and answering."""
    before = time.time()
    seconds = running.value(name, **labels)
    after = time.time()
    assert seconds is not None
    assert before - at <= seconds <= after - at


def test_lag_is_that_of_the_oldest_message_not_landed(
    kafka: KafkaServer,
    how: dict[str, Any],
    send: Callable[..., None],
    clickhouse: ClickHouseServer,
) -> None:
    """In messages and in seconds, while the warehouse is away, and none when all is landed; of every partition."""
    with watched(how) as running:
        send(0, 20)
        running.until("trailhouse_messages_total", 20, topic=TOPIC)
        running.until("trailhouse_lag_messages", 0, topic=TOPIC, partition="0")
        lags = {dict(labels)["partition"] for name, labels in running.series() if name == "trailhouse_lag_seconds"}
        assert lags == {str(i) for i in range(PARTITIONS)}
        assert running.value("trailhouse_lag_seconds", topic=TOPIC, partition="0") == 0
        assert running.value("trailhouse_oldest_unlanded_seconds") == 0
        assert running.value("trailhouse_ready") == 1

        clickhouse.stop()
        send(0, 3)
        send(1, 4)
        running.until("trailhouse_lag_messages", 3, topic=TOPIC, partition="0")
        running.until("trailhouse_lag_messages", 4, topic=TOPIC, partition="1")
        first = published_at(kafka.bootstrap_servers, 0, 20)
        second = published_at(kafka.bootstrap_servers, 1, 0)
        assert_is_age_of(running, first, "trailhouse_lag_seconds", topic=TOPIC, partition="0")
        assert_is_age_of(running, second, "trailhouse_lag_seconds", topic=TOPIC, partition="1")
        assert_is_age_of(running, first, "trailhouse_oldest_unlanded_seconds")
        running.until("trailhouse_waiting", 1, what="warehouse")
        assert wait_until(lambda: running.checks()[0] == 503, seconds=PATIENCE_SECONDS)
        status, checks = running.checks()
        assert (status, checks["loop"], checks["kafka"]) == (503, "ok", "ok")
        assert checks["warehouse"] != "ok"
        assert running.get("/live")[0] == 200
        assert running.value("trailhouse_ready") == 0

        clickhouse.start()
        running.until("trailhouse_messages_total", 27, topic=TOPIC)
        running.until("trailhouse_oldest_unlanded_seconds", 0)
        assert wait_until(lambda: running.checks()[0] == 200, seconds=PATIENCE_SECONDS)


def test_lag_of_what_memory_has_no_room_for_is_right(
    kafka: KafkaServer,
    how: dict[str, Any],
    send: Callable[..., None],
    clickhouse: ClickHouseServer,
) -> None:
    """Nothing of a partition is fetched while memory is full: its end and the time of its oldest are asked for."""
    with watched(how | {"collect_memory_mib": 16}) as running:
        assert wait_until(lambda: running.checks()[0] == 200, seconds=PATIENCE_SECONDS)
        clickhouse.stop()
        send(0, LARGE, points=10_000)
        full = wait_until(lambda: (running.value("trailhouse_buffered_bytes") or 0) > 6 << 20, seconds=PATIENCE_SECONDS)
        assert full, running.value("trailhouse_buffered_bytes")
        running.until("trailhouse_lag_messages", LARGE, topic=TOPIC, partition="0")
        send(1, 5)
        running.until("trailhouse_lag_messages", 5, topic=TOPIC, partition="1")
        at = published_at(kafka.bootstrap_servers, 1, 0)
        known = wait_until(
            lambda: running.value("trailhouse_lag_seconds", topic=TOPIC, partition="1") is not None,
            seconds=PATIENCE_SECONDS,
        )
        assert known
        send(1, 5)
        running.until("trailhouse_lag_messages", 10, topic=TOPIC, partition="1")
        assert_is_age_of(running, at, "trailhouse_lag_seconds", topic=TOPIC, partition="1")
        clickhouse.start()
        running.until("trailhouse_messages_total", LARGE + 10, topic=TOPIC)
        running.until("trailhouse_oldest_unlanded_seconds", 0)


def test_partitions_that_went_to_another_collector_are_told_of_by_that_one(
    how: dict[str, Any], send: Callable[..., None]
) -> None:
    """Each partition has one who tells of it, and the change is counted."""

    def told(running: Watched) -> set[str]:
        return {dict(labels)["partition"] for name, labels in running.series() if name == "trailhouse_lag_messages"}

    everything = {str(i) for i in range(PARTITIONS)}
    send(0, 1)
    with watched(how) as first:
        assert wait_until(lambda: told(first) == everything, seconds=PATIENCE_SECONDS)
        with watched(how) as second:
            assert wait_until(
                lambda: bool(told(second)) and told(first) == everything - told(second), seconds=PATIENCE_SECONDS
            )
            assert first.value("trailhouse_assigned_partitions", source="kafka") == len(told(first))
            assert (first.value("trailhouse_rebalances_total", kind="revoked") or 0) >= 1
            assert (second.value("trailhouse_rebalances_total", kind="assigned") or 0) >= 1
        assert wait_until(lambda: told(first) == everything, seconds=PATIENCE_SECONDS)
