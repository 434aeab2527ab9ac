"""The world that a schedule plays in: real collectors over a simulated broker and a simulated warehouse.

Real are the loop, the source, its plans and buffers, the making of rows, the finding of duplicates, and the landing.
Simulated are the client of the broker, the broker, the warehouse, the clock, and the decoding: values are `P:N` for
event N of producer P, anything else cannot be decoded.
"""

from __future__ import annotations

import gc
import logging
import re
import sys
import time
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cache
from importlib import metadata as distributions
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import pytest
import structlog

from simulation.broker import PARTITIONS, Admin, Broker, Consumer, Message
from simulation.memory import remembering
from simulation.processes import Beside, Process, current, wait
from simulation.warehouse import Server, Warehouse
from trailhouse_consumer import collector, rows
from trailhouse_consumer.collector import Collector
from trailhouse_consumer.dead_letters import Dead, Reason
from trailhouse_consumer.decode import Decoded
from trailhouse_consumer.landing import Landing
from trailhouse_consumer.ranges import plan_from_metadata
from trailhouse_consumer.rows import make_rows
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_consumer.sources import Limits, buffers, kafka
from trailhouse_schemas import catalogue
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.events.base import event_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from trailhouse_consumer.collector import Executes
    from trailhouse_consumer.monitoring import Metrics

__all__ = ["EVENTS", "PRODUCERS", "SLOTS", "StandstillError", "World", "simulated"]

#: Of those whose tables are divided by months.
EVENTS: Final = CATALOGUE["parameters_logged"]
#: Where collectors run; one that is killed makes room for another. Each cuts ranges of its own size.
SLOTS: Final = (3, 2, 4)
#: The partition that each producer publishes to.
PRODUCERS: Final = {f"01900000-0000-7000-8000-00000000000{i}": i % PARTITIONS for i in range(3)}
_MONTHS_MS: Final = (1_768_435_200_000, 1_771_113_600_000, 1_773_532_800_000)
_OCCURRED: Final = 1_768_435_200_000_000
_TURN_SECONDS: Final = 1000.0
#: Turns that a collector which nobody disturbs needs at most.
_UNDISTURBED_TURNS: Final = 300
#: So often the server comes to the end of what it is still doing meanwhile.
_SERVER_TURNS: Final = 20
#: Partition, first and last offset in a token, and in what a process holds.
_RANGE: Final = re.compile(r"(?:topic-\d+)?:(\d+):(\d+)-(\d+)")
_ALL_CALLS: Final = 1 << 30
_LAST_ROWS: Final = 100

_SETTINGS: Final = CollectorSettings(flush_seconds=0, idle_seconds=0)
_OF: Final[WeakKeyDictionary[Process, World]] = WeakKeyDictionary()


class StandstillError(AssertionError):
    """An undisturbed collector does not come to its end."""


class _Clock:
    """Time that goes on by turns."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return _OCCURRED * 1000

    def sleep(self, _seconds: float) -> None:
        return

    perf_counter = monotonic


class _Unmeasured:
    """Stands for all metrics: nobody looks at those of a schedule."""

    def __getattr__(self, _name: str) -> _Unmeasured:
        return self

    def __call__(self, *_: object) -> _Unmeasured:
        return self


_NOT_MEASURED: Final = _Unmeasured()


class _Inline:
    """An executor that does at once what it is given."""

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Do it."""
        future: Future[Any] = Future()
        try:
            future.set_result(work(*arguments))
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits for it gets it
            future.set_exception(error)
        return future

    def shutdown(self) -> None:
        """Have nothing left."""


