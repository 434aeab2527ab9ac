"""The ranks of a job that is killed again and again: started, killed at random, started anew, and remembered."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Incarnation", "Job"]

_PROGRAM: Final = Path(__file__).parents[1] / "programs" / "lasting_rank.py"
#: Steps that the notes of one process hold.
_MOST_STEPS: Final = 1 << 20
#: Nothing of a launcher or a setting comes in from where the soak runs.
_FOREIGN: Final = ("TRAILHOUSE_", "SLURM_", "OMPI_", "PMI", "TORCHELASTIC_", "RANK", "WORLD_SIZE", "LOCAL_RANK")


@dataclass(slots=True)
class Incarnation:
    """One process of a rank."""

    rank: int
    attempt: int
    notes: Path
    process: subprocess.Popen[bytes]
    #: By the wall clock; 0 for one that was ended in order.
    killed_at: float = 0.0
    code: int | None = None

    def noted(self) -> list[float]:
        """Return when each call of `log` had returned, by the wall clock."""
        found = array("d")
        with self.notes.open("rb") as file:
            found.frombytes(file.read())
        return [at for at in found[1:] if at]

    def longest_call(self) -> float:
        """Return the seconds of the longest call of `log`; 0 where none has returned."""
        with self.notes.open("rb") as file:
            (longest,) = struct.unpack("<d", file.read(8))
        return float(longest)


class Job:
    """Ranks that log at a pace, each in a process of its own."""

    def __init__(
        self, run_id: str, ranks: int, per_second: float, directory: Path, environment: Mapping[str, str]
    ) -> None:
        """Prepare the job; its spools and notes lie in `directory`."""
        self.run_id, self.ranks, self._per_second = run_id, ranks, per_second
        self.spool = directory / "spool"
        self._notes = directory / "notes"
        self._notes.mkdir()
        clean = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        self.environment = clean | {
            "TRAILHOUSE_HOME": str(directory / "home"),
            "TRAILHOUSE_SPOOL": str(self.spool),
            "TRAILHOUSE_CONFIG": os.devnull,
            **environment,
        }
        self.all: list[Incarnation] = []
        self._alive: dict[int, Incarnation] = {}
        self._log = (directory / "ranks.log").open("ab")

    def start(self, rank: int) -> None:
        """Start a rank, as its next attempt."""
        attempt = sum(each.rank == rank for each in self.all)
        notes = self._notes / f"{rank}-{attempt}"
        with notes.open("wb") as file:
            file.truncate((_MOST_STEPS + 1) * 8)
        arguments = [self.run_id, rank, self.ranks, attempt, notes, self._per_second]
        process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), *map(str, arguments)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        self._alive[rank] = Incarnation(rank, attempt, notes, process)
        self.all.append(self._alive[rank])

    def kill(self, rank: int) -> None:
        """Kill a rank and start it anew."""
        victim = self._alive.pop(rank)
        victim.process.kill()
        victim.killed_at = time.time()
        victim.code = victim.process.wait()
        self.start(rank)

    def fallen(self) -> list[Incarnation]:
        """Return those that ended by themselves or with an error."""
        for each in self._alive.values():
            each.code = each.process.poll()
        wanted = {False: (None, 0), True: (-signal.SIGKILL,)}
        return [each for each in self.all if each.code not in wanted[bool(each.killed_at)]]

    def end(self, seconds: float) -> None:
        """End all ranks in order; those that have not ended by then are killed, and count as fallen."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not all(each.longest_call() for each in self._alive.values()):
            time.sleep(0.05)  # until each has begun: before that nothing hears a signal
        for each in self._alive.values():
            each.process.send_signal(signal.SIGTERM)
        for each in self._alive.values():
            try:
                each.code = each.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                each.process.kill()
                each.code = each.process.wait()

    def close(self) -> None:
        """Leave no process behind."""
        for each in self._alive.values():
            each.process.kill()
            each.process.wait()
        self._log.close()
