"""Measures everything in one run: `make bench`. Prints a table and, as its last line, one JSON object.

    python bench/run.py [--events N] [--many-events N] [--point-records N] [--delay-seconds S] [--log-seconds S]
                        [--repeat N] [--only-log]

A broker is found or started (see `make kafka`); it runs on the same cores as what is measured. Each figure is the
median of the repeats, which take turns, so that a machine that slows down slows all of them; a ratio is that of the
two figures of one turn.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import two
from load import PARTITIONS, POINTS_PER_RECORD, make_topics, publish_points, publish_single_events
from rich.console import Console
from rich.table import Table

from trailhouse_cli.servers.discovery import find_kafka
from trailhouse_schemas.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_HERE: Final = Path(__file__).parent
_RATIOS: Final = (
    ("landed_to_consume", "landed_events_per_s", "consume_events_per_s"),
    ("landed_to_baseline", "landed_events_per_s", "baseline_events_per_s"),
    ("landed_points_to_baseline", "landed_points_per_s", "baseline_points_per_s"),
)


def measure(script: str, *arguments: str) -> dict[str, float]:
    """Run one of the scripts beside this one in a process of its own; return the JSON object of its last line."""
    with tempfile.TemporaryDirectory() as home:
        result = subprocess.run(
            [sys.executable, str(_HERE / script), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={**os.environ, "TRAILHOUSE_HOME": home},
        )
    found: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return found


def per_second(measured: dict[str, float]) -> float:
    """Return events a second."""
    return measured["events"] / measured["seconds"]


def say(text: str) -> None:
    """Tell what is going on, apart from the results."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure everything in one run.")
    parser.add_argument("--events", type=int, default=2_000_000, help="single events")
    parser.add_argument("--many-events", type=int, default=10_000_000, help="single events of the last; 0: none")
    parser.add_argument("--point-records", type=int, default=40_000, help=f"records of {POINTS_PER_RECORD} points")
    parser.add_argument("--delay-seconds", type=float, default=20, help="how long events are published one by one")
    parser.add_argument("--log-seconds", type=float, default=60, help="how long run.log is called, each way, each time")
    parser.add_argument("--only-log", action="store_true", help="measure run.log alone, without a broker")
    parser.add_argument("--repeat", type=int, default=3, help="times that each is measured")
    chosen = parser.parse_args(arguments)

    taken: dict[str, list[float]] = {}

    def take(name: str, value: float) -> None:
        taken.setdefault(name, []).append(value)
        say(f"  {name}: {value:,.2f}")

    measure_log(chosen, take)
    if chosen.only_log:
        finish(taken, {})
        return
    kafka = find_kafka(Settings.read())
    try:
        servers = kafka.bootstrap_servers
        size = measure_events(servers, chosen, take)
        measure_points(servers, chosen, take)
        measure_delay(servers, chosen, take)
        measure_two(servers, chosen, take)
        measure_many(servers, chosen, take)
    finally:
        kafka.close()
    say("selecting in the process and over HTTP")
    finish(taken, {"event_bytes": size} | measure("serve.py", "--repeat", str(chosen.repeat)))


def finish(taken: dict[str, list[float]], single: dict[str, float]) -> None:
    """Print what was taken, with its ratios, and what was measured once."""
    for name, over, under in _RATIOS:
        if over in taken:
            taken[name] = [above / below for above, below in zip(taken[over], taken[under], strict=True)]
    figures = {name: statistics.median(values) for name, values in taken.items()} | single
    show(figures, taken)
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def measure_log(chosen: argparse.Namespace, take: Callable[[str, float], None]) -> None:
    """Measure what a training loop has to do with: calls of run.log, and what they cost a training."""
    seconds = str(chosen.log_seconds)
    for turn in range(1, chosen.repeat + 1):
        say(f"run.log: turn {turn} of {chosen.repeat}")
        flat = measure("log_call.py", "flat", "--seconds", seconds)
        take("log_call_flat_out_p50_us", flat["p50_us"])
        take("log_call_flat_out_p99_us", flat["p99_us"])
        take("log_call_max_ms", flat["max_ms"])
        take("log_call_empty_max_ms", flat["empty_max_ms"])
        take("log_call_points_dropped", flat["dropped"])
        paced = measure("log_call.py", "paced", "--seconds", seconds)
        take("log_call_paced_p50_us", paced["p50_us"])
        take("log_call_paced_p99_us", paced["p99_us"])
        take("log_call_paced_empty_p50_us", paced["empty_p50_us"])
        take("log_call_paced_empty_p99_us", paced["empty_p99_us"])
        training = measure("training.py", "--seconds", seconds)
        take("training_slowdown_percent", training["slowdown_percent"])
        take("training_pairs_apart_percent", training["pairs_apart_percent"])
        take("training_in_calls_percent", training["in_calls_percent"])
        stalled = measure("log_call.py", "stalled", "--seconds", str(chosen.log_seconds / 2))
        take("producer_peak_mib", stalled["peak_mib"])
        take("producer_stalled_points_per_s", stalled["points_per_s"])


