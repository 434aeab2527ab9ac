"""What a second collector adds: one, then two, on a topic of 12 partitions, into a warehouse that takes all at once.

    python bench/two.py BOOTSTRAP COUNT

The warehouse is stubbed: each collector decodes, validates, stores its plans and hands its rows over, and nothing is
inserted, so that what is compared is the collectors. Each collector is one process with one lander, and has one core to
itself where there is more than one; the broker has what is left. Prints one JSON object: events a second of one and of
two, and their ratio.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import sys
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import structlog
from confluent_kafka import TopicPartition

from trailhouse_consumer.collector import Collector
from trailhouse_consumer.landing import Landing, Stage
from trailhouse_consumer.monitoring import Metrics
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_consumer.sources import Limits
from trailhouse_consumer.sources.kafka import KafkaSource
from trailhouse_schemas.catalogue import by_name
from trailhouse_schemas.warehouse import TRANSPORT_COLUMNS, row_columns

if TYPE_CHECKING:
    from trailhouse_consumer.sources import Partition, Plan

NAME: Final = "resources_sampled"
PARTITIONS: Final = 12


class Stub:
    """A warehouse that takes all at once, and remembers the offsets."""

    def __init__(self) -> None:
        """Begin empty."""
        self._offsets: dict[int, list[Any]] = {}

    def insert(self, _table: str, rows: pa.Table, _token: str) -> None:
        """Take it."""
        self._offsets.setdefault(rows.column("_partition")[0].as_py(), []).append(rows.column("_offset").to_numpy())

    def ask(self, question: str, parameters: Any) -> pa.Table:
        """Answer what a collector asks."""
        if question == "table_columns":
            return pa.table({"name": [*row_columns(by_name(NAME)), *TRANSPORT_COLUMNS]})
        if question == "running_inserts":
            return pa.table({"count()": [0]})
        if question == "highest_offset":
            return pa.table({"highest": [-1], "any": [False]})
        assert question == "landed_offsets", question
        found = np.concatenate([np.empty(0, np.int64), *self._offsets.get(parameters["partition"], [])])
        return pa.table({"_offset": found[(found >= parameters["first"]) & (found <= parameters["last"])]})


class Waiting(KafkaSource):
    """Fetches nothing before it is told to: that a group shares out its partitions is not what is measured."""

    waits = True

    def _assign(self, consumer: Any, assigned: list[Any]) -> None:
        super()._assign(consumer, assigned)
        if self.waits:
            consumer.pause([TopicPartition(*key) for key in self._buffers])

    def begin(self) -> None:
        """Fetch."""
        self.waits = False
        self._consumer.resume([TopicPartition(*key) for key in self._buffers])


def collect(bootstrap_servers: str, group: str, core: int, shared: tuple[int, Any, Any]) -> None:
    """Collect until nothing is left; tell the messages landed, and when the first and the last range were."""
    collectors, joined, results = shared
    os.sched_setaffinity(0, {core})
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    moments: list[float] = []

    def watch(stage: Stage, _partition: Partition, _plan: Plan) -> None:
        if stage is not Stage.INSERTING:
            moments.append(time.time())

    how = CollectorSettings(group=group, landers=1, idle_seconds=3)
    warehouse: Any = Stub()
    source = Waiting(bootstrap_servers, how, Limits(how.flush_rows, how.flush_bytes, how.flush_seconds))
    collector = Collector([source], warehouse, Landing(warehouse, watch), settings=how, metrics=Metrics())
    ready = False
    while joined.value < collectors:
        source.poll(0.1)
        if not ready and len(source.partitions()) == PARTITIONS // collectors:
            ready = True
            with joined.get_lock():
                joined.value += 1
    source.begin()
    summary = collector.run(until_idle=True)
    results.put((summary.messages, moments[0], moments[-1]))


def per_second(bootstrap_servers: str, collectors: int, count: int) -> float:
    """Return how many events that many collectors land in a second, from their first plan to their last range."""
    context = multiprocessing.get_context("spawn")
    joined, results = context.Value("i"), context.Queue()
    group, cores = f"bench-{uuid.uuid4()}", sorted(os.sched_getaffinity(0))
    processes = [
        context.Process(
            target=collect, args=(bootstrap_servers, group, cores[n % len(cores)], (collectors, joined, results))
        )
        for n in range(collectors)
    ]
    for process in processes:
        process.start()
    found: list[tuple[int, float, float]] = [results.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
    assert sum(messages for messages, _, _ in found) == count, found
    return count / (max(last for _, _, last in found) - min(first for _, first, _ in found))


def main(bootstrap_servers: str, count: int) -> dict[str, float]:
    """Measure one, then two."""
    one, two = (per_second(bootstrap_servers, collectors, count) for collectors in (1, 2))
    return {"one_per_s": one, "two_per_s": two, "speedup": two / one}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
