"""How fast the client library alone is: consume() and nothing else, and the row-wise baseline.

    python bench/consume.py only BOOTSTRAP TYPE COUNT
    python bench/consume.py baseline BOOTSTRAP TYPE COUNT

Both with the collector's own settings of the client. Prints one JSON object: events, seconds. The clock runs from the
first messages that arrived.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import Consumer
from fastavro import schemaless_reader

from trailhouse_consumer.settings import CollectorSettings
from trailhouse_consumer.sources.kafka_client import client_settings
from trailhouse_schemas import wire
from trailhouse_schemas.catalogue import by_name
from trailhouse_schemas.versions import by_fingerprint
from trailhouse_schemas.warehouse import TRANSPORT_COLUMNS, connect, migrate, row_columns

if TYPE_CHECKING:
    from collections.abc import Iterator

_BATCH: Final = 10_000


def batches(bootstrap_servers: str, topic: str, count: int) -> Iterator[list[Any]]:
    """Consume `count` messages of a topic from its beginning, in batches."""
    how = CollectorSettings(group=f"bench-{uuid.uuid4()}")
    consumer = Consumer(
        client_settings(bootstrap_servers, how) | {"auto.offset.reset": "earliest", "enable.partition.eof": False}
    )
    consumer.subscribe([topic])
    got = 0
    while got < count:
        messages = [m for m in consumer.consume(_BATCH, timeout=0.1) if m.error() is None]
        if messages:
            got += len(messages)
            yield messages
    consumer.close()


def only(bootstrap_servers: str, name: str, count: int) -> dict[str, float]:
    """Consume and do nothing else."""
    began, got = 0.0, 0
    for messages in batches(bootstrap_servers, by_name(name).topic, count):
        if not began:
            began, got = time.perf_counter(), -len(messages)
        got += len(messages)
    return {"events": got, "seconds": time.perf_counter() - began}


def baseline(bootstrap_servers: str, name: str, count: int) -> dict[str, float]:
    """Consume, decode each event with fastavro, insert rows: what one would write first."""
    event_type = by_name(name)
    columns = [*row_columns(event_type), *TRANSPORT_COLUMNS]
    with tempfile.TemporaryDirectory() as directory:
        client = connect(f"chdb://{directory}/warehouse", create=True)
        migrate(client)
        began, got = 0.0, 0
        for messages in batches(bootstrap_servers, event_type.topic, count):
            if not began:
                began = time.perf_counter()
            rows = [row for message in messages for row in _rows(message, event_type.rows_from, columns)]
            client.insert(event_type.table, rows, column_names=columns)
            got += len(messages)
        seconds = time.perf_counter() - began
        client.close()
    return {"events": got, "seconds": seconds}


def _rows(message: Any, rows_from: str, columns: list[str]) -> list[list[Any]]:
    value = message.value()
    header = wire.read_header(value)
    assert header.fingerprint is not None
    record: dict[str, Any] = schemaless_reader(  # type: ignore[assignment]
        io.BytesIO(value[header.body_at :]), by_fingerprint(header.fingerprint).parsed
    )
    record |= {
        "_topic": message.topic(),
        "_topic_id": "",
        "_partition": message.partition(),
        "_offset": message.offset(),
        "_published_at": record["occurred_at"],
        "_principal": "",
        "_principal_source": "",
    }
    if not rows_from:
        return [[record[c] for c in columns]]
    points = record.pop(rows_from)
    return [[{**record, "ordinal": n, **point}[c] for c in columns] for n, point in enumerate(points)]


if __name__ == "__main__":
    what, servers, event_name, number = sys.argv[1:]
    print(json.dumps({"only": only, "baseline": baseline}[what](servers, event_name, int(number))))
