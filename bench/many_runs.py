"""How long reports take over many runs: fills an embedded warehouse inside the engine, and times what is asked of it.

    python bench/many_runs.py --runs 100000             # nothing is lost
    python bench/many_runs.py --runs 100000 --lost 3    # every producer lacks three events

Each run is one producer with 313 events: RunStarted, ParametersLogged, 300 metric points (of three metrics, an event
each), ten heartbeats and RunFinished. With `--directory` the warehouse is kept there, and used again when it is there.
Prints, as its last line, one JSON object with the seconds of each question, the best of `--repeat`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trailhouse_analytics.loss import verify
from trailhouse_analytics.runs import Sort, list_runs
from trailhouse_schemas.warehouse import connect, migrate

if TYPE_CHECKING:
    from collections.abc import Callable

    from clickhouse_connect.driver.client import Client

_POINTS: Final = 300
#: Points between two heartbeats: eight of them are alive, the first and the last are started and finished.
_BEAT_POINTS: Final = 33
_EVENTS: Final = _POINTS + 13

#: Columns of the envelope and the transport that every table has; `run` and `at` (the sequence) come from the row.
_ENVELOPE: Final = {
    "occurred_at": "toDateTime64('2026-01-01 00:00:00', 6, 'UTC') + toIntervalSecond(run) + toIntervalMillisecond(at)",
    "producer_id": "format('01930000-0000-7000-8000-{}', leftPad(toString(run), 12, '0'))",
    "sequence": "toInt64(at)",
    "project": "'p'",
    "run_id": "format('run-{}', leftPad(toString(run), 6, '0'))",
    "host": "format('node-{}', toString(run % 100))",
    "_topic_id": "'bench'",
    "_offset": "toInt64(number)",
    "_published_at": "toDateTime64('2026-01-15 00:00:00', 6, 'UTC')",
}
#: Table: its own columns, what goes into them, and how many rows a run has, of which `row` is the number.
_TABLES: Final = {
    "run_started": ("attempt, world_size, name, kind", "0, 1, format('name-{}', toString(run)), 'train'", 1, "1"),
    "parameters_logged": (
        "parameters",
        "map('lr', toString(exp10(-1 - run % 1000 / 250)), 'depth', toString(run % 9))",
        1,
        "2",
    ),
    "heartbeat_sent": (
        "phase, subject_producer_id, events_emitted, flush_interval_seconds, next_due_at",
        """multiIf(row = 0, 'started', row = 9, 'finished', 'alive'), producer_id, toInt64(at + 1), 0.2,
        if(row = 9, NULL, occurred_at + toIntervalSecond(10))""",
        10,
        "multiIf(row = 0, 0, row = 9, {events:Int64} - 1, 2 + row * ({beat:Int64} + 1))",
    ),
    "metrics_logged": (
        "ordinal, name, step, value, logged_at",
        """0, ['loss', 'accuracy', 'grad_norm'][row % 3 + 1], intDiv(row, 3), (run * 37 % 1000 + 1) / (row + 10),
        occurred_at""",
        _POINTS,
        "3 + row + least(8, intDiv(row, {beat:Int64}))",
    ),
    "run_finished": ("status, exit_code", "'completed', 0", 1, "{events:Int64} - 2"),
}
#: Every so many points one is left out, at another place in each run.
_KEPT: Final = """(row + run) % {points:Int64} % intDiv({points:Int64}, {lost:Int64}) != 0
    OR intDiv((row + run) % {points:Int64}, intDiv({points:Int64}, {lost:Int64})) >= {lost:Int64}"""


def fill(client: Client, runs: int, lost: int) -> None:
    """Write the events of so many runs; of each run, so many metric points are left out."""
    envelope = ", ".join(f"{value} AS {name}" for name, value in _ENVELOPE.items())
    for table, (columns, values, rows, at) in _TABLES.items():
        kept = _KEPT if lost and table == "metrics_logged" else "1"
        client.command(
            f"INSERT INTO {table} ({', '.join(_ENVELOPE)}, {columns}) "  # noqa: S608 - all of it stands in this file
            f"SELECT {envelope}, {values} FROM (SELECT number, toInt64(intDiv(number, {rows})) AS run, "
            f"toInt64(number % {rows}) AS row, {at} AS at FROM numbers({{count:UInt64}}) WHERE {kept})",
            {"count": runs * rows, "lost": lost, "points": _POINTS, "beat": _BEAT_POINTS, "events": _EVENTS},
        )


def best(question: Callable[[], Any], repeat: int) -> tuple[Any, float]:
    """Return the last answer, and the seconds that the fastest one took."""
    taken = []
    for _ in range(repeat):
        begin = time.perf_counter()
        answer = question()
        taken.append(time.perf_counter() - begin)
    return answer, round(min(taken), 2)


def measure(client: Client, runs: int, lost: int, repeat: int) -> dict[str, float]:
    """Time the questions, and hold the answers against what was written."""
    accounting, verify_seconds = best(lambda: verify(client), repeat)
    expected = (runs, runs * _EVENTS, runs * lost, 0)
    totals = accounting.totals
    assert (totals.producers, totals.emitted, totals.lost, totals.doubled) == expected, totals
    listed, list_seconds = best(lambda: list_runs(client, project="p"), repeat)
    assert listed.matching == runs, listed.matching
    _, sort_seconds = best(lambda: list_runs(client, project="p", sort=Sort.parse("metric loss")), repeat)
    return {
        "runs": runs,
        "events": runs * (_EVENTS - lost),
        "lost": runs * lost,
        "verify_seconds": verify_seconds,
        "list_runs_seconds": list_seconds,
        "list_runs_by_metric_seconds": sort_seconds,
    }


def main() -> None:
    """Fill and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--lost", type=int, default=0, help="metric points that each run lacks, at most 100")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--directory", type=Path, help="keep the warehouse here")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        place = (asked.directory or Path(directory)).absolute()
        there = place.is_dir() and any(place.iterdir())
        client = connect(f"chdb://{place}", create=True)
        try:
            if not there:
                migrate(client)
                begin = time.perf_counter()
                fill(client, asked.runs, asked.lost)
                print(f"filled in {time.perf_counter() - begin:.1f} s", file=sys.stderr, flush=True)
            print(json.dumps(measure(client, asked.runs, asked.lost, asked.repeat)))
        finally:
            client.close()


if __name__ == "__main__":
    main()
