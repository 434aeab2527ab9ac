"""The loop of the collector: polls its sources, and has ranges landed beside it.

Only this loop speaks to the sources: it reads a range, stores its plan, declares it landed. Making rows and landing
them is done by workers meanwhile (see `jobs`), so that a range is decoded and another one inserted while messages
come in.

What may fail for a while (a source, the registry, the warehouse) is waited for with growing pauses, said once, and
taken up where it was: the range keeps its plan. Meanwhile sources are polled on, so that a consumer group does not take
a waiting collector for a dead one.
"""

from __future__ import annotations

import gc
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog

from trailhouse_consumer.backoff import Backoff
from trailhouse_consumer.columns import table_columns
from trailhouse_consumer.decode import Decoder
from trailhouse_consumer.errors import InsertRejectedError, PartitionLostError, SourceUnavailableError
from trailhouse_consumer.gaps import record
from trailhouse_consumer.jobs import Job, Prepared, State, Worker
from trailhouse_consumer.ranges import part_after
from trailhouse_consumer.telling import Summary, Teller
from trailhouse_schemas.errors import RegistryUnavailableError, WarehouseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from typing import Protocol

    from trailhouse_consumer.decode import KnowsSchemas
    from trailhouse_consumer.landing import Landed, Landing
    from trailhouse_consumer.monitoring import Metrics
    from trailhouse_consumer.settings import CollectorSettings
    from trailhouse_consumer.sources import Gap, Partition, Plan, Source
    from trailhouse_consumer.warehouse import Warehouse

    class Executes(Protocol):
        """Where work beside the loop is done: a pool of threads, or the loop itself."""

        def submit(self, work: Callable[..., Any], /, *args: Any) -> Future[Any]:
            """Begin it."""

        def shutdown(self) -> None:
            """Wait for what has begun, and end."""


__all__ = ["Collector", "Summary"]

