"""The recorder: from the bounded buffer that a training loop appends to, to the spool on disk.

What it promises:

- `buffer.append` is all that a training loop waits for; everything else is done by one background thread.
- What has been in the buffer for a flush interval is in the spool, where it survives `kill -9`.
- The thread numbers events in the order in which they were appended. Every number is either in the spool or counted as
  dropped. Past the buffer's limit metrics are dropped, the newest first; other events never are.
- A disk that fails makes it wait and try again; the training loop does not notice.
- A forked child starts a new recorder of its own on first use: new producer, new spool, nothing inherited.
"""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Final

import uuid_utils

from trailhouse import clock
from trailhouse.forking import never_destroy, unforked
from trailhouse.formed import MOST_POINTS, Context, LogCall, Record, join_calls
from trailhouse.heartbeat import Counts, heartbeat
from trailhouse.once import inform, warn_once
from trailhouse_schemas import wire
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.errors import SpoolError
from trailhouse_schemas.spool import Spool, SpooledEvent
from trailhouse_schemas.versions import latest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trailhouse.settings import ProducerSettings

__all__ = ["Recorder", "new_id"]

#: Items that are taken out of the buffer at once: what the thread holds beside the buffer stays small.
_MOST_ITEMS: Final = 5_000
_LONGEST_BACK_OFF_SECONDS: Final = 30.0
_all: Final[weakref.WeakSet[Recorder]] = weakref.WeakSet()


def new_id() -> str:
    """Return a new UUIDv7 as text."""
    return str(uuid_utils.uuid7())


