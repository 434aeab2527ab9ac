"""The collectors of a soak: processes that run the command `collect`, each behind a proxy of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trailhouse_cli.servers.process import HOST
from trailhouse_cli.servers.waiting import wait_until

if TYPE_CHECKING:
    from soak.proxy import Proxy

__all__ = ["Collector", "Group", "Nursery"]

_NURSERY = Path(__file__).with_name("nursery.py")


class Nursery:
    """Starts collectors, says how they have ended, and leaves none behind."""

    def __init__(self, broken: str = "") -> None:
        """Start the process that forks them; `broken` is a way in which they do not do as they should."""
        path = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, str(_NURSERY), *([broken] if broken else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path), "TRAILHOUSE_CONFIG": os.devnull},
            start_new_session=True,
        )
        self._lock = threading.Lock()
        self._codes: dict[int, int] = {}

    def start(self, arguments: list[str], environment: dict[str, str], log: Path) -> int:
        """Start a process; return its pid."""
        pid = int(self._ask({"arguments": arguments, "environment": environment, "log": str(log)})["pid"])
        self._codes.pop(pid, None)  # of an earlier process with that number
        return pid

    def code(self, pid: int) -> int | None:
        """Return how a process has ended; None while it runs."""
        self._codes |= {int(ended): code for ended, code in self._ask({})["ended"].items()}
        return self._codes.get(pid)

    def close(self) -> None:
        """Kill everything, the stopped too."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("The process that forks the collectors is gone; what it said is above")
        found: dict[str, Any] = json.loads(answer)
        return found


@dataclass(frozen=True, slots=True)
class Group:
    """What all collectors of a soak have in common."""

    kafka: str
    group: str
    protocol: str
    session_seconds: float
    database: str
    password: str
    directory: Path

    def arguments(self, warehouse_port: int, flush_rows: int) -> list[str]:
        """Return the command line of a collector that reaches the warehouse by this port."""
        return [
            "collect",
            *("--kafka", self.kafka),
            *("--warehouse", f"clickhouse://default@{HOST}:{warehouse_port}/{self.database}"),
            *("--group", self.group),
            *("--group-protocol", self.protocol),
            *("--flush-rows", str(flush_rows)),
            *("--flush-seconds", "0.05"),
        ]

    def environment(self, instance: str) -> dict[str, str]:
        """Return its settings that are no flags; `instance` makes it a static member of the group."""
        client: dict[str, str] = {}
        if self.protocol == "classic":
            client["heartbeat.interval.ms"] = "500"
        if instance:
            client["group.instance.id"] = instance
        return {
            "TRAILHOUSE_HOME": str(self.directory),
            "TRAILHOUSE_WAREHOUSE_PASSWORD": self.password,
            "TRAILHOUSE_COLLECT_SESSION_TIMEOUT_SECONDS": str(self.session_seconds),
            "TRAILHOUSE_COLLECT_BACKOFF_SECONDS": "0.5",
            "TRAILHOUSE_COLLECT_IDLE_SECONDS": "1",
            "TRAILHOUSE_COLLECT_KAFKA_CLIENT": json.dumps(client),
        }


class Collector:
    """One place of a collector: who dies in it is followed by another."""

    def __init__(self, name: str, group: Group, nursery: Nursery, proxy: Proxy, *, static: bool) -> None:
        """Start nothing yet."""
        self.name = name
        self.proxy = proxy
        self.log = group.directory / f"{name}.log"
        self._group = group
        self._nursery = nursery
        self._static = static
        self.pid = 0
        self.stopped = False

    @property
    def running(self) -> bool:
        """Whether there is a process, stopped or not."""
        return bool(self.pid) and self._nursery.code(self.pid) is None

    @property
    def code(self) -> int | None:
        """How the last process ended."""
        return self._nursery.code(self.pid) if self.pid else None

    def start(self, flush_rows: int, *more: str) -> None:
        """Start a process that makes ranges of so many messages; each has its own, so that no two cut them alike."""
        self.stopped = False
        instance = self.name if self._static else ""
        arguments = [*self._group.arguments(self.proxy.port, flush_rows), *more]
        self.pid = self._nursery.start(arguments, self._group.environment(instance), self.log)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; to who has ended by now, nothing."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, seconds: float) -> bool:
        """Wait for its end at most that long; return whether it ended."""
        return wait_until(lambda: not self.running, seconds=seconds)

    def end(self, seconds: float) -> bool:
        """Let it end in order; return False where it did not in that time, and had to be killed."""
        if not self.running:
            return True
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        if self.wait(seconds):
            return True
        self.signal(signal.SIGKILL)
        self.wait(seconds)
        return False