_POLL_SECONDS: Final = 0.1
#: How long a poll may wait for messages while ranges are on their way.
_BUSY_POLL_SECONDS: Final = 0.01
#: A source is asked again soon: a group gives up a member that does not poll.
_SOURCE_BACKOFF_SECONDS: Final = 2.0
_COLLECT_EVERY_SECONDS: Final = 60.0
_SETTLE_EVERY_SECONDS: Final = 5.0
#: How long who takes a partition over is kept waiting for a range that is being inserted.
_FINISH_SECONDS: Final = 5.0


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
        executor: Executes | None = None,
    ) -> None:
        """Put the parts together; nothing happens before `run`.

        `executor` does the work beside the loop; by default as many threads as the settings say.
        """
        self._sources = list(sources)
        self._warehouse = warehouse
        self._worker = Worker(warehouse, landing)
        self._settings = settings
        self._registry = registry
        self._executor = executor or ThreadPoolExecutor(settings.landers, "lander")
        self._decoders: dict[str, Decoder] = {}
        #: What is known of each partition, and since which assignment.
        self._states: dict[Partition, tuple[int, State]] = {}
        self._jobs: dict[Partition, Job] = {}
        self._gaps: list[Gap] = []
        #: Partitions that wait for the registry; others go on meanwhile.
        self._undecodable: set[Partition] = set()
        self._backoffs = {what: Backoff(what, settings.backoff_seconds, metrics) for what in ("warehouse", "registry")}
        for source in sources:
            longest = min(_SOURCE_BACKOFF_SECONDS, settings.backoff_seconds)
            self._backoffs[source.name] = Backoff(source.name, longest, metrics)
            source.losing = self._let_finish
            source.rebalanced = metrics.rebalanced
        self._stopping = False
        self._collect_at = 0.0
        self._settled_at = 0.0
        self._log = structlog.get_logger("trailhouse.collector")
        self._teller = Teller(metrics)

    @property
    def summary(self) -> Summary:
        """What it has done so far."""
        return self._teller.summary

    def stop(self) -> None:
        """End after the ranges at hand; safe in a signal handler."""
        self._stopping = True

    def run(self, *, until_idle: bool = False) -> Summary:
        """Collect until stopped; with `until_idle`, until every source is drained and has been quiet for a while."""
        quiet_since = time.monotonic()
        collecting = gc.isenabled()
        gc.disable()
        try:
            while not self._stopping:
                if self.turn(_POLL_SECONDS) or self._jobs:
                    quiet_since = time.monotonic()
                self._teller.turned(self._sources)
                self._collect_garbage()
                if until_idle and self._idle(time.monotonic() - quiet_since):
                    break
        finally:
            self.close()
            if collecting:
                gc.enable()
        return self.summary

    def turn(self, wait_seconds: float) -> bool:
        """Do what is to be done now, or wait for it at most that long; return whether a range began or went on."""
        went_on = self._go_on()
        waiting = wait_seconds if not self._jobs else min(wait_seconds, _BUSY_POLL_SECONDS)
        waiting = waiting if not went_on else 0.0
        came = began = False
        for source in self._sources:
            any_came, any_began = self._serve(source, waiting)
            came, began = came or any_came, began or any_began
            waiting = 0.0
        if self._jobs and not (went_on or came or began):
            steps: list[Future[Any]] = [job.step for job in self._jobs.values()]
            wait(steps, wait_seconds, FIRST_COMPLETED)
        return went_on or began

    def _serve(self, source: Source, wait_seconds: float) -> tuple[bool, bool]:
        """Poll a source and begin what is due; return whether anything came, and whether anything was begun."""
        if self._backoffs[source.name].waiting:
            time.sleep(wait_seconds)
            return False, False
        began = False
        try:
            came = source.poll(wait_seconds)
            self._gaps += source.gaps()
            self._forget_lost()
            self._record_gaps()
            for partition in source.due():
                # A hole is recorded before anything is committed past it: nobody would find it again.
                if self._stopping or self._gaps or self._backoffs["warehouse"].waiting:
                    break
                if partition in self._undecodable and self._backoffs["registry"].waiting:
                    continue
                if len(self._jobs) > self._settings.landers:
                    break
                if partition not in self._jobs:
                    began |= self._begin(source, partition)
            self._settle(source)
        except SourceUnavailableError as error:
            self._backoffs[source.name].failed(error)
            return False, began
        self._backoffs[source.name].answered()
        return came, began

    def _settle(self, source: Source) -> None:
        """Declare what was landed: when nothing is on its way, else now and then."""
        if not self._jobs or time.monotonic() > self._settled_at + _SETTLE_EVERY_SECONDS:
            source.settle()
            self._settled_at = time.monotonic()

    def _begin(self, source: Source, partition: Partition) -> bool:
        """Take the next range of a partition in hand; return whether there was one."""
        try:
            found = source.open_plan(partition)
            messages = source.read(partition)
            if not len(messages):
                if found is not None:
                    self._go_behind(source, partition, found, found.whole.used if found.whole else (0, 0))
                return False
        except PartitionLostError as error:
            self._lost(partition, error)
            return False
        _, state = self._states.get(partition, (0, None))
        step = self._executor.submit(self._worker.prepare, partition, messages, found, state, self._decoder(partition))
        self._jobs[partition] = Job(source, partition, step)
        return True

    def _go_on(self) -> bool:
        """Take the next step for each range whose last one is done; return whether there was any."""
        done = [job for job in self._jobs.values() if job.step.done()]
        for job in done:
            self._step(job)
        return bool(done)

    def _step(self, job: Job) -> None:
        """Take the next step for a range, and wait with all that comes after where it failed."""
        try:
            if job.prepared is None:
                self._promise(job, job.step.result())  # type: ignore[arg-type]
                return
            self._landed(job, job.prepared, job.step.result())  # type: ignore[arg-type]
        except PartitionLostError as error:
            self._lost(job.partition, error)
        except SourceUnavailableError as error:
            self._backoffs[job.source.name].failed(error)
        except RegistryUnavailableError as error:
            self._backoffs["registry"].failed(error)
            self._undecodable.add(job.partition)
        except WarehouseUnavailableError as error:
            self._backoffs["warehouse"].failed(error)
            if job.prepared is not None:
                self._take_back_try(job, job.prepared)
        except InsertRejectedError as error:
            self._rejected(job.partition, job.prepared, error)
        del self._jobs[job.partition]

    def _promise(self, job: Job, prepared: Prepared) -> None:
        """Store the plan of a range, and have it landed."""
        partition = job.partition
        if partition in self._undecodable:
            self._undecodable.discard(partition)
            self._backoffs["registry"].answered()
        job.source.commit_plan(partition, prepared.plan)
        self._states[partition] = (partition.assignment, prepared.state)
        prepared.state.own = prepared.plan
        self._teller.planned(partition)
        job.prepared = prepared
        job.step = self._executor.submit(self._worker.land, partition, prepared)

    def _landed(self, job: Job, prepared: Prepared, landed: Landed) -> None:
        """Declare a range landed."""
        partition, rows, state = job.partition, prepared.rows, prepared.state
        self._backoffs["warehouse"].answered()
        state.own = self._go_behind(job.source, partition, prepared.plan, landed.used)
        state.rejected = ""
        state.highest = max(state.highest, prepared.plan.last)
        if state.duplicates is not None:
            state.duplicates.landed(rows.producer_ids, rows.sequences)
        self._teller.landed(partition, prepared, landed)

    def _go_behind(self, source: Source, partition: Partition, plan: Plan, used: tuple[int, int]) -> Plan | None:
        """Declare a plan landed; or where it was a part, promise the next one, which is returned."""
        rest = part_after(plan, used)
        if rest is None:
            source.landed(partition, plan)
        else:
            source.commit_plan(partition, rest)
        return rest

    def _rejected(self, partition: Partition, prepared: Prepared | None, error: InsertRejectedError) -> None:
        """Remember why the warehouse refused rows; the plan stays open."""
        assert prepared is not None  # noqa: S101 - nothing is inserted before
        if not prepared.state.rejected:
            self._log.warning("rows refused", partition=str(partition), plan=str(prepared.plan), reason=str(error))
        prepared.state.rejected = str(error)

    def _take_back_try(self, job: Job, prepared: Prepared) -> None:
        """Store that a try ended without a death; who dies or loses the partition while it waits is not to count."""
        try:
            job.source.commit_plan(job.partition, replace(prepared.plan, tries=prepared.plan.tries - 1))
        except (PartitionLostError, SourceUnavailableError):
            return
        prepared.state.own = None

    def _let_finish(self, partitions: Sequence[Partition]) -> None:
        """Wait a little for ranges that are being inserted and declare them: whoever gets them need not try again."""
        going = [
            job
            for partition in partitions
            if (job := self._jobs.get(partition)) is not None and job.prepared is not None
        ]
        steps: list[Future[Any]] = [job.step for job in going]
        wait(steps, _FINISH_SECONDS)
        for job in going:
            if job.step.done() and job.step.exception() is None:
                self._step(job)

    def _lost(self, partition: Partition, error: PartitionLostError) -> None:
        self._log.warning("partition lost", partition=str(partition), reason=str(error))
        self._states.pop(partition, None)

    def _decoder(self, partition: Partition) -> Decoder:
        name = partition.event_type.name
        if name not in self._decoders:
            columns = partial(table_columns, self._warehouse, partition.event_type.table)
            self._decoders[name] = Decoder(partition.event_type, self._registry, columns)
        return self._decoders[name]

    def _forget_lost(self) -> None:
        """Forget what was known of partitions that are no longer ours, or were somebody else's meanwhile."""
        have = {partition: partition.assignment for each in self._sources for partition in each.partitions()}
        for partition in [each for each, (since, _) in self._states.items() if have.get(each) != since]:
            del self._states[partition]
        self._undecodable &= have.keys()

    def _record_gaps(self) -> None:
        while self._gaps and not self._backoffs["warehouse"].waiting:
            gap = self._gaps[0]
            try:
                found = record(self._warehouse, gap, time.time_ns() // 1000)
            except WarehouseUnavailableError as error:
                self._backoffs["warehouse"].failed(error)
                return
            for each in found:
                self._teller.missing(each)
            self._gaps.pop(0)

    def _idle(self, quiet_seconds: float) -> bool:
        if quiet_seconds < self._settings.idle_seconds or self._gaps or self._jobs:
            return False
        return all(source.drained for source in self._sources)

    def _collect_garbage(self) -> None:
        """Python's own collections would look through all messages in memory again and again: a third of the time."""
        if time.monotonic() >= self._collect_at:
            self._collect_at = time.monotonic() + _COLLECT_EVERY_SECONDS
            gc.collect()

    def close(self) -> None:
        """Let what is being inserted come to its end, declare it, and give the sources back."""
        self._executor.shutdown()
        for job in list(self._jobs.values()):
            if job.prepared is not None:
                self._step(job)
        self._jobs.clear()
        for source in self._sources:
            try:
                source.settle()
            except SourceUnavailableError as error:
                self._log.warning("not settled; the next collector finds the plan", reason=str(error))
            source.close()
