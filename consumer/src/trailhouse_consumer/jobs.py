"""One range on its way into the warehouse, and what is known of its partition: all that happens beside consuming.

The collector's thread reads a range, stores its plan and declares it landed; a worker makes its rows, and when the
plan is stored lands them. A partition has one range on its way at a time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import structlog

from trailhouse_consumer.dead_letters import Dead, Reason, dead_letter_rows
from trailhouse_consumer.duplicates import Duplicates
from trailhouse_consumer.ranges import MAX_DEATHS, MAX_TRIES, halved
from trailhouse_consumer.rows import make_rows
from trailhouse_consumer.sources import Plan, value_bytes

if TYPE_CHECKING:
    from concurrent.futures import Future

    from trailhouse_consumer.decode import Decoder
    from trailhouse_consumer.landing import Landed, Landing
    from trailhouse_consumer.rows import Rows
    from trailhouse_consumer.sources import Messages, Partition, Source
    from trailhouse_consumer.warehouse import Warehouse

__all__ = ["Job", "Prepared", "State", "Worker"]


@dataclass(slots=True)
class State:
    """What is known of a partition since it was assigned."""

    duplicates: Duplicates | None
    #: Highest offset that the warehouse holds of it.
    highest: int
    #: The same when it was assigned. Until one above it is landed, a range that begins there may have been tried,
    #: by a collector whose plan was lost with the group's offset: its token may be remembered without its rows.
    highest_at_first: int
    #: The plan that this collector has stored itself and not landed yet: going on with it is no new try.
    own: Plan | None = None
    #: Why the warehouse refused its rows.
    rejected: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A range that is ready for its plan to be stored."""

    plan: Plan
    rows: Rows
    state: State
    #: It may have been tried before.
    doubt: bool
    #: Its plan was found with the partition, or tried before.
    replayed: bool
    #: Bytes of the values of its messages.
    bytes: int
    #: How long it took to make its rows.
    seconds: float


@dataclass(slots=True)
class Job:
    """One range on its way."""

    source: Source
    partition: Partition
    #: What a worker is doing for it: `Prepared`, and then `Landed`.
    step: Future[Prepared] | Future[Landed]
    #: Set when its plan is stored.
    prepared: Prepared | None = None


class Worker:
    """What is done for a range beside consuming; may be called from several threads, for one partition at a time."""

    def __init__(self, warehouse: Warehouse, landing: Landing) -> None:
        """Use what may be used by several threads."""
        self._warehouse = warehouse
        self._landing = landing
        self._log = structlog.get_logger("trailhouse.collector")

    def prepare(
        self, partition: Partition, messages: Messages, found: Plan | None, state: State | None, decoder: Decoder
    ) -> Prepared:
        """Return the rows of the next range, and its plan.

        Args:
            partition: Where the messages are from.
            messages: At least one; with a plan, exactly its.
            found: The plan that is open.
            state: What is known of the partition; None at first.
            decoder: Of its event type.

        Raises:
            RegistryUnavailableError: not all of it can be decoded now.
            WarehouseUnavailableError: it could not be asked.
        """
        if state is None:
            state = self._new_state(partition)
        plan = None if found is None else replace(found, tries=_tries(found, state))
        if plan is not None and len(messages) > 1 and plan.tries > (MAX_TRIES if plan.whole is None else 1):
            if plan.whole is None:
                self._log.warning("range is landed in parts", partition=str(partition), plan=str(plan))
            plan = halved(plan, messages.offsets)
            messages = messages[: int(np.searchsorted(messages.offsets, plan.last, side="right"))]
        begun = time.perf_counter()
        rows = make_rows(partition, messages, decoder, state.duplicates, whole=plan is not None)
        seconds = time.perf_counter() - begun
        if plan is None:
            plan = Plan(rows.first, rows.last)
        if len(messages) == 1 and plan.tries > (MAX_TRIES if state.rejected else MAX_DEATHS):
            rows = self._given_up(partition, plan, messages, rows, state)
        begun_before = plan.first <= state.highest or state.highest == state.highest_at_first
        return Prepared(
            plan,
            rows,
            state,
            doubt=found is not None or begun_before,
            replayed=found is not None,
            bytes=value_bytes(messages[: rows.messages]),
            seconds=seconds,
        )

    def land(self, partition: Partition, prepared: Prepared) -> Landed:
        """Land a range whose plan is stored; raises what `Landing.land` does."""
        return self._landing.land(partition, prepared.plan, prepared.rows, doubt=prepared.doubt)

    def _new_state(self, partition: Partition) -> State:
        highest = self._landing.highest_offset(partition)
        duplicates = None
        if partition.number >= 0:
            duplicates = Duplicates(partition, self._warehouse, fresh=highest < 0)
        return State(duplicates, highest, highest)

    def _given_up(self, partition: Partition, plan: Plan, messages: Messages, rows: Rows, state: State) -> Rows:
        """Return what a single record comes to that was tried too often: a dead letter, unless it is landed."""
        if self._landing.holds(partition, plan) or not len(rows.table):
            return rows
        reason = Reason.REJECTED if state.rejected else Reason.KILLS_THE_COLLECTOR
        detail = state.rejected or f"The collector has died {plan.tries - 1} times over this record"
        letters = dead_letter_rows(partition, messages, [Dead(0, reason, detail)])
        return replace(
            rows,
            table=rows.table.slice(0, 0),
            dead_letters=letters,
            producer_ids=rows.producer_ids[:0],
            sequences=rows.sequences[:0],
        )


def _tries(found: Plan | None, state: State) -> int:
    """Return which try of a range this is: going on after a wait is none, after a death or a refusal it is one."""
    if found is None:
        return 1
    return found.tries + (0 if found == state.own and not state.rejected else 1)
