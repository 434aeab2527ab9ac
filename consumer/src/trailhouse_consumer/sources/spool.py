"""Spools as a source: each event type of each spool is a partition whose offsets are the producer's sequences.

The collector holds a spool's drainer lock from its first look at it until nothing is left in it, so that neither a
forwarder nor another collector takes the same events. The plan lies in the spool itself.
"""

from __future__ import annotations

import pwd
import struct
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import structlog

from trailhouse_consumer.errors import PartitionLostError, SourceUnavailableError
from trailhouse_consumer.sources import Gap, Limits, Messages, Partition, Plan
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.errors import SpoolError
from trailhouse_schemas.spool import Spool, SpooledEvent, SpoolPlan, spool_files
from trailhouse_schemas.wire import IDENTITY_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ["SpoolSource"]

#: How often directories are looked through.
_SCAN_SECONDS: Final = 0.2
#: A spool in which nothing was left is looked into again when its file changes, and after this long in any case.
_AGAIN_SECONDS: Final = 10.0
_SEQUENCE: Final = struct.Struct(">Q")

_Signature = tuple[tuple[int, int], ...]


@dataclass(slots=True)
class _Open:
    """A spool whose drainer lock is held."""

    spool: Spool
    principal: str
    identity: bytes
    #: Types with something left, each with its open plan.
    types: dict[str, Plan | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Raw:
    """A spooled event as a dead letter wants it."""

    event: SpooledEvent
    identity: bytes

    def key(self) -> str:
        return self.event.message_key

    def headers(self) -> Sequence[tuple[str, bytes | str | None]]:
        return [(IDENTITY_HEADER, self.identity)]


class SpoolSource:
    """All spools in some directories, those that come later too."""

    name = "spool"
    buffered_bytes = 0

    def __init__(self, directories: Iterable[Path], limits: Limits) -> None:
        """Read the spools in `directories`; a directory may come to be later."""
        self._directories = list(directories)
        self._limits = limits
        self._open: dict[Path, _Open] = {}
        self._of: dict[Partition, tuple[Path, str]] = {}
        self._left: dict[Path, tuple[_Signature, float]] = {}
        self._complained: set[Path] = set()
        self._scanned = 0.0
        self._log = structlog.get_logger("trailhouse.collector")

    def poll(self, timeout_seconds: float) -> None:
        """Look through the directories; raises nothing: a spool that cannot be read is said and left alone."""
        wait = self._scanned + _SCAN_SECONDS - time.monotonic()
        if wait > 0 and timeout_seconds > 0:
            time.sleep(min(wait, timeout_seconds))
        if time.monotonic() < self._scanned + _SCAN_SECONDS:
            return
        for directory in self._directories:
            for path in spool_files(directory):
                try:
                    self._look_into(path)
                except SpoolError as error:
                    self._complain(path, str(error))
        self._scanned = time.monotonic()

    def partitions(self) -> list[Partition]:
        """Return the types of events that are left, of each spool."""
        return list(self._of)

    def due(self) -> list[Partition]:
        """Return the partitions whose oldest event has waited long enough, or that have an open plan."""
        now_us = time.time_ns() // 1000
        ready = []
        for partition, (path, name) in self._of.items():
            if self._open[path].types[name] is not None:
                ready.append(partition)
                continue
            oldest = self._open[path].spool.read(name, after=self._done(partition), limit_events=1)
            if oldest and not 0 <= now_us - oldest[0].appended_us < self._limits.seconds * 1e6:
                ready.append(partition)
        return ready

    def open_plan(self, partition: Partition) -> Plan | None:
        """Return the plan that the spool holds."""
        path, name = self._of[partition]
        return self._open[path].types[name]

    def read(self, partition: Partition) -> Messages:
        """Read the next events of that type, or those of the open plan."""
        path, name = self._of[partition]
        opened = self._open[path]
        plan = opened.types[name]
        if plan is not None:
            whole = plan.last - plan.first + 1
            events = opened.spool.read(
                name, after=plan.first - 1, through=plan.last, limit_events=whole, limit_bytes=1 << 40
            )
        else:
            events = opened.spool.read(
                name,
                after=self._done(partition),
                limit_events=self._limits.rows,
                limit_bytes=self._limits.bytes,
            )
        identities: list[bytes | None] = [opened.identity + _SEQUENCE.pack(event.sequence) for event in events]
        return Messages(
            offsets=np.array([event.sequence for event in events], np.int64),
            published_us=np.array([event.appended_us for event in events], np.int64),
            values=[event.value for event in events],
            identities=identities,
            raw=lambda place: _Raw(events[place], identities[place] or b""),
            principal=opened.principal,
            principal_source="spool_owner",
        )

    def commit_plan(self, partition: Partition, plan: Plan) -> None:
        """Store the plan in the spool; raises `PartitionLostError`, `SourceUnavailableError`."""
        path, name = self._of.get(partition, (None, ""))
        if path is None or not self._open[path].spool.drainer_lock.held:
            raise PartitionLostError(f"Spool {partition.topic_id} is somebody else's now")
        opened = self._open[path]
        try:
            opened.spool.set_plan(SpoolPlan(name, plan.first, plan.last, plan.tries))
        except SpoolError as error:
            raise SourceUnavailableError(str(error)) from error
        opened.types[name] = plan

    def landed(self, partition: Partition, plan: Plan) -> None:
        """Close the plan in the spool; its events leave unless the spool is retained."""
        path, name = self._of[partition]
        opened = self._open[path]
        try:
            opened.spool.set_done(name, plan.last)
        except SpoolError as error:
            raise SourceUnavailableError(str(error)) from error
        opened.types[name] = None
        if not opened.spool.read(name, after=self._done(partition), limit_events=1):
            del self._of[partition]
            del opened.types[name]
            if not opened.types:
                self._leave(path)

    def settle(self) -> None:
        """Nothing to do: `landed` says it all."""

    def gaps(self) -> Iterable[Gap]:
        """Return none: what a spool does not have was never in it."""
        return ()

    def lag(self) -> dict[Partition, int]:
        """Return the backlog of each spool, under the first of its types."""
        first = {path: partition for partition, (path, _) in reversed(self._of.items())}
        return {partition: self._open[path].spool.backlog() for path, partition in first.items()}

    @property
    def drained(self) -> bool:
        """Whether nothing is left in any spool that can be had."""
        return self._scanned > 0 and not self._of

    def close(self) -> None:
        """Give all locks back."""
        for path in list(self._open):
            self._leave(path)
        self._of.clear()

    def _done(self, partition: Partition) -> int:
        path, name = self._of[partition]
        return self._open[path].spool.done_through(name)

    def _look_into(self, path: Path) -> None:
        if path not in self._open and not self._take(path):
            return
        opened = self._open[path]
        plans = {
            plan.event_type: Plan(plan.first_sequence, plan.last_sequence, plan.tries) for plan in opened.spool.plans()
        }
        for name in opened.spool.event_types():
            if name in opened.types:
                continue
            if name not in CATALOGUE:
                self._complain(path, f"Spool {path} has events of unknown type {name}; upgrade the collector")
                continue
            partition = Partition(CATALOGUE[name].topic, f"spool:{opened.spool.producer_id}", -1)
            if name in plans or opened.spool.read(name, after=opened.spool.done_through(name), limit_events=1):
                opened.types[name] = plans.get(name)
                self._of[partition] = (path, name)
        if not opened.types:
            self._leave(path)

    def _take(self, path: Path) -> bool:
        seen, at = self._left.get(path, ((), 0.0))
        if seen and seen == _signature(path) and time.monotonic() < at + _AGAIN_SECONDS:
            return False
        spool = Spool.open(path)
        if not spool.drainer_lock.acquire():
            spool.close()
            self._complain(path, f"Spool {path} is drained by another process; it is left to that one")
            return False
        identity = uuid.UUID(spool.producer_id).bytes
        self._open[path] = _Open(spool, _owner(path), identity)
        return True

    def _leave(self, path: Path) -> None:
        opened = self._open.pop(path)
        try:
            finished = opened.spool.remove_if_finished()
        except SpoolError:
            finished = False
        if not finished:
            opened.spool.close()
            self._left[path] = (_signature(path), time.monotonic())
        else:
            self._left.pop(path, None)

    def _complain(self, path: Path, text: str) -> None:
        if path not in self._complained:
            self._complained.add(path)
            self._log.warning("spool left alone", reason=text)


def _signature(path: Path) -> _Signature:
    """Return what changes when somebody writes to a spool."""
    found = []
    for file in (path, path.with_name(path.name + "-wal")):
        try:
            status = file.stat()
        except FileNotFoundError:
            continue
        found.append((status.st_size, status.st_mtime_ns))
    return tuple(found)


def _owner(path: Path) -> str:
    """Return the name of the user whose file it is, or the number where there is no name."""
    number = path.stat().st_uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
