"""How long a training loop waits for a call that logs four metrics and a step, by logger.

    python bench/peers/log_calls.py LOGGER flat|paced [--seconds S]

LOGGER is trailhouse, mlflow, mlflow-async, wandb (offline), trackio or aim. Prints one JSON object. `flat` makes as many
calls as fit into the time, 100,000 a second at most: what a slower logger takes holds up its own loop alone.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    Log = Callable[[dict[str, float], int], Any]

METRICS: Final = {"loss": 0.1, "accuracy": 0.9, "learning_rate": 1e-3, "throughput": 1234.5}
_FLAT_NS: Final = 10_000
_PACED_SECONDS: Final = 0.01


def trailhouse(home: Path) -> tuple[Log, Callable[[], Any]]:
    """Log to a spool."""
    from trailhouse import start_run  # noqa: PLC0415 - one logger a process

    run = start_run(project="bench", spool=home)
    return run.log, run.finish


def mlflow(home: Path, *, synchronous: bool = True) -> tuple[Log, Callable[[], Any]]:
    """Log to a SQLite file, its own default."""
    import mlflow  # noqa: PLC0415

    mlflow.set_tracking_uri(f"sqlite:///{home}/mlflow.db")
    mlflow.set_experiment("bench")
    mlflow.start_run()
    return lambda metrics, step: mlflow.log_metrics(metrics, step=step, synchronous=synchronous), mlflow.end_run


def wandb(home: Path) -> tuple[Log, Callable[[], Any]]:
    """Log offline."""
    import wandb  # noqa: PLC0415

    run = wandb.init(mode="offline", dir=home, project="bench", settings=wandb.Settings(silent=True))
    return lambda metrics, step: run.log(metrics, step=step), run.finish


def trackio(home: Path) -> tuple[Log, Callable[[], Any]]:
    """Log to its local database."""
    os.environ["TRACKIO_DIR"] = str(home)
    import trackio  # noqa: PLC0415

    trackio.init(project="bench", embed=False)
    return lambda metrics, step: trackio.log(metrics, step=step), trackio.finish


def aim(home: Path) -> tuple[Log, Callable[[], Any]]:
    """Log to its local repository."""
    import aim  # noqa: PLC0415

    run = aim.Run(repo=str(home), system_tracking_interval=None, log_system_params=False)
    return lambda metrics, step: run.track(metrics, step=step), run.close


LOGGERS: Final[dict[str, Callable[[Path], Any]]] = {
    "trailhouse": trailhouse,
    "mlflow": mlflow,
    "mlflow-async": lambda home: mlflow(home, synchronous=False),
    "wandb": wandb,
    "trackio": trackio,
    "aim": aim,
}


def main() -> None:
    """Measure one of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("logger", choices=LOGGERS)
    parser.add_argument("how", choices=["flat", "paced"])
    parser.add_argument("--seconds", type=float, default=10)
    chosen = parser.parse_args()
    clock = time.perf_counter_ns
    taken: list[int] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        log, finish = LOGGERS[chosen.logger](Path(home))
        for step in range(100):
            log(METRICS, step)
        until = clock() + int(chosen.seconds * 1e9)
        while clock() < until:
            begin = clock()
            log(METRICS, 100 + len(taken))
            taken.append(clock() - begin)
            if chosen.how == "paced":
                time.sleep(_PACED_SECONDS)
            else:
                while clock() - begin < _FLAT_NS:
                    pass
        begin = clock()
        finish()
        finishing = (clock() - begin) / 1e9
    calls = len(taken)
    taken.sort()
    print(
        json.dumps(
            {
                "calls_per_s": calls / chosen.seconds,
                "p50_us": taken[calls // 2] / 1000,
                "p99_us": taken[calls * 99 // 100] / 1000,
                "max_ms": taken[-1] / 1e6,
                "finish_s": finishing,
            }
        )
    )


if __name__ == "__main__":
    main()
