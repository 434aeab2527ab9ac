"""Which process has started the ranks of this node: what names a job on one node where its launcher gives it no name.

Addresses, ports and process ids come back, so none of them tells two jobs apart. A process id together with the moment
at which that process began does, within one boot of one machine. Found in Linux's /proc; elsewhere it is not known.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

__all__ = ["find_launcher"]

_PROC: Final = Path("/proc")
#: Wrappers (shells, `trailhouse run`, `env`) between a launcher and what it launches are few.
_MOST_ANCESTORS: Final = 32


def find_launcher(variable: str, *, process_id: int | None = None) -> str:
    """Return what names the launcher of a process for ever; empty where it cannot be known.

    Args:
        variable: name of an environment variable that the launcher gives to each of its ranks: the nearest ancestor
            that was started without it is the launcher, whatever wrappers are between it and the rank.
        process_id: the process; this one by default.
    """
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
        where = f"{boot}|{(_PROC / 'self/ns/pid').readlink()}"  # containers on one machine number their processes alike
        ancestor = os.getpid() if process_id is None else process_id
        for _ in range(_MOST_ANCESTORS):
            ancestor, _ = _parent_and_start(ancestor)
            if ancestor <= 0:
                return ""
            names = (_PROC / str(ancestor) / "environ").read_bytes().split(b"\0")
            if not any(name.startswith(f"{variable}=".encode()) for name in names):
                return f"{where}|{ancestor}|{_parent_and_start(ancestor)[1]}"
    except (OSError, ValueError, IndexError):
        pass
    return ""


def _parent_and_start(process_id: int) -> tuple[int, int]:
    """Return the parent's id, and when the process began in ticks since the boot, which no change of clocks moves."""
    stat = (_PROC / str(process_id) / "stat").read_text("utf-8", "replace")
    after_name = stat.rpartition(")")[2].split()  # the name may hold spaces and brackets
    return int(after_name[1]), int(after_name[19])
