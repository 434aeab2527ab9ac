"""Three versions of a schema in one topic: with their columns all land, without them the newer ones wait as letters."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from collected import identities, new_producer_id, publish, record
from trailhouse_consumer.dead_letters import Reason
from trailhouse_consumer.landing import Landing
from trailhouse_consumer.letters import Choice, chosen_letters
from trailhouse_consumer.replay import Replay
from trailhouse_consumer.service import collect
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_consumer.warehouse import Warehouse as Asked
from trailhouse_schemas import versions
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.settings import Settings
from trailhouse_schemas.versions import SchemaVersion
from trailhouse_schemas.wire import encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.topics import Topics
    from servers.warehouses import Warehouse
    from trailhouse_cli.servers.kafka import KafkaServer

TYPE = CATALOGUE["heartbeat_sent"]
#: What a migration of versions 2 and 3 would say.
MIGRATION = (
    "ALTER TABLE heartbeat_sent ADD COLUMN IF NOT EXISTS mood LowCardinality(String) AFTER flush_interval_seconds",
    "ALTER TABLE heartbeat_sent ADD COLUMN IF NOT EXISTS load Nullable(Float64) AFTER mood",
    "ALTER TABLE heartbeat_sent ADD COLUMN IF NOT EXISTS queues Map(LowCardinality(String), Int64) AFTER load",
)


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[SchemaVersion]]:
    """Versions 1, 2 and 3 of a schema; the catalogue knows all of them."""
    first = versions.versions(TYPE.name)[-1]
    schema = first.schema
    more: list[list[dict[str, Any]]] = [
        [{"name": "mood", "type": "string", "default": "calm"}],
        [
            {"name": "load", "type": ["null", "double"], "default": None},
            {"name": "queues", "type": {"type": "map", "values": "long"}, "default": {}},
        ],
    ]
    made = [first]
    for number, fields in enumerate(more, 2):
        schema = {**schema, "fields": [*schema["fields"], *fields]}
        made.append(SchemaVersion(TYPE, number, json.dumps(schema)))
    before = versions.versions
    monkeypatch.setattr(versions, "versions", lambda name: tuple(made) if name == TYPE.name else before(name))
    versions._fingerprints.cache_clear()
    yield made
    versions._fingerprints.cache_clear()


@pytest.fixture
def altered(warehouse: Warehouse) -> Iterator[Warehouse]:
    """A warehouse whose table the test may give columns; they are taken away at the end."""
    yield warehouse
    for name in ("mood", "load", "queues"):
        warehouse.client.command(f"ALTER TABLE heartbeat_sent DROP COLUMN IF EXISTS {name}")


def published(kafka: KafkaServer, topics: Topics, made: list[SchemaVersion], producer_id: str) -> None:
    """Publish 30 events, of the three versions in turn."""
    topics.create_catalogue([TYPE.name])
    values = []
    for sequence in range(30):
        fields = {
            "phase": "alive",
            "subject_producer_id": producer_id,
            "process_id": 1,
            "events_emitted": 0,
            "events_dropped": 0,
            "mood": f"mood {sequence}",
            "load": sequence / 4,
            "queues": {"a": sequence},
        }
        version = made[sequence % 3]
        known = {field["name"] for field in version.schema["fields"]}
        whole = record(TYPE.name, producer_id, sequence, **fields)
        values.append((producer_id, sequence, encode(version, {n: v for n, v in whole.items() if n in known})))
    publish(kafka.bootstrap_servers, TYPE.name, values)


def collected(kafka: KafkaServer, warehouse: Warehouse, home: Path) -> None:
    """Collect it, as a group of its own."""
    collect(
        Settings.read(home=str(home), kafka=kafka.bootstrap_servers, warehouse=warehouse.url),
        CollectorSettings.read(group=f"g-{uuid.uuid4()}", flush_seconds=0.2, idle_seconds=1.0),
        spools=[],
        until_idle=True,
    )


def landed_right(warehouse: Warehouse, producer_id: str) -> None:
    """Hold that every event is there once, with what its version had, and the defaults of what it had not."""
    assert identities(warehouse.client, TYPE.table) == [(producer_id, i) for i in range(30)]
    rows = warehouse.client.query("SELECT sequence, mood, load, queues FROM heartbeat_sent ORDER BY 1").result_rows
    for sequence, mood, load, queues in rows:
        version = sequence % 3 + 1
        assert mood == (f"mood {sequence}" if version > 1 else "calm")
        assert load == (sequence / 4 if version > 2 else None)
        assert queues == ({"a": sequence} if version > 2 else {})


def test_three_versions_in_one_topic_land_right(
    kafka: KafkaServer, topics: Topics, altered: Warehouse, three: list[SchemaVersion], tmp_path: Path
) -> None:
    """Interleaved; what an older version lacks has its default."""
    for statement in MIGRATION:
        altered.client.command(statement)
    producer_id = new_producer_id()
    published(kafka, topics, three, producer_id)
    collected(kafka, altered, tmp_path)
    assert altered.count("dead_letters") == 0
    landed_right(altered, producer_id)


def test_without_the_columns_the_newer_ones_are_kept_aside_until_they_are_there(
    kafka: KafkaServer, topics: Topics, altered: Warehouse, three: list[SchemaVersion], tmp_path: Path
) -> None:
    """Version 1 lands at once, 2 after one migration, 3 after the other: each once."""
    producer_id = new_producer_id()
    published(kafka, topics, three, producer_id)
    collected(kafka, altered, tmp_path)
    assert identities(altered.client, TYPE.table) == [(producer_id, i) for i in range(0, 30, 3)]
    asked = Asked(altered.client)
    chosen = chosen_letters(asked, Choice())
    assert set(chosen.column("reason").to_pylist()) == {Reason.UNKNOWN_FIELD.value}
    assert all("'trailhouse migrate'" in detail for detail in chosen.column("detail").to_pylist())
    altered.client.command(MIGRATION[0])
    done = Replay(asked, Landing(asked), None, by="test").run(chosen_letters(asked, Choice()))
    assert (done.landed, dict(done.failed)) == (10, {"unknown_field": 10})
    left = chosen_letters(asked, Choice())
    assert all("mood" not in detail and "load, queues" in detail for detail in left.column("detail").to_pylist())
    for statement in MIGRATION[1:]:
        altered.client.command(statement)
    done = Replay(asked, Landing(asked), None, by="test").run(chosen_letters(asked, Choice()))
    assert (done.landed, done.failed.total()) == (10, 0)
    rows = altered.client.query("SELECT count(), countIf(mood = '') FROM heartbeat_sent WHERE sequence % 3 = 0")
    assert rows.first_row == (10, 10)
    altered.client.command(
        "ALTER TABLE heartbeat_sent UPDATE mood = 'calm' WHERE mood = ''", settings={"mutations_sync": 1}
    )  # the table's default is not the schema's: what landed before the migration has the table's
    landed_right(altered, producer_id)
