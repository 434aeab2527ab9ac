"""What every source of the collector promises: Kafka and spools, one suite."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Protocol, cast

import pytest
from confluent_kafka import KafkaError, KafkaException

from collected import metrics, new_producer_id, publish, spooled
from trailhouse_consumer.errors import PartitionLostError, SourceUnavailableError
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_consumer.sources import Limits, Partition, Plan, Source, Whole
from trailhouse_consumer.sources.kafka import KafkaSource
from trailhouse_consumer.sources.spool import SpoolSource
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.wire import identity_to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from servers.topics import Topics
    from trailhouse_cli.servers.kafka import KafkaServer

PATIENCE_SECONDS = 60


class World(Protocol):
    """A place with 100 events, and sources that look at it."""

    producer_id: str

    def source(self, limits: Limits = ...) -> Source:
        """Return a new source, as a collector that starts has it."""


class SpoolWorld:
    """100 events in a spool."""

    def __init__(self, directory: Path) -> None:
        """Write it."""
        self.producer_id = new_producer_id()
        self._directory = directory
        values = [("metrics_logged", metrics(self.producer_id, i)) for i in range(100)]
        spooled(directory, values, self.producer_id)

    def source(self, limits: Limits = Limits(seconds=0)) -> SpoolSource:  # noqa: B008 - immutable
        """Return a new source."""
        return SpoolSource([self._directory], limits)


class KafkaWorld:
    """100 events in a topic."""

    def __init__(self, servers: str, topics: Topics) -> None:
        """Publish them."""
        self.producer_id = new_producer_id()
        self._servers = servers
        topics.create_catalogue(["metrics_logged"])
        publish(servers, "metrics_logged", [(self.producer_id, i, metrics(self.producer_id, i)) for i in range(100)])

    protocol = "classic"

    def source(self, limits: Limits = Limits(seconds=0)) -> KafkaSource:  # noqa: B008 - immutable
        """Return a new source, a member of the same group."""
        how = CollectorSettings(
            group=f"sources-{self.producer_id}",
            group_protocol=cast("None", self.protocol),
            session_timeout_seconds=6,
        )
        return KafkaSource(self._servers, how, limits)


class ModernKafkaWorld(KafkaWorld):
    """The same with the group protocol of KIP-848."""

    protocol = "consumer"


@pytest.fixture(
    params=["spool", pytest.param("kafka", marks=pytest.mark.kafka), pytest.param("kafka848", marks=pytest.mark.kafka)]
)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """Each kind of place."""
    if request.param == "spool":
        return SpoolWorld(tmp_path)
    kafka: KafkaServer = request.getfixturevalue("kafka")
    kind = ModernKafkaWorld if request.param == "kafka848" else KafkaWorld
    return kind(kafka.bootstrap_servers, request.getfixturevalue("topics"))


@pytest.fixture
def new(world: World) -> Iterator[Callable[..., Source]]:
    """Makes sources, and closes them at the end."""
    made: list[Source] = []

    def make(limits: Limits = Limits(seconds=0)) -> Source:  # noqa: B008 - immutable
        made.append(world.source(limits))
        return made[-1]

    yield make
    for source in made:
        source.close()


def poll_while(source: Source, condition: Callable[[], bool]) -> None:
    """Poll as long as that is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while condition():
        assert time.monotonic() < deadline
        source.poll(0.1)


