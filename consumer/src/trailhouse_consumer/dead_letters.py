"""Dead letters: messages that cannot be landed, kept whole with the reason, so that none of them stops the others."""

from __future__ import annotations

from enum import StrEnum
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from trailhouse_schemas.wire import identity_from_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trailhouse_consumer.sources import Gap, Headers, Messages, Partition

__all__ = ["DEAD_LETTERS_TABLE", "IDENTITY_BYTES", "Dead", "Reason", "dead_letter_rows", "gap_row"]

DEAD_LETTERS_TABLE: Final = "dead_letters"

#: Bytes of the header that identifies an event.
IDENTITY_BYTES: Final = 24


class Reason(StrEnum):
    """Why a message is a dead letter: the words that reports group by."""

    NO_HEADER = "no_header"
    UNKNOWN_SCHEMA = "unknown_schema"
    WRONG_SCHEMA = "wrong_schema"
    UNKNOWN_FIELD = "unknown_field"
    UNDECODABLE = "undecodable"
    WRONG_IDENTITY = "wrong_identity"
    INVALID_VALUE = "invalid_value"
    INVALID_TIME = "invalid_time"
    NO_ROWS = "no_rows"
    TOO_LARGE = "too_large"
    REJECTED = "rejected"
    KILLS_THE_COLLECTOR = "kills_the_collector"
    #: Not a message: offsets that the log no longer had.
    OFFSETS_MISSING = "offsets_missing"


class Dead(NamedTuple):
    """One message that cannot be landed: its place in the range, and why."""

    place: int
    reason: Reason
    detail: str


_SCHEMA: Final = pa.schema(
    [
        ("event_type", pa.string()),
        ("producer_id", pa.string()),
        ("sequence", pa.int64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("message_key", pa.binary()),
        ("headers", pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))),
        ("value", pa.binary()),
        ("collector_version", pa.string()),
        ("_topic", pa.string()),
        ("_topic_id", pa.string()),
        ("_partition", pa.int32()),
        ("_offset", pa.int64()),
        ("_published_at", pa.timestamp("us", "UTC")),
        ("_principal", pa.string()),
        ("_principal_source", pa.string()),
    ]
)


def dead_letter_rows(partition: Partition, messages: Messages, dead: Sequence[Dead]) -> pa.Table:
    """Return rows of the table `dead_letters`, in order of offset; column by column, for there may be very many."""
    letters = sorted(dead, key=lambda letter: letter.place)
    places = [letter.place for letter in letters]
    identities = _identities([messages.identities[place] for place in places])
    columns: dict[str, Any] = {name: pa.repeat(value, len(places)) for name, value in _place(partition).items()}
    columns |= {
        "producer_id": [producer_id for producer_id, _ in identities],
        "sequence": [sequence for _, sequence in identities],
        "reason": [letter.reason.value for letter in letters],
        "detail": [letter.detail for letter in letters],
        "message_key": [messages.keys[place] for place in places],
        "headers": _headers([messages.headers_of(place) for place in places]),
        "value": [messages.values[place] for place in places],
        "_offset": messages.offsets[places],
        "_published_at": messages.published_us[places],
        "_principal": pa.repeat(messages.principal, len(places)),
        "_principal_source": pa.repeat(messages.principal_source, len(places)),
    }
    return pa.table([_column(columns[field.name], field.type) for field in _SCHEMA], schema=_SCHEMA)


def _column(values: Any, kind: pa.DataType) -> pa.Array:
    return values.cast(kind) if isinstance(values, pa.Array) else pa.array(values, kind)


def _headers(of_each: Sequence[Headers]) -> pa.Array:
    flat = [header for headers in of_each for header in headers]
    offsets = np.concatenate(([0], np.cumsum([len(headers) for headers in of_each], dtype=np.int64)))
    kind = _SCHEMA.field("headers").type
    names = pa.array([name for name, _ in flat], pa.string())
    values = pa.array([value or b"" for _, value in flat], pa.binary())
    pairs = pa.StructArray.from_arrays([names, values], fields=list(kind.value_type))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pairs, type=kind)


def gap_row(gap: Gap, found_us: int) -> pa.Table:
    """Return the row that records offsets that the log no longer had."""
    row = _place(gap.partition) | {
        "producer_id": "",
        "reason": Reason.OFFSETS_MISSING.value,
        "detail": f"Offsets {gap.first} to {gap.last} were no longer in the log when the collector came for them",
        "headers": [],
        "_offset": gap.first,
        "_published_at": found_us,
        "_principal": "",
        "_principal_source": "unverified",
    }
    return pa.Table.from_pylist([row], schema=_SCHEMA)


def _place(partition: Partition) -> dict[str, Any]:
    return {
        "event_type": partition.event_type.name,
        "collector_version": metadata.version("trailhouse-consumer"),
        "_topic": partition.topic,
        "_topic_id": partition.topic_id,
        "_partition": partition.number,
    }


def _identities(headers: Sequence[bytes | None]) -> list[tuple[str, int | None]]:
    """Return producer and sequence of each message as far as its header says."""
    producers: dict[bytes, str] = {}
    found: list[tuple[str, int | None]] = []
    for header in headers:
        if header is None or len(header) != IDENTITY_BYTES:
            found.append(("", None))
            continue
        producer = header[:16]
        if producer not in producers:
            producers[producer] = identity_from_bytes(header).producer_id
        sequence = int.from_bytes(header[16:], "big")
        found.append((producers[producer], sequence if sequence < 1 << 63 else None))
    return found
