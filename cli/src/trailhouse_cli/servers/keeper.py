"""Keeps one server process for a parent that may die at any moment: no server outlives who asked for it.

The parent writes one command a line (`start`, `stop SECONDS`, `kill`, `poll`) and reads one JSON object a line. When
the parent is gone, however it went, the server is killed and its directory removed. Run as a script by itself, with the
standard library alone, so that starting it takes milliseconds and forks nothing of the parent's.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PARENT_CHECK_SECONDS = 1.0


def _die_with_parent() -> None:
    """Have the kernel kill this process when the keeper itself is killed; elsewhere than on Linux nothing does."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Keeper:
    """One server process, started and stopped any number of times."""

    def __init__(
        self, command: list[str], *, directory: Path | str, log: Path | str, environment: dict[str, str]
    ) -> None:
        """Take the command, the directory it runs in, the file its output goes to, and variables to add."""
        self._command = command
        self._directory = directory
        self._log = log
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> dict[str, Any]:
        """Start the server unless it runs."""
        if self._process is None or self._process.poll() is not None:
            with open(self._log, "ab") as log:  # noqa: PTH123 - a script that imports no more than it needs
                self._process = subprocess.Popen(  # noqa: S603 - the parent's own command
                    self._command,
                    cwd=self._directory,
                    env=os.environ | self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    process_group=0,
                    preexec_fn=_die_with_parent,  # noqa: PLW1509 - this process has one thread
                )
        return {"pid": self._process.pid}

    def stop(self, seconds: float) -> dict[str, Any]:
        """Ask the server to end, and kill it when it has not after so many seconds."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                return self.kill()
        return self.poll()

    def kill(self) -> dict[str, Any]:
        """Kill the server and what it has started."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        return self.poll()

    def poll(self) -> dict[str, Any]:
        """Say whether the server runs, and with which code it ended."""
        if self._process is None:
            return {"running": False, "code": None}
        code = self._process.poll()
        return {"running": code is None, "code": code}


def _commands(parent: int) -> Any:
    """Yield the parent's commands, word by word; ends when the parent does."""
    pending = b""
    while os.getppid() == parent:
        # A child that the parent forked may hold the pipe open, so the end of the pipe alone does not tell.
        if not select.select([0], [], [], _PARENT_CHECK_SECONDS)[0]:
            continue
        received = os.read(0, 4096)
        if not received:
            return
        *lines, pending = (pending + received).split(b"\n")
        for line in lines:
            yield line.decode().split()


def main() -> None:
    """Obey until the parent is gone."""
    order = json.loads(sys.argv[1])
    keeper = Keeper(order["command"], directory=order["directory"], log=order["log"], environment=order["environment"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        for command, *arguments in _commands(order["parent"]):
            answer = getattr(keeper, command)(*map(float, arguments))
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    finally:
        keeper.kill()
        if order["remove"]:
            shutil.rmtree(order["directory"], ignore_errors=True)


if __name__ == "__main__":
    main()
