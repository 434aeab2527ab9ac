"""One rank of a job that is killed at some moment: logs its steps, and notes each that `log` has returned from.

    python lasting_rank.py RUN_ID RANK WORLD_SIZE ATTEMPT NOTES STEPS_PER_SECOND

NOTES is a file of doubles in which the kernel keeps what a killed process has written: the longest call of `log` in
seconds, then the time at which each call had returned. SIGTERM ends the run in order.
"""

from __future__ import annotations

import mmap
import signal
import struct
import sys
import time
from pathlib import Path

import trailhouse

_DOUBLE = struct.Struct("<d")


def main(run_id: str, rank: int, world_size: int, attempt: int, notes: Path, per_second: float) -> None:
    """Log until told to end, or until the notes are full."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with notes.open("r+b") as file:
        noted = mmap.mmap(file.fileno(), 0)
    longest = 0.0
    with trailhouse.start_run(
        project="soak", run_id=run_id, rank=rank, world_size=world_size, attempt=attempt, params={"rank": rank}
    ) as run:
        for step in range(len(noted) // _DOUBLE.size - 1):
            began = time.perf_counter()
            run.log({"loss": 1 / (1 + step)}, step=step)
            longest = max(longest, time.perf_counter() - began)
            _DOUBLE.pack_into(noted, (step + 1) * _DOUBLE.size, time.time())
            _DOUBLE.pack_into(noted, 0, longest)
            time.sleep(1 / per_second)


if __name__ == "__main__":
    rank, world_size, attempt = map(int, sys.argv[2:5])
    main(sys.argv[1], rank, world_size, attempt, Path(sys.argv[5]), float(sys.argv[6]))
