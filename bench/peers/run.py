"""Compares `run.log` with the calls of other loggers that are installed: `make bench-peers`.

    python bench/peers/run.py [--seconds S] [--repeat N]

All take turns on the same machine; each figure is the median of the repeats. Prints a table, and a JSON object at last.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Final

_LOGGERS: Final = ("trailhouse", "mlflow", "mlflow-async", "wandb", "trackio", "aim")
_FIGURES: Final = ("calls_per_s", "p50_us", "p99_us", "max_ms", "finish_s")
_GRACE_SECONDS: Final = 300


def measured(logger: str, how: str, seconds: float) -> dict[str, float] | str:
    """Return what one process has measured, or why it has not."""
    script = Path(__file__).with_name("log_calls.py")
    command = [sys.executable, str(script), logger, how, "--seconds", str(seconds)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=seconds + _GRACE_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"does not end {_GRACE_SECONDS} s later"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["failed"])[-1]
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure all, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--repeat", type=int, default=3)
    chosen = parser.parse_args()
    taken: dict[tuple[str, str], list[dict[str, float]]] = {}
    for turn in range(1, chosen.repeat + 1):
        for logger in _LOGGERS:
            for how in ("flat", "paced"):
                found = measured(logger, how, chosen.seconds)
                if isinstance(found, str):
                    print(f"{logger} {how}: {found}", file=sys.stderr, flush=True)
                    continue
                taken.setdefault((logger, how), []).append(found)
                print(f"turn {turn}: {logger} {how} {found}", file=sys.stderr, flush=True)
    figures = {
        f"{logger} {how}": {name: round(statistics.median(each[name] for each in every), 3) for name in _FIGURES}
        for (logger, how), every in taken.items()
    }
    width = max(map(len, figures), default=0)
    print(" " * width, *(f"{name:>12}" for name in _FIGURES))
    for name, values in figures.items():
        print(f"{name:{width}}", *(f"{value:12,.1f}" for value in values.values()))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