class _Decoder:
    """Decodes `P:N`."""

    def __init__(self, *_: object) -> None:
        """Know nothing more."""

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Return an event for each value of that form."""
        found, places, dead = [], [], []
        for place, value in enumerate(values):
            producer, colon, sequence = (value or b"").decode().partition(":")
            if colon:
                found.append((producer, int(sequence)))
                places.append(place)
            else:
                dead.append(Dead(place, Reason.UNDECODABLE, "not P:N"))
        records = pa.record_batch(
            {
                "producer_id": pa.array([producer for producer, _ in found], pa.string()),
                "sequence": pa.array([sequence for _, sequence in found], pa.int64()),
                "occurred_at": pa.array([_OCCURRED] * len(found), pa.timestamp("us")),
            }
        )
        return Decoded(records, np.array(places, np.int64), dead)


class Source(kafka.KafkaSource):
    """The real source; but a commit is made in the thread that asks for it, which the schedule may stop."""

    def _commit(self, offsets: list[Any]) -> None:
        self._amid_rebalance = True
        super()._commit(offsets)


class World:
    """Broker, warehouse, producers, and the collectors."""

    #: What mutants replace.
    source: type[kafka.KafkaSource] = Source
    landing: type[Landing] = Landing
    collector: type[Collector] = Collector

    def __init__(self) -> None:
        """Make the topic; nobody collects it yet."""
        self.broker = Broker(EVENTS.topic)
        self.server = Server()
        self.slots: list[Process | None] = [None] * len(SLOTS)
        self.consumers: dict[Process, Consumer] = {}
        self.history: list[Process] = []
        self.month = 0
        #: Topic's id, partition and offset of what cannot be decoded.
        self.junk: list[tuple[str, int, int]] = []
        #: Sequences that each producer has given out.
        self.given = dict.fromkeys(PRODUCERS, 0)
        #: What each producer has published to the topic that is there now, and what was refused and is to come again.
        self.published: dict[str, list[int]] = {producer: [] for producer in PRODUCERS}
        self.held: dict[str, list[int]] = {producer: [] for producer in PRODUCERS}

    def process(self, slot: int) -> Process:
        """Return the collector in a slot; a new one where there is none."""
        process = self.slots[slot]
        if process is None or process.dead:
            if process is not None and process.error is not None:
                raise process.error
            process = Process(lambda process: self._collect(process, SLOTS[slot]))
            self.slots[slot] = process
            self.history.append(process)
        return process

    def kill(self, slot: int) -> None:
        """Kill the collector in a slot, if there is one."""
        if (process := self.slots[slot]) is not None:
            process.kill()

    def publish(self, producer: str, sequence: int) -> None:
        """Append an event."""
        self.published[producer].append(sequence)
        self._append(PRODUCERS[producer], f"{producer}:{sequence}".encode())

    def publish_next(self, producer: str) -> None:
        """Append the producer's next event."""
        self.publish(producer, self._next(producer))

    def publish_poison(self, producer: str) -> None:
        """Append an event whose row the warehouse refuses."""
        sequence = self._next(producer)
        self.server.refused.add((producer, sequence))
        self.publish(producer, sequence)

    def refuse(self, producer: str) -> None:
        """Let the broker refuse the producer's next event: it comes later, behind others."""
        self.held[producer].append(self._next(producer))

    def send_refused(self, producer: str) -> None:
        """Append what was refused."""
        while self.held[producer]:
            self.publish(producer, self.held[producer].pop())

    def publish_junk(self, partition: int) -> None:
        """Append what cannot be decoded."""
        log = self.broker.logs[partition]
        self.junk.append((log.topic_id, partition, log.high))
        self._append(partition, b"junk")

    def make_hole(self, partition: int) -> None:
        """Use an offset for what no consumer ever gets."""
        self.broker.logs[partition].messages.append(None)

    def begin_month(self) -> None:
        """Let the broker's time go on to another month, of which there are few."""
        self.month = min(self.month + 1, len(_MONTHS_MS) - 1)

    def make_topic_again(self) -> None:
        """Delete the topic and make it; forwarders have nothing of the old one left to send again."""
        self.broker.make_topic()
        self.published = {producer: [] for producer in PRODUCERS}

    def other(self, slot: int) -> None:
        """Let another lane of the collector in a slot go first."""
        if (process := self.slots[slot]) is not None and not process.dead:
            process.other()

    def both(self, slot: int, calls: int) -> None:
        """Let the collector in a slot stand before inserts of two partitions, where it comes to two."""
        process = self.process(slot)
        process.go_on(calls, until="insert")
        self.other(slot)
        process.go_on(calls, until="insert")

    def expire(self, process: Process | None) -> None:
        """Let the group give a collector up."""
        if process in self.consumers:
            self.broker.expel(self.consumers[process].member)

    def expire_all(self) -> None:
        """Let the group give all collectors up."""
        for process in self.history:
            self.expire(process)

    def lose_offset(self, partition: int) -> None:
        """Lose what the group has committed of a partition, if nobody is landing anything of it."""
        if self._landing_from(partition) is None:
            self.broker.committed.pop(partition, None)

    def reset_offset(self, partition: int) -> None:
        """Reset what the group has committed to the beginning of the log, if nobody is landing anything of it."""
        if self._landing_from(partition) is None:
            self.broker.committed[partition] = self.broker.logs[partition].low, ""

    def retain(self, partition: int, kept: int) -> None:
        """Delete all messages but the newest few, and what somebody is landing."""
        first = self._landing_from(partition)
        log = self.broker.logs[partition]
        log.low = max(log.low, min(log.high - kept, log.high if first is None else first))

    def _landing_from(self, partition: int) -> int | None:
        """Return from where on somebody, running or stopped, has messages in hand: a collector, or the server."""
        names = [name for process in self.alive() for name in process.holding.values()]
        names += [insert.token for insert in self.server.running]
        ranges = [found for name in names if (found := _RANGE.match(name))]
        in_hand = [int(found[2]) for found in ranges if int(found[1]) == partition]
        log = self.broker.logs[partition]
        landed, said = self.broker.committed.get(partition, (log.low, ""))
        if plan_from_metadata(said)[0] not in {None, log.topic_id}:
            landed = log.low
        for process in self.alive():
            fetching = self.consumers[process].fetching if process in self.consumers else {}
            if partition in fetching and fetching[partition][1] > landed:
                in_hand.append(landed)
        return min(in_hand, default=None)

    def forget_tokens(self) -> None:
        """Forget the tokens of all ranges that nobody is about."""
        holding = [name for process in self.alive() for name in process.holding.values()]
        self.server.forget(lambda token: any(each in token for each in holding))

    def undisturbed(self) -> None:
        """Let a new collector run until it is idle, while all others stand still."""
        self.expire_all()
        idle = False

        def work(process: Process) -> None:
            nonlocal idle
            run = self._made(process, _LAST_ROWS, _Inline())
            for turn in range(_UNDISTURBED_TURNS):
                if self._turn(run):
                    idle = True
                    break
                if turn % _SERVER_TURNS == 0:
                    self.server.finish()

        process = Process(work)
        self.history.append(process)
        while not process.dead:
            process.go_on(_ALL_CALLS)
        self._raise(process)
        self.expire(process)
        if not idle:
            raise StandstillError("an undisturbed collector does not come to its end")

    def wake_all(self) -> bool:
        """Let all that stood still end what they were about, and the server too; return whether that changed anything.

        Where nothing is other than before, another collector would find what the last one has left: all is landed.
        """
        before = self.server.changes, dict(self.broker.committed)
        for process in self.alive():
            process.come_to("consume", _ALL_CALLS)
            self._raise(process)
            process.kill()
        self.server.finish()
        return (self.server.changes, self.broker.committed) != before

    def alive(self) -> list[Process]:
        """Return the collectors that run or stand still."""
        return [process for process in self.slots if process is not None and not process.dead]

    def end(self) -> None:
        """End all processes."""
        for process in self.history:
            process.kill()

    def _raise(self, process: Process) -> None:
        if process.error is not None:
            raise process.error

    def _next(self, producer: str) -> int:
        self.given[producer] += 1
        return self.given[producer] - 1

    def _append(self, partition: int, value: bytes) -> None:
        self.broker.append(partition, value, _MONTHS_MS[self.month])

    def _collect(self, process: Process, rows: int) -> None:
        run = self._made(process, rows, Beside())
        while True:
            self._turn(run)

    def _turn(self, run: Collector) -> bool:
        """Take a turn; return whether nothing is left to do."""
        _CLOCK.now += _TURN_SECONDS
        run.turn(0.0)
        return run._idle(1.0)

    def _made(self, process: Process, rows: int, executor: Executes) -> Collector:
        _OF[process] = self
        warehouse = cast("Any", Warehouse(self.server, process))
        source = self.source("simulated", _SETTINGS, Limits(rows=rows, seconds=0))
        return self.collector(
            [source],
            warehouse,
            self.landing(warehouse),
            settings=_SETTINGS,
            metrics=cast("Metrics", _NOT_MEASURED),
            executor=executor,
        )