def until(source: Source, condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Poll until that is so; a cluster that has just made a topic may not answer at once."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        with suppress(SourceUnavailableError):
            source.poll(0.1)


def the_partition(source: Source) -> Partition:
    """Return the partition that has the events, when it is due."""
    until(source, lambda: bool(source.due()))
    (partition,) = source.due()
    return partition


def everything(source: Source) -> Partition:
    """Return the partition when all its 100 events can be read."""
    partition = the_partition(source)
    until(source, lambda: len(source.read(partition)) == 100)
    return partition


def test_events_are_lent_in_order_with_all_that_belongs_to_them(world: World, new: Callable[..., Source]) -> None:
    """Offsets, values, identities, the broker's time."""
    source = new()
    partition = everything(source)
    assert partition.event_type is CATALOGUE["metrics_logged"]
    messages = source.read(partition)
    assert messages.offsets.tolist() == list(range(100))
    assert messages.values == [metrics(world.producer_id, i) for i in range(100)]
    assert messages.identities == [identity_to_bytes(world.producer_id, i) for i in range(100)]
    assert (abs(messages.published_us / 1e6 - time.time()) < 600).all()
    assert messages.keys == [world.producer_id.encode()] * 100
    assert messages.headers_of(3) == [("th", identity_to_bytes(world.producer_id, 3))]


def test_what_was_lent_at_another_assignment_is_refused(new: Callable[..., Source]) -> None:
    """The partition may have been somebody else's meanwhile, who has landed the range, and more."""
    source = new()
    partition = everything(source)
    earlier = replace(partition, assignment=partition.assignment - 1)
    for say in (source.commit_plan, source.landed):
        with pytest.raises(PartitionLostError):
            say(earlier, Plan(0, 99))
    assert source.open_plan(partition) is None
    assert len(source.read(partition)) == 100


def test_a_range_is_no_larger_than_the_limits(new: Callable[..., Source]) -> None:
    """Messages, and bytes; one at least."""
    source = new(Limits(rows=7, seconds=0))
    partition = the_partition(source)
    until(source, lambda: len(source.read(partition)) == 7)
    size = len(source.read(partition).values[0] or b"")
    source.close()
    small = new(Limits(bytes=3 * size + 1, seconds=0))
    partition = the_partition(small)
    until(small, lambda: len(small.read(partition)) == 3)
    small.close()
    tiny = new(Limits(bytes=1, seconds=0))
    assert len(tiny.read(the_partition(tiny))) == 1


def test_what_waits_for_others_is_not_due(new: Callable[..., Source]) -> None:
    """Neither full nor old enough."""
    source = new(Limits(seconds=3600))
    until(source, lambda: bool(source.partitions()))
    for _ in range(10):
        source.poll(0.05)
    assert source.due() == []
    assert not source.drained


def test_what_was_read_to_the_end_is_due_at_once_when_nothing_more_is_waited_for(
    new: Callable[..., Source],
) -> None:
    """A script that collects what is there has no use for larger ranges."""
    source = new(Limits(seconds=3600, wait_at_end=False))
    until(source, lambda: bool(source.due()))
    assert len(source.read(the_partition(source))) == 100


def test_reading_again_lends_the_same_until_it_is_landed(new: Callable[..., Source]) -> None:
    """And then what comes behind."""
    source = new(Limits(rows=40, seconds=0))
    partition = the_partition(source)
    until(source, lambda: len(source.read(partition)) == 40)
    for first in (0, 40):
        assert source.read(partition).offsets.tolist() == list(range(first, first + 40))
        assert source.open_plan(partition) is None
        source.commit_plan(partition, Plan(first, first + 39))
        assert source.open_plan(partition) == Plan(first, first + 39)
        assert source.read(partition).offsets.tolist() == list(range(first, first + 40))
        source.landed(partition, Plan(first, first + 39))
    assert source.read(partition).offsets.tolist() == list(range(80, 100))


def test_who_comes_after_finds_the_plan_and_exactly_its_range(new: Callable[..., Source]) -> None:
    """Though its own limits are others; and it keeps the tries."""
    first = new()
    first.commit_plan(everything(first), Plan(0, 29, 2))
    first.close()
    second = new(Limits(rows=5, seconds=0))
    partition = the_partition(second)
    assert second.open_plan(partition) == Plan(0, 29, 2)
    until(second, lambda: len(second.read(partition)) == 30)
    assert second.read(partition).offsets.tolist() == list(range(30))
    second.commit_plan(partition, Plan(0, 29, 3))
    second.landed(partition, Plan(0, 29, 3))
    assert second.open_plan(partition) is None
    assert second.read(partition).offsets.tolist() == [30, 31, 32, 33, 34]


def test_who_comes_after_finds_a_part_with_its_whole_and_goes_on_behind_what_was_landed(
    new: Callable[..., Source],
) -> None:
    """The plan of the next part takes the place of the one before: the whole is never without."""
    first = new()
    partition = everything(first)
    part, rest = Plan(0, 4, 1, Whole(0, 9)), Plan(5, 9, 1, Whole(0, 9, (1, 2)))
    first.commit_plan(partition, part)
    assert first.read(partition).offsets.tolist() == [0, 1, 2, 3, 4]
    first.commit_plan(partition, rest)
    assert first.read(partition).offsets.tolist() == [5, 6, 7, 8, 9]
    first.settle()
    first.close()
    second = new()
    partition = the_partition(second)
    assert second.open_plan(partition) == rest
    until(second, lambda: len(second.read(partition)) == 5)
    assert second.read(partition).offsets.tolist() == [5, 6, 7, 8, 9]
    second.landed(partition, rest)
    second.settle()
    second.close()
    third = new()
    partition = the_partition(third)
    assert third.open_plan(partition) is None
    until(third, lambda: len(third.read(partition)) == 90)


def test_the_next_plan_says_that_the_one_before_is_done(new: Callable[..., Source]) -> None:
    """Its successor does not see what was landed."""
    first = new()
    partition = everything(first)
    first.commit_plan(partition, Plan(0, 29))
    first.landed(partition, Plan(0, 29))
    first.commit_plan(partition, Plan(30, 59))
    first.close()
    second = new()
    partition = the_partition(second)
    assert second.open_plan(partition) == Plan(30, 59)
    assert second.read(partition).offsets.tolist()[0] == 30


def test_what_is_settled_is_never_lent_again(new: Callable[..., Source]) -> None:
    """On idling: without a plan after it."""
    first = new()
    partition = everything(first)
    first.commit_plan(partition, Plan(0, 89))
    first.landed(partition, Plan(0, 89))
    first.settle()
    first.close()
    second = new()
    partition = the_partition(second)
    assert second.open_plan(partition) is None
    until(second, lambda: len(second.read(partition)) == 10)
    assert second.read(partition).offsets.tolist() == list(range(90, 100))


def test_a_source_is_drained_when_all_is_landed(new: Callable[..., Source]) -> None:
    """And not before."""
    source = new()
    partition = everything(source)
    assert not source.drained
    source.commit_plan(partition, Plan(0, 99))
    assert not source.drained
    source.landed(partition, Plan(0, 99))
    until(source, lambda: source.drained)
    assert source.due() == []


def test_nothing_is_committed_for_a_partition_that_is_not_assigned(new: Callable[..., Source]) -> None:
    """The group would take it."""
    source = new()
    partition = the_partition(source)
    with pytest.raises(PartitionLostError):
        source.commit_plan(Partition(partition.topic, "another", partition.number), Plan(0, 1))
    with pytest.raises(PartitionLostError):
        source.commit_plan(Partition(CATALOGUE["run_started"].topic, partition.topic_id, 0), Plan(0, 1))


def test_a_partition_is_had_by_one_collector_at_a_time(new: Callable[..., Source]) -> None:
    """The second waits until the first has given it back, and goes on there."""
    first = new()
    partition = everything(first)
    second = new()
    for _ in range(20):
        first.poll(0.02)
        second.poll(0.02)
    both = [source for source in (first, second) if partition in source.partitions()]
    assert len(both) <= 1
    if both == [first]:
        first.commit_plan(partition, Plan(0, 9))
        first.landed(partition, Plan(0, 9))
        first.close()
    found = the_partition(second)
    assert found == partition
    assert second.read(found).offsets.tolist()[0] == (10 if both == [first] else 0)


@pytest.mark.kafka
@pytest.mark.parametrize("failure", [KafkaException(KafkaError(KafkaError._TIMED_OUT)), TimeoutError("no answer")])
def test_a_cluster_that_does_not_answer_amid_an_assignment_is_asked_anew(
    kafka: KafkaServer, topics: Topics, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group does not assign it a second time by itself."""
    world = KafkaWorld(kafka.bootstrap_servers, topics)
    source = world.source()
    answer, failures = KafkaSource._topic_ids, [failure]

    def once_late(self: KafkaSource, names: Iterable[str]) -> dict[str, str]:
        if failures:
            raise failures.pop()
        return answer(self, names)

    monkeypatch.setattr(KafkaSource, "_topic_ids", once_late)
    with pytest.raises(SourceUnavailableError, match="does not answer"):
        poll_while(source, lambda: bool(failures))
    partition = everything(source)
    source.close()
    assert everything(source) == partition
    assert everything(source).assignment != partition.assignment
    source.close()


@pytest.mark.kafka
def test_a_part_that_is_landed_amid_a_rebalance_is_followed_by_the_plan_of_the_next(
    kafka: KafkaServer, topics: Topics
) -> None:
    """Stored in the thread that serves the change: from another it would wait for an answer in vain."""
    topics.create_catalogue(["metrics_logged"])
    producer_id = new_producer_id()
    publish(kafka.bootstrap_servers, "metrics_logged", [(producer_id, i, b"value") for i in range(100)])
    how = CollectorSettings(group=f"sources-{producer_id}")
    first, second = (KafkaSource(kafka.bootstrap_servers, how, Limits(seconds=0)) for _ in range(2))
    rest = Plan(5, 9, 1, Whole(0, 9, (1, 2)))
    stored = list[Partition]()

    def land_the_part(losing: Sequence[Partition]) -> None:
        for partition in losing:
            if partition.number == 0:
                first.commit_plan(partition, rest)
                stored.append(partition)

    partition = everything(first)
    first.commit_plan(partition, Plan(0, 4, 1, Whole(0, 9)))
    first.losing = land_the_part
    try:
        until(second, lambda: first.poll(0.05) or bool(second.partitions()))
        first.close()
        until(second, lambda: partition in second.partitions())
        assert stored == [partition]
        assert second.open_plan(the_partition(second)) == rest
    finally:
        first.close()
        second.close()


@pytest.mark.kafka
def test_a_plan_that_is_larger_than_the_memory_becomes_due(kafka: KafkaServer, topics: Topics) -> None:
    """It can be landed only whole, so that its partition goes on being read."""
    topics.create_catalogue(["metrics_logged"])
    producer_id, value = new_producer_id(), b"x" * 100
    publish(kafka.bootstrap_servers, "metrics_logged", [(producer_id, i, value) for i in range(40_000)])
    how = CollectorSettings(group=f"sources-{producer_id}", memory_mib=16)
    for tries in (1, 2):
        source = KafkaSource(kafka.bootstrap_servers, how, Limits(seconds=3600))
        partition = Partition(CATALOGUE["metrics_logged"].topic, "", 0)
        if tries == 1:
            until(source, lambda: bool(source.partitions()))  # noqa: B023 - called at once
            (partition,) = (found for found in source.partitions() if found.number == 0)
            source.commit_plan(partition, Plan(0, 39_999))
        else:
            partition = the_partition(source)
            assert source.open_plan(partition) == Plan(0, 39_999)
            assert len(source.read(partition)) == 40_000
        source.close()


@pytest.mark.kafka
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_partition_that_comes_back_is_read_though_it_left_amid_a_pause(
    kafka: KafkaServer, topics: Topics, protocol: Literal["classic", "consumer"]
) -> None:
    """The client keeps the pause of a partition that another has meanwhile, and would never fetch from it again."""
    topics.create_catalogue(["metrics_logged"])
    producer_id, partitions = new_producer_id(), range(CATALOGUE["metrics_logged"].partitions)
    large = [(producer_id, i, b"x" * 500_000) for i in range(20)]
    publish(kafka.bootstrap_servers, "metrics_logged", large)
    how = CollectorSettings(
        group=f"sources-{producer_id}", group_protocol=protocol, memory_mib=16, session_timeout_seconds=6
    )
    first, second = (KafkaSource(kafka.bootstrap_servers, how, Limits(seconds=0)) for _ in range(2))
    try:
        until(first, lambda: first._paused == set(first._buffers) != set())

        def shared() -> bool:
            first.poll(0.1)
            return bool(second.partitions())

        until(second, shared)
        second.close()
        until(first, lambda: len(first.partitions()) == len(partitions))
        for number in partitions[1:]:
            publish(kafka.bootstrap_servers, "metrics_logged", [(producer_id, 100, b"y")], partition=number)
        others = [found for found in first.partitions() if found.number]

        def read() -> bool:
            for partition in [found for found in first.due() if found.number == 0]:
                plan = Plan(int((messages := first.read(partition)).offsets[0]), int(messages.offsets[-1]))
                first.commit_plan(partition, plan)
                first.landed(partition, plan)
            return all(len(first.read(partition)) == 1 for partition in others)

        until(first, read)
    finally:
        first.close()
        second.close()


@pytest.mark.kafka
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_who_leaves_before_it_has_a_partition_holds_nobody_up(
    kafka: KafkaServer, topics: Topics, protocol: Literal["classic", "consumer"]
) -> None:
    """Closed alone, its client would say nothing, and what it was to have would lie there until its session is over."""
    topics.create_catalogue(["metrics_logged"])
    group, partitions = f"sources-{new_producer_id()}", CATALOGUE["metrics_logged"].partitions
    how = CollectorSettings(group=group, group_protocol=protocol, session_timeout_seconds=45)
    first, second = (KafkaSource(kafka.bootstrap_servers, how, Limits(seconds=0)) for _ in range(2))
    try:
        until(first, lambda: len(first.partitions()) == partitions)

        def amid() -> bool:
            first.poll(0.1)
            return second._joined and len(first.partitions()) < partitions

        until(second, amid)
        second.close()
        until(first, lambda: len(first.partitions()) == partitions, seconds=30)
    finally:
        first.close()
        second.close()
