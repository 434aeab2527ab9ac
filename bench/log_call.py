"""How long a training loop waits for `run.log` with four metrics and a step.

    python bench/log_call.py flat [--seconds 60]      100,000 calls a second
    python bench/log_call.py paced [--seconds 60]     100 calls a second: what a call needs has left the caches
    python bench/log_call.py stalled [--seconds 30]   as fast as it goes, while the spool cannot be written

Prints one JSON object. Beside each call of `log` an empty method with the same arguments is called and timed: what that
takes is the clock, the caches and the machine, and no logger does better.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import resource
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trailhouse

if TYPE_CHECKING:
    from collections.abc import Sequence

METRICS: Final = {"loss": 0.1, "accuracy": 0.9, "learning_rate": 1e-3, "throughput": 1234.5}
_FLAT_NS: Final = 10_000
_PACED_SECONDS: Final = 0.01
_WARM_CALLS: Final = 1_000


class Nothing:
    """A logger that does nothing."""

    def log(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Take a call."""


def flat(run: Any, seconds: float) -> tuple[Sequence[int], Sequence[int]]:
    """Return nanoseconds of each call of `log` and of the empty method, 100,000 times a second at most."""
    clock, nothing = time.perf_counter_ns, Nothing()
    calls = int(seconds * 1e9 / _FLAT_NS)
    # Not lists: the interpreter's garbage collection goes through those, for 40 ms, within a call of log.
    taken, empty = array("q", bytes(8 * calls)), array("q", bytes(8 * calls))
    for step in range(calls):
        begin = clock()
        run.log(METRICS, step=step)
        taken[step] = clock() - begin
        between = clock()
        nothing.log(METRICS, step=step)
        empty[step] = clock() - between
        while clock() - begin < _FLAT_NS:  # a loop does something else, too
            pass
    return taken, empty


def paced(run: Any, seconds: float) -> tuple[Sequence[int], Sequence[int]]:
    """Return the same, 100 times a second; the empty method in turns of its own, so that it meets cold caches, too."""
    clock, nothing = time.perf_counter_ns, Nothing()
    taken, empty = [], []
    for step in range(int(seconds / _PACED_SECONDS)):
        time.sleep(_PACED_SECONDS / 2)
        begin = clock()
        run.log(METRICS, step=step)
        taken.append(clock() - begin)
        time.sleep(_PACED_SECONDS / 2)
        begin = clock()
        nothing.log(METRICS, step=step)
        empty.append(clock() - begin)
    return taken, empty


def measure(how: str, seconds: float) -> dict[str, float]:
    """Measure calls one by one."""
    with tempfile.TemporaryDirectory() as directory:
        run = trailhouse.start_run(project="bench", name=how, spool=Path(directory))
        for step in range(_WARM_CALLS):
            run.log(METRICS, step=step)
        taken, empty = flat(run, seconds) if how == "flat" else paced(run, seconds)
        run.finish(timeout=120)
        dropped = points_dropped(Path(directory))
    taken, empty = sorted(taken), sorted(empty)
    return {
        "p50_us": taken[len(taken) // 2] / 1000,
        "p99_us": taken[len(taken) * 99 // 100] / 1000,
        "p999_us": taken[len(taken) * 999 // 1000] / 1000,
        "max_ms": taken[-1] / 1e6,
        "empty_p50_us": empty[len(empty) // 2] / 1000,
        "empty_p99_us": empty[len(empty) * 99 // 100] / 1000,
        "empty_max_ms": empty[-1] / 1e6,
        "dropped": dropped,
    }


def stalled(seconds: float) -> dict[str, float]:
    """Log as fast as it goes while the spool cannot be made; return points a second, and memory beyond the start's.

    Memory is the most that the process had, less what it had before its first call, the ring included.
    """
    logging.getLogger("trailhouse").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as directory:
        spool = Path(directory, "spool")
        spool.write_text("in the way")
        run = trailhouse.start_run(project="bench", name="stalled", spool=spool)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        until = time.perf_counter() + seconds
        points = 0
        while time.perf_counter() < until:
            for step in range(1_000):
                run.log(METRICS, step=step)
            points += 1_000 * len(METRICS)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        spool.unlink()
        run.finish(timeout=120)
        dropped = points_dropped(spool)
    return {"points_per_s": points / seconds, "peak_mib": (after - before) / 1024, "dropped_share": dropped / points}


def points_dropped(directory: Path) -> int:
    """Return what the last heartbeats of the spools say."""
    from fastavro import schemaless_reader  # noqa: PLC0415 - not while memory is measured

    from trailhouse_schemas.spool import Spool, spool_files  # noqa: PLC0415
    from trailhouse_schemas.versions import latest  # noqa: PLC0415
    from trailhouse_schemas.wire import SINGLE_OBJECT_HEADER_BYTES  # noqa: PLC0415

    dropped = 0
    for path in spool_files(directory):
        with Spool.open(path) as spool:
            last = spool.last_sequence()
            (event,) = spool.read(after=(last or 0) - 1, limit_events=1)
            said: Any = schemaless_reader(
                io.BytesIO(event.value[SINGLE_OBJECT_HEADER_BYTES:]), latest("heartbeat_sent").parsed, None
            )
            dropped += int(said["points_dropped"])
    return dropped


def main(arguments: Sequence[str]) -> None:
    """Measure one of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("how", choices=["flat", "paced", "stalled"])
    parser.add_argument("--seconds", type=float)
    chosen = parser.parse_args(arguments)
    seconds = chosen.seconds or (30.0 if chosen.how == "stalled" else 60.0)
    print(json.dumps(stalled(seconds) if chosen.how == "stalled" else measure(chosen.how, seconds)))


if __name__ == "__main__":
    main(sys.argv[1:])
