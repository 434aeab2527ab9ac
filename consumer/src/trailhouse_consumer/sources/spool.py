"""Spools as a source: each event type of each spool is a partition whose offsets are the producer's sequences.

The collector holds a spool's drainer lock from its first look at it until nothing is left in it, so that neither a
forwarder nor another collector takes the same events. The plan lies in the spool itself.

A spool that something is wrong with is said once and left out; the others go on. So are events that a forwarder has
begun to publish: the broker may have them, and they would be landed from there a second time.
"""

from __future__ import annotations

import pwd
import sqlite3
import struct
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, takewhile
from typing import TYPE_CHECKING, Final

import numpy as np
import structlog

from trailhouse_consumer.errors import PartitionLostError, SourceUnavailableError
from trailhouse_consumer.sources import Backlog, Gap, Limits, Messages, Partition, Plan, Whole
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.deaths import remember_end, tell_death
from trailhouse_schemas.errors import SpoolError
from trailhouse_schemas.spool import Spool, SpooledEvent, SpoolPlan, spool_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["SpoolSource"]

#: How often directories are looked through.
_SCAN_SECONDS: Final = 0.2
#: A spool in which nothing was left is looked into again when its file changes, and after this long in any case.
_AGAIN_SECONDS: Final = 10.0
#: Counting what is left may take this part of the time: one in so many.
_BACKLOG_SHARE: Final = 50
_SEQUENCE: Final = struct.Struct(">Q")

#: What a damaged or a foreign file may lead to.
_WRONG: Final = (SpoolError, OSError, ValueError, TypeError, KeyError, struct.error)
#: What is wrong for a while only.
_PASSING: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL})

_Signature = tuple[tuple[int, int], ...]


@dataclass(slots=True)
class _Open:
    """A spool whose drainer lock is held."""

    spool: Spool
    principal: str
    identity: bytes
    #: Types with something left, each with its open plan.
    types: dict[str, Plan | None] = field(default_factory=dict)


