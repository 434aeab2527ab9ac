"""Starts a helper process: detached, with nothing inherited but the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from trailhouse.once import warn_once
from trailhouse.rings import HELPER_LOCK
from trailhouse_schemas.spool import FileLock

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["start_helper"]

_START_SECONDS: Final = 10.0
#: The process that is waited for ends at once; its child is nobody's, and no zombie of the training process.
_PROGRAM: Final = (
    "import os, sys; os.fork() and os._exit(0); "
    "from trailhouse.helping import main; main(sys.argv[2], int(sys.argv[1]))"
)


def start_helper(directory: Path) -> bool:
    """Start a helper for the rings in `directory` unless there is one; return whether there is. Never raises.

    It inherits the lock by which others see that there is one, so that of many processes one starts it. Its modules are
    found as this process finds them.
    """
    if not sys.executable:
        return False
    lock = FileLock(directory / HELPER_LOCK)
    try:
        return not lock.acquire() or _start(directory, lock.descriptor or 0)
    except (OSError, subprocess.SubprocessError) as error:
        warn_once(f"no helper process can be started ({error}); a thread of this one writes events", key=("helper",))
        return False
    finally:
        lock.release()


def _start(directory: Path, descriptor: int) -> bool:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-c", _PROGRAM, str(descriptor), str(directory)],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
        pass_fds=(descriptor,),
        timeout=_START_SECONDS,
        check=False,
    )
    return done.returncode == 0
