"""How much slower a training gets that logs four metrics a step, about 100 steps a second.

    python bench/training.py [--seconds 60]

A small network is trained on one core, with PyTorch where it is installed (`make torch`), or else with NumPy. Stretches
of steps with and without logging take turns in one process, so that both have the same machine; the slowdown is that of
the median stretches, and is given with the half of the distance between the quartiles of the pairs, which says how far
it can be trusted. Prints one JSON object. What of it is spent in calls is `in_calls_percent`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

import trailhouse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_STEPS: Final = 20
_STEP_SECONDS: Final = 0.01


def numpy_step() -> Callable[[], float]:
    """Return a function that trains a step and returns the loss."""
    chance = np.random.default_rng(1)
    data, target = chance.normal(size=(64, 256)), chance.normal(size=(64, 1))
    first, second = chance.normal(size=(256, 256)) * 0.05, chance.normal(size=(256, 1)) * 0.05

    def step() -> float:
        nonlocal first, second
        hidden = np.maximum(data @ first, 0)
        error = hidden @ second - target
        second_gradient = hidden.T @ error
        first_gradient = data.T @ ((error @ second.T) * (hidden > 0))
        first, second = first - 1e-6 * first_gradient, second - 1e-6 * second_gradient
        return float((error**2).mean())

    return step


def torch_step() -> Callable[[], float]:
    """Return the same for PyTorch; raises ImportError."""
    import torch  # noqa: PLC0415 - where it is installed

    torch.set_num_threads(1)
    model = torch.nn.Sequential(torch.nn.Linear(256, 256), torch.nn.ReLU(), torch.nn.Linear(256, 1))
    optimiser = torch.optim.SGD(model.parameters(), 1e-3)
    data, target = torch.randn(64, 256), torch.randn(64, 1)

    def step() -> float:
        optimiser.zero_grad()
        loss = torch.nn.functional.mse_loss(model(data), target)
        loss.backward()
        optimiser.step()
        return float(loss.item())

    return step


def main(arguments: Sequence[str]) -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    chosen = parser.parse_args(arguments)
    try:
        train, with_torch = torch_step(), 1
    except ImportError:
        train, with_torch = numpy_step(), 0
    clock = time.perf_counter
    begin = clock()
    for _ in range(50):
        train()
    repeats = max(1, round(_STEP_SECONDS / ((clock() - begin) / 50)))
    in_calls = 0.0
    pairs: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as directory:
        run = trailhouse.start_run(project="bench", name="training", spool=Path(directory))
        number = 0

        def stretch(*, log: bool) -> float:
            nonlocal number, in_calls
            begin = clock()
            for _ in range(_STEPS):
                for _ in range(repeats):
                    loss = train()
                if log:
                    number += 1
                    before = clock()
                    run.log({"loss": loss, "accuracy": 0.5, "learning_rate": 1e-3, "throughput": 64.0}, step=number)
                    in_calls += clock() - before
            return clock() - begin

        until = clock() + chosen.seconds
        logged = 0.0
        while clock() < until:
            first_logs = len(pairs) % 2 == 0
            one, other = stretch(log=first_logs), stretch(log=not first_logs)
            pairs.append((one, other) if first_logs else (other, one))
            logged += pairs[-1][0]
        run.finish()
    slowdowns = [100 * (with_log / without - 1) for with_log, without in pairs]
    quarter, _, three_quarters = statistics.quantiles(slowdowns, n=4)
    medians = [statistics.median(each) for each in zip(*pairs, strict=True)]
    print(
        json.dumps(
            {
                "slowdown_percent": 100 * (medians[0] / medians[1] - 1),
                "pairs_apart_percent": (three_quarters - quarter) / 2,
                "in_calls_percent": 100 * in_calls / logged,
                "steps_per_s": number / logged,
                "with_torch": with_torch,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1:])
