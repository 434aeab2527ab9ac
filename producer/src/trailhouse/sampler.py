"""How the machine is used while a run goes on: one ResourcesSampled a device and interval, from a thread of its own.

CPU, memory and disk are those of this process and its children: what the run used of what it holds, however many other
runs share the node. Nobody counts network traffic by process, so that is the node's, from one process of a node alone
(local rank 0). GPUs are the devices of the run's allocation; where none is named, all that NVML shows, from local rank
0 alone. What cannot be measured is null.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from trailhouse import clock
from trailhouse.gpus import sample_gpus
from trailhouse.launchers import find_local_rank
from trailhouse.once import warn_once
from trailhouse_schemas.events import ResourcesSampled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from trailhouse.allocations import Allocation

__all__ = ["Sampler"]


@dataclass(frozen=True, slots=True)
class _Totals:
    """Counters that only grow, at one moment."""

    at_ns: int
    cpu_seconds: float
    disk: tuple[int, int] | None
    network: tuple[int, int] | None
    memory_bytes: int


class Sampler:
    """Samples every `interval` seconds until it is stopped, and once more then, so that short runs are seen too."""

    def __init__(
        self,
        interval_seconds: float,
        emit: Callable[..., bool],
        allocations: Sequence[Allocation],
        environment: Mapping[str, str],
    ) -> None:
        """Prepare a sampler; `allocations` is looked at with every sample."""
        self._interval = interval_seconds
        self._emit = emit
        self._allocations = allocations
        self._of_node = find_local_rank(environment) == 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._main, name="trailhouse-sampler", daemon=True)
        self._process_id = os.getpid()
        self._taking = threading.Lock()
        self._before: _Totals | None = None
        self._failed = False

    def start(self) -> None:
        """Start sampling; never raises."""
        try:
            self._thread.start()
        except RuntimeError as error:
            warn_once(f"resources cannot be sampled ({error})")

    def stop(self) -> None:
        """Take the last sample and end; waits for it a second at most."""
        self._stop.set()
        if os.getpid() == self._process_id and self._thread.is_alive():
            self._thread.join(1.0)

    def take(self) -> None:
        """Sample now what was used since the last time: what an allocation holds begins and ends with a sample."""
        if os.getpid() != self._process_id or self._failed:
            return
        try:
            with self._taking:
                before, self._before = self._before, self._read(psutil.Process())
                if before is not None:
                    self._sample(before, self._before)
        except Exception as error:  # noqa: BLE001 - no figures are better than no training
            self._failed = True
            warn_once(f"resources are sampled no longer ({type(error).__name__}: {error})")

    def _main(self) -> None:
        self.take()
        while not self._stop.wait(self._interval):
            self.take()
        self.take()

    def _read(self, process: psutil.Process) -> _Totals:
        cpu_seconds, memory_bytes = 0.0, 0
        disk: tuple[int, int] | None = (0, 0)
        for one in (process, *process.children(recursive=True)):
            try:
                with one.oneshot():
                    times = one.cpu_times()
                    cpu_seconds += times.user + times.system
                    memory_bytes += one.memory_info().rss
                    if disk is not None:
                        io = one.io_counters()
                        disk = (disk[0] + io.read_bytes, disk[1] + io.write_bytes)
            except psutil.NoSuchProcess:
                continue
            except (psutil.AccessDenied, AttributeError, NotImplementedError):
                disk = None
        times = process.cpu_times()
        cpu_seconds += times.children_user + times.children_system  # children that have ended
        network = psutil.net_io_counters() if self._of_node else None
        return _Totals(
            time.monotonic_ns(),
            cpu_seconds,
            disk,
            None if network is None else (network.bytes_recv, network.bytes_sent),
            memory_bytes,
        )

    def _sample(self, before: _Totals, after: _Totals) -> None:
        seconds = (after.at_ns - before.at_ns) / 1e9
        start = clock.moment(clock.microseconds_at(before.at_ns))
        cores = self._quantity("cpu") or len(os.sched_getaffinity(0))
        busy = max(0.0, after.cpu_seconds - before.cpu_seconds) / (seconds * cores) if seconds > 0 else 0.0
        self._say("cpu", start, seconds, utilization=min(1.0, busy))
        self._say(
            "memory",
            start,
            seconds,
            memory_used_bytes=after.memory_bytes,
            memory_total_bytes=int((self._quantity("memory") or 0) * 2**30) or psutil.virtual_memory().total,
        )
        for resource, was, now in (("disk", before.disk, after.disk), ("network", before.network, after.network)):
            if was is not None and now is not None:
                read, written = (max(0, n - w) for w, n in zip(was, now, strict=True))
                self._say(resource, start, seconds, read_bytes=read, written_bytes=written)
        named = [device for allocation in self._open("gpu") for device in allocation.devices]
        if named or self._of_node:
            for gpu in sample_gpus(named):
                self._say("gpu", start, seconds, **gpu)

    def _say(self, resource: str, start: Any, seconds: float, **measured: Any) -> None:
        device = str(measured.get("device", ""))
        names = {device, *measured.pop("also_named", ())}
        mine = [a for a in self._open(resource) if not a.devices or not device or names & set(a.devices)]
        self._emit(
            ResourcesSampled,
            allocation_id=mine[0].allocation_id if mine else "",
            resource=resource,
            interval_start=start,
            interval_seconds=seconds,
            **measured,
        )

    def _open(self, resource: str) -> list[Allocation]:
        return [a for a in list(self._allocations) if a.resource == resource and not a.released]

    def _quantity(self, resource: str) -> float:
        return sum(a.quantity for a in self._open(resource))
