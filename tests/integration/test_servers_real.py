"""Promises of the real servers that tests and demo run on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, KafkaException, Producer, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from trailhouse_cli.servers import kafka as kafka_server
from trailhouse_cli.servers import registry as registry_server
from trailhouse_cli.servers.waiting import wait_until
from trailhouse_schemas.catalogue import CATALOGUE

if TYPE_CHECKING:
    from servers.topics import Topics
    from servers.warehouses import Warehouse
    from trailhouse_cli.servers.kafka import KafkaServer
    from trailhouse_cli.servers.registry import RegistryServer

pytestmark = pytest.mark.kafka


def _produce(bootstrap_servers: str, topic: str, *values: bytes) -> None:
    """Publish messages and return when the broker has them."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "acks": "all"})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


def _consume(bootstrap_servers: str, topic: str, count: int) -> list[Any]:
    """Return the first so many messages of a topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    messages: list[Any] = []

    def all_there() -> bool:
        messages.extend(consumer.consume(count, 1))
        return len(messages) >= count

    assert wait_until(all_there, seconds=60)
    consumer.close()
    return messages


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_broker_comes_back_on_its_port_with_its_messages(end: str, kafka: KafkaServer, topic: str) -> None:
    """Stopped in order or killed, what it had acknowledged is there."""
    if kafka.origin == "settings":
        pytest.skip("the broker of the settings is not ours to stop")
    _produce(kafka.bootstrap_servers, topic, b"before")
    getattr(kafka, end)()
    assert not kafka.running
    assert not kafka_server.answers(kafka.bootstrap_servers, timeout_seconds=1)
    kafka.start()
    _produce(kafka.bootstrap_servers, topic, b"after")
    assert [message.value() for message in _consume(kafka.bootstrap_servers, topic, 2)] == [b"before", b"after"]


def test_the_time_of_a_message_is_the_brokers(kafka: KafkaServer, topic: str) -> None:
    """Topics use LogAppendTime without being told."""
    _produce(kafka.bootstrap_servers, topic, b"x")
    (message,) = _consume(kafka.bootstrap_servers, topic, 1)
    assert message.timestamp()[0] == TIMESTAMP_LOG_APPEND_TIME


def test_a_topic_that_nobody_created_is_not_there(kafka: KafkaServer) -> None:
    """A misspelt topic is an error, not a new topic."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "message.timeout.ms": 2000})
    errors: list[Any] = []
    producer.produce("no.such.topic", b"x", on_delivery=lambda error, _message: errors.append(error))
    producer.flush(30)
    assert len(errors) == 1
    assert errors[0] is not None
    assert "no.such.topic" not in producer.list_topics(timeout=30).topics


def test_the_catalogues_topics_are_fresh_every_time(kafka: KafkaServer, topics: Topics) -> None:
    """Created again they are empty, have their partitions, and an id of their own."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})

    def describe() -> Any:
        future = admin.describe_topics(TopicCollection(["trailhouse.metrics_logged"]))["trailhouse.metrics_logged"]
        return future.result(30)

    assert topics.create_catalogue() == [event_type.topic for event_type in CATALOGUE.values()]
    first = describe()
    assert len(first.partitions) == CATALOGUE["metrics_logged"].partitions
    topics.create_catalogue(["metrics_logged"])
    assert str(describe().topic_id) != str(first.topic_id)
    assert "trailhouse.run_started" not in admin.list_topics(timeout=30).topics


def test_topics_are_gone_with_the_test_that_made_them(kafka: KafkaServer, topics: Topics) -> None:
    """What was created is deleted at the end."""
    name = topics.create("short", partitions=2)
    topics.close()
    with pytest.raises(KafkaException):
        _partitions_of(kafka.bootstrap_servers, name)


def _partitions_of(bootstrap_servers: str, topic: str) -> int:
    """Return the number of partitions of a topic; raises `KafkaException` where there is none."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    return len(admin.describe_topics(TopicCollection([topic]))[topic].result(30).partitions)


@pytest.mark.registry
def test_the_registry_speaks_confluents_api(registry: RegistryServer) -> None:
    """A schema that was registered is found by its id."""
    client = SchemaRegistryClient({"url": registry.url})
    text = json.dumps({"type": "record", "name": "Test", "namespace": "some", "fields": []})
    schema_id = client.register_schema("some-subject", Schema(text, "AVRO"))
    assert json.loads(client.get_schema(schema_id).schema_str or "")["name"] == "Test"


@pytest.mark.registry
def test_a_registry_comes_back_on_its_port(registry: RegistryServer) -> None:
    """Away while it is stopped, there again after."""
    if registry.origin == "settings":
        pytest.skip("the registry of the settings is not ours to stop")
    registry.kill()
    assert not registry_server.answers(registry.url)
    registry.start()
    assert registry_server.answers(registry.url)


def test_a_server_starts_in_a_process_that_has_the_engine_open(warehouse: Warehouse, kafka: KafkaServer) -> None:
    """Starting one does not fork the engine, which would hang."""
    if kafka.origin == "settings":
        pytest.skip("the broker of the settings is not ours to stop")
    assert warehouse.client.query("SELECT 1").first_row == (1,)
    kafka.stop()
    kafka.start()
    assert warehouse.count("run_started") == 0


@pytest.mark.registry
def test_servers_run_until_they_are_interrupted(kafka: KafkaServer, registry: RegistryServer) -> None:
    """`make kafka` prints what to set, ends on Ctrl-C, and leaves no server behind."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRAILHOUSE_")}
    command = [sys.executable, "-m", "trailhouse_cli.servers", "run"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        told = dict(running.stdout.readline().removeprefix("export ").strip().split("=") for _ in range(2))
        assert kafka_server.answers(told["TRAILHOUSE_KAFKA"])
        assert registry_server.answers(told["TRAILHOUSE_REGISTRY"])
        with urllib.request.urlopen(f"{told['TRAILHOUSE_REGISTRY']}/subjects") as answer:  # noqa: S310 - our own
            assert json.loads(answer.read()) == []
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0
    assert not kafka_server.answers(told["TRAILHOUSE_KAFKA"], timeout_seconds=1)
    assert not registry_server.answers(told["TRAILHOUSE_REGISTRY"])
