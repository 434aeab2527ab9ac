"""How long a training loop waits for `run.log` with four metrics and a step.

    python bench/log_call.py CALLS

Prints one JSON object: microseconds by quantile, and what the clock itself takes. There are at most 100,000 calls a
second, while the background thread encodes and writes.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import trailhouse


def main(calls: int) -> dict[str, float]:
    """Measure each call on its own."""
    with tempfile.TemporaryDirectory() as directory:
        run = trailhouse.start_run(project="bench", name="log", spool=Path(directory))
        metrics = {"loss": 0.1, "accuracy": 0.9, "learning_rate": 1e-3, "throughput": 1234.5}
        clock = time.perf_counter_ns
        for step in range(1000):
            run.log(metrics, step=step)
        taken = [0] * calls
        empty = [0] * calls
        for step in range(calls):
            begin = clock()
            run.log(metrics, step=step)
            taken[step] = clock() - begin
            begin = clock()
            empty[step] = clock() - begin
            while clock() - begin < 10_000:  # 100,000 calls a second at most: a loop does something else, too
                pass
        run.finish()
    taken.sort()
    empty.sort()
    return {
        "p50_us": taken[calls // 2] / 1000,
        "p99_us": taken[calls * 99 // 100] / 1000,
        "max_ms": taken[-1] / 1e6,
        "clock_us": empty[calls // 2] / 1000,
    }


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
