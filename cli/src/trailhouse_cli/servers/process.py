"""A server process of ours: it starts, stops, is killed and starts again, and never outlives this process."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trailhouse_cli.errors import ServerStartError
from trailhouse_cli.servers.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["HOST", "OwnedProcess", "free_port", "new_directory"]

#: Servers of ours listen here and nowhere else.
HOST = "127.0.0.1"

_KEEPER = Path(__file__).with_name("keeper.py")
#: Below the ports that systems hand to outgoing connections (from 32768 on): a stopped server finds its port free.
_PORTS = range(18_000, 32_000)
_STARTUP_SECONDS = 90.0
_STOP_SECONDS = 20.0
_LOG_LINES = 5


def free_port(preferred: int = 0) -> int:
    """Return a TCP port that nobody listens on and that no outgoing connection will be given; the preferred if free."""
    while True:
        port, preferred = preferred or random.SystemRandom().choice(_PORTS), 0
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                return port


def new_directory(name: str) -> Path:
    """Return a fresh directory for one server's data, configuration and log."""
    return Path(tempfile.mkdtemp(prefix=f"trailhouse-{name}-"))


class OwnedProcess:
    """One server process that this process owns, through a keeper that outlives this process by a moment only.

    Not for two threads at once to start and stop; asking is safe from any thread.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        directory: Path,
        is_ready: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Take what to run, where, and how to ask whether it serves. Nothing runs before `start`.

        `directory` belongs to the server from now on: it is removed by `close`, or when this process ends.
        """
        self.name = name
        self.log = directory / f"{name}.log"
        self._directory = directory
        self._is_ready = is_ready
        self._lock = threading.Lock()
        self.pid = 0
        order = {
            "command": list(command),
            "directory": str(directory),
            "environment": dict(environment or {}),
            "log": str(self.log),
            "parent": os.getpid(),
            "remove": True,
        }
        self._keeper = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "-I", "-S", str(_KEEPER), json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in a terminal is for us, not for the servers
        )

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return bool(self._ask("poll")["running"])

    def start(self) -> None:
        """Start the server unless it runs, and return when it serves; raises `ServerStartError`."""
        self.pid = int(self._ask("start")["pid"])
        # Whoever answers while ours has ended is a stranger on our port.
        wait_until(lambda: not self.running or self._is_ready(), seconds=_STARTUP_SECONDS)
        state = self._ask("poll")
        if not state["running"]:
            raise ServerStartError(self.name, f"it ended with code {state['code']}", self._last_lines())
        if not self._is_ready():
            self.kill()
            raise ServerStartError(self.name, f"it did not answer in {_STARTUP_SECONDS:g} s", self._last_lines())

    def stop(self) -> None:
        """Ask the server to end in order and wait for it; its data stay."""
        self._ask("stop", _STOP_SECONDS)

    def kill(self) -> None:
        """Kill the server as a power cut would; its data stay as they are."""
        self._ask("kill")

    def close(self) -> None:
        """Kill the server for good and remove its data."""
        if self._keeper.stdin is None or self._keeper.stdin.closed:
            return
        with contextlib.suppress(BrokenPipeError):
            self._keeper.stdin.close()
        self._keeper.wait()
        if self._keeper.stdout is not None:
            self._keeper.stdout.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _ask(self, command: str, *arguments: float) -> dict[str, Any]:
        """Give the keeper one command and return its answer."""
        if self._keeper.stdin is None or self._keeper.stdout is None:
            raise ServerStartError(self.name, "its keeper has no pipes", "")
        with self._lock:
            try:
                self._keeper.stdin.write((" ".join([command, *map(str, arguments)]) + "\n").encode())
                self._keeper.stdin.flush()
                answer = self._keeper.stdout.readline()
            except (BrokenPipeError, ValueError):
                answer = b""
        if not answer:
            raise ServerStartError(self.name, "its keeper is gone", self._last_lines())
        return dict(json.loads(answer))

    def _last_lines(self) -> str:
        """Return what the server said last."""
        if not self.log.exists():
            return ""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        # An indented line goes on with the one before: the frames of a Java stack, which tell a stranger nothing.
        return " | ".join([line for line in lines if not line[:1].isspace()][-_LOG_LINES:])