class SpoolSource:
    """All spools in some directories, those that come later too."""

    name = "spool"
    buffered_bytes = 0

    def __init__(
        self, directories: Iterable[Path], limits: Limits, take_up: Callable[[Path], int] | None = None
    ) -> None:
        """Read the spools in `directories`; a directory may come to be later.

        Args:
            directories: where spools are.
            limits: how large a range is, and how long it waits.
            take_up: brings into the spools of a directory what dead producers have left elsewhere; returns how many of
                them are still to be waited for.
        """
        self._take_up = take_up
        self._to_come = 0
        self._directories = list(directories)
        self._limits = limits
        self._open: dict[Path, _Open] = {}
        self._of: dict[Partition, tuple[Path, str, int]] = {}
        self._left: dict[Path, tuple[_Signature, float]] = {}
        self._complained: set[tuple[Path, str]] = set()
        self._scanned = 0.0
        self.losing: Callable[[Sequence[Partition]], None] = lambda _partitions: None
        self.rebalanced: Callable[[str], None] = lambda _kind: None
        self._backlog: dict[Partition, Backlog] = {}
        self._backlog_at = 0.0
        self._unreadable: dict[Path, str] = {}
        self._assignments = count(1)
        self._log = structlog.get_logger("trailhouse.collector")

    def poll(self, timeout_seconds: float) -> bool:
        """Look through the directories; raises nothing: what cannot be read is said and left alone."""
        before = len(self._of)
        wait = self._scanned + _SCAN_SECONDS - time.monotonic()
        if wait > 0 and timeout_seconds > 0:
            time.sleep(min(wait, timeout_seconds))
        if time.monotonic() < self._scanned + _SCAN_SECONDS:
            return False
        self._to_come = 0
        for directory in self._directories:
            try:
                if self._take_up is not None:
                    self._to_come += self._take_up(directory)
                paths = spool_files(directory)
            except _WRONG as error:
                self._unreadable[directory] = str(error)
                self._complain(directory, str(error))
                continue
            self._unreadable.pop(directory, None)
            for path in paths:
                with self._leaving_out(path):
                    self._look_into(path)
        self._scanned = time.monotonic()
        return len(self._of) > before

    def partitions(self) -> list[Partition]:
        """Return the types of events that are left, of each spool."""
        return list(self._of)

    def due(self) -> list[Partition]:
        """Return the partitions whose oldest event has waited long enough, or that have an open plan."""
        now_us = time.time_ns() // 1000
        ready = []
        for partition, (path, name, _) in list(self._of.items()):
            with self._leaving_out(path):
                if path not in self._open:
                    continue
                opened = self._open[path]
                waits = self._limits.wait_at_end and opened.types[name] is None
                oldest = waits and _next(opened, name, 1)
                if not oldest or not 0 <= now_us - oldest[0].appended_us < self._limits.seconds * 1e6:
                    ready.append(partition)
        return [partition for partition in ready if partition in self._of]

    def open_plan(self, partition: Partition) -> Plan | None:
        """Return the plan that the spool holds; raises `PartitionLostError`."""
        _, name, opened = self._place(partition)
        return opened.types[name]

    def read(self, partition: Partition) -> Messages:
        """Read the next events of that type, or those of the open plan; raises `PartitionLostError`."""
        path, name, opened = self._place(partition)
        plan = opened.types[name]
        with self._losing(path):
            if plan is None:
                events = _next(opened, name, self._limits.rows, self._limits.bytes)
            else:
                whole = plan.last - plan.first + 1
                events = opened.spool.read(
                    name, after=plan.first - 1, through=plan.last, limit_events=whole, limit_bytes=1 << 40
                )
            return _messages(opened, events)

    def commit_plan(self, partition: Partition, plan: Plan) -> None:
        """Store the plan in the spool; raises `PartitionLostError`, `SourceUnavailableError`."""
        path, name, opened = self._place(partition)
        with self._losing(path):
            whole = None if plan.whole is None else (plan.whole.first, plan.whole.last, *plan.whole.used)
            opened.spool.set_plan(SpoolPlan(name, plan.first, plan.last, plan.tries, whole))
        opened.types[name] = plan

    def landed(self, partition: Partition, plan: Plan) -> None:
        """Close the plan in the spool; its events leave unless the spool is retained.

        Raises:
            PartitionLostError: the spool is damaged; the plan is still open in it.
            SourceUnavailableError: the disk is full; say it again.
        """
        path, name, opened = self._place(partition)
        with self._losing(path):
            remember_end(opened.spool, plan.last)
            opened.spool.set_done(name, plan.last)
            opened.types[name] = None
            if not self._is_left(path, opened, name):
                del self._of[partition]
                del opened.types[name]
                if not opened.types:
                    self._leave(path)

    def settle(self) -> None:
        """Nothing to do: `landed` says it all."""

    def gaps(self) -> Iterable[Gap]:
        """Return none: what a spool does not have was never in it."""
        return ()

    def watch(self) -> None:
        """Nothing to do: all that is asked for is on this machine."""

    def backlog(self) -> dict[Partition, Backlog]:
        """Return what is left of each type in each spool; counted anew when that has cost little of the time since."""
        begun = time.monotonic()
        if begun >= self._backlog_at:
            found = {}
            for partition, (path, name, _) in list(self._of.items()):
                with self._leaving_out(path):
                    if path in self._open:
                        found[partition] = Backlog(*self._open[path].spool.waiting(name))
            self._backlog = found
            took = time.monotonic() - begun
            self._backlog_at = begun + took * _BACKLOG_SHARE
        return {partition: backlog for partition, backlog in self._backlog.items() if partition in self._of}

    def unready(self) -> str:
        """Return which directory cannot be looked through."""
        return "; ".join(self._unreadable.values())

    def stuck(self) -> dict[Partition, str]:
        """Return none: a spool that is left alone is not this collector's."""
        return {}

    @property
    def drained(self) -> bool:
        """Whether nothing is left in any spool that can be had."""
        return self._scanned > 0 and not self._of and not self._to_come

    def close(self) -> None:
        """Give all locks back."""
        for path in list(self._open):
            self._leave(path)
        self._of.clear()

    def _place(self, partition: Partition) -> tuple[Path, str, _Open]:
        path, name, assignment = self._of.get(partition, (None, "", 0))
        if path is None or assignment != partition.assignment or not self._open[path].spool.drainer_lock.held:
            raise PartitionLostError(f"Spool {partition.topic_id} is somebody else's now, or left alone")
        return path, name, self._open[path]

    @contextmanager
    def _leaving_out(self, path: Path) -> Iterator[None]:
        """Leave a spool out, and say so, when something turns out to be wrong with it."""
        try:
            yield
        except _WRONG as error:
            self._leave_out(path, error)

    @contextmanager
    def _losing(self, path: Path) -> Iterator[None]:
        """The same for who works at one of its partitions: it is lost, unless waiting will help."""
        try:
            yield
        except _WRONG as error:
            if getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF in _PASSING:
                raise SourceUnavailableError(str(error)) from error
            self._leave_out(path, error)
            raise PartitionLostError(str(error)) from error

    def _leave_out(self, path: Path, error: BaseException) -> None:
        text = str(error) if isinstance(error, SpoolError) else f"Spool {path} cannot be read ({error})"
        self._complain(path, text)
        for partition in [partition for partition, (of, _, _) in self._of.items() if of == path]:
            del self._of[partition]
        if opened := self._open.pop(path, None):
            opened.spool.close()
        self._left[path] = (_signature(path), time.monotonic())

    def _look_into(self, path: Path) -> None:
        if path not in self._open and not self._take(path):
            return
        opened = self._open[path]
        plans = {plan.event_type: _plan(plan) for plan in opened.spool.plans()}
        for name in opened.spool.event_types():
            if name in opened.types:
                continue
            if name not in CATALOGUE:
                self._complain(path, f"Spool {path} has events of unknown type {name}; upgrade the collector")
                continue
            partition = Partition(
                CATALOGUE[name].topic, f"spool:{opened.spool.producer_id}", -1, next(self._assignments)
            )
            if name in plans or self._is_left(path, opened, name):
                opened.types[name] = plans.get(name)
                self._of[partition] = (path, name, partition.assignment)
        if not opened.types:
            self._leave(path)

    def _is_left(self, path: Path, opened: _Open, name: str) -> bool:
        """Return whether there are events of a type to land; say so where they are a forwarder's."""
        found = opened.spool.read(name, after=opened.spool.done_through(name), limit_events=1)
        if found and found[0].partition is not None:
            self._complain(
                path, f"Events of type {name} in spool {path} are begun to be published; run 'trailhouse forward'"
            )
            return False
        return bool(found)

    def _take(self, path: Path) -> bool:
        seen, at = self._left.get(path, ((), 0.0))
        if seen and seen == _signature(path) and time.monotonic() < at + _AGAIN_SECONDS:
            return False
        spool = Spool.open(path)
        try:
            if not spool.drainer_lock.acquire():
                self._complain(path, f"Spool {path} is drained by another process; it is left to that one")
                return False
            self._open[path] = _Open(spool, _owner(path), _identity(spool))
        finally:
            if path not in self._open:
                spool.close()
        return True

    def _leave(self, path: Path) -> None:
        opened = self._open.pop(path)
        try:
            if tell_death(opened.spool) is not None:
                self._log.info("process found dead", spool=str(path))
            finished = opened.spool.remove_if_finished()
        except (SpoolError, OSError):
            finished = False
        if not finished:
            opened.spool.close()
            self._left[path] = (_signature(path), time.monotonic())
        else:
            self._left.pop(path, None)

    def _complain(self, path: Path, text: str) -> None:
        if (path, text) not in self._complained:
            self._complained.add((path, text))
            self._log.warning("spool left alone", reason=text)


