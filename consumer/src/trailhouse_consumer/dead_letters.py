"""Dead letters: messages that cannot be landed, kept whole with the reason, so that none of them stops the others."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from trailhouse_schemas.errors import DecodeError
from trailhouse_schemas.wire import identity_from_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trailhouse_consumer.sources import Gap, Messages, Partition

__all__ = ["DEAD_LETTERS_TABLE", "Dead", "Reason", "dead_letter_rows", "gap_row"]

DEAD_LETTERS_TABLE: Final = "dead_letters"


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


@dataclass(frozen=True, slots=True)
class Dead:
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
    """Return rows of the table `dead_letters`, in order of offset."""
    rows = []
    for letter in sorted(dead, key=lambda letter: letter.place):
        producer_id, sequence = _identity(messages.identities[letter.place])
        rows.append(
            _place(partition)
            | {
                "producer_id": producer_id,
                "sequence": sequence,
                "reason": letter.reason.value,
                "detail": letter.detail,
                "message_key": messages.keys[letter.place],
                "headers": [{"name": name, "value": value or b""} for name, value in messages.headers_of(letter.place)],
                "value": messages.values[letter.place],
                "_offset": int(messages.offsets[letter.place]),
                "_published_at": int(messages.published_us[letter.place]),
                "_principal": messages.principal,
                "_principal_source": messages.principal_source,
            }
        )
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


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


def _identity(header: bytes | None) -> tuple[str, int | None]:
    """Return producer and sequence as far as the message's header says."""
    if header is None:
        return "", None
    try:
        identity = identity_from_bytes(header)
    except DecodeError:
        return "", None
    return (identity.producer_id, identity.sequence) if identity.sequence < 1 << 63 else (identity.producer_id, None)
