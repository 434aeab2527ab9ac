"""What the stages of landing cost, and how far each lets others work beside it; no broker.

    python bench/stages.py [--events N] [--repeat N]

For 100,000 ResourcesSampled events, and as many points in records of 200: microseconds of wall clock and of processor
time an event (a point), the least of the repeats; and which part of its speed a loop in Python keeps that runs beside
the stage: 1 where the stage leaves the interpreter to others, about 0.5 where it does not.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import threading
import time
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from load import POINTS_PER_RECORD, point_events, single_events
from rich.console import Console
from rich.table import Table

from trailhouse_consumer.decode import Decoder
from trailhouse_consumer.duplicates import Duplicates
from trailhouse_consumer.rows import make_rows
from trailhouse_consumer.sources import Messages, Partition
from trailhouse_consumer.validate import validate
from trailhouse_consumer.warehouse import Warehouse
from trailhouse_schemas.catalogue import by_name
from trailhouse_schemas.warehouse import connect, migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_SPIN_SECONDS: Final = 1.0


def messages(events: Iterable[tuple[str, bytes, Any, int]]) -> Messages:
    """Return events as they come from a partition, published now."""
    values: list[bytes | None] = []
    identities: list[bytes | None] = []
    keys: list[bytes | None] = []
    for key, value, headers, _ in events:
        values.append(value)
        keys.append(key.encode())
        identities.append(next(iter(headers.values())))
    now = np.full(len(values), time.time_ns() // 1000)
    return Messages(np.arange(len(values)), now, values, identities, keys)


def spun(seconds: float, beside: Callable[[], Any] | None = None) -> float:
    """Return how often a loop in Python goes round in a second while something is done beside it."""
    rounds, stop = 0, threading.Event()

    def spin() -> None:
        nonlocal rounds
        while not stop.is_set():
            for _ in range(1000):
                rounds += 1

    thread = threading.Thread(target=spin)
    begun = time.perf_counter()
    thread.start()
    if beside is None:
        time.sleep(seconds)
    while beside is not None and time.perf_counter() < begun + seconds:
        beside()
    stop.set()
    thread.join()
    return rounds / (time.perf_counter() - begun)


def measure(name: str, stretch: Messages, per: int, repeat: int) -> list[tuple[str, float, float, float]]:
    """Return each stage's microseconds of wall clock and processor for one of `per` things, and what others keep."""
    partition = Partition(by_name(name).topic, "AAAAAAAAAAAAAAAAAAAAAA", 0)
    with tempfile.TemporaryDirectory() as directory:
        client = connect(f"chdb://{directory}/warehouse", create=True)
        migrate(client)
        warehouse = Warehouse(client)
        decoder, duplicates = Decoder(partition.event_type), Duplicates(partition, warehouse, fresh=True)
        records = decoder.decode(stretch.values).records
        rows = make_rows(partition, stretch, decoder, duplicates, whole=True)
        tokens = itertools.count()
        stages: list[tuple[str, Callable[[], Any]]] = [
            ("decode", lambda: decoder.decode(stretch.values)),
            ("validate", lambda: validate(partition.event_type, records, stretch.published_us, stretch.identities)),
            ("all rows", lambda: make_rows(partition, stretch, decoder, duplicates, whole=True)),
            ("insert", lambda: warehouse.insert(partition.event_type.table, rows.table, f"stages:{next(tokens)}")),
        ]
        found = []
        for stage, work in stages:
            wall, processor = [], []
            for _ in range(repeat):
                begun, used = time.perf_counter(), time.process_time()
                work()
                wall.append(time.perf_counter() - begun)
                processor.append(time.process_time() - used)
            kept = spun(_SPIN_SECONDS, work) / spun(_SPIN_SECONDS)
            found.append((f"{name}: {stage}", min(wall) * 1e6 / per, min(processor) * 1e6 / per, kept))
        client.close()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What the stages of landing cost.")
    parser.add_argument("--events", type=int, default=100_000, help="events, and points, at a time")
    parser.add_argument("--repeat", type=int, default=5, help="times that each is measured")
    chosen = parser.parse_args()
    table = Table(title="Microseconds an event, or a point", box=None)
    for heading in ("stage", "wall", "processor", "a loop beside it keeps"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    single = messages(islice(single_events(), chosen.events))
    points = messages(islice(point_events(), chosen.events // POINTS_PER_RECORD))
    for name, stretch, per in (("resources_sampled", single, 1), ("metrics_logged", points, POINTS_PER_RECORD)):
        for stage, wall, processor, kept in measure(name, stretch, len(stretch) * per, chosen.repeat):
            table.add_row(stage, f"{wall:.3f}", f"{processor:.3f}", f"{kept:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