def measure_events(servers: str, chosen: argparse.Namespace, take: Callable[[str, float], None]) -> int:
    """Measure single events, consumed, landed and by the baseline; return their size in bytes."""
    say(f"publishing {chosen.events:,} events to {servers}")
    make_topics(servers, ["resources_sampled"], PARTITIONS)
    size = publish_single_events(servers, chosen.events)
    single = (servers, "resources_sampled", str(chosen.events))
    for turn in range(1, chosen.repeat + 1):
        say(f"events: turn {turn} of {chosen.repeat}")
        take("consume_events_per_s", per_second(measure("consume.py", "only", *single)))
        landed = measure("landed.py", *single)
        take("landed_events_per_s", per_second(landed))
        take("collector_peak_mib_2m", landed["peak_mib"])
        # Of a part: it takes as long as all the others together.
        part = str(max(1, chosen.events // 10))
        take("baseline_events_per_s", per_second(measure("consume.py", "baseline", *single[:2], part)))
    return size


def measure_points(servers: str, chosen: argparse.Namespace, take: Callable[[str, float], None]) -> None:
    """Measure records of many points, landed and by the baseline."""
    say(f"publishing {chosen.point_records:,} records of {POINTS_PER_RECORD} points")
    make_topics(servers, ["metrics_logged"], PARTITIONS)
    publish_points(servers, chosen.point_records)
    for turn in range(1, chosen.repeat + 1):
        say(f"points: turn {turn} of {chosen.repeat}")
        landed = measure("landed.py", servers, "metrics_logged", str(chosen.point_records))
        take("landed_points_per_s", per_second(landed) * POINTS_PER_RECORD)
        part = str(max(1, chosen.point_records // 40))
        rows = measure("consume.py", "baseline", servers, "metrics_logged", part)
        take("baseline_points_per_s", per_second(rows) * POINTS_PER_RECORD)


def measure_delay(servers: str, chosen: argparse.Namespace, take: Callable[[str, float], None]) -> None:
    """Measure how long an event takes until it is visible."""
    for turn in range(1, chosen.repeat + 1):
        say(f"delay: turn {turn} of {chosen.repeat}")
        make_topics(servers, ["resources_sampled"], PARTITIONS)
        delay = measure("delay.py", servers, str(chosen.delay_seconds))
        take("publish_to_visible_p50_s", delay["p50_s"])
        take("publish_to_visible_p99_s", delay["p99_s"])


def measure_two(servers: str, chosen: argparse.Namespace, take: Callable[[str, float], None]) -> None:
    """Measure what a second collector adds."""
    make_topics(servers, ["resources_sampled"], two.PARTITIONS)
    publish_single_events(servers, chosen.events, two.PARTITIONS)
    for turn in range(1, chosen.repeat + 1):
        say(f"two collectors: turn {turn} of {chosen.repeat}")
        take("two_collectors_speedup", measure("two.py", servers, str(chosen.events))["speedup"])


def measure_many(servers: str, chosen: argparse.Namespace, take: Callable[[str, float], None]) -> None:
    """Measure the memory of a collector that catches up on very many events, once: it takes a while."""
    if not chosen.many_events:
        return
    say(f"publishing {chosen.many_events:,} events")
    make_topics(servers, ["resources_sampled"], PARTITIONS)
    publish_single_events(servers, chosen.many_events)
    landed = measure("landed.py", servers, "resources_sampled", str(chosen.many_events))
    take("collector_peak_mib_10m", landed["peak_mib"])
    take("landed_many_events_per_s", per_second(landed))


def show(figures: dict[str, float], taken: dict[str, list[float]]) -> None:
    """Print the table for people."""
    table = Table(title="Median (least, most)", box=None)
    table.add_column("figure")
    for heading in ("median", "least", "most"):
        table.add_column(heading, justify="right")
    for name, value in figures.items():
        values: Any = taken.get(name, [value])
        table.add_row(name, *(f"{number:,.2f}" for number in (value, min(values), max(values))))
    Console(width=100).print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
