"""A simulated broker: logs with holes and retention, and one consumer group with fencing and commits with metadata.

`Consumer`, `Admin` and `Message` are what `KafkaSource` uses of confluent-kafka's classes of these names, so the real
source runs over this broker.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from simulation.processes import Fate
from trailhouse_consumer.ranges import plan_from_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from simulation.processes import Process

__all__ = ["PARTITIONS", "Admin", "Broker", "Consumer", "Log", "Message"]

PARTITIONS: Final = 2
_IDS = "topic-{}"


@dataclass(slots=True)
class Message:
    """A message, or an error in the place of one."""

    place: tuple[str, int]
    at: int
    body: bytes | None = None
    published_ms: int = 0
    failed: Any = None

    def topic(self) -> str:
        """Return the topic's name."""
        return self.place[0]

    def partition(self) -> int:
        """Return the partition's number."""
        return self.place[1]

    def offset(self) -> int:
        """Return the offset."""
        return self.at

    def value(self) -> bytes | None:
        """Return the value."""
        return self.body

    def key(self) -> bytes:
        """Return the key."""
        return b"key"

    def headers(self) -> None:
        """Return that there are none."""

    def timestamp(self) -> tuple[int, int]:
        """Return the broker's time."""
        return 2, self.published_ms

    def error(self) -> Any:
        """Return the error that it is, if it is one."""
        return self.failed

    def __len__(self) -> int:
        """Return the size of the value."""
        return len(self.body or b"")


@dataclass(slots=True)
class Log:
    """One partition of one making of a topic."""

    topic_id: str
    low: int = 0
    #: By offset; None is a hole, such as a transaction's end leaves.
    messages: list[Message | None] = field(default_factory=list)
    deleted: bool = False

    @property
    def high(self) -> int:
        """The next offset to be written."""
        return len(self.messages)


class Broker:
    """The topic, the group, and what is committed. All that survives a collector."""

    def __init__(self, topic: str) -> None:
        """Make the topic."""
        self.topic = topic
        self._ids = count(1)
        self._members = count(1)
        #: All logs that ever were.
        self.every_log: list[tuple[int, Log]] = []
        self.members: list[int] = []
        self.owners: dict[int, int] = {}
        self.committed: dict[int, tuple[int, str]] = {}
        self.make_topic()

    def make_topic(self) -> None:
        """Delete the topic, if there is one, and make it.

        The offsets of a deleted topic are deleted too, but a collector that has not noticed may commit them again.
        """
        self.committed = {each: found for each, found in self.committed.items() if found[1]}
        for _, log in self.every_log:
            log.deleted = True
        topic_id = _IDS.format(next(self._ids))
        self.logs = [Log(topic_id) for _ in range(PARTITIONS)]
        self.every_log += enumerate(self.logs)

    def append(self, partition: int, value: bytes | None, published_ms: int) -> None:
        """Publish a message."""
        log = self.logs[partition]
        log.messages.append(Message((self.topic, partition), log.high, value, published_ms))

    def join(self) -> int:
        """Take in a member."""
        self.members.append(next(self._members))
        return self.members[-1]

    def expel(self, member: int) -> None:
        """Give a member up; who is fenced from then on."""
        if member in self.members:
            self.members.remove(member)
            for partition in [each for each, owner in self.owners.items() if owner == member]:
                del self.owners[partition]

    def wanted(self, partition: int) -> int:
        """Return which member a partition belongs to."""
        return self.members[partition % len(self.members)]


class Admin:
    """`confluent_kafka.admin.AdminClient`."""

    def __init__(self, broker: Broker) -> None:
        """Connect."""
        self._broker = broker

    def describe_topics(self, topics: Any, request_timeout: float) -> dict[str, Any]:
        """Return the topic's id."""
        described = SimpleNamespace(topic_id=self._broker.logs[0].topic_id)
        return {self._broker.topic: SimpleNamespace(result=lambda _timeout: described)}


