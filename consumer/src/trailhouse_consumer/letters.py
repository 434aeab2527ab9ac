"""Dead letters as they lie in the warehouse: chosen, grouped, read whole, and given up by somebody who says why.

A dead letter is never changed or deleted. What is done about it is added to the table `dead_letters_settled`; the view
`dead_letters_standing` puts both together. A letter's id is a hash of its place, of which a unique beginning will do.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trailhouse_consumer.warehouse import Warehouse

__all__ = [
    "SETTLED_TABLE",
    "Choice",
    "Letter",
    "Place",
    "chosen_letters",
    "drop_letters",
    "grouped_letters",
    "settle",
    "whole_letters",
]

SETTLED_TABLE: Final = "dead_letters_settled"

_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2261, 1, 1, tzinfo=UTC)
#: Rows of one insert.
_AT_ONCE: Final = 100_000

_SETTLED: Final = pa.schema(
    [
        ("outcome", pa.string()),
        ("batch", pa.string()),
        ("claim", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("settled_by", pa.string()),
        ("settled_at", pa.timestamp("us", "UTC")),
        ("collector_version", pa.string()),
        ("_topic_id", pa.string()),
        ("_partition", pa.int32()),
        ("_offset", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which dead letters are meant: those that everything here holds for."""

    #: open, replayed or dropped.
    standing: str = "open"
    #: Beginnings of ids; any when empty, as everywhere here.
    letters: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    producer: str = ""
    #: The project that the producer's heartbeats name.
    project: str = ""
    #: By the broker's time.
    since: datetime = _EARLIEST
    until: datetime = _LATEST

    @property
    def parameters(self) -> dict[str, Any]:
        """Those of the questions."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @property
    def everything(self) -> bool:
        """Whether it leaves nothing out."""
        return self == Choice(standing=self.standing)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a dead letter was read: one message for ever."""

    topic_id: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One dead letter, whole."""

    offset: int
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    value: bytes | None
    producer_id: str
    sequence: int | None
    published_at: datetime
    principal: str
    principal_source: str
    #: Version of the collector that could not land it.
    collector_version: str


def grouped_letters(warehouse: Warehouse, choice: Choice) -> pa.Table:
    """Return how many there are by topic and reason, since when, until when, with the detail of one."""
    return warehouse.ask("letters_grouped", choice.parameters)


def chosen_letters(warehouse: Warehouse, choice: Choice, limit: int = 1 << 62) -> pa.Table:
    """Return a row for each, in order of place, without what makes them big."""
    return warehouse.ask("letters_chosen", choice.parameters | {"limit": limit})


def whole_letters(warehouse: Warehouse, topic_id: str, partition: int, offsets: Sequence[int]) -> list[Letter]:
    """Return the letters of one partition at these offsets, whole, in order of offset."""
    parameters = {"topic_id": topic_id, "partition": partition, "offsets": list(offsets)}
    rows = _as_they_came(warehouse.ask("letters_whole", parameters)).to_pylist()
    return [
        Letter(
            offset=row["offset"],
            key=row["message_key"],
            headers=tuple(
                (name.decode(errors="replace"), value)
                for name, value in zip(row["header_names"], row["header_values"], strict=True)
            ),
            value=row["value"],
            producer_id=row["producer_id"],
            sequence=row["sequence"],
            published_at=row["published_at"],
            principal=row["principal"],
            principal_source=row["principal_source"],
            collector_version=row["collector_version"],
        )
        for row in rows
    ]


def drop_letters(warehouse: Warehouse, chosen: pa.Table, *, by: str, why: str) -> int:
    """Give letters up for good; they stay, with who did it and why. Return how many."""
    rows = [
        (Place(row["topic_id"], row["partition"], row["offset"]), row["reason"], why)
        for row in chosen.select(["topic_id", "partition", "offset", "reason"]).to_pylist()
    ]
    for begin in range(0, len(rows), _AT_ONCE):
        settle(warehouse, "dropped", rows[begin : begin + _AT_ONCE], by=by)
    return len(rows)


def settle(
    warehouse: Warehouse,
    outcome: str,
    letters: Sequence[tuple[Place, str, str]],
    *,
    by: str,
    batch: str = "",
    claim: str = "",
    token: str = "",
) -> None:
    """Add what was done about letters: each its place, a reason, a detail.

    Args:
        warehouse: Where to.
        outcome: What was done; see the migration.
        letters: At most a block.
        by: Who did it.
        batch: Name of the plan that they belong to.
        claim: What tells apart who inserted a plan.
        token: Of the insert; one of its own by default.
    """
    if not letters:
        return
    now_us, version = time.time_ns() // 1000, metadata.version("trailhouse-consumer")
    same = {"outcome": outcome, "batch": batch, "claim": claim, "settled_by": by, "settled_at": now_us}
    rows: list[dict[str, Any]] = [
        {
            **same,
            "collector_version": version,
            "reason": reason,
            "detail": detail,
            "_topic_id": place.topic_id,
            "_partition": place.partition,
            "_offset": place.offset,
        }
        for place, reason, detail in letters
    ]
    warehouse.insert(SETTLED_TABLE, pa.Table.from_pylist(rows, schema=_SETTLED), token or f"{outcome}:{uuid.uuid4()}")


def _as_they_came(table: pa.Table) -> pa.Table:
    """Return the table with what may be any bytes as bytes: the warehouse has it as text."""
    for name, kind in (
        ("message_key", pa.binary()),
        ("value", pa.binary()),
        ("header_names", pa.list_(pa.binary())),
        ("header_values", pa.list_(pa.binary())),
    ):
        table = table.set_column(table.schema.get_field_index(name), name, table.column(name).cast(kind))
    return table