_CLOCK: Final = _Clock()


def _consumer(*_: object, **__: object) -> Consumer:
    process = current()
    world = _OF[process]
    world.consumers[process] = Consumer(world.broker, process)
    return world.consumers[process]


@contextmanager
def simulated() -> Iterator[pytest.MonkeyPatch]:
    """Put the simulated parts in the places of the real ones."""
    logs = structlog.get_config()
    with pytest.MonkeyPatch.context() as patch:
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
            logger_factory=structlog.ReturnLoggerFactory(),
        )
        silent = structlog.get_logger().bind()
        patch.setattr(structlog, "get_logger", lambda _name: silent)
        patch.setattr(kafka, "Consumer", _consumer)
        patch.setattr(kafka, "AdminClient", lambda _settings: Admin(_OF[current()].broker))
        patch.setattr(kafka, "Message", Message)
        patch.setattr(buffers, "Message", Message)
        patch.setattr(distributions, "version", lambda _name: "0")
        patch.setattr(catalogue, "event_name", cache(event_name))
        patch.setattr(kafka, "CATALOGUE", {EVENTS.name: EVENTS})
        patch.setattr(collector, "Decoder", _Decoder)
        patch.setattr(collector, "wait", wait)
        for name, module in list(sys.modules.items()):
            if not name.startswith("trailhouse_consumer"):
                continue
            if getattr(module, "time", None) is time:
                patch.setattr(module, "time", _CLOCK)
            if getattr(module, "make_rows", None) is make_rows and module is not rows:
                patch.setattr(module, "make_rows", remembering(make_rows))
        gc.collect()
        gc.freeze()
        try:
            yield patch
        finally:
            gc.unfreeze()
            structlog.configure(**logs)
