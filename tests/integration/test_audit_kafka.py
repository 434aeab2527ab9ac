"""Permissions over a real broker: read from the control topic, and denied where that cannot be."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

import trailhouse
from trailhouse import access
from trailhouse.errors import GrantError
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.topics import Topics
    from trailhouse_cli.servers.kafka import KafkaServer
    from trailhouse_cli.servers.registry import RegistryServer

pytestmark = pytest.mark.kafka

TOPIC = CATALOGUE["permission_changed"].topic


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kafka: KafkaServer, topics: Topics) -> Iterator[Path]:
    """Empty topics, a home of its own, and grants that are read anew at every decision."""
    topics.create_catalogue(["permission_changed", "access_decided", "heartbeat_sent"])
    for name in [name for name in os.environ if name.startswith("TRAILHOUSE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRAILHOUSE_HOME", str(tmp_path))
    monkeypatch.setenv("TRAILHOUSE_KAFKA", kafka.bootstrap_servers)
    monkeypatch.setenv("TRAILHOUSE_FLUSH_INTERVAL_SECONDS", "0.02")
    monkeypatch.setenv("TRAILHOUSE_PERMISSION_REFRESH_SECONDS", "0")
    trailhouse.finish_all()
    access.forget_grants()
    yield tmp_path
    trailhouse.finish_all(timeout=5)
    access.forget_grants()


def test_grants_and_revocations_count_when_the_broker_has_them(home: Path) -> None:
    """`grant` and `revoke` return when that is so; nothing is left in a control directory."""
    assert "no grant allows" in trailhouse.authorize("alice", "read", "dataset:x").reason
    grant_id = trailhouse.grant("alice", "read", "dataset:*")
    assert trailhouse.authorize("alice", "read", "dataset:x").grant_ids == [grant_id]
    trailhouse.revoke(grant_id, reason="enough")
    assert not trailhouse.authorize("alice", "read", "dataset:x")
    assert not (home / "control").exists()
    with pytest.raises(GrantError, match="is not known"):
        trailhouse.revoke("nope")


def test_grants_are_read_with_a_registry_too(registry: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The schema is the registry's then."""
    there = Registry(registry.url)
    for event_type in CATALOGUE.values():
        there.register(event_type)
    monkeypatch.setenv("TRAILHOUSE_REGISTRY", registry.url)
    grant_id = trailhouse.grant("alice", "read", "dataset:*")
    assert trailhouse.authorize("alice", "read", "dataset:x").grant_ids == [grant_id]
    monkeypatch.delenv("TRAILHOUSE_REGISTRY")
    decision = trailhouse.authorize("alice", "read", "dataset:x")
    assert not decision
    assert "TRAILHOUSE_REGISTRY" in decision.reason


def test_without_the_topic_all_is_denied(topics: Topics) -> None:
    """And it is not made by asking for it."""
    topics.delete([TOPIC])
    decision = trailhouse.authorize("alice", "read", "dataset:x")
    assert not decision
    assert f"topic {TOPIC} is not there" in decision.reason


def test_a_message_that_cannot_be_read_denies_all_until_it_is_passed_over(
    kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could be a deny."""
    trailhouse.grant("alice", "read", "dataset:*")
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce(TOPIC, b"garbage", partition=0)
    producer.produce(TOPIC, None, b"tombstone", partition=0)
    producer.flush(30)
    decision = trailhouse.authorize("alice", "read", "dataset:x")
    assert not decision
    assert "TRAILHOUSE_PERMISSION_IGNORE=0:1" in decision.reason
    monkeypatch.setenv("TRAILHOUSE_PERMISSION_IGNORE", "0:1 0:2")
    assert trailhouse.authorize("alice", "read", "dataset:x")


def test_a_topic_that_has_lost_its_beginning_denies_all(kafka: KafkaServer) -> None:
    """The deny may have been there."""
    trailhouse.grant("alice", "read", "dataset:*")
    trailhouse.grant("alice", "read", "dataset:*")
    assert trailhouse.authorize("alice", "read", "dataset:x")
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.delete_records([TopicPartition(TOPIC, 0, 1)])[TopicPartition(TOPIC, 0)].result(30)
    decision = trailhouse.authorize("alice", "read", "dataset:x")
    assert not decision
    assert "has lost its first 1 messages" in decision.reason


def test_a_broker_that_does_not_answer_denies_all_when_what_is_known_is_too_old(
    kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then what was read before counts; and no decision takes longer than the time-out."""
    monkeypatch.setenv("TRAILHOUSE_PERMISSION_TIMEOUT_SECONDS", "1")
    monkeypatch.setenv("TRAILHOUSE_PERMISSION_MAX_AGE_SECONDS", "3600")
    trailhouse.grant("alice", "read", "dataset:*")
    assert trailhouse.authorize("alice", "read", "dataset:x")
    kafka.stop()
    assert trailhouse.authorize("alice", "read", "dataset:x")
    monkeypatch.setenv("TRAILHOUSE_PERMISSION_MAX_AGE_SECONDS", "0")
    begin = time.monotonic()
    assert not trailhouse.authorize("alice", "read", "dataset:x")
    assert time.monotonic() - begin < 10
    access.forget_grants()
    decision = trailhouse.authorize("alice", "read", "dataset:x")
    assert not decision
    assert "Grants are not known" in decision.reason
    kafka.start()
    deadline = time.monotonic() + 60
    while not trailhouse.authorize("alice", "read", "dataset:x"):
        assert time.monotonic() < deadline
