"""A job of several processes, started the way torchrun does it: each rank logs for itself, all of them to one run.

No rank waits for another one to learn which run it belongs to: the launcher's environment says it. The same script
runs unchanged under `torchrun --nproc-per-node 4 examples/ranks.py`.

    python examples/ranks.py 4 && trailhouse spool list
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid

import trailhouse

STEPS = 60


def train() -> None:
    """Train one rank."""
    with trailhouse.start_run(project="examples", name="ranks", params={"steps": STEPS}) as run:
        held = run.allocate("cpu", 1, pool="local")
        with held, run.time_steps(every=20) as timer:
            for step in range(STEPS):
                with timer.step(step):
                    with timer.activity("data_wait"):
                        time.sleep(0.001)
                    with timer.activity("compute"):
                        loss = sum(1 / (i + step + 1) for i in range(20_000))
                run.log({"loss": loss + run.rank}, step=step, split="train")
        print(f"rank {run.rank} of {run.world_size} is done: run {run.run_id}, producer {run.producer_id}")


def launch(world_size: int) -> int:
    """Start the ranks as torchrun would; return the number of those that failed."""
    job = {
        "WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "29500",
        "TORCHELASTIC_RUN_ID": uuid.uuid4().hex,
        "TORCHELASTIC_RESTART_COUNT": "0",
    }
    ranks = [
        subprocess.Popen([sys.executable, __file__], env=os.environ | job | {"RANK": str(r), "LOCAL_RANK": str(r)})  # noqa: S603 - this very script
        for r in range(world_size)
    ]
    return sum(rank.wait() != 0 for rank in ranks)


if __name__ == "__main__":
    if "RANK" in os.environ:
        train()
    else:
        sys.exit(launch(int(sys.argv[1]) if len(sys.argv) > 1 else 4))
