"""A real distributed training of PyTorch under torchrun, over Gloo, with the three lines of the README in it.

    torchrun --nproc-per-node 4 ddp.py [RANK]

RANK is the rank that dies at step 50 of the first attempt, after a pause in which all that was logged gets to disk.
"""

from __future__ import annotations

import os
import sys
import time

import torch
from torch import distributed, nn

import trailhouse

torch.set_num_threads(1)
torch.manual_seed(1)
distributed.init_process_group("gloo")
rank, dies = distributed.get_rank(), int(sys.argv[1]) if len(sys.argv) > 1 else -1
model = nn.parallel.DistributedDataParallel(nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
features = torch.randn(64, 8, generator=torch.Generator().manual_seed(rank))
target = features.sum(1, keepdim=True)


def train_one_step() -> float:
    """One step of all ranks: the gradients are those of all of them."""
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(features), target)
    loss.backward()
    optimizer.step()
    return float(loss.item())


with trailhouse.start_run(project="digits", params={"eta": 0.1}) as run:
    for step in range(100):
        run.log({"loss": train_one_step()}, step=step)
        if (rank, step, run.attempt) == (dies, 50, 0):
            time.sleep(1)
            os._exit(3)
weights = [float(p.detach().sum()) for p in model.parameters()]
print(f"rank {rank} has trained {weights}", flush=True)
distributed.destroy_process_group()
