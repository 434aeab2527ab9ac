"""What the tables of events look like, derived from the catalogue: a test holds the SQL migrations against it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from trailhouse_schemas.catalogue import EventType

__all__ = ["ORDINAL_COLUMN", "TRANSPORT_COLUMNS", "row_columns"]

#: Columns that every event table and `dead_letters` have from the transport, with their types.
#:
#: `_topic_id` is Kafka's own id of the topic (a topic deleted and made again has another one), or for a spool
#: `spool:PRODUCER_ID`; with `_partition` (-1 for a spool) and `_offset` (a spool's sequence) it is a message's place.
TRANSPORT_COLUMNS: Final = {
    "_topic": "LowCardinality(String)",
    "_topic_id": "LowCardinality(String)",
    "_partition": "Int32",
    "_offset": "Int64",
    "_published_at": "DateTime64(6, 'UTC')",
    "_principal": "LowCardinality(String)",
    "_principal_source": "LowCardinality(String)",
}

#: Place of a row within its record, where a record has several rows.
ORDINAL_COLUMN: Final = "ordinal"


def row_columns(event_type: EventType) -> list[str]:
    """Return the columns of the table of `event_type` that come from its fields, in order."""
    columns = [name for name in event_type.model.model_fields if name != event_type.rows_from]
    if event_type.rows_from:
        from trailhouse_schemas.versions import latest  # noqa: PLC0415 - reads files

        (rows,) = (f for f in latest(event_type.name).schema["fields"] if f["name"] == event_type.rows_from)
        columns += [ORDINAL_COLUMN, *(field["name"] for field in rows["type"]["items"]["fields"])]
    return columns
