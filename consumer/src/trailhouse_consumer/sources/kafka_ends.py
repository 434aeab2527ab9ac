"""Where the logs of a collector's partitions end, and of what time what is not fetched yet is.

The consumer knows the end of a log only from what it fetches: of a partition that is paused, or that waits for its
turn, it knows nothing new. So the brokers are asked beside it, for all partitions at once; and where the oldest
message that is not landed is not in memory, that one message is read, by a consumer that is no member of the group.
"""

from __future__ import annotations

import threading
from concurrent.futures import TimeoutError as LateError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog
from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from trailhouse_consumer.sources.kafka_client import admin_settings, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trailhouse_consumer.sources import Partition

__all__ = ["LogEnd", "LogEnds"]

_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_EVERY_SECONDS: Final = 3.0
_ANSWER_SECONDS: Final = 10.0
#: Messages that are looked for at a time, and for how long.
_MOST_TIMES: Final = 50
_TIMES_SECONDS: Final = 3.0
#: What is fetched is thrown away, but for one message's time.
_FETCH_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class LogEnd:
    """The end of one partition's log: the offset that the next message will have."""

    offset: int
    #: The broker's time of messages that were looked for, by offset, in microseconds since 1970.
    times_us: Mapping[int, int]


class LogEnds:
    """Asks every few seconds, from a thread of its own. What is asked for and what was found is replaced as a whole."""

    def __init__(self, settings: Mapping[str, Any], every_seconds: float = _EVERY_SECONDS) -> None:
        """Begin; `settings` are those of the consumer."""
        self._settings = dict(settings)
        self._every = every_seconds
        #: The partitions; with an offset where the time of its message is not known.
        self.wanted: Mapping[Partition, int | None] = {}
        self.found: Mapping[Partition, LogEnd] = {}
        self._ending = threading.Event()
        self._log = structlog.get_logger("trailhouse.collector")
        self._thread = threading.Thread(target=self._watch, name="log-ends", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End; an answer that is still to come is waited for a little."""
        self._ending.set()
        self._thread.join(_TIMES_SECONDS)

    def _watch(self) -> None:
        admin = AdminClient(admin_settings(self._settings))
        complained = False
        while not self._ending.wait(self._every):
            wanted = dict(self.wanted)
            try:
                self.found = self._look(admin, wanted) if wanted else {}
                complained = False
            except (KafkaException, LateError) as error:
                if not complained:
                    self._log.info("ends of logs not known anew", reason=text(error))
                complained = True

    def _look(self, admin: Any, wanted: Mapping[Partition, int | None]) -> dict[Partition, LogEnd]:
        of = {(each.topic, each.number): each for each in wanted}
        asked = admin.list_offsets(
            {TopicPartition(*key): _LATEST for key in of},
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=_ANSWER_SECONDS,
        )
        ends = {
            of[place.topic, place.partition]: int(future.result(_ANSWER_SECONDS).offset)
            for place, future in asked.items()
        }
        known = {
            partition: {offset: end.times_us[offset]}
            for partition, offset in wanted.items()
            if offset is not None and (end := self.found.get(partition)) is not None and offset in end.times_us
        }
        lacking = {
            partition: offset
            for partition, offset in wanted.items()
            if offset is not None and partition not in known and offset < ends[partition]
        }
        times = known | (self._times(dict(list(lacking.items())[:_MOST_TIMES])) if lacking else {})
        return {partition: LogEnd(offset, times.get(partition, {})) for partition, offset in ends.items()}

    def _times(self, offsets: Mapping[Partition, int]) -> dict[Partition, dict[int, int]]:
        """Return the time of the first message at or behind these offsets, in microseconds since 1970."""
        of = {(each.topic, each.number): each for each in offsets}
        found: dict[Partition, dict[int, int]] = {}
        consumer: Any = Consumer(_apart(self._settings))
        try:
            consumer.assign([TopicPartition(*key, offsets[partition]) for key, partition in of.items()])
            for _ in range(int(_TIMES_SECONDS / 0.1)):
                for message in consumer.consume(num_messages=100, timeout=0.1):
                    partition = of.get((message.topic(), message.partition()))
                    if partition is None or partition in found or message.error() is not None:
                        continue
                    found[partition] = {offsets[partition]: message.timestamp()[1] * 1000}
                    consumer.incremental_unassign([TopicPartition(message.topic(), message.partition())])
                if len(found) == len(of) or self._ending.is_set():
                    break
        finally:
            consumer.close()
        return found


def _apart(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a consumer that reads a message here and there, and is no member of the group."""
    return {name: value for name, value in settings.items() if name != "group.instance.id"} | {
        "client.id": f"{settings.get('client.id', 'trailhouse-collector')}-lag",
        "enable.auto.commit": False,
        "enable.partition.eof": False,
        "fetch.message.max.bytes": _FETCH_BYTES,
        "queued.max.messages.kbytes": 1024,
        "queued.min.messages": 1,
    }
