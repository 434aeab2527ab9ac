"""Lands the rows of one range: dead letters first, then the table, each one insert under the range's token.

The token fences, the table proves. ClickHouse remembers a token before the rows are in place, so that a retry after a
crash at that moment is acknowledged and inserts nothing. Whenever a range may have been tried before, the table is
asked which of its rows are there, and what lacks is inserted: under the token first, then under `TOKEN:r1`,
`TOKEN:r2`, …, until the table holds the range. Each step waits for its acknowledgement before the next, so that two
collectors that land the same range take the same steps under the same tokens, and each step takes effect once. A range
that is landed in parts goes on in the same way: each part takes the steps that are left.

The table is asked before the first insert too. A range that was cut differently when it was landed before (the
group's offsets were reset) has another token, which would fence nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trailhouse_consumer.dead_letters import DEAD_LETTERS_TABLE
from trailhouse_consumer.ranges import token
from trailhouse_schemas.errors import WarehouseUnavailableError
from trailhouse_schemas.warehouse.tables import ORDINAL_COLUMN

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from trailhouse_consumer.rows import Rows
    from trailhouse_consumer.sources import Partition, Plan
    from trailhouse_consumer.warehouse import Warehouse

__all__ = ["Landed", "Landing", "Stage"]

#: Repairs of a range, or of a part, before the warehouse is taken for unable.
_REPAIRS: Final = 100


class Stage(StrEnum):
    """Moments in the life of a range, for who watches: tests kill the collector at them."""

    PLANNED = "planned"
    INSERTING = "inserting"
    INSERTED = "inserted"


@dataclass(frozen=True, slots=True)
class Landed:
    """What it took to land a range."""

    #: Rows that this attempt inserted itself, as far as it knows.
    rows: int
    dead_letters: int
    #: Inserts after which rows still lacked, and others were needed.
    repairs: int
    seconds: float
    #: How many tokens of the range are used up, in dead_letters and in the table.
    used: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Tokens:
    """The tokens of a range in one table, one for each insert that has an effect."""

    name: str
    #: So many have been used up.
    used: int

    def __getitem__(self, step: int) -> str:
        return f"{self.name}:r{step}" if step else self.name


class Landing:
    """Lands ranges in one warehouse."""

    def __init__(self, warehouse: Warehouse, on_stage: Callable[[Stage, Partition, Plan], None] | None = None) -> None:
        """Land in `warehouse`; `on_stage` is told of each stage of each range."""
        self._warehouse = warehouse
        self._on_stage = on_stage or (lambda _stage, _partition, _plan: None)

    def highest_offset(self, partition: Partition) -> int:
        """Return the highest offset of the partition that the table or dead_letters hold; -1 when none."""
        highest = -1
        for table in (partition.event_type.table, DEAD_LETTERS_TABLE):
            answer = self._warehouse.ask(
                "highest_offset", {"table": table, "topic_id": partition.topic_id, "partition": partition.number}
            ).to_pylist()[0]
            if answer["any"]:
                highest = max(highest, int(answer["highest"]))
        return highest

    def land(self, partition: Partition, plan: Plan, rows: Rows, *, doubt: bool, name: str = "") -> Landed:
        """Land a range; when this returns, the warehouse holds it, once.

        Args:
            partition: Where it is from.
            plan: Its plan, which is stored.
            rows: What it comes to.
            doubt: It may have been tried before.
            name: Its deduplication token, where that is not the range's.

        Raises:
            WarehouseUnavailableError: it is not known to be landed; land it again, in doubt.
            InsertRejectedError: the rows are refused.
        """
        begun = time.perf_counter()
        self._on_stage(Stage.PLANNED, partition, plan)
        before = plan.whole.used if plan.whole is not None else (0, 0)
        doubt |= plan.whole is not None
        used = list(before)
        for place, (table, wanted) in enumerate(
            ((DEAD_LETTERS_TABLE, rows.dead_letters), (partition.event_type.table, rows.table))
        ):
            if len(wanted):
                self._on_stage(Stage.INSERTING, partition, plan)
                tokens = _Tokens(name or token(partition, plan), used[place])
                used[place] = self._insert(table, wanted, partition, plan, tokens, doubt=doubt)
        self._on_stage(Stage.INSERTED, partition, plan)
        repairs = sum(max(0, now - then - 1) for now, then in zip(used, before, strict=True))
        seconds = time.perf_counter() - begun
        return Landed(len(rows.table), len(rows.dead_letters), repairs, seconds, (used[0], used[1]))

    def holds(self, partition: Partition, plan: Plan) -> bool:
        """Return whether the table holds anything of a range."""
        return len(self._offsets(partition.event_type.table, partition, plan)) > 0

    def _insert(
        self, table: str, rows: pa.Table, partition: Partition, plan: Plan, tokens: _Tokens, *, doubt: bool
    ) -> int:
        """Insert rows; return how many of the tokens are used up then."""
        if not doubt:
            self._warehouse.insert(table, rows, tokens[tokens.used])
            return tokens.used + 1
        most = tokens.used + 1 + _REPAIRS
        for step in range(tokens.used, most + 1):
            lacking = self._lacking(table, rows, partition, plan)
            if step > tokens.used:
                lacking = self._unexpired(table, lacking)
            if not len(lacking):
                return step
            if step < most:
                self._warehouse.insert(table, lacking, tokens[step])
                self._wait_for_others(tokens[step])
        raise WarehouseUnavailableError(
            f"Table {table} does not keep range {tokens.name}, acknowledged {_REPAIRS + 1} times"
        )

    def _unexpired(self, table: str, rows: pa.Table) -> pa.Table:
        """Return those of the rows that the table keeps: older ones may be gone as soon as they were acknowledged."""
        if len(rows):
            for before_us in self._warehouse.ask("rows_expired", {"table": table}).column("before_us").to_pylist():
                published = rows.column("_published_at").cast(pa.timestamp("us", "UTC")).cast(pa.int64())
                return rows.filter(pc.greater_equal(published, before_us))
        return rows

    def _wait_for_others(self, name: str) -> None:
        """Raise while an insert under this token is still going on: its rows may yet appear."""
        (answer,) = self._warehouse.ask("running_inserts", {"token": name}).columns
        if answer[0].as_py():
            raise WarehouseUnavailableError(f"An earlier insert of {name} is still going on")

    def _lacking(self, table: str, rows: pa.Table, partition: Partition, plan: Plan) -> pa.Table:
        """Return the rows of the range that the table does not hold."""
        if ORDINAL_COLUMN not in rows.column_names:
            there = self._offsets(table, partition, plan)
            return rows.filter(pa.array(~np.isin(rows.column("_offset").to_numpy(), there)))
        answer = self._warehouse.ask("landed_rows", self._range(table, partition, plan))
        wide = 1 + max(_highest(rows), _highest(answer))
        there = _keys(answer, plan.first, wide)
        return rows.filter(pa.array(~np.isin(_keys(rows, plan.first, wide), there)))

    def _offsets(self, table: str, partition: Partition, plan: Plan) -> NDArray[np.int64]:
        answer = self._warehouse.ask("landed_offsets", self._range(table, partition, plan))
        found: NDArray[np.int64] = answer.column("_offset").to_numpy()
        return found

    @staticmethod
    def _range(table: str, partition: Partition, plan: Plan) -> dict[str, object]:
        return {
            "table": table,
            "topic": partition.topic,
            "topic_id": partition.topic_id,
            "partition": partition.number,
            "first": plan.first,
            "last": plan.last,
        }


def _highest(rows: pa.Table) -> int:
    return int(rows.column(ORDINAL_COLUMN).to_numpy().max()) if len(rows) else 0


def _keys(rows: pa.Table, first: int, wide: int) -> NDArray[np.int64]:
    """Return one number for each (offset, ordinal)."""
    offsets = rows.column("_offset").to_numpy().astype(np.int64) - first
    keys: NDArray[np.int64] = offsets * wide + rows.column(ORDINAL_COLUMN).to_numpy().astype(np.int64)
    return keys
