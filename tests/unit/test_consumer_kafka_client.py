"""What a collector's Kafka client is made with."""

from __future__ import annotations

from trailhouse_consumer.settings import CollectorSettings
from trailhouse_consumer.sources.kafka_client import admin_settings, client_settings


def test_what_landing_rests_on_is_nobodys_choice() -> None:
    """Committed by the collector alone, from where the group says, in the group that it was told."""
    chosen = {
        "enable.auto.commit": "true",
        "enable.auto.offset.store": "true",
        "auto.offset.reset": "latest",
        "enable.partition.eof": "false",
        "bootstrap.servers": "evil:1",
        "group.id": "other",
        "security.protocol": "ssl",
        "fetch.queue.backoff.ms": "50",
        "allow.auto.create.topics": "true",
    }
    made = client_settings("broker:1", CollectorSettings(group="mine", kafka_client=chosen))
    assert {name: made[name] for name in chosen} == {
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "bootstrap.servers": "broker:1",
        "group.id": "mine",
        "security.protocol": "ssl",
        "fetch.queue.backoff.ms": "50",
        "allow.auto.create.topics": False,
    }
    of_admin = {"allow.auto.create.topics", "bootstrap.servers", "client.id", "log_level", "security.protocol"}
    assert admin_settings(made).keys() == of_admin


def test_what_the_client_fetches_ahead_is_a_sixteenth_of_the_memory() -> None:
    """Bounded by bytes, not by messages: the queue of many small ones would run dry."""
    for mib in (16, 384, 4096):
        made = client_settings("broker:1", CollectorSettings(memory_mib=mib))
        assert made["queued.max.messages.kbytes"] == mib * 1024 // 16
        assert made["queued.min.messages"] == 10_000_000
        assert made["fetch.max.bytes"] <= mib << 16
