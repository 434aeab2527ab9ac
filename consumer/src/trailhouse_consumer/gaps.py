"""Records offsets that the log no longer had: what of them no table holds, each once.

A gap says what the log lacks; the warehouse says what of that is missing. Offsets that were landed before they were
deleted are not, nor are those that were recorded as missing already: a group whose offsets are lost finds the same gap
again. Like a range, a gap is recorded until the table holds it, whatever was acknowledged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trailhouse_consumer.dead_letters import DEAD_LETTERS_TABLE, gap_row
from trailhouse_consumer.ranges import token
from trailhouse_consumer.sources import Gap, Plan
from trailhouse_schemas.errors import WarehouseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trailhouse_consumer.warehouse import Warehouse

__all__ = ["missing", "record"]

#: Offsets that are asked for at once: what the warehouse has to sort.
_AT_ONCE: Final = 4_000_000
#: Inserts of one gap before the warehouse is taken for unable.
_REPAIRS: Final = 100


def record(warehouse: Warehouse, gap: Gap, found_us: int) -> list[Gap]:
    """Record what of a gap is missing, and return that.

    Args:
        warehouse: Where the tables are.
        gap: What the log no longer had.
        found_us: When that was found, in microseconds since 1970.

    Raises:
        WarehouseUnavailableError: it is not known to be recorded; record it again.
    """
    found = missing(warehouse, gap)
    left = found
    for repair in range(_REPAIRS):
        if not left:
            return found
        for each in left:
            name = f"{token(each.partition, Plan(each.first, each.last))}:gap"
            warehouse.insert(DEAD_LETTERS_TABLE, gap_row(each, found_us), f"{name}:r{repair}" if repair else name)
        left = missing(warehouse, gap)
    raise WarehouseUnavailableError(f"Table {DEAD_LETTERS_TABLE} does not keep a gap, acknowledged {_REPAIRS} times")


def missing(warehouse: Warehouse, gap: Gap) -> list[Gap]:
    """Return what of a gap no table holds and nobody has recorded; raises `WarehouseUnavailableError`."""
    partition = gap.partition
    place = {"topic": partition.topic, "topic_id": partition.topic_id, "partition": partition.number}
    answer = warehouse.ask("missing_offsets", {"table": DEAD_LETTERS_TABLE} | place)
    there = list(zip(answer.column("first").to_pylist(), answer.column("last").to_pylist(), strict=True))
    for first in range(gap.first, gap.last + 1, _AT_ONCE):
        span = {"first": first, "last": min(gap.last, first + _AT_ONCE - 1)}
        for table in (partition.event_type.table, DEAD_LETTERS_TABLE):
            answer = warehouse.ask("landed_stretches", {"table": table} | place | span)
            there += zip(answer.column("first").to_pylist(), answer.column("last").to_pylist(), strict=True)
    return [Gap(partition, first, last) for first, last in _without(gap.first, gap.last, there)]


def _without(first: int, last: int, there: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the stretches of [first, last] that none of the others cover."""
    for begin, end in sorted(there):
        if begin > first:
            yield first, min(begin - 1, last)
        first = max(first, end + 1)
        if first > last:
            return
    yield first, last
