"""Kafka as a source: the topics of the catalogue, as a member of a consumer group.

The plan is the metadata of a commit of the group: offset = first, metadata = the range, the topic's id, the try. The
group fences whoever has lost a partition: its commit is refused, so it cannot begin a range. What the group does not
refuse is a commit for a partition that a member of good standing does not own, so only owned ones are ever committed.

Nothing is skipped: there is no automatic reset of offsets. Where nothing is committed reading begins at the beginning;
offsets that the log no longer has are reported as a gap.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from itertools import count, groupby
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import structlog
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from trailhouse_consumer.errors import PartitionLostError, SourceUnavailableError
from trailhouse_consumer.ranges import plan_from_metadata, plan_to_metadata, settled_metadata
from trailhouse_consumer.sources import Backlog, Gap, Limits, Messages, Partition, Plan
from trailhouse_consumer.sources.buffers import Buffer, Key, crowded, taken_apart
from trailhouse_consumer.sources.commits import Commits
from trailhouse_consumer.sources.instance_names import InstanceName
from trailhouse_consumer.sources.kafka_client import AWAY, admin_settings, client_settings, text
from trailhouse_consumer.sources.kafka_ends import LogEnds
from trailhouse_schemas.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from trailhouse_consumer.settings import CollectorSettings

__all__ = ["KafkaSource"]

_NONE: Final = Messages(np.empty(0, np.int64), np.empty(0, np.int64), [], [], [])
_ANSWER_SECONDS: Final = 10.0
#: How long a member without partitions takes to tell the group that it goes.
_LEAVE_SECONDS: Final = 0.5
_TOPICS_EVERY_SECONDS: Final = 5.0
#: Messages that are taken from the client at a time: as many as stay in the processor's cache until they are taken
#: apart. Of 20,000 at a time each takes twice as long.
_BATCH: Final = 1_000
#: Messages that one poll takes, about.
_MOST: Final = 20_000


class KafkaSource:
    """The topics of the catalogue on one cluster."""

    name = "kafka"

    def __init__(self, bootstrap_servers: str, how: CollectorSettings, limits: Limits) -> None:
        """Join nothing yet; the first `poll` does."""
        self._servers = bootstrap_servers
        self._limits = limits
        self._settings = client_settings(bootstrap_servers, how)
        self._name = InstanceName(self._settings)
        #: Bytes of messages in memory: from the first on no more are taken from the client, from the second on fetched.
        self._hold, self._bound = how.memory_mib << 18, how.memory_mib * 3 << 17
        self._consumer: Any = None
        self._admin: Any = None
        self._buffers: dict[Key, Buffer] = {}
        self._gaps: list[Gap] = []
        self._assignments = count(1)
        self._subscribed: list[str] = []
        self._topics_at = 0.0
        self._joined = False
        self._paused: set[Key] = set()
        self.losing: Callable[[Sequence[Partition]], None] = lambda _partitions: None
        self.rebalanced: Callable[[str], None] = lambda _kind: None
        self._ends: LogEnds | None = None
        self._down = False
        #: A change of assignment is being served: commits are made in this thread.
        self._amid_rebalance = False
        self._commits = Commits(bootstrap_servers)
        self._log = structlog.get_logger("trailhouse.collector")
        if how.group_protocol == "consumer" and "session_timeout_seconds" in how.model_fields_set:
            self._log.warning(
                "session_timeout_seconds is for the protocol classic; set the group's consumer.session.timeout.ms",
                group=how.group,
            )

    def expect_answer(self) -> None:
        """Raise `SourceUnavailableError` when no broker answers."""
        try:
            AdminClient(admin_settings(self._settings)).list_topics(timeout=_ANSWER_SECONDS)
        except KafkaException as error:
            raise SourceUnavailableError(
                f"Kafka at {self._servers} does not answer ({text(error)}); start it, or set TRAILHOUSE_KAFKA"
            ) from error

    def poll(self, timeout_seconds: float) -> bool:
        """Take in what has come; join, rejoin, and serve changes of assignment. Raises `SourceUnavailableError`.

        While memory is nearly full of what can be landed, messages are left with the client, but for one a call: to
        pause would make it throw away what it has fetched.
        """
        try:
            self._subscribe()
            self._ask_whether_up()
            self._throttle()
            held = self._is_held()
            came = last = self._take_in(1, 0.0) if held else self._take_in(_BATCH, timeout_seconds)
            while last == _BATCH and came < _MOST and not self._is_held():
                came += (last := self._take_in(_BATCH, 0.0))
        except SourceUnavailableError:
            self._disconnect()
            raise
        except (KafkaException, RuntimeError) as error:
            if not isinstance(error, KafkaException) or error.args[0].code() not in AWAY:
                self._disconnect()
            raise SourceUnavailableError(f"Kafka at {self._servers} does not answer: {text(error)}") from error
        if held:
            time.sleep(timeout_seconds)
        return bool(came) and not held

    def partitions(self) -> list[Partition]:
        """Return the partitions that are assigned."""
        return [buffer.partition for buffer in self._buffers.values()]

    def due(self) -> list[Partition]:
        """Return the partitions that a range can be cut from, the fullest first; when memory is full, all of them."""
        held = self.buffered_bytes >= self._hold
        ready = [b for b in self._buffers.values() if b.is_due(self._limits) or (held and b.count and not b.plan)]
        return [buffer.partition for buffer in sorted(ready, key=lambda buffer: -buffer.bytes)]

    def open_plan(self, partition: Partition) -> Plan | None:
        """Return the plan that the group holds for a partition."""
        return self._buffer(partition).plan

    def read(self, partition: Partition) -> Messages:
        """Lend the messages of the plan, else the next ones."""
        return self._buffer(partition).head(self._limits) or _NONE

    def commit_plan(self, partition: Partition, plan: Plan) -> None:
        """Commit the plan to the group; raises `PartitionLostError`, `SourceUnavailableError`."""
        buffer = self._buffer(partition)
        self._commit([_offset(partition, plan.first, plan_to_metadata(partition.topic_id, plan))])
        buffer.drop_through(plan.first - 1)
        buffer.plan = plan
        buffer.unsettled = None

    def landed(self, partition: Partition, plan: Plan) -> None:
        """Forget the messages of the plan; the next plan's commit, or `settle`, says so to the group."""
        buffer = self._buffer(partition)
        buffer.drop_through(plan.last)
        buffer.plan = None
        buffer.unsettled = plan.last + 1
        buffer.since = time.monotonic()

    def settle(self) -> None:
        """Commit what was landed and has no plan after it; raises `SourceUnavailableError`."""
        self._settle(list(self._buffers.values()))

    def gaps(self) -> Iterable[Gap]:
        """Return the gaps that were found since the last call."""
        found, self._gaps = self._gaps, []
        return found

    def watch(self) -> None:
        """Ask the brokers for the ends of logs, from a thread of its own, until the source is closed."""
        self._ends = LogEnds(self._settings)

    def backlog(self) -> dict[Partition, Backlog]:
        """Return how far each partition is behind the end of its log, as far as the client knows or was told."""
        ends = self._ends.found if self._ends is not None else {}
        found, unknown = {}, {}
        for buffer in self._buffers.values():
            partition, first = buffer.partition, buffer.first
            end = ends.get(partition)
            high = max(self._cached_end(partition), -1 if end is None else end.offset, buffer.position)
            oldest_us = buffer.oldest_us
            unknown[partition] = first if oldest_us is None and high > first else None
            if oldest_us is None and end is not None:
                oldest_us = end.times_us.get(first)
            if oldest_us is None and high > first:
                oldest_us = buffer.follows_us or None
            found[partition] = Backlog(high - first, oldest_us)
        if self._ends is not None:
            self._ends.wanted = unknown
        return found

    def unready(self) -> str:
        """Return what keeps it from reading: no topic, no group that has taken it in, another of its name there."""
        if self._name.taken:
            return self._name.taken
        if self._topics_at and not self._subscribed:
            return f"Kafka at {self._servers} has no topic of the catalogue; run 'trailhouse topics create'"
        return "" if self._joined else "has not joined the group yet"

    def stuck(self) -> dict[Partition, str]:
        """Return the partitions whose log is shorter than what was landed of it."""
        return {buffer.partition: buffer.stuck for buffer in self._buffers.values() if buffer.stuck}

    def _cached_end(self, partition: Partition) -> int:
        """Return where the log ended when the client fetched of it last; -1 where that is not known."""
        key = TopicPartition(partition.topic, partition.number)
        try:
            return int(self._consumer.get_watermark_offsets(key, cached=True)[1])
        except (KafkaException, RuntimeError):
            return -1

    @property
    def buffered_bytes(self) -> int:
        """Bytes of messages in memory, those that the client holds by itself not counted."""
        return sum(buffer.bytes for buffer in self._buffers.values())

    @property
    def drained(self) -> bool:
        """Whether all that the logs of the assigned partitions hold is landed."""
        if not self._subscribed:
            return self._topics_at > 0
        return self._joined and all(
            b.stuck or (b.at_end and not b.count and b.plan is None) for b in self._buffers.values()
        )

    def close(self) -> None:
        """Leave the group."""
        if self._ends is not None:
            self._ends.close()
            self._ends = None
        self._unsubscribe()
        self._disconnect()

    # The group ---------------------------------------------------------------------------------------------------

    def _subscribe(self) -> None:
        """Join, and take in topics of the catalogue that came to be."""
        if self._consumer is None:
            self._name.expect_free()
            self._consumer = Consumer(
                self._settings | {"error_cb": self._on_error}, logger=logging.getLogger("trailhouse.kafka")
            )
            self._admin = AdminClient(admin_settings(self._settings))
            self._topics_at = 0.0
        if time.monotonic() < self._topics_at:
            return
        there = self._consumer.list_topics(timeout=_ANSWER_SECONDS).topics
        self._topics_at = time.monotonic() + _TOPICS_EVERY_SECONDS
        wanted = sorted(event_type.topic for event_type in CATALOGUE.values() if event_type.topic in there)
        if wanted != self._subscribed:
            self._joined = self._joined and bool(self._subscribed)
            self._subscribed = wanted
            if wanted:
                self._consumer.subscribe(
                    wanted, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
                )

    def _ask_whether_up(self) -> None:
        """Raise while no broker answers, once the client has said so."""
        if self._down:
            self._consumer.list_topics(timeout=1.0)
            self._down = False

    def _on_assign(self, consumer: Any, assigned: list[Any]) -> None:
        with self._or_anew():
            self._assign(consumer, assigned)

    def _assign(self, consumer: Any, assigned: list[Any]) -> None:
        starts = []
        if assigned:
            ids = self._topic_ids({each.topic for each in assigned})
            for found in consumer.committed(assigned, timeout=_ANSWER_SECONDS):
                partition = Partition(found.topic, ids[found.topic], found.partition, next(self._assignments))
                buffer = self._begin(consumer, partition, found)
                self._buffers[found.topic, found.partition] = buffer
                starts.append(TopicPartition(found.topic, found.partition, buffer.position))
        consumer.incremental_assign(starts)
        self._joined = True
        self._name.joined(consumer)
        self.rebalanced("assigned")
        if starts:
            # The client keeps a pause over the time that a partition was another's.
            consumer.resume(starts)
            self._log.info("partitions assigned", partitions=len(starts), of=len(self._buffers))

    @contextmanager
    def _or_anew(self) -> Iterator[None]:
        """Say that Kafka does not answer amid what will not be asked for again, so that `poll` joins anew."""
        try:
            yield
        except (KafkaException, TimeoutError) as error:
            raise SourceUnavailableError(f"Kafka at {self._servers} does not answer: {text(error)}") from error

    def _begin(self, consumer: Any, partition: Partition, committed: Any) -> Buffer:
        """Decide where reading begins, and report what the log no longer has; the warehouse may still have it."""
        low, high = consumer.get_watermark_offsets(
            TopicPartition(partition.topic, partition.number), timeout=_ANSWER_SECONDS
        )
        if committed.error is not None:
            raise KafkaException(committed.error)
        topic_id, plan = plan_from_metadata(committed.metadata)
        start = committed.offset
        if start < 0 or topic_id not in {None, partition.topic_id}:
            if start >= 0:
                self._log.warning("topic was deleted and made again: from the beginning", partition=str(partition))
            start, plan, topic_id = 0, None, None
        elif start > high:
            return self._stuck(Buffer(partition, high), start, high)
        # Where no collector has set the offset, nobody has looked at what lies before it.
        looked_to = start if topic_id is not None else 0
        if looked_to < low:
            self._gaps.append(Gap(partition, looked_to, low - 1))
            if plan is not None and plan.last < low:
                plan = None
        return Buffer(partition, max(start, low), plan)

    def _stuck(self, buffer: Buffer, expected: int, high: int) -> Buffer:
        """Give a partition up whose log is shorter than what was landed of it: its offsets would mean two things."""
        buffer.stuck = f"its log ends at {high}, but it was landed up to {expected}"
        self._log.error(
            "partition is not collected: make its topic again, or reset the group's offset",
            partition=str(buffer.partition),
            reason=buffer.stuck,
        )
        return buffer

    def _on_revoke(self, consumer: Any, revoked: list[Any]) -> None:  # noqa: ARG002 - the client's signature
        going = [self._buffers[key] for key in _keys(revoked) if key in self._buffers]
        self._amid_rebalance = True
        try:
            self.losing([buffer.partition for buffer in going])
            if not self._down:
                self._settle(going)
        except (SourceUnavailableError, PartitionLostError) as error:
            self._log.info("not settled; the next owner finds the plan", reason=str(error))
        finally:
            self._amid_rebalance = False
        self.rebalanced("revoked")
        self._forget(revoked)

    def _on_lost(self, consumer: Any, lost: list[Any]) -> None:  # noqa: ARG002 - the client's signature
        self._log.warning("partitions lost", partitions=len(lost))
        self.rebalanced("lost")
        self._forget(lost)

    def _forget(self, gone: list[Any]) -> None:
        for key in _keys(gone):
            self._buffers.pop(key, None)
            self._paused.discard(key)

    def _topic_ids(self, topics: Iterable[str]) -> dict[str, str]:
        futures = self._admin.describe_topics(TopicCollection(sorted(topics)), request_timeout=_ANSWER_SECONDS)
        return {topic: str(future.result(_ANSWER_SECONDS).topic_id) for topic, future in futures.items()}

    def _commit(self, offsets: list[Any]) -> None:
        """Commit; raises `PartitionLostError`, and `SourceUnavailableError` when it is not known whether it was."""
        try:
            self._commits.commit(self._consumer, offsets, amid_rebalance=self._amid_rebalance)
        except TimeoutError as error:
            self._down = True
            raise SourceUnavailableError(f"Kafka at {self._servers} does not answer to a commit") from error

    def _settle(self, buffers: Sequence[Buffer]) -> None:
        landed = [b for b in buffers if b.unsettled is not None and b.plan is None]
        if not landed:
            return
        offsets = [_offset(b.partition, b.unsettled or 0, settled_metadata(b.partition.topic_id)) for b in landed]
        try:
            self._commit(offsets)
        except PartitionLostError as error:
            raise SourceUnavailableError(str(error)) from error
        for buffer in landed:
            buffer.unsettled = None

    def _unsubscribe(self) -> None:
        """Say that a member without partitions goes: to close it says nothing, and others wait for it for a session.

        A static one is to be waited for.
        """
        if self._consumer is None or not self._joined or self._buffers or self._down or self._name.given:
            return
        try:
            self._consumer.unsubscribe()
            self._consumer.consume(1, _LEAVE_SECONDS)
        except (KafkaException, RuntimeError, SourceUnavailableError) as error:
            self._log.info("left the group", reason=text(error))

    def _disconnect(self) -> None:
        if self._consumer is not None:
            try:
                self._consumer.close()
            except (KafkaException, RuntimeError) as error:
                self._log.info("left the group", reason=text(error))
        self._consumer = self._admin = None
        self._subscribed, self._joined = [], False
        self._topics_at = 0.0
        self._buffers.clear()
        self._paused.clear()

    # Messages ----------------------------------------------------------------------------------------------------

    def _is_held(self) -> bool:
        """Return whether memory is so full that what is there is to be landed first; and there is such."""
        return self.buffered_bytes >= self._hold and any(
            b.count and not b.lacks_of_plan and not b.stuck for b in self._buffers.values()
        )

    def _throttle(self) -> None:
        """Stop fetching where there is no room, go on where there is again."""
        without_room = crowded(self._buffers, self.buffered_bytes, self._bound, full=bool(self._paused))
        if stop := without_room - self._paused:
            self._consumer.pause([TopicPartition(*key) for key in stop])
        if go_on := (self._paused - without_room) & self._buffers.keys():
            self._consumer.resume([TopicPartition(*key) for key in go_on])
        self._paused = without_room

    def _take_in(self, most: int, timeout_seconds: float) -> int:
        """Take the next messages from the client; return how many there were."""
        messages = self._consumer.consume(num_messages=most, timeout=timeout_seconds)
        self._take(messages)
        return len(messages)

    def _take(self, messages: list[Any]) -> None:
        # By identity: comparing the client's errors by == to what is none of them raises in an odd place.
        errors = [
            message for message, error in zip(messages, map(Message.error, messages), strict=True) if error is not None
        ]
        good = messages if not errors else [message for message in messages if message.error() is None]
        for key, run in _runs(good):
            buffer = self._buffers.get(key)
            if buffer is None or buffer.stuck:
                continue
            buffer.add(taken_apart(run))
        for message in errors:
            self._on_error_message(message)

    def _on_error_message(self, message: Any) -> None:
        code = message.error().code()
        buffer = self._buffers.get((message.topic(), message.partition()))
        if code == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the client's own name for it
            if buffer is not None and message.offset() >= buffer.position:
                buffer.ended(message.offset())
        elif code in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:  # noqa: SLF001
            if buffer is not None:
                with self._or_anew():
                    self._on_missing(buffer)
        elif code == KafkaError._FATAL:  # noqa: SLF001
            # Said once, and nothing comes from this client any more: another member has its name, mostly.
            self._name.refused()
            raise SourceUnavailableError(f"Kafka's client has given up: {message.error().str()}")
        else:
            self._log.warning("kafka", partition=str(buffer and buffer.partition), reason=str(message.error()))

    def _on_missing(self, buffer: Buffer) -> None:
        """Go on behind offsets that the log no longer has, and report them; or give up where the log was cut."""
        key = TopicPartition(buffer.partition.topic, buffer.partition.number)
        now_id = self._topic_ids([buffer.partition.topic])[buffer.partition.topic]
        low, high = self._consumer.get_watermark_offsets(key, timeout=_ANSWER_SECONDS)
        if now_id != buffer.partition.topic_id:
            raise SourceUnavailableError(f"Topic {buffer.partition.topic} was deleted and made again; joining anew")
        if buffer.position > high:
            self._stuck(buffer, buffer.position, high)
            return
        if buffer.position < low:
            self._gaps.append(Gap(buffer.partition, buffer.position, low - 1))
            if buffer.plan is not None and buffer.plan.last < low:
                buffer.plan = None
        buffer.position = max(low, buffer.position)
        self._consumer.seek(TopicPartition(key.topic, key.partition, buffer.position))

    def _on_error(self, error: Any) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - the client's own name for it
            self._down = True

    def _buffer(self, partition: Partition) -> Buffer:
        buffer = self._buffers.get((partition.topic, partition.number))
        if buffer is None or buffer.partition != partition or buffer.partition.assignment != partition.assignment:
            raise PartitionLostError(f"Partition {partition} is not assigned to this collector")
        return buffer


def _runs(messages: list[Any]) -> Iterator[tuple[Key, list[Any]]]:
    """Return stretches of messages of the same partition."""
    begin = 0
    for key, run in groupby(zip(map(Message.topic, messages), map(Message.partition, messages), strict=True)):
        end = begin + len(list(run))
        yield (key[0] or "", key[1] or 0), messages[begin:end]
        begin = end


def _offset(partition: Partition, offset: int, metadata: str) -> Any:
    return TopicPartition(partition.topic, partition.number, offset, metadata=metadata)


def _keys(partitions: list[Any]) -> list[Key]:
    return [(each.topic, each.partition) for each in partitions]
