"""Sets the offsets of a group back to what the warehouse holds, after a warehouse was restored from a backup.

Kafka still has what was landed since the backup, but the group believes that all of it is landed. The tables know
better: each row carries its place. A partition is set back to the first offset that no table holds. What is read twice
by that is in doubt, and landed once all the same. Nothing is ever set forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from trailhouse_consumer.errors import RewindError, SourceUnavailableError
from trailhouse_consumer.gaps import missing
from trailhouse_consumer.ranges import plan_from_metadata
from trailhouse_consumer.sources import Gap, Partition
from trailhouse_consumer.sources.kafka_client import admin_settings, client_settings, text
from trailhouse_schemas.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Future

    from trailhouse_consumer.settings import CollectorSettings
    from trailhouse_consumer.warehouse import Warehouse

__all__ = ["Group", "Place"]

_SECONDS: Final = 30.0
#: Which offset of a log is asked for.
_EARLIEST: Final[Any] = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final[Any] = OffsetSpec.latest()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a group is in a partition, and where it should be."""

    partition: Partition
    #: The next offset that the group reads; None where it has none and reads from the beginning.
    committed: int | None
    #: The first offset that the log still has, and the one after its last.
    begins: int
    ends: int
    #: The next offset to read.
    wanted: int | None

    @property
    def moves(self) -> bool:
        """Whether the group is to be set back."""
        return self.wanted != self.committed

    @property
    def messages(self) -> int:
        """How many messages are read again."""
        return 0 if self.committed is None or self.wanted is None else self.committed - self.wanted


class Group:
    """The offsets of one consumer group on one cluster."""

    def __init__(self, bootstrap_servers: str, how: CollectorSettings) -> None:
        """Ask nothing yet."""
        self._servers = bootstrap_servers
        self._name = how.group
        self._admin = AdminClient(admin_settings(client_settings(bootstrap_servers, how)))

    def places(self, warehouse: Warehouse, *, since_us: int | None = None) -> list[Place]:
        """Return where the group is, and where it should be for what the warehouse holds.

        Args:
            warehouse: Holds the rows.
            since_us: Read again at least what the log took at that time or later, in microseconds since 1970.

        Raises:
            RewindError: the group has members, or an insert of a range is still going on.
            SourceUnavailableError: Kafka does not answer.
            WarehouseUnavailableError: the warehouse does not answer.
        """
        self._expect_nobody(warehouse)
        partitions = self._partitions()
        committed = self._committed()
        begins = self._offsets(partitions, _EARLIEST)
        ends = self._offsets(partitions, _LATEST)
        since = {} if since_us is None else self._offsets(partitions, OffsetSpec.for_timestamp(since_us // 1000))
        found = []
        for partition in partitions:
            key = partition.topic, partition.number
            at, topic_id = committed.get(key, (None, None))
            wanted = at
            # Where the topic was made again, or its log was cut, the collector says so and decides.
            if at is not None and at <= ends[key] and topic_id in {None, partition.topic_id}:
                first = self._unexpired(warehouse, partition, begins[key], ends[key])
                lacking = missing(warehouse, Gap(partition, first, at - 1)) if first < at else []
                again = since.get(key, ends[key])
                wanted = min(at, *(gap.first for gap in lacking[:1]), ends[key] if again < 0 else max(again, first))
            found.append(Place(partition, at, begins[key], ends[key], wanted))
        return found

    def rewind(self, places: Sequence[Place]) -> None:
        """Commit the offsets that are wanted; raises `RewindError`, `SourceUnavailableError`."""
        # Without metadata: the collector then compares all that the log no longer has with the tables.
        offsets = [
            TopicPartition(place.partition.topic, place.partition.number, place.wanted)
            for place in places
            if place.wanted is not None and place.moves
        ]
        if not offsets:
            return
        wanted = ConsumerGroupTopicPartitions(self._name, offsets)
        (future,) = self._admin.alter_consumer_group_offsets([wanted], request_timeout=_SECONDS).values()
        for each in self._answer(future).topic_partitions:
            if each.error is not None:
                raise RewindError(f"Group {self._name} is not set back at {each.topic}: {each.error.str()}")

    def _expect_nobody(self, warehouse: Warehouse) -> None:
        (future,) = self._admin.describe_consumer_groups([self._name], request_timeout=_SECONDS).values()
        try:
            group = self._answer(future)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise
        else:
            if group.state not in {ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD}:
                raise RewindError(
                    f"Group {self._name} has {len(group.members)} members; end its collectors first, and wait until "
                    "the group has given up those that were killed or are static (session_timeout_seconds)"
                )
        (answer,) = warehouse.ask("running_landings", {}).columns
        if sum(answer.to_pylist()):
            raise RewindError("An insert of a collector is still going on in the warehouse; wait until it is over")

    def _partitions(self) -> list[Partition]:
        there = self._admin.list_topics(timeout=_SECONDS).topics
        names = sorted(event_type.topic for event_type in CATALOGUE.values() if event_type.topic in there)
        if not names:
            return []
        found = self._admin.describe_topics(TopicCollection(names), request_timeout=_SECONDS)
        ids = {name: str(self._answer(future).topic_id) for name, future in found.items()}
        return [Partition(name, ids[name], number, 0) for name in names for number in sorted(there[name].partitions)]

    def _committed(self) -> dict[tuple[str, int], tuple[int, str | None]]:
        """Return the offsets of the group, each with the topic's id that it was committed for, where it is said."""
        asked = ConsumerGroupTopicPartitions(self._name)
        (future,) = self._admin.list_consumer_group_offsets([asked], request_timeout=_SECONDS).values()
        return {
            (each.topic, each.partition): (each.offset, plan_from_metadata(each.metadata)[0])
            for each in self._answer(future).topic_partitions
            if each.offset >= 0
        }

    def _offsets(self, partitions: Sequence[Partition], spec: Any) -> Mapping[tuple[str, int], int]:
        asked = {TopicPartition(partition.topic, partition.number): spec for partition in partitions}
        found = self._admin.list_offsets(asked, request_timeout=_SECONDS) if asked else {}
        return {(key.topic, key.partition): self._answer(future).offset for key, future in found.items()}

    def _unexpired(self, warehouse: Warehouse, partition: Partition, begins: int, ends: int) -> int:
        """Return the first offset whose rows are to be there: older ones may have expired."""
        times = warehouse.ask("rows_expired", {"table": partition.event_type.table}).column("before_us").to_pylist()
        for before_us in times:
            spec = OffsetSpec.for_timestamp(before_us // 1000)
            (first,) = self._offsets([partition], spec).values()
            return ends if first < 0 else max(begins, first)
        return begins

    def _answer(self, future: Future[Any]) -> Any:
        try:
            return future.result(_SECONDS)
        except TimeoutError as error:
            raise SourceUnavailableError(f"Kafka at {self._servers} does not answer") from error
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                raise
            raise SourceUnavailableError(f"Kafka at {self._servers} does not answer: {text(error)}") from error