class Recorder:
    """One producer: a buffer, a thread, a sequence and a spool. Any thread may append."""

    def __init__(
        self, settings: ProducerSettings, directory: Path, context: Context, *, retained: bool = False
    ) -> None:
        """Prepare a producer that spools to `directory`; nothing is written before the first event.

        Args:
            settings: how long to wait, how much to hold.
            directory: where its spool will be.
            context: the envelope of its heartbeats while no run is open.
            retained: whether the spool keeps what has been drained, as that of control facts does.
        """
        self.settings = settings
        self.directory = directory
        self.retained = retained
        #: LogCalls and Records, the oldest first. `append` is atomic; the same object for the recorder's whole life.
        self.buffer: Final[deque[LogCall | Record]] = deque()
        #: Beyond as many items no metrics are taken.
        self.limit: Final = settings.buffer_calls
        #: Contexts of the runs that are open; each heartbeat is sent once for each.
        self.contexts: list[Context] = []
        self._outside = context
        #: Called with the spool's path when there is one: how a forwarder learns of it.
        self.on_spool: Callable[[Path], None] | None = None
        #: Called when the thread starts, in each process: how the process learns that there is something to end.
        self.on_start: Callable[[], None] | None = None
        self.parent_producer_id = ""
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        """Set everything that belongs to one incarnation."""
        self.producer_id = new_id()
        self.counts = Counts()
        self.thread: threading.Thread | None = None
        self.finished = False
        self.wake = threading.Event()
        self._stop = False
        self._starting = threading.Lock()
        self._dropping = threading.Lock()
        self._points_to_drop = 0
        self._pending: list[SpooledEvent] = []
        self._spool: Spool | None = None
        self._back_off_seconds = 0.0
        self._try_again_at = 0.0
        self._beat_at = 0.0
        self._lost = 0

    def _begin_in_child(self) -> None:
        """Become a producer of one's own; locks may be in any state, and no thread came along."""
        parent = self.producer_id if self.thread is not None else self.parent_producer_id
        self.buffer.clear()
        self._begin()
        self.parent_producer_id = parent

    # What any thread may call.

    def append(self, item: LogCall | Record) -> None:
        """Take an item to be recorded; wakes the thread when the buffer is half full."""
        self.buffer.append(item)
        if self.thread is None:
            self.start()
        elif len(self.buffer) * 2 > self.limit and not self.wake.is_set():
            self.wake.set()

    def drop(self, points: int) -> None:
        """Count points of a call that found the buffer full."""
        with self._dropping:
            self._points_to_drop += points
        warn_once(
            f"more is logged than can be written: {self.limit:,} calls are waiting, the newest are dropped and counted",
            key=("buffer full",),
        )

    def start(self) -> None:
        """Start the thread unless there is one; never raises."""
        with self._starting:
            if self.thread is not None or self.finished:
                return
            thread = threading.Thread(target=self._main, name="trailhouse-recorder", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                warn_once(f"nothing can be recorded any more ({error})", key=("no thread",))
                return
            self.thread = thread
        if self.on_start is not None:
            self.on_start()

    def stop(self, deadline: float) -> int:
        """Write what is left and the last heartbeat; return how many events could not be written by then.

        Args:
            deadline: on `time.monotonic()`'s scale.
        """
        self.finished = True
        thread = self.thread
        if thread is None:
            return len(self.buffer)
        self._stop = True
        self.wake.set()
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            return len(self._pending) + len(self.buffer)
        return self._lost

    # What the thread alone does.

    def _main(self) -> None:
        interval = self.settings.flush_interval_seconds
        with unforked():
            self._form([self._heartbeat("started", next_due=True)])
        self._beat_at = time.monotonic() + self.settings.heartbeat_interval_seconds
        last_beat = False
        give_up_at = math.inf
        while time.monotonic() < give_up_at:
            stopping = self._stop
            if stopping and math.isinf(give_up_at):
                give_up_at = time.monotonic() + self.settings.finish_timeout_seconds
            try:
                self._turn()
                if stopping and not last_beat and not self.buffer:
                    last_beat = True
                    with unforked():
                        self._form_drops()
                        self._form([self._heartbeat("finished", next_due=False)])
                        self._write()
                if last_beat and not self._pending:
                    break
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever happens
                warn_once(f"an event cannot be recorded ({type(error).__name__}: {error})")
            if stopping:
                time.sleep(0.01)
            else:
                self.wake.wait(interval)
                self.wake.clear()
        self._lost = len(self._pending) + len(self.buffer)
        with unforked():
            if self._spool is not None:
                self._spool.close()

    def _turn(self) -> None:
        with unforked():
            if time.monotonic() >= self._beat_at and not self._stop:
                self._beat_at = time.monotonic() + self.settings.heartbeat_interval_seconds
                for context in self.contexts[:] or [self._outside]:
                    self._form([self._heartbeat("alive", next_due=True, context=context)])
            self._write()
        while self.buffer and not self._pending:
            with unforked():
                self._form([self.buffer.popleft() for _ in range(min(len(self.buffer), _MOST_ITEMS))])
                self._write()
        if not self._pending:
            self._form_drops()

    def _form(self, items: list[LogCall | Record]) -> None:
        for record in join_calls(items):
            sequence = self.counts.sequence
            self.counts.sequence = sequence + 1
            event_type = CATALOGUE[record.event_type]
            fields = record.fields
            fields["producer_id"] = self.producer_id
            fields["sequence"] = sequence
            try:
                value = wire.encode(latest(record.event_type), fields)
                key = str(fields[event_type.key] or self.producer_id)
            except Exception as error:  # noqa: BLE001 - one event that cannot be encoded is one event
                self.counts.events_dropped += 1
                self.counts.points_dropped += record.points
                warn_once(f"a {record.event_type} event cannot be encoded ({type(error).__name__}: {error})")
                continue
            self._pending.append(SpooledEvent(sequence, record.event_type, key, clock.now_us(), value))

    def _form_drops(self) -> None:
        with self._dropping:
            points, self._points_to_drop = self._points_to_drop, 0
        events = -(-points // MOST_POINTS)
        self.counts.sequence += events
        self.counts.events_dropped += events
        self.counts.points_dropped += points

    def _heartbeat(self, phase: str, *, next_due: bool, context: Context | None = None) -> Record:
        return heartbeat(
            phase,
            context or (self.contexts[-1] if self.contexts else self._outside),
            self.counts,
            producer_id=self.producer_id,
            parent_producer_id=self.parent_producer_id,
            next_due_seconds=self.settings.heartbeat_interval_seconds if next_due else None,
            spool_backlog=self._backlog(),
            flush_interval_seconds=self.settings.flush_interval_seconds,
        )

    def _backlog(self) -> int:
        try:
            return self._spool.backlog() if self._spool is not None else 0
        except Exception:  # noqa: BLE001 - a number for people; the disk's troubles are told where events are written
            return 0

    def _write(self) -> None:
        if not self._pending or time.monotonic() < self._try_again_at:
            return
        try:
            if self._spool is not None and not self._spool.path.exists():
                self._spool.close()
                self._spool = None
                warn_once(f"the spool in {self.directory} was removed, with what was in it; a new one is begun")
            if self._spool is None:
                self._spool = self._open()
            self._spool.append(self._pending)
        except SpoolError as error:
            self._back_off_seconds = min(max(self._back_off_seconds * 2, 0.2), _LONGEST_BACK_OFF_SECONDS)
            self._try_again_at = time.monotonic() + (0.2 if self._stop else self._back_off_seconds)
            warn_once(f"{error}; events wait in memory meanwhile", key=("spool", str(self.directory)))
            return
        if self._back_off_seconds:
            self._back_off_seconds = 0.0
            inform(f"spool {self._spool.path} can be written again")
        self._pending = []

    def _open(self) -> Spool:
        spool = Spool.create(self.directory, self.producer_id, retained=self.retained)
        never_destroy(spool)
        if self.on_spool is not None:
            self.on_spool(spool.path)
        return spool


def _in_child() -> None:
    uuid_utils.reseed_rng()
    for recorder in list(_all):
        recorder._begin_in_child()  # noqa: SLF001 - the class's own hook


os.register_at_fork(after_in_child=_in_child)