def _plan(stored: SpoolPlan) -> Plan:
    whole = None
    if stored.whole is not None:
        first, last, letters, rows = stored.whole
        whole = Whole(first, last, (letters, rows))
    return Plan(stored.first_sequence, stored.last_sequence, stored.tries, whole)


def _next(opened: _Open, name: str, limit_events: int, limit_bytes: int = 1) -> list[SpooledEvent]:
    """Return the next events of a type that are not done, up to the first that a forwarder may have sent."""
    spool = opened.spool
    events = spool.read(name, after=spool.done_through(name), limit_events=limit_events, limit_bytes=limit_bytes)
    return list(takewhile(lambda event: event.partition is None, events))


def _messages(opened: _Open, events: list[SpooledEvent]) -> Messages:
    identities: list[bytes | None] = [opened.identity + _SEQUENCE.pack(event.sequence) for event in events]
    return Messages(
        offsets=np.array([event.sequence for event in events], np.int64),
        published_us=np.array([event.appended_us for event in events], np.int64),
        values=[event.value for event in events],
        identities=identities,
        keys=[event.message_key.encode() for event in events],
        principal=opened.principal,
        principal_source="spool_owner",
    )


def _identity(spool: Spool) -> bytes:
    """Return the bytes of the producer's id, which events are identified by; raises `SpoolError`."""
    try:
        return uuid.UUID(spool.producer_id).bytes
    except ValueError as error:
        raise SpoolError(
            f"Spool {spool.path} is of producer {spool.producer_id!r}, which is no UUID; move it away"
        ) from error


def _signature(path: Path) -> _Signature:
    """Return what changes when somebody writes to a spool."""
    found = []
    for file in (path, path.with_name(path.name + "-wal")):
        try:
            status = file.stat()
        except OSError:
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
