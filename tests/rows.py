"""Puts events straight into the warehouse's tables, as the collector would have landed them: one row a record or point.

For tests of what is asked of the warehouse, where the way there (spool, broker, collector) is not the question:

    insert_events(warehouse.client, [event(PriceSet, sku_id="h100", resource="gpu", …)], published_at=moment)
"""

from __future__ import annotations

import itertools
import uuid
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from trailhouse_schemas.catalogue import by_model
from trailhouse_schemas.warehouse import TRANSPORT_COLUMNS, row_columns
from trailhouse_schemas.warehouse.tables import ORDINAL_COLUMN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trailhouse_schemas.catalogue import EventType
    from trailhouse_schemas.events import Event

__all__ = ["event", "insert_events"]

E = TypeVar("E", bound="Event")

_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
_sequences: Final[defaultdict[str, Iterator[int]]] = defaultdict(itertools.count)
_offsets: Final = itertools.count()


def event(model: type[E], /, **fields: Any) -> E:
    """Make an event: `fields` and, for what they leave out of the envelope, a single rank of a producer `producer-0`.

    `sequence` goes on from the producer's last one; `occurred_at` is the first moment of 2026 unless it is given.
    """
    producer_id = fields.get("producer_id", "producer-0")
    envelope: dict[str, Any] = {
        "occurred_at": _EPOCH,
        "producer_id": producer_id,
        "sequence": next(_sequences[producer_id]),
        "project": "",
        "run_id": "",
        "attempt": 0,
        "rank": 0,
        "world_size": 1,
        "host": "node-0",
        "principal": "",
    }
    return model(**(envelope | fields))


def insert_events(
    client: Any,
    events: Iterable[Event],
    *,
    published_at: datetime | None = None,
    principal: str | None = None,
    principal_source: str = "unverified",
    partition: int = 0,
) -> None:
    """Insert events of any types; each gets an offset above all earlier ones of this process.

    Args:
        client: Client of a migrated warehouse.
        events: The events, in the order in which they were published.
        published_at: The broker's time of all of them; each event's own `occurred_at` when it is not given.
        principal: `_principal` of all of them; each event's claim when it is not given.
        principal_source: `_principal_source` of all of them.
        partition: The partition that they come from.
    """
    by_type: dict[str, tuple[EventType, list[dict[str, Any]]]] = {}
    for one in events:
        event_type = by_model(type(one))
        transport = {
            "_topic": event_type.topic,
            "_topic_id": f"id-of-{event_type.topic}",
            "_partition": partition,
            "_offset": next(_offsets),
            "_published_at": published_at or one.occurred_at,
            "_principal": one.principal if principal is None else principal,
            "_principal_source": principal_source,
        }
        _, rows = by_type.setdefault(event_type.name, (event_type, []))
        rows.extend(row | transport for row in _rows(event_type, one))
    for event_type, rows in by_type.values():
        columns = [*row_columns(event_type), *TRANSPORT_COLUMNS]
        client.insert(
            event_type.table,
            [[row[column] for column in columns] for row in rows],
            column_names=columns,
            settings={"insert_deduplication_token": uuid.uuid4().hex},
        )


def _rows(event_type: EventType, one: Event) -> list[dict[str, Any]]:
    """Return the rows of an event: itself, or one for each element of the field that the catalogue names."""
    fields = one.model_dump()
    if not event_type.rows_from:
        return [fields]
    elements = fields.pop(event_type.rows_from)
    return [fields | element | {ORDINAL_COLUMN: ordinal} for ordinal, element in enumerate(elements)]
