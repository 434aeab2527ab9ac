"""The loop of the collector: polls its sources, and lands one range at a time.

What may fail for a while (a source, the registry, the warehouse) is waited for with growing pauses, said once, and
taken up where it was: the range keeps its plan. Meanwhile sources are polled on, so that a consumer group does not take
a waiting collector for a dead one.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import structlog

from trailhouse_consumer.dead_letters import DEAD_LETTERS_TABLE, Dead, Reason, dead_letter_rows, gap_row
from trailhouse_consumer.decode import Decoder
from trailhouse_consumer.duplicates import Duplicates
from trailhouse_consumer.errors import InsertRejectedError, PartitionLostError, SourceUnavailableError
from trailhouse_consumer.ranges import MAX_DEATHS, MAX_TRIES, token
from trailhouse_consumer.rows import make_rows
from trailhouse_consumer.sources import Plan
from trailhouse_schemas.errors import RegistryUnavailableError, WarehouseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trailhouse_consumer.decode import KnowsSchemas
    from trailhouse_consumer.landing import Landed, Landing
    from trailhouse_consumer.monitoring import Metrics
    from trailhouse_consumer.rows import Rows
    from trailhouse_consumer.settings import CollectorSettings
    from trailhouse_consumer.sources import Gap, Messages, Partition, Source
    from trailhouse_consumer.warehouse import Warehouse

__all__ = ["Collector", "Summary"]

_POLL_SECONDS: Final = 0.1
_FIRST_BACKOFF_SECONDS: Final = 0.2
#: A source is asked again soon: a group gives up a member that does not poll.
_SOURCE_BACKOFF_SECONDS: Final = 2.0
_LAG_EVERY_SECONDS: Final = 5.0


@dataclass(slots=True)
class Summary:
    """What a collector has done."""

    ranges: int = 0
    messages: int = 0
    rows: int = 0
    dead_letters: int = 0
    duplicates: int = 0
    missing_offsets: int = 0


@dataclass(slots=True)
class _State:
    """What is known of a partition since it was assigned."""

    #: Which assignment that was.
    assignment: int
    duplicates: Duplicates | None
    #: Highest offset that the warehouse holds of it.
    highest: int
    #: The plan that this collector has stored itself and not landed yet: going on with it is no new try.
    own: Plan | None = None
    #: Why the warehouse refused its rows.
    rejected: str = ""
    #: Through this offset records are tried one by one.
    singly_through: int = -1


class _Backoff:
    """Growing pauses while one thing does not answer; says so once."""

    def __init__(self, what: str, longest_seconds: float, metrics: Metrics) -> None:
        self._what = what
        self._longest = longest_seconds
        self._metrics = metrics
        self._seconds = 0.0
        self._until = 0.0
        self._log = structlog.get_logger("trailhouse.collector")

    @property
    def waiting(self) -> bool:
        return time.monotonic() < self._until

    def failed(self, error: Exception) -> None:
        if not self._seconds:
            self._log.warning("waiting", what=self._what, reason=str(error))
        self._metrics.waits.labels(self._what).inc()
        self._seconds = min(self._longest, max(_FIRST_BACKOFF_SECONDS, self._seconds * 2))
        self._until = time.monotonic() + self._seconds

    def answered(self) -> None:
        if self._seconds:
            self._log.info("answers again", what=self._what)
        self._seconds = self._until = 0.0


class Collector:
    """Lands what its sources have."""

    def __init__(
        self,
        sources: Sequence[Source],
        warehouse: Warehouse,
        landing: Landing,
        *,
        settings: CollectorSettings,
        metrics: Metrics,
        registry: KnowsSchemas | None = None,
    ) -> None:
        """Put the parts together; nothing happens before `run`."""
        self._sources = list(sources)
        self._warehouse = warehouse
        self._landing = landing
        self._settings = settings
        self._metrics = metrics
        self._registry = registry
        self._decoders: dict[str, Decoder] = {}
        self._states: dict[Partition, _State] = {}
        self._gaps: list[Gap] = []
        #: Partitions that wait for the registry; others go on meanwhile.
        self._undecodable: set[Partition] = set()
        self._backoffs = {what: _Backoff(what, settings.backoff_seconds, metrics) for what in ("warehouse", "registry")}
        for source in sources:
            longest = min(_SOURCE_BACKOFF_SECONDS, settings.backoff_seconds)
            self._backoffs[source.name] = _Backoff(source.name, longest, metrics)
        self._stopping = False
        self._lag_at = 0.0
        self._log = structlog.get_logger("trailhouse.collector")
        self.summary = Summary()

    def stop(self) -> None:
        """End after the range at hand; safe in a signal handler."""
        self._stopping = True

    def run(self, *, until_idle: bool = False) -> Summary:
        """Collect until stopped; with `until_idle`, until every source is drained and has been quiet for a while."""
        quiet_since = time.monotonic()
        busy = False
        collecting = gc.isenabled()
        gc.disable()
        try:
            while not self._stopping:
                wait = _POLL_SECONDS if not busy else 0.0
                busy = False
                for source in self._sources:
                    busy |= self._serve(source, wait)
                    wait = 0.0
                if busy:
                    quiet_since = time.monotonic()
                self._tell_lag()
                if until_idle and self._idle(time.monotonic() - quiet_since):
                    break
        finally:
            self._close()
            if collecting:
                gc.enable()
        return self.summary

    def _serve(self, source: Source, wait_seconds: float) -> bool:
        """Poll a source and land what is due; return whether anything was landed."""
        if self._backoffs[source.name].waiting:
            time.sleep(wait_seconds)
            return False
        busy = False
        try:
            source.poll(wait_seconds)
            self._gaps += source.gaps()
            self._forget_lost()
            self._record_gaps()
            for partition in source.due():
                # A hole is recorded before anything is committed past it: nobody would find it again.
                if self._stopping or self._gaps or self._backoffs["warehouse"].waiting:
                    break
                if partition in self._undecodable and self._backoffs["registry"].waiting:
                    continue
                busy |= self._try(source, partition)
            if not busy:
                source.settle()
        except SourceUnavailableError as error:
            self._backoffs[source.name].failed(error)
            return False
        self._backoffs[source.name].answered()
        return busy

    def _try(self, source: Source, partition: Partition) -> bool:
        """Land the next range of a partition; return whether that was done."""
        try:
            self._land_next(source, partition)
        except PartitionLostError as error:
            self._log.warning("partition lost", partition=str(partition), reason=str(error))
            self._states.pop(partition, None)
            return False
        except RegistryUnavailableError as error:
            self._backoffs["registry"].failed(error)
            self._undecodable.add(partition)
            return False
        except WarehouseUnavailableError as error:
            self._backoffs["warehouse"].failed(error)
            return False
        if partition in self._undecodable:
            self._undecodable.discard(partition)
            self._backoffs["registry"].answered()
        self._backoffs["warehouse"].answered()
        return True

    def _land_next(self, source: Source, partition: Partition) -> None:
        """Land one range of a partition: the one whose plan is open, or the next."""
        state = self._state(partition)
        found = source.open_plan(partition)
        messages = source.read(partition)
        if not len(messages):
            if found is not None:
                source.landed(partition, found)
            return
        tries = _tries(found, state)
        if found is not None and tries > MAX_TRIES and found.first < found.last:
            self._log.warning("records are tried one by one", partition=str(partition), first=found.first)
            state.singly_through = found.last
            found, tries = None, 1
        singly = messages.offsets[0] <= state.singly_through
        if found is None and singly:
            messages = messages.head(1)
        decoder = self._decoder(partition)
        rows = make_rows(partition, messages, decoder, state.duplicates, whole=found is not None)
        plan = Plan(rows.first, rows.last) if found is None else Plan(found.first, found.last, tries)
        doubt = found is not None or singly or plan.first <= state.highest
        if tries > (MAX_TRIES if state.rejected else MAX_DEATHS):
            rows = self._given_up(partition, plan, messages, rows, state)
        source.commit_plan(partition, plan)
        self._land(source, partition, plan, rows, state, doubt=doubt)

    def _land(
        self, source: Source, partition: Partition, plan: Plan, rows: Rows, state: _State, *, doubt: bool
    ) -> None:
        """Land the rows of a plan that is stored; where the warehouse refuses them the plan stays open."""
        before, state.own, state.rejected = state.rejected, plan, ""
        try:
            landed = self._landing.land(partition, plan, rows, doubt=doubt)
        except InsertRejectedError as error:
            state.rejected = str(error)
            if not before:
                self._log.warning("rows refused", partition=str(partition), plan=str(plan), reason=str(error))
            return
        except WarehouseUnavailableError:
            self._take_back_try(source, partition, plan, state)
            raise
        source.landed(partition, plan)
        state.own = None
        state.highest = max(state.highest, plan.last)
        if state.duplicates is not None:
            state.duplicates.landed(rows.producer_ids, rows.sequences)
        self._count(partition, rows, landed, doubt=doubt)

    def _take_back_try(self, source: Source, partition: Partition, plan: Plan, state: _State) -> None:
        """Store that a try ended without a death; who dies or loses the partition while it waits is not to count."""
        try:
            source.commit_plan(partition, replace(plan, tries=plan.tries - 1))
        except (PartitionLostError, SourceUnavailableError):
            return
        state.own = None

    def _given_up(self, partition: Partition, plan: Plan, messages: Messages, rows: Rows, state: _State) -> Rows:
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

    def _count(self, partition: Partition, rows: Rows, landed: Landed, *, doubt: bool) -> None:
        topic, metrics, summary = partition.topic, self._metrics, self.summary
        metrics.ranges.labels(topic).inc()
        metrics.retried.labels(topic).inc(int(doubt))
        metrics.repairs.labels(topic).inc(landed.repairs)
        metrics.messages.labels(topic).inc(rows.messages)
        metrics.rows.labels(topic).inc(len(rows.table))
        metrics.duplicates.labels(topic).inc(rows.duplicates)
        metrics.insert_seconds.labels(topic).observe(landed.seconds)
        reasons = Counter(rows.dead_letters.column("reason").to_pylist())
        for reason, count in reasons.items():
            metrics.dead_letters.labels(topic, reason).inc(count)
        if reasons:
            self._log.warning("dead letters", partition=str(partition), first=rows.first, last=rows.last, **reasons)
        if landed.repairs:
            self._log.warning("rows lacked and were inserted again", partition=str(partition), first=rows.first)
        summary.ranges += 1
        summary.messages += rows.messages
        summary.rows += len(rows.table)
        summary.dead_letters += len(rows.dead_letters)
        summary.duplicates += rows.duplicates

    def _state(self, partition: Partition) -> _State:
        if partition not in self._states:
            highest = self._landing.highest_offset(partition)
            duplicates = None
            if partition.number >= 0:
                duplicates = Duplicates(partition, self._warehouse, fresh=highest < 0)
            self._states[partition] = _State(partition.assignment, duplicates, highest)
        return self._states[partition]

    def _decoder(self, partition: Partition) -> Decoder:
        name = partition.event_type.name
        if name not in self._decoders:
            self._decoders[name] = Decoder(partition.event_type, self._registry)
        return self._decoders[name]

    def _forget_lost(self) -> None:
        """Forget what was known of partitions that are no longer ours, or were somebody else's meanwhile."""
        have = {partition: partition.assignment for each in self._sources for partition in each.partitions()}
        for partition in [each for each, state in self._states.items() if have.get(each) != state.assignment]:
            del self._states[partition]
        self._undecodable &= have.keys()

    def _record_gaps(self) -> None:
        while self._gaps and not self._backoffs["warehouse"].waiting:
            gap = self._gaps[0]
            name = token(gap.partition, Plan(gap.first, gap.last))
            try:
                self._warehouse.insert(DEAD_LETTERS_TABLE, gap_row(gap, time.time_ns() // 1000), f"{name}:gap")
            except WarehouseUnavailableError as error:
                self._backoffs["warehouse"].failed(error)
                return
            missing = gap.last - gap.first + 1
            self._log.error("offsets missing", partition=str(gap.partition), first=gap.first, last=gap.last)
            self._metrics.missing.labels(gap.partition.topic).inc(missing)
            self.summary.missing_offsets += missing
            self._gaps.pop(0)

    def _idle(self, quiet_seconds: float) -> bool:
        if quiet_seconds < self._settings.idle_seconds or self._gaps:
            return False
        return all(source.drained for source in self._sources)

    def _tell_lag(self) -> None:
        self._metrics.buffered.set(sum(source.buffered_bytes for source in self._sources))
        if time.monotonic() >= self._lag_at:
            self._lag_at = time.monotonic() + _LAG_EVERY_SECONDS
            # Python's own collections would look through all messages in memory again and again: a third of the time.
            gc.collect()
            self._metrics.set_lag({p: lag for source in self._sources for p, lag in source.lag().items()})

    def _close(self) -> None:
        for source in self._sources:
            try:
                source.settle()
            except SourceUnavailableError as error:
                self._log.warning("not settled; the next collector finds the plan", reason=str(error))
            source.close()


def _tries(found: Plan | None, state: _State) -> int:
    """Return which try of a range this is: going on after a wait is none, after a death or a refusal it is one."""
    if found is None:
        return 1
    return found.tries + (0 if found == state.own and not state.rejected else 1)
