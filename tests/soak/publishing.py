"""Producers of a soak: they publish all the time, send again what they may have sent, and remember every event.

Each event is published by the protocol of the forwarder: in order, to the partition that its producer was given at
first, with its identity in the message's header. Now and then a stretch is published again, as after an
acknowledgement that was lost; or is held back and published after later ones, as when a broker refuses a batch; and
some messages are bytes that nobody can decode.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from collected import heartbeat, metrics, record
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.versions import latest
from trailhouse_schemas.wire import IDENTITY_HEADER, encode, identity_to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TYPES", "Event", "Publisher", "messages_in"]

#: Event types that are published: one with several rows an event, two with one.
TYPES = ("metrics_logged", "heartbeat_sent", "parameters_logged")

_TICK_SECONDS = 0.05
_PRODUCERS = 6
_LONGEST_LIFE = 3_000
_AGAIN, _HELD_BACK, _POISON = 0.03, 0.02, 0.002
_REMEMBERED = 20


@dataclass(frozen=True, slots=True)
class Event:
    """What an event has to come to."""

    table: str
    #: Rows in its table; none: it is a dead letter.
    rows: int


@dataclass(frozen=True, slots=True)
class _Message:
    topic: str
    partition: int
    producer_id: str
    sequence: int
    value: bytes
    poison: bool


@dataclass(slots=True)
class _Process:
    """One producer."""

    producer_id: str
    events: int
    sequence: int = 0
    partitions: dict[str, int] = field(default_factory=dict)
    sent: list[_Message] = field(default_factory=list)
    held_back: list[_Message] = field(default_factory=list)


class Publisher(threading.Thread):
    """Publishes from a thread of its own until it is stopped."""

    def __init__(self, bootstrap_servers: str, partitions: Mapping[str, int], *, seed: int, per_second: int) -> None:
        """Begin with that many partitions of each topic."""
        super().__init__(daemon=True)
        self._servers = bootstrap_servers
        self._chance = random.Random(seed)  # noqa: S311 - chances, not secrets
        self._per_second = per_second
        self._stopping = threading.Event()
        self._partitions = dict(partitions)
        self._producer: Any = None
        self._broken = False
        self._unacknowledged: dict[int, _Message] = {}
        self._serial = 0
        #: Every event that was formed, by producer and sequence.
        self.events: dict[tuple[str, int], Event] = {}
        self.resent = 0
        self.failure: BaseException | None = None

    def more_partitions(self, topic: str, count: int) -> None:
        """Let producers that come use the new partitions too."""
        self._partitions[topic] = count

    @property
    def unacknowledged(self) -> int:
        """Messages that the broker has not acknowledged yet."""
        return len(self._unacknowledged)

    def finish(self, seconds: float) -> None:
        """Form no more events, and return when all are acknowledged; raises TimeoutError when they are not in time."""
        self._stopping.set()
        self.join(seconds)
        if self.is_alive():
            raise TimeoutError(f"{self.unacknowledged} messages are not acknowledged after {seconds:g} s")
        if self.failure is not None:
            raise self.failure

    def run(self) -> None:
        """Publish."""
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - for who asks for the end
            self.failure = error

    def _run(self) -> None:
        processes = [self._new_process() for _ in range(_PRODUCERS)]
        began, formed = time.monotonic(), 0
        while not self._stopping.wait(_TICK_SECONDS):
            due = int((time.monotonic() - began) * self._per_second) - formed
            # After a pause of the machine it does not all come at once.
            for _ in range(min(due, self._per_second)):
                place = self._chance.randrange(_PRODUCERS)
                self._go_on(processes[place])
                if processes[place].sequence >= processes[place].events:
                    self._publish_held_back(processes[place])
                    processes[place] = self._new_process()
            formed += max(due, 0)
            self._serve()
        for process in processes:
            self._publish_held_back(process)
        while self._unacknowledged:
            self._serve(0.1)

    def _new_process(self) -> _Process:
        name = str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
        return _Process(name, self._chance.randint(50, _LONGEST_LIFE))

    def _go_on(self, process: _Process) -> None:
        """Form an event of a producer, and publish it, or another, or both."""
        message = self._form(process)
        chance = self._chance.random()
        if process.held_back or chance < _HELD_BACK:
            process.held_back.append(message)
            if len(process.held_back) > 1 and self._chance.random() < 0.3:
                self._publish_held_back(process)
            return
        self._publish(process, message)
        if chance > 1 - _AGAIN:
            again = process.sent[-self._chance.randint(1, len(process.sent)) :]
            self.resent += len(again)
            for each in again:
                self._send(each)

    def _publish_held_back(self, process: _Process) -> None:
        """Publish what was refused, after what came later: the last one first, the others in order."""
        held, process.held_back = process.held_back, []
        for message in [*held[-1:], *held[:-1]]:
            self._publish(process, message)

    def _form(self, process: _Process) -> _Message:
        name = self._chance.choice(TYPES)
        producer_id, sequence = process.producer_id, process.sequence
        process.sequence += 1
        rows = 1
        if name == "metrics_logged":
            rows = 1 + sequence % 3
            value = metrics(producer_id, sequence, rows)
        elif name == "heartbeat_sent":
            value = heartbeat(producer_id, sequence)
        else:
            fields = record(name, producer_id, sequence, parameters={"p": str(sequence)})
            value = encode(latest(name), fields)
        poison = self._chance.random() < _POISON
        topic = CATALOGUE[name].topic
        partition = process.partitions.setdefault(name, self._chance.randrange(self._partitions[topic]))
        self.events[producer_id, sequence] = Event(name, 0 if poison else rows)
        return _Message(topic, partition, producer_id, sequence, value[:-3] if poison else value, poison)

    def _publish(self, process: _Process, message: _Message) -> None:
        self._send(message)
        # What cannot be decoded is not known again when it is sent again: it would be two dead letters.
        if not message.poison:
            process.sent = [*process.sent[-_REMEMBERED + 1 :], message]

    def _send(self, message: _Message) -> None:
        self._serial += 1
        self._unacknowledged[self._serial] = message
        if self._producer is not None:
            self._produce(self._serial, message)

    def _produce(self, serial: int, message: _Message) -> None:
        producer = self._producer

        def on_delivery(error: Any, _: Any) -> None:
            if producer is not self._producer:
                return  # of a client that was given up: its messages are sent again
            if error is None:
                self._unacknowledged.pop(serial, None)
            else:
                self._broken = True

        while True:
            try:
                producer.produce(
                    message.topic,
                    message.value,
                    key=message.producer_id,
                    partition=message.partition,
                    headers=[(IDENTITY_HEADER, identity_to_bytes(message.producer_id, message.sequence))],
                    on_delivery=on_delivery,
                )
            except BufferError:
                producer.poll(0.1)
            except KafkaException:  # a partition that the client has not heard of yet, or it has given up
                self._broken = True
                return
            else:
                return

    def _serve(self, wait_seconds: float = 0.0) -> None:
        """Take in acknowledgements; where the client has given up, take another and send again, in order."""
        if self._producer is not None:
            self._producer.poll(wait_seconds)
        if self._producer is not None and not self._broken:
            return
        self._broken = False
        self._producer = Producer(
            {
                "bootstrap.servers": self._servers,
                "enable.idempotence": True,
                "linger.ms": 5,
                "log_level": 0,
                "message.timeout.ms": 0,
                "topic.metadata.refresh.interval.ms": 1000,
                "error_cb": self._on_error,
            }
        )
        for serial, message in list(self._unacknowledged.items()):
            self._produce(serial, message)

    def _on_error(self, error: Any) -> None:
        self._broken = self._broken or error.fatal()


def messages_in(bootstrap_servers: str, partitions: Mapping[str, int]) -> int:
    """Return how many messages the topics hold."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "none", "log_level": 0})
    try:
        total = 0
        for topic, count in partitions.items():
            for number in range(count):
                low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)
                total += high - low
        return total
    finally:
        consumer.close()
