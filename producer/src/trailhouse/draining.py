"""From a ring to a spool: numbers events, encodes them and writes them, in whichever process does it.

What it promises:

- Events are numbered in the order in which they were written. Every number is in the spool or counted as dropped.
- What was taken out of the ring, and up to where that was, are stored in one transaction: whoever goes on after this
  process has died, at any moment, begins where the spool ends, and with the next number.
- Only then are the slots free for the writer. A disk that fails fills the ring, and nothing else.
- The last event is a heartbeat, and the only one of its kind: `finished` when the writer has said its end, `found_dead`
  when it is gone without. Both count all that there was.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trailhouse.forking import never_destroy
from trailhouse.formed import MOST_POINTS, Context
from trailhouse.forming import Former, Joined, Sealed
from trailhouse.heartbeat import Counts, heartbeat
from trailhouse.once import inform, warn_once
from trailhouse.ring import BEAT, DONE, DROPPED_EVENTS, DROPPED_POINTS, OPEN_RUNS, PROGRESS
from trailhouse_schemas import wire
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.errors import SpoolError
from trailhouse_schemas.spool import SPOOL_SUFFIX, Spool, SpooledEvent
from trailhouse_schemas.versions import latest

if TYPE_CHECKING:
    from collections.abc import Callable

    from trailhouse.formed import Record
    from trailhouse.ring_reader import RingReader

__all__ = ["Drainer"]

#: Slots that are taken out at once: what is held in memory stays small.
_MOST_SLOTS: Final = 5_000
_LONGEST_BACK_OFF_SECONDS: Final = 30.0
_END_BACK_OFF_SECONDS: Final = 0.2
#: Phases of a last heartbeat.
_ENDS: Final = ("", "finished", "found_dead")
#: How much later than its heartbeat a process may have been seen that is alive.
_STALE_SECONDS: Final = 2.0


class Drainer:
    """Empties one ring into one spool. Whoever calls it holds the ring's drainer lock; one thread at a time."""

    def __init__(self, reader: RingReader, *, on_spool: Callable[[Path], None] | None = None) -> None:
        """Take the ring; nothing is opened before the first turn.

        Args:
            reader: the ring.
            on_spool: called with the spool's path when it is open: how a forwarder learns of it.
        """
        owner = reader.owner
        self._reader = reader
        self._on_spool = on_spool
        self.producer_id: str = owner["producer_id"]
        self.directory = Path(owner["spool"])
        self.counts = Counts()
        self.backed_off_seconds = 0.0
        self._owner = owner
        self._former = Former(reader, owner["clock_base_ns"])
        self._outside = Context(**owner["context"])
        self._spool: Spool | None = None
        self._position = 0
        self._seen_points = 0
        self._seen_events = 0
        self._pending: list[SpooledEvent] = []
        self._pending_until = 0
        self._try_again_at = 0.0
        self._beat_at = 0.0
        self._turn_at = 0.0
        #: How the last heartbeat that was numbered says it ended, a place in `_ENDS`.
        self._ended = 0

    @property
    def spool_path(self) -> Path | None:
        """The spool that it writes to; None before it has."""
        return None if self._spool is None else self._spool.path

    @property
    def new_spool_path(self) -> Path:
        """Where that will be."""
        return self.directory / f"{self.producer_id}{SPOOL_SUFFIX}"

    @property
    def pending(self) -> int:
        """Events that were taken out and could not be written yet."""
        return len(self._pending)

    def is_due(self) -> bool:
        """Return whether it is time for a turn: what was written has waited, or fills half the ring."""
        return time.monotonic() >= self._turn_at or self._reader.is_written(self._position + self._reader.slots // 2)

    def turn(self, *, writer_gone: bool = False) -> bool:
        """Take out what is there, once, and write it; return whether there may be more at once.

        Where the spool cannot be written it says so, waits longer each time, and returns False.
        """
        if time.monotonic() < self._try_again_at:
            return False
        try:
            self._open()
            if self._pending:
                self._write()
            more = self._take(writer_gone=writer_gone)
            self._write()
        except SpoolError as error:
            self.backed_off_seconds = min(max(self.backed_off_seconds * 2, 0.2), _LONGEST_BACK_OFF_SECONDS)
            self._try_again_at = time.monotonic() + self.backed_off_seconds
            warn_once(f"{error}; events wait in memory meanwhile", key=("spool", str(self.directory)))
            return False
        if self.backed_off_seconds:
            self.backed_off_seconds = 0.0
            inform(f"spool directory {self.directory} can be written again")
        return more

    def _take(self, *, writer_gone: bool) -> bool:
        """Take out and number what is there, or nothing where something goes wrong; return whether there is more."""
        before = replace(self.counts), self._seen_points, self._seen_events
        try:
            self._beat_if_due(writer_gone=writer_gone)
            taken = self._reader.take(self._position, _MOST_SLOTS, writer_gone=writer_gone)
            for _ in range(taken.lost):
                self._drop_event()
            for made in self._former.form(taken.items):
                self._number(made)
            more = taken.until - self._position >= _MOST_SLOTS
            if not more:
                self._number_drops()
                self._turn_at = time.monotonic() + self._owner["flush_interval_seconds"]
        except BaseException:
            self.counts, self._seen_points, self._seen_events = before
            self._pending = []
            raise
        self._pending_until = taken.until
        return more

    def end(self, phase: str, *, writer_gone: bool) -> bool:
        """Take out all that is left, and write the last heartbeat; return whether all is in the spool now.

        Args:
            phase: finished or found_dead.
            writer_gone: whether the writer's process has died, and what it had begun will never be written.
        """
        self._try_again_at = min(self._try_again_at, time.monotonic() + _END_BACK_OFF_SECONDS)
        while self.turn(writer_gone=writer_gone):
            pass
        if self._pending or self._spool is None:
            return False
        if not self._ended:
            self._number_drops()
            self._number(self._heartbeat(phase, next_due=False))
            self._ended = _ENDS.index(phase)
        try:
            self._write()
            self._spool.set_end(_ENDS[self._ended].replace("_", " "))
        except SpoolError as error:
            warn_once(f"{error}; events wait in memory meanwhile", key=("spool", str(self.directory)))
            return False
        self._reader.set(DONE, 1)
        return True

    def close(self) -> None:
        """Close the spool; another may go on where it ends."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _open(self) -> None:
        if self._spool is not None:
            if self._spool.is_there():
                return
            self.close()
        spool = Spool.create(
            self.directory, self.producer_id, retained=self._owner["retained"], ring=self._owner["ring"]
        )
        never_destroy(spool)
        self._spool = spool
        if not self._pending:
            self._go_on(spool.progress())
        if self._on_spool is not None:
            self._on_spool(spool.path)

    def _go_on(self, stored: dict[str, int]) -> None:
        """Begin where whoever was before has ended: by the spool, or by the ring where the spool is a new one."""
        said = {name: self._reader.get(place) for name, place in PROGRESS.items()}
        known = stored if stored.get("read", 0) >= said["read"] else said
        if not stored and said["sequence"]:
            warn_once(f"the spool in {self.directory} was removed, with what was in it; a new one is begun")
        self._position = known.get("read", 0)
        self._ended = stored.get("ended", 0)
        self._seen_points = known.get("seen_points", 0)
        self._seen_events = known.get("seen_events", 0)
        self.counts = Counts(known.get("sequence", 0), known.get("events_dropped", 0), known.get("points_dropped", 0))
        self._beat_at = time.monotonic() + self._owner["heartbeat_interval_seconds"]
        if not self.counts.sequence:
            self._number(self._heartbeat("started", next_due=True, at_us=self._owner["started_us"]))

    def _progress(self) -> dict[str, int]:
        return {
            "read": self._pending_until,
            "sequence": self.counts.sequence,
            "events_dropped": self.counts.events_dropped,
            "points_dropped": self.counts.points_dropped,
            "seen_points": self._seen_points,
            "seen_events": self._seen_events,
            "ended": self._ended,
        }

    def _write(self) -> None:
        if self._spool is None or not (self._pending or self._pending_until != self._position):
            return
        progress = self._progress()
        self._spool.append(self._pending, progress)
        self._pending = []
        self._position = self._pending_until
        for name, place in PROGRESS.items():
            if name != "read":
                self._reader.set(place, progress[name])
        self._reader.set(PROGRESS["read"], self._position)  # the last: it gives the slots back

    def _number(self, made: Record | Joined | Sealed) -> None:
        sequence = self.counts.sequence
        self.counts.sequence = sequence + 1
        try:
            if isinstance(made, Sealed):
                value, key = made.numbered(sequence), made.key
            elif isinstance(made, Joined):
                value, key = made.numbered(self.producer_id, sequence), self.producer_id
            else:
                fields = {**made.fields, "producer_id": self.producer_id, "sequence": sequence}
                value = wire.encode(latest(made.event_type), fields)
                key = str(fields[CATALOGUE[made.event_type].key] or self.producer_id)
        except Exception as error:  # noqa: BLE001 - one event that cannot be encoded is one event
            self.counts.events_dropped += 1
            self.counts.points_dropped += made.points
            warn_once(f"a {made.event_type} event cannot be encoded ({type(error).__name__}: {error})")
            return
        self._pending.append(SpooledEvent(sequence, made.event_type, key, self._now_us(), value))

    def _drop_event(self) -> None:
        self.counts.sequence += 1
        self.counts.events_dropped += 1

    def _number_drops(self) -> None:
        """Give numbers to what the writer had no room for, its points gathered into records."""
        points = self._reader.get(DROPPED_POINTS)
        events = self._reader.get(DROPPED_EVENTS)
        new = -(-(points - self._seen_points) // MOST_POINTS) + events - self._seen_events
        self.counts.sequence += new
        self.counts.events_dropped += new
        self.counts.points_dropped += points - self._seen_points
        self._seen_points, self._seen_events = points, events

    def _beat_if_due(self, *, writer_gone: bool) -> None:
        """Say that the writer is alive, when its process was not long ago."""
        now = time.monotonic()
        interval = self._owner["heartbeat_interval_seconds"]
        if writer_gone or now < self._beat_at or now - self._reader.get(BEAT) / 1e9 > interval + _STALE_SECONDS:
            return
        self._beat_at = now + interval
        open_runs = self._reader.definition(self._reader.get(OPEN_RUNS)).get("open_runs", [])
        for context in [Context(**each) for each in open_runs] or [self._outside]:
            self._number(self._heartbeat("alive", next_due=True, context=context))

    def _heartbeat(
        self, phase: str, *, next_due: bool, context: Context | None = None, at_us: int | None = None
    ) -> Record:
        open_runs = self._reader.definition(self._reader.get(OPEN_RUNS)).get("open_runs", [])
        return heartbeat(
            phase,
            context or (Context(**open_runs[-1]) if open_runs else self._outside),
            self.counts,
            producer_id=self.producer_id,
            parent_producer_id=self._owner["parent_producer_id"],
            process_id=self._owner["process_id"],
            at_us=self._now_us() if at_us is None else at_us,
            clock_offset_us=time.time_ns() // 1000 - self._now_us(),
            next_due_seconds=self._owner["heartbeat_interval_seconds"] if next_due else None,
            spool_backlog=self._backlog(),
            flush_interval_seconds=self._owner["flush_interval_seconds"],
        )

    def _backlog(self) -> int:
        try:
            return self._spool.backlog() if self._spool is not None else 0
        except SpoolError:  # a number for people; the disk's troubles are told where events are written
            return 0

    def _now_us(self) -> int:
        return int((self._owner["clock_base_ns"] + time.monotonic_ns()) // 1000)
