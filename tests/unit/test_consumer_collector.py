"""What the loop of the collector remembers of partitions, and for how long; what it does beside its sources."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa

from trailhouse_consumer.collector import Collector
from trailhouse_consumer.errors import PartitionLostError
from trailhouse_consumer.landing import Landed
from trailhouse_consumer.monitoring import Metrics
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_consumer.sources import Backlog, Messages, Partition, Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trailhouse_consumer.jobs import Prepared
    from trailhouse_consumer.landing import Landing
    from trailhouse_consumer.sources import Source
    from trailhouse_consumer.warehouse import Warehouse

PATIENCE_SECONDS = 60.0


class Inline:
    """Does work at once, where it is asked for."""

    def submit(self, work: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Do it."""
        done: Future[Any] = Future()
        try:
            done.set_result(work(*args))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the future's
            done.set_exception(error)
        return done

    def shutdown(self) -> None:
        """Do nothing."""


class Scripted:
    """A source with one partition, of which a message is always due, and has these assignments, one a poll."""

    name = "scripted"
    buffered_bytes = 0

    def __init__(self, assignments: Sequence[int], *, endless: bool = True) -> None:
        """Take them; when they are over the last one lasts, or there is none."""
        self.polls = 0
        #: Whether the assignment does not change now.
        self.stays = False
        self._endless = endless
        self._left = [Partition("trailhouse.run_started", "id", -1, assignment) for assignment in assignments]
        self._now: list[Partition] = []
        self.next = 0
        self.plans: list[Plan] = []
        self.declared: list[Plan] = []
        self.losing: Callable[[Sequence[Partition]], None] = lambda _partitions: None

    def poll(self, _timeout_seconds: float) -> bool:
        """Go on to the next."""
        self.polls += 1
        if not self.stays and (self._left or not self._endless):
            self._now, self._left = self._left[:1], self._left[1:]
        return False

    def partitions(self) -> list[Partition]:
        """Return the one of this poll."""
        return self._now

    due = partitions

    @property
    def drained(self) -> bool:
        """Whether the script is over."""
        return not self._left

    def open_plan(self, _partition: Partition) -> Plan | None:
        """Return none."""

    def read(self, _partition: Partition) -> Messages:
        """Return one message, which has no value."""
        return Messages(np.array([self.next]), np.array([1_700_000_000_000_000]), [None], [None], [None])

    def commit_plan(self, partition: Partition, plan: Plan) -> None:
        """Take it from who has the partition."""
        if [partition.assignment] != [each.assignment for each in self._now]:
            raise PartitionLostError("scripted")
        self.plans.append(plan)

    def landed(self, partition: Partition, plan: Plan) -> None:
        """Go on behind it."""
        if [partition.assignment] != [each.assignment for each in self._now]:
            raise PartitionLostError("scripted")
        self.declared.append(plan)
        self.next = plan.last + 1

    def gaps(self) -> list[object]:
        """Return none."""
        return []

    def backlog(self) -> dict[Partition, Backlog]:
        """Return none."""
        return {}

    stuck = backlog

    def unready(self) -> str:
        """Return nothing."""
        return ""

    def settle(self) -> None:
        """Do nothing."""

    close = settle


class Asked:
    """A landing that counts how often it is asked how far a partition is."""

    times = 0

    def highest_offset(self, _partition: Partition) -> int:
        """Count."""
        self.times += 1
        return -1

    def land(self, _partition: Partition, _plan: Plan, rows: Prepared, *, doubt: bool) -> Landed:
        """Say that it is done."""
        return Landed(0, 1, 0, 0.0, (0, 1))


class Columns:
    """A warehouse of which nothing is asked but the columns of a table."""

    def ask(self, _question: str, _parameters: object) -> pa.Table:
        """Say that it has those that every event has."""
        return pa.table({"name": ["occurred_at", "producer_id", "sequence"]})


def collector(source: Scripted, landing: object, executor: Inline | None = None) -> Collector:
    """Return a collector of that source."""
    return Collector(
        [cast("Source", source)],
        cast("Warehouse", Columns()),
        cast("Landing", landing),
        settings=CollectorSettings(idle_seconds=0),
        metrics=Metrics(),
        executor=executor,
    )


def test_what_was_known_of_a_partition_is_forgotten_when_it_is_assigned_anew() -> None:
    """Also when it was lost and came back within one poll: somebody else may have landed of it meanwhile."""
    asked, source = Asked(), Scripted([1] * 8 + [2] * 8 + [5] * 8, endless=False)
    collector(source, asked, Inline()).run(until_idle=True)
    assert asked.times == 3
    assert len(source.declared) >= 6


def test_a_range_goes_its_way_step_by_step_and_one_of_a_partition_at_a_time() -> None:
    """Its plan is stored before it is landed, and the next begins when it is declared."""
    source = Scripted([1])
    one = collector(source, Asked(), Inline())
    seen = []
    for _ in range(5):
        one.turn(0)
        seen.append((len(source.plans), len(source.declared)))
    assert seen == [(0, 0), (1, 0), (1, 1), (2, 1), (2, 2)]
    one.close()


class Slow(Asked):
    """A landing that takes until it is allowed to end."""

    def __init__(self) -> None:
        """Begin."""
        self.began = threading.Event()
        self.may_end = threading.Event()

    def land(self, _partition: Partition, _plan: Plan, rows: Prepared, *, doubt: bool) -> Landed:
        """Wait."""
        self.began.set()
        assert self.may_end.wait(PATIENCE_SECONDS)
        return Landed(0, 1, 0, 0.0, (0, 1))


def test_sources_are_polled_on_while_a_range_is_landed() -> None:
    """A group would give a collector up that does not poll."""
    source, slow = Scripted([1]), Slow()
    one = collector(source, slow)
    while not slow.began.is_set():
        one.turn(0.001)
    polls = source.polls
    for _ in range(10):
        one.turn(0.001)
    assert source.polls == polls + 10
    assert not source.declared
    slow.may_end.set()
    one.close()
    assert source.declared == [Plan(0, 0)]


def test_who_loses_a_partition_first_declares_the_range_that_is_being_landed() -> None:
    """It is waited for: whoever gets the partition need not land it again."""
    source, slow = Scripted([1]), Slow()
    one = collector(source, slow)
    while not slow.began.is_set():
        one.turn(0.001)
    threading.Timer(0.1, slow.may_end.set).start()
    source.losing(source.partitions())
    assert source.declared == [Plan(0, 0)]
    one.close()


def test_a_range_of_an_earlier_assignment_is_not_declared() -> None:
    """Somebody else may have landed it and more meanwhile: only the source knows where it is now."""
    source, slow = Scripted([1, 2]), Slow()
    one = collector(source, slow)
    source.poll(0)
    source.stays = True
    while not slow.began.is_set():
        one.turn(0.001)
    source.stays = False
    while source.partitions()[0].assignment == 1:
        one.turn(0.001)
    slow.may_end.set()
    while not source.declared:
        one.turn(0.001)
    assert source.plans == [Plan(0, 0), Plan(0, 0)]
    assert source.declared == [Plan(0, 0)]
    one.close()