class Consumer:
    """`confluent_kafka.Consumer`, in a group with incremental assignment."""

    def __init__(self, broker: Broker, process: Process) -> None:
        """Connect."""
        self._broker = broker
        self._process = process
        #: Which member of the group it is; 0: none.
        self.member = 0
        #: The logs as they were when partitions were assigned: a topic that was made again meanwhile has others.
        self._known: list[Log] = []
        #: Log and next offset of each partition that is assigned.
        self.fetching: dict[int, tuple[Log, int]] = {}

    def list_topics(self, timeout: float) -> Any:
        """Return what topics there are."""
        return SimpleNamespace(topics={self._broker.topic: None})

    def subscribe(self, _topics: list[str], on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        """Join with the next `consume`."""
        self._on_assign, self._on_revoke, self._on_lost = on_assign, on_revoke, on_lost

    def incremental_assign(self, starts: Sequence[Any]) -> None:
        """Begin to fetch."""
        for start in starts:
            self.fetching[start.partition] = self._known[start.partition], start.offset

    def seek(self, to: Any) -> None:
        """Fetch from elsewhere."""
        self.fetching[to.partition] = self.fetching[to.partition][0], to.offset

    def pause(self, partitions: Any) -> None:
        """Say that memory is never so full here."""
        raise NotImplementedError(partitions)

    def resume(self, partitions: Any) -> None:
        """Go on, which all do."""

    def get_watermark_offsets(self, of: Any, timeout: float = 0, *, cached: bool = False) -> tuple[int, int]:
        """Return where the log begins and ends."""
        self._answer("watermarks")
        log = self._broker.logs[of.partition]
        return log.low, log.high

    def committed(self, partitions: Sequence[Any], timeout: float) -> list[Any]:
        """Return what the group has committed."""
        self._answer("committed")
        found = []
        for each in partitions:
            offset, metadata = self._broker.committed.get(each.partition, (-1001, ""))
            found.append(TopicPartition(each.topic, each.partition, offset, metadata=metadata))
        return found

    def commit(self, offsets: Sequence[Any], asynchronous: bool) -> list[Any]:
        """Commit, unless the group has given this member up."""
        fate = self._process.at("commit")
        if fate is Fate.REFUSED:
            raise _error(KafkaError._TRANSPORT)
        if self.member not in self._broker.members:
            raise _error(KafkaError.UNKNOWN_MEMBER_ID)
        for each in offsets:
            self._broker.committed[each.partition] = each.offset, each.metadata
            _, plan = plan_from_metadata(each.metadata)
            if plan is not None:
                of = plan.whole or plan
                self._process.holding[each.partition] = f":{each.partition}:{of.first}-{of.last}"
        if fate is not Fate.GO:
            raise _error(KafkaError._TIMED_OUT)
        return []

    def consume(self, num_messages: int, timeout: float) -> list[Message]:
        """Serve a change of assignment, and return what has come."""
        if not self._process.busy:
            self._process.holding.clear()
        self._answer("consume")
        self._rebalance()
        found: list[Message] = []
        for partition, (log, position) in self.fetching.items():
            now = self._broker.logs[partition]
            place = (self._broker.topic, partition)
            if now is not log or not now.low <= position <= now.high:
                found.append(Message(place, position, failed=KafkaError(KafkaError._AUTO_OFFSET_RESET)))
                continue
            found += [message for message in log.messages[position:] if message is not None]
            if position == log.high:
                found.append(Message(place, position, failed=KafkaError(KafkaError._PARTITION_EOF)))
            self.fetching[partition] = log, log.high
        return found

    def close(self) -> None:
        """Leave the group."""
        if self.member in self._broker.members:
            self._revoke(self.fetching)
            self._broker.expel(self.member)
        self.member = 0

    def _rebalance(self) -> None:
        broker = self._broker
        if self.member not in broker.members:
            if self.fetching:
                self._on_lost(self, self._named(self.fetching))
                self.fetching.clear()
            self.member = broker.join()
        self._revoke([each for each in self.fetching if broker.wanted(each) != self.member])
        if self.member not in broker.members:
            return
        gained = [
            each for each in range(PARTITIONS) if broker.wanted(each) == self.member and each not in broker.owners
        ]
        if gained:
            self._known = broker.logs
            broker.owners |= dict.fromkeys(gained, self.member)
            self._on_assign(self, self._named(gained))

    def _revoke(self, partitions: Iterable[int]) -> None:
        going = list(partitions)
        if going:
            self._on_revoke(self, self._named(going))
            for each in going:
                self.fetching.pop(each, None)
                if self._broker.owners.get(each) == self.member:
                    del self._broker.owners[each]

    def _named(self, partitions: Iterable[int]) -> list[Any]:
        return [TopicPartition(self._broker.topic, each) for each in partitions]

    def _answer(self, call: str) -> None:
        if self._process.at(call) is not Fate.GO and call != "consume":
            raise _error(KafkaError._TIMED_OUT)


def _error(code: int) -> KafkaException:
    return KafkaException(KafkaError(code, f"simulated error {code}"))
