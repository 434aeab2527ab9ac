"""Lands dead letters that can be decoded by now, each exactly once, whoever replays them, however often.

A letter goes into its table at its own place (topic id, partition, offset), under a token of its own path. Before that
the table is asked for that place, and for the event's (producer_id, sequence) from wherever: what is there already is
only marked. What still cannot be landed stays, with its new reason.

Letters are landed in plans, because an insert for each would take days. A plan is a numbered set of letters of one
partition, kept in `dead_letters_settled` before anything is landed. Whoever inserts a number first has it, by the
deduplication of inserts by token, and there is no next number before the plan is landed whole and marked: by whoever
made it or, if that process died or waits, by whoever comes next, under the same token with the same rows. So two who
replay at once land the same plans, and no letter is ever in two plans of which both are landed.
"""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trailhouse_consumer.columns import table_columns
from trailhouse_consumer.dead_letters import Reason
from trailhouse_consumer.decode import Decoder
from trailhouse_consumer.errors import InsertRejectedError, ReplayError
from trailhouse_consumer.letters import Place, settle, whole_letters
from trailhouse_consumer.rows import make_rows
from trailhouse_consumer.sources import Messages, Partition, Plan
from trailhouse_schemas.wire import IDENTITY_HEADER, identity_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from trailhouse_consumer.decode import KnowsSchemas
    from trailhouse_consumer.landing import Landing
    from trailhouse_consumer.letters import Letter
    from trailhouse_consumer.rows import Rows
    from trailhouse_consumer.warehouse import Warehouse

__all__ = ["NOT_REPLAYED", "Replay", "Replayed"]

#: Letters that one plan holds at most, and bytes of their values: what is in memory at once.
_PLAN_LETTERS: Final = 5_000
_PLAN_BYTES: Final = 64 << 20
#: Not tried unless meant: there is no message, or it took collectors with it.
NOT_REPLAYED: Final = (Reason.OFFSETS_MISSING, Reason.KILLS_THE_COLLECTOR)


@dataclass(slots=True)
class Replayed:
    """What came of replaying."""

    landed: int = 0
    #: Events that were in their table already, by another way.
    there_already: int = 0
    #: Letters that still cannot be landed, by reason.
    failed: Counter[str] = field(default_factory=Counter)


