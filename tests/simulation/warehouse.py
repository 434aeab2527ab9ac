"""A simulated warehouse that deduplicates as ClickHouse does: by token, each month of a table for itself.

A token is remembered before the rows are there, may be remembered without them, and may be forgotten. An insert may
take effect after its client was told that it failed; until then the server lists it among its running queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa

from simulation.processes import Fate
from trailhouse_consumer.dead_letters import Reason
from trailhouse_consumer.errors import InsertRejectedError
from trailhouse_schemas.errors import WarehouseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulation.processes import Process

__all__ = ["Row", "Server", "Warehouse"]

#: The rows of Arrow tables that were inserted lately: a range that is landed again is the same object mostly.
_KNOWN: Final[dict[int, tuple[pa.Table, list[Row]]]] = {}
_MOST_KNOWN: Final = 10_000

Columns = tuple[list[Any], ...]

#: The columns of the answer to each question.
_ANSWERS: Final = {
    "highest_offset": pa.schema({"highest": pa.int64(), "any": pa.bool_()}),
    "highest_sequences": pa.schema({"producer_id": pa.string(), "highest": pa.int64()}),
    "landed_offsets": pa.schema({"_offset": pa.int64()}),
    "landed_stretches": pa.schema({"first": pa.int64(), "last": pa.int64()}),
    "missing_offsets": pa.schema({"first": pa.int64(), "last": pa.int64()}),
    "landed_sequences": pa.schema({"producer_id": pa.string(), "sequence": pa.int64()}),
    "rows_expired": pa.schema({"before_us": pa.int64()}),
    "running_inserts": pa.schema({"count": pa.int64()}),
}


class Row(NamedTuple):
    """What matters of a row."""

    topic_id: str
    partition: int
    offset: int
    producer: str
    sequence: int | None
    month: int
    #: Of a dead letter.
    reason: str
    detail: str


@dataclass(eq=False, slots=True)
class _Insert:
    table: str
    rows: list[Row]
    token: str


class Server:
    """The tables, and what the server remembers of inserts. All that survives a collector."""

    def __init__(self) -> None:
        """Begin empty."""
        self.tables: dict[str, list[Row]] = {}
        self.tokens: set[tuple[str, int, str]] = set()
        self.running: list[_Insert] = []
        #: Inserts that took effect.
        self.changes = 0
        #: Events whose rows are refused.
        self.refused: set[tuple[str, int | None]] = set()

    def rows(self, table: str) -> list[Row]:
        """Return the rows of a table."""
        return self.tables.setdefault(table, [])

    def take(self, insert: _Insert, *, hollow: bool = False) -> None:
        """Let an insert take effect: the rows of each month are there once under a token."""
        for month in {row.month for row in insert.rows}:
            mark = (insert.table, month, insert.token)
            if mark in self.tokens:
                continue
            self.tokens.add(mark)
            self.changes += 1
            if not hollow:
                self.rows(insert.table).extend(row for row in insert.rows if row.month == month)

    def finish(self) -> None:
        """Let all that is running take effect."""
        while self.running:
            self.take(self.running.pop(0))

    def crash(self) -> None:
        """Stop and start: what was running is remembered and not there."""
        while self.running:
            self.take(self.running.pop(0), hollow=True)

    def forget(self, in_use: Callable[[str], bool]) -> None:
        """Forget tokens, but those in use: the window is wide enough for what is going on."""
        self.tokens = {mark for mark in self.tokens if in_use(mark[2]) or any(i.token == mark[2] for i in self.running)}


class Warehouse:
    """What one collector has of the warehouse: the interface of `trailhouse_consumer.warehouse.Warehouse`."""

    def __init__(self, server: Server, process: Process) -> None:
        """Connect."""
        self._server = server
        self._process = process

    def insert(self, table: str, rows: pa.Table, token: str) -> None:
        """Insert rows under a token."""
        insert = _Insert(table, _rows(rows), token)
        process, server = self._process, self._server
        process.holding.setdefault(insert.rows[0].partition, token)
        fate = process.at("insert")
        if fate is Fate.REFUSED:
            raise WarehouseUnavailableError("refused")
        if server.refused & {(row.producer, row.sequence) for row in insert.rows if not row.reason}:
            raise InsertRejectedError("a row is refused")
        if fate in {Fate.LATER, Fate.BEGUN}:
            server.running.append(insert)
            if fate is Fate.LATER:
                raise WarehouseUnavailableError("time-out")
            fate = process.at("inserting")
            if insert not in server.running:
                return
            server.running.remove(insert)
        server.take(insert, hollow=fate is Fate.HOLLOW)
        if fate is not Fate.GO:
            raise WarehouseUnavailableError("no answer")

    def ask(self, question: str, parameters: Mapping[str, Any]) -> pa.Table:
        """Return the answer to a question."""
        if self._process.at("ask") is not Fate.GO:
            raise WarehouseUnavailableError("no answer")
        return _arrow(question, *map(tuple, getattr(self, f"_{question}")(parameters)))

    def _highest_offset(self, where: Mapping[str, Any]) -> Columns:
        highest = max((row.offset for row in self._partition(where)), default=None)
        return [highest or 0], [highest is not None]

    def _highest_sequences(self, where: Mapping[str, Any]) -> Columns:
        highest: dict[str, int] = {}
        for row in self._partition(where):
            if row.producer in where["producers"] and row.sequence is not None:
                highest[row.producer] = max(row.sequence, highest.get(row.producer, 0))
        return list(highest), list(highest.values())

    def _landed_offsets(self, where: Mapping[str, Any]) -> Columns:
        first, last = where["first"], where["last"]
        return ([row.offset for row in self._partition(where) if first <= row.offset <= last],)

    def _landed_stretches(self, where: Mapping[str, Any]) -> Columns:
        stretches: list[list[int]] = []
        for offset in sorted(set(self._landed_offsets(where)[0])):
            if stretches and stretches[-1][1] == offset - 1:
                stretches[-1][1] = offset
            else:
                stretches.append([offset, offset])
        return [first for first, _ in stretches], [last for _, last in stretches]

    def _missing_offsets(self, where: Mapping[str, Any]) -> Columns:
        rows = [row for row in self._partition(where) if row.reason == Reason.OFFSETS_MISSING]
        return [row.offset for row in rows], [int(row.detail.split()[3]) for row in rows]

    def _landed_sequences(self, where: Mapping[str, Any]) -> Columns:
        found = {
            (row.producer, row.sequence)
            for row in self._partition(where)
            if row.offset < where["first"]
            and row.producer in where["producers"]
            and row.sequence is not None
            and where["lowest"] <= row.sequence <= where["highest"]
        }
        return [producer for producer, _ in found], [sequence for _, sequence in found]

    def _running_inserts(self, where: Mapping[str, Any]) -> Columns:
        return ([sum(insert.token == where["token"] for insert in self._server.running)],)

    @staticmethod
    def _rows_expired(_where: Mapping[str, Any]) -> Columns:
        return ([],)

    def _partition(self, where: Mapping[str, Any]) -> list[Row]:
        return [
            row
            for row in self._server.rows(where["table"])
            if row.topic_id == where["topic_id"] and row.partition == where["partition"]
        ]


@lru_cache(10_000)
def _arrow(question: str, *columns: tuple[Any, ...]) -> pa.Table:
    schema = _ANSWERS[question]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _rows(table: pa.Table) -> list[Row]:
    """Return what matters of rows in Arrow."""
    if (known := _KNOWN.get(id(table))) is not None and known[0] is table:
        return known[1]
    if len(_KNOWN) >= _MOST_KNOWN:
        _KNOWN.clear()
    _KNOWN[id(table)] = table, (found := _taken_apart(table))
    return found


def _taken_apart(table: pa.Table) -> list[Row]:
    count = len(table)
    constant = table.column("_topic_id")[0].as_py()
    dead = "reason" in table.column_names
    none = [""] * count
    return [
        Row(constant, *values)
        for values in zip(
            table.column("_partition").to_pylist(),
            table.column("_offset").to_pylist(),
            table.column("producer_id").to_pylist(),
            table.column("sequence").to_pylist() if "sequence" in table.column_names else [None] * count,
            table.column("_published_at").to_numpy().astype("datetime64[M]").astype(int).tolist(),
            table.column("reason").to_pylist() if dead else none,
            table.column("detail").to_pylist() if dead else none,
            strict=True,
        )
    ]
