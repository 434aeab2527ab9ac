"""Messages and spools for the tests of the collector, and what they come to in the warehouse."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer

from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.spool import Spool, SpooledEvent
from trailhouse_schemas.versions import latest
from trailhouse_schemas.wire import encode, identity_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

NOW = datetime.now(UTC)


def new_producer_id() -> str:
    """Return the id of a producer that nobody else is."""
    return str(uuid.uuid4())


def record(name: str, producer_id: str, sequence: int, /, **fields: Any) -> dict[str, Any]:
    """Return a record of an event type with its envelope; fields that are not given have their defaults."""
    envelope = {
        "occurred_at": NOW,
        "producer_id": producer_id,
        "sequence": sequence,
        "project": "project",
        "run_id": "run",
        "attempt": 0,
        "rank": 0,
        "world_size": 1,
        "host": "host",
        "principal": "principal",
    }
    defaults = {f["name"]: f["default"] for f in latest(name).schema["fields"] if "default" in f}
    return defaults | envelope | fields


def full_record(name: str, producer_id: str, sequence: int, /) -> dict[str, Any]:
    """Return a record of an event type in which nothing is empty or null, however deep."""
    names: dict[str, Any] = {}
    return {f["name"]: _full(f["type"], names) for f in latest(name).schema["fields"]} | {
        "occurred_at": NOW,
        "producer_id": producer_id,
        "sequence": sequence,
    }


def _full(schema: Any, names: dict[str, Any]) -> Any:  # noqa: PLR0911 - one for each kind of schema
    """Return a value of a schema; money is a number as text, and so may be all texts."""
    if isinstance(schema, list):
        return _full(next(option for option in schema if option != "null"), names)
    if isinstance(schema, str):
        plain = {"string": "1.50", "long": 7, "double": 0.25, "boolean": True}
        return plain[schema] if schema in plain else _full(names[schema], names)
    if schema.get("logicalType") == "timestamp-micros":
        return NOW
    if schema["type"] == "array":
        return [_full(schema["items"], names)] * 2
    if schema["type"] == "map":
        return {"key": _full(schema["values"], names)}
    if schema["type"] == "record":
        names[schema["name"]] = names[f"{schema.get('namespace')}.{schema['name']}"] = schema
        return {f["name"]: _full(f["type"], names) for f in schema["fields"]}
    return _full(schema["type"], names)


def metrics(producer_id: str, sequence: int, points: int = 2, **fields: Any) -> bytes:
    """Return the value of a MetricsLogged event with so many points."""
    measured = [{"name": f"m{i}", "step": sequence, "value": i / 4, "logged_at": NOW} for i in range(points)]
    return encode(latest("metrics_logged"), record("metrics_logged", producer_id, sequence, points=measured, **fields))


def heartbeat(producer_id: str, sequence: int, **fields: Any) -> bytes:
    """Return the value of a HeartbeatSent event."""
    given = {
        "phase": "alive",
        "subject_producer_id": producer_id,
        "process_id": 1,
        "events_emitted": sequence,
        "events_dropped": 0,
    }
    return encode(latest("heartbeat_sent"), record("heartbeat_sent", producer_id, sequence, **given | fields))


def spooled(directory: Path, values: Iterable[tuple[str, bytes]], producer_id: str | None = None) -> str:
    """Write a spool whose events are these (type, value), numbered from 0; return the producer's id."""
    producer_id = producer_id or new_producer_id()
    now_us = time.time_ns() // 1000
    with Spool.create(directory, producer_id) as spool:
        spool.append([SpooledEvent(i, name, producer_id, now_us, value) for i, (name, value) in enumerate(values)])
    return producer_id


def publish(
    bootstrap_servers: str,
    name: str,
    values: Iterable[tuple[str, int, bytes | None]],
    *,
    partition: int = 0,
    max_mib: int = 1,
) -> None:
    """Publish (producer_id, sequence, value) to the topic of an event type, in order, and wait until all are there."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "enable.idempotence": True,
            "linger.ms": 5,
            "message.max.bytes": max_mib << 20,
        }
    )
    failed: list[Any] = []
    for producer_id, sequence, value in values:
        while True:
            try:
                producer.produce(
                    CATALOGUE[name].topic,
                    value,
                    key=producer_id,
                    partition=partition,
                    headers=[("th", identity_to_bytes(producer_id, sequence))],
                    on_delivery=lambda error, _: failed.append(error) if error else None,
                )
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush(60)
    assert not failed, failed[0]


def identities(client: Client, table: str) -> list[tuple[str, int]]:
    """Return the (producer_id, sequence) of each event of a table, sorted, doubled ones twice."""
    once = " WHERE ordinal = 0" if CATALOGUE[table].rows_from else ""
    found = client.query(f"SELECT producer_id, sequence FROM {table}{once} ORDER BY 1, 2")  # noqa: S608 - a test's own
    return [(str(producer_id), int(sequence)) for producer_id, sequence in found.result_rows]


def dead_reasons(client: Client) -> dict[int, str]:
    """Return the reason of each dead letter by its offset."""
    found = client.query("SELECT _offset, reason FROM dead_letters ORDER BY _offset").result_rows
    return {int(offset): str(reason) for offset, reason in found}