class Replay:
    """Replays dead letters into one warehouse. Every method raises `WarehouseUnavailableError`: just begin again."""

    def __init__(self, warehouse: Warehouse, landing: Landing, registry: KnowsSchemas | None, *, by: str) -> None:
        """Land by `landing` in `warehouse`, where `by` is named as who did it."""
        self._warehouse = warehouse
        self._landing = landing
        self._registry = registry
        self._by = by
        self._decoders: dict[str, Decoder] = {}
        self.done = Replayed()

    def run(self, chosen: pa.Table) -> Replayed:
        """Replay these open letters, as `chosen_letters` gives them.

        Raises:
            RegistryUnavailableError: the registry that some of them need does not answer.
            ReplayError: a plan that another version has begun cannot be landed by this one.
        """
        for batch in _batches(chosen):
            partition = Partition(batch[0]["topic"], batch[0]["topic_id"], batch[0]["partition"])
            said = {row["offset"]: (row["reason"], row["detail"]) for row in batch}
            self._finish_open_plan(partition)
            self._replay(partition, sorted(said), said)
        return self.done

    def _replay(self, partition: Partition, offsets: Sequence[int], said: dict[int, tuple[str, str]]) -> None:
        """Replay letters of one partition and principal that fit into memory."""
        while offsets:
            rows = self._rows(partition, offsets, whole=False)
            self._keep_failed(partition, rows, said)
            self._land_rows(partition, rows)
            offsets = [offset for offset in offsets if offset > rows.last]

    def _land_rows(self, partition: Partition, rows: Rows) -> None:
        """Land of these rows what is not in the table yet; after somebody else's plan, look again."""
        wanted = self._wanting(partition, rows)
        while wanted and not self._land(partition, wanted):
            wanted = self._wanting(partition, rows)

    def _rows(self, partition: Partition, offsets: Sequence[int], *, whole: bool) -> Rows:
        letters = whole_letters(self._warehouse, partition.topic_id, partition.number, offsets)
        name = partition.event_type.name
        if name not in self._decoders:
            columns = partial(table_columns, self._warehouse, partition.event_type.table)
            self._decoders[name] = Decoder(partition.event_type, self._registry, columns)
        return make_rows(partition, _messages(letters), self._decoders[name], None, whole=whole)

    def _keep_failed(self, partition: Partition, rows: Rows, said: dict[int, tuple[str, str]]) -> None:
        """Say why letters still cannot be landed, where that is not what was said of them."""
        letters = rows.dead_letters.select(["_offset", "reason", "detail"]).to_pylist()
        self.done.failed.update(letter["reason"] for letter in letters)
        news = [
            (_place(partition, letter["_offset"]), letter["reason"], letter["detail"])
            for letter in letters
            if said.get(letter["_offset"]) != (letter["reason"], letter["detail"])
        ]
        settle(self._warehouse, "failed", news, by=self._by)

    def _wanting(self, partition: Partition, rows: Rows) -> list[int]:
        """Return the offsets of the events that are not in the table yet; mark the others."""
        events = dict.fromkeys(
            zip(
                rows.table.column("_offset").to_pylist(),
                rows.table.column("producer_id").to_pylist(),
                rows.table.column("sequence").to_pylist(),
                strict=True,
            )
        )
        if not events:
            return []
        there = set(
            self._warehouse.ask(
                "landed_offsets",
                {
                    "table": partition.event_type.table,
                    "topic": partition.topic,
                    "topic_id": partition.topic_id,
                    "partition": partition.number,
                    "first": rows.first,
                    "last": rows.last,
                },
            )
            .column("_offset")
            .to_pylist()
        )
        known = self._identities(partition, [event[1:] for event in events])
        wanting, at_place, elsewhere = [], [], []
        for offset, *identity in events:
            if offset in there:
                at_place.append((_place(partition, offset), "", "It was in the table already"))
            elif tuple(identity) in known:
                elsewhere.append((_place(partition, offset), "", "Its event is in the table from another place"))
            else:
                wanting.append(offset)
            known.add((identity[0], identity[1]))
        settle(self._warehouse, "replayed", at_place, by=self._by)
        settle(self._warehouse, "resent", elsewhere, by=self._by)
        self.done.there_already += len(at_place) + len(elsewhere)
        return wanting

    def _identities(self, partition: Partition, events: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
        """Return which of the events are in the table, from wherever."""
        producers = sorted({producer_id for producer_id, _ in events})
        codes = {producer_id: code for code, producer_id in enumerate(producers, 1)}
        answer = self._warehouse.ask(
            "landed_identities",
            {
                "table": partition.event_type.table,
                "producers": producers,
                "codes": [codes[producer_id] for producer_id, _ in events],
                "sequences": [sequence for _, sequence in events],
            },
        )
        return set(zip(answer.column("producer_id").to_pylist(), answer.column("sequence").to_pylist(), strict=True))

    def _finish_open_plan(self, partition: Partition) -> int:
        """Land the plan that somebody has left open, if there is one; return the number of the next plan."""
        plans = self._warehouse.ask("replay_plans", {"topic_id": partition.topic_id, "partition": partition.number})
        highest = 0
        for plan in plans.to_pylist():
            highest = max(highest, int(plan["batch"].rpartition(":")[2]))
            if plan["open"]:
                self._land_plan(partition, plan["batch"])
        return highest + 1

    def _land(self, partition: Partition, offsets: Sequence[int]) -> bool:
        """Land these under the next plan; return False when the next plan was somebody else's, and is landed now."""
        number = self._finish_open_plan(partition)
        claim = str(uuid.uuid4())
        while True:
            batch = f"replay:{partition.topic_id}:{partition.number}:{number}"
            letters = [(_place(partition, offset), "", "") for offset in offsets]
            settle(self._warehouse, "replaying", letters, by=self._by, batch=batch, claim=claim, token=batch)
            found = self._plan(partition, batch)
            if len(found):
                break
            number += 1  # somebody died over it when its token was kept and its rows were not
        if set(found.column("claim").to_pylist()) != {claim}:
            self._finish_open_plan(partition)
            return False
        self._land_plan(partition, batch)
        return True

    def _plan(self, partition: Partition, batch: str) -> pa.Table:
        place = {"topic_id": partition.topic_id, "partition": partition.number}
        return self._warehouse.ask("replay_plan", place | {"batch": batch})

    def _land_plan(self, partition: Partition, batch: str) -> None:
        """Land a plan whole, and mark its letters; whoever else does the same does the same."""
        plan = self._plan(partition, batch)
        offsets: list[int] = plan.column("offset").to_pylist()
        rows = self._rows(partition, offsets, whole=True)
        if len(rows.dead_letters):
            begun, letter = plan.to_pylist()[0], rows.dead_letters.slice(0, 1).to_pylist()[0]
            raise ReplayError(
                f"Plan {batch}, begun by {begun['settled_by']} with version {begun['collector_version']}, cannot be "
                f"landed by {metadata.version('trailhouse-consumer')}: offset {letter['_offset']}: {letter['detail']}; "
                "replay with that version and its settings"
            )
        try:
            self._landing.land(partition, Plan(offsets[0], offsets[-1]), rows, doubt=True, name=batch)
        except InsertRejectedError as error:
            self._refused(partition, batch, offsets, str(error))
            return
        marks = [(_place(partition, offset), "", "") for offset in offsets]
        settle(self._warehouse, "replayed", marks, by=self._by, batch=batch, token=f"{batch}:done")
        self.done.landed += len(offsets)

    def _refused(self, partition: Partition, batch: str, offsets: Sequence[int], detail: str) -> None:
        """Give a plan up that the warehouse refuses, and try its halves, down to the letter that is refused."""
        marks = [(_place(partition, offset), Reason.REJECTED.value, detail) for offset in offsets]
        if len(offsets) == 1:
            settle(self._warehouse, "failed", marks, by=self._by, batch=batch)
            self.done.failed[Reason.REJECTED.value] += 1
            return
        settle(self._warehouse, "split", marks, by=self._by, batch=batch)
        middle = len(offsets) // 2
        for half in (offsets[:middle], offsets[middle:]):
            self._land_rows(partition, self._rows(partition, half, whole=True))


def _batches(chosen: pa.Table) -> Iterator[list[dict[str, Any]]]:
    """Yield the letters in stretches of one partition and one principal that fit into memory."""
    batch: list[dict[str, Any]] = []
    size, before = 0, None
    for begin in range(0, len(chosen), _PLAN_LETTERS):
        for row in chosen.slice(begin, _PLAN_LETTERS).to_pylist():
            where = tuple(row[name] for name in ("topic", "topic_id", "partition", "principal", "principal_source"))
            size += row["bytes"]
            if batch and (where != before or size > _PLAN_BYTES or len(batch) >= _PLAN_LETTERS):
                yield batch
                batch, size = [], row["bytes"]
            before = where
            batch.append(row)
    if batch:
        yield batch


def _messages(letters: Sequence[Letter]) -> Messages:
    return Messages(
        offsets=np.array([letter.offset for letter in letters], np.int64),
        published_us=np.array([_microseconds(letter) for letter in letters], np.int64),
        values=[letter.value for letter in letters],
        identities=[_identity(letter) for letter in letters],
        keys=[letter.key for letter in letters],
        odd_headers={letter.offset: list(letter.headers) for letter in letters},
        principal=letters[0].principal,
        principal_source=letters[0].principal_source,
    )


def _microseconds(letter: Letter) -> int:
    return int(np.datetime64(letter.published_at.replace(tzinfo=None), "us").astype(np.int64))


def _identity(letter: Letter) -> bytes | None:
    """Return the identity as the message's header said it; of a spool's event, as the spool did."""
    for name, value in letter.headers:
        if name == IDENTITY_HEADER:
            return value
    if letter.producer_id and letter.sequence is not None:
        return identity_to_bytes(letter.producer_id, letter.sequence)
    return None


def _place(partition: Partition, offset: int) -> Place:
    return Place(partition.topic_id, partition.number, offset)
