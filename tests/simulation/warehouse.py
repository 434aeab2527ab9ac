"""A simulated warehouse that deduplicates as ClickHouse does: by token, each month of a table for itself.

A token is remembered before the rows are there, may be remembered without them, and may be forgotten. An insert may
take effect after its client was told that it failed; until then the server lists it among its running queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from simulation.processes import Fate
from trailhouse_consumer.dead_letters import Reason
from trailhouse_consumer.errors import InsertRejectedError
from trailhouse_schemas.errors import WarehouseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulation.processes import Process

__all__ = ["Row", "Server", "Warehouse"]


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
        process.holding = process.holding or token
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
        answer: pa.Table = getattr(self, f"_{question}")(parameters)
        return answer

    def _highest_offset(self, where: Mapping[str, Any]) -> pa.Table:
        offsets = [row.offset for row in self._partition(where)]
        return pa.table({"highest": [max(offsets, default=0)], "any": [bool(offsets)]})

    def _highest_sequences(self, where: Mapping[str, Any]) -> pa.Table:
        highest: dict[str, int] = {}
        for row in self._partition(where):
            if row.producer in where["producers"] and row.sequence is not None:
                highest[row.producer] = max(row.sequence, highest.get(row.producer, 0))
        return pa.table(
            {"producer_id": pa.array(highest, pa.string()), "highest": pa.array(highest.values(), pa.int64())}
        )

    def _landed_offsets(self, where: Mapping[str, Any]) -> pa.Table:
        found = [row.offset for row in self._partition(where) if where["first"] <= row.offset <= where["last"]]
        return pa.table({"_offset": pa.array(found, pa.int64())})

    def _landed_stretches(self, where: Mapping[str, Any]) -> pa.Table:
        found = self._landed_offsets(where).column("_offset")
        return pa.table({"first": found, "last": found})

    def _missing_offsets(self, where: Mapping[str, Any]) -> pa.Table:
        rows = [row for row in self._partition(where) if row.reason == Reason.OFFSETS_MISSING]
        last = [int(row.detail.split()[3]) for row in rows]
        return pa.table(
            {"first": pa.array([row.offset for row in rows], pa.int64()), "last": pa.array(last, pa.int64())}
        )

    def _landed_sequences(self, where: Mapping[str, Any]) -> pa.Table:
        found = {
            (row.producer, row.sequence)
            for row in self._partition(where)
            if row.offset < where["first"]
            and row.producer in where["producers"]
            and row.sequence is not None
            and where["lowest"] <= row.sequence <= where["highest"]
        }
        return pa.table(
            {
                "producer_id": pa.array([producer for producer, _ in found], pa.string()),
                "sequence": pa.array([sequence for _, sequence in found], pa.int64()),
            }
        )

    def _running_inserts(self, where: Mapping[str, Any]) -> pa.Table:
        return pa.table({"count": [sum(insert.token == where["token"] for insert in self._server.running)]})

    def _partition(self, where: Mapping[str, Any]) -> list[Row]:
        return [
            row
            for row in self._server.rows(where["table"])
            if row.topic_id == where["topic_id"] and row.partition == where["partition"]
        ]


def _rows(table: pa.Table) -> list[Row]:
    """Return what matters of rows in Arrow."""
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
