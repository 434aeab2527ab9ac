"""The recorder: a producer's own side of its ring, and who empties it.

What it promises:

- `run.log` writes into the ring and returns: no lock that another holds, no system call, nothing encoded.
- What has been written survives `kill -9` where the ring is a file, which it is wherever there is room for one.
- A helper process of the node empties the ring; in the first second, and where no helper comes, a thread of this one.
- Past the ring's limit metrics are dropped, the newest first, and counted; other events wait, and never are.
- A disk that fails makes whoever empties the ring wait and try again; the training loop does not notice.
- A forked child starts a new recorder of its own on first use: new producer, new ring, nothing inherited.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

import uuid_utils

from trailhouse import clock
from trailhouse.forming import Sealed, call_to_bytes
from trailhouse.keeping import Keeper
from trailhouse.once import warn_once
from trailhouse.ring import (
    DROPPED_EVENTS,
    DROPPED_POINTS,
    METRICS_IN_SLOT,
    NO_STEP,
    OPEN_RUNS,
    Ring,
    RingFullError,
)
from trailhouse.rings import new_ring
from trailhouse_schemas import wire
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.spool import SPOOL_SUFFIX
from trailhouse_schemas.versions import latest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from trailhouse.formed import Context, Record
    from trailhouse.rings import RingLocks
    from trailhouse.settings import ProducerSettings

__all__ = ["Recorder", "new_id"]

_NO_SLOTS: Final = iter(())
_all: Final[weakref.WeakSet[Recorder]] = weakref.WeakSet()


def new_id() -> str:
    """Return a new UUIDv7 as text."""
    return str(uuid_utils.uuid7())


class _NoRing:
    """Stands for the ring before there is one: no call finds its shape in it."""

    shapes: Final[dict[Any, Any]] = {}
    slots = _NO_SLOTS


class Recorder:
    """One producer: a ring, and a thread that sees to it that it is emptied. Any thread may write."""

    def __init__(
        self, settings: ProducerSettings, directory: Path, context: Context, *, retained: bool = False
    ) -> None:
        """Prepare a producer that spools to `directory`; nothing is made before the first event.

        Args:
            settings: how long to wait, how much to hold.
            directory: where its spool will be.
            context: the envelope of its heartbeats while no run is open.
            retained: whether the spool keeps what has been drained, as that of control facts does.
        """
        self.settings = settings
        self.directory = directory
        self.retained = retained
        #: Contexts of the runs that are open; each heartbeat is sent once for each.
        self._contexts: list[Context] = []
        self._outside = context
        #: Called with the spool's path when this process writes it: how a forwarder learns of it.
        self.on_spool: Callable[[Path], None] | None = None
        #: Called when the first event comes, in each process: how it learns that there is something to end.
        self.on_start: Callable[[], None] | None = None
        self.parent_producer_id = ""
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        """Set everything that belongs to one incarnation."""
        self.producer_id = new_id()
        self.ring: Any = _NoRing
        self.finished = False
        self._starting = threading.RLock()
        self._keeper: Keeper | None = None

    def _begin_in_child(self) -> None:
        """Become a producer of one's own; locks may be in any state, and no thread came along."""
        parent = self.producer_id if self.ring is not _NoRing else self.parent_producer_id
        self._begin()
        self.parent_producer_id = parent

    # What any thread may call.

    def log(
        self,
        key: tuple[Any, ...] | None,
        context: Context,
        pairs: list[tuple[str, float]],
        *,
        at_ns: int,
        step: int | None,
        common: Mapping[str, Any],
    ) -> None:
        """Record a call of `log` that was looked at closely; the next one with its key need not be.

        Args:
            key: under which `run.log` looks it up; None: never.
            context: the run's.
            pairs: name and value.
            at_ns: `time.monotonic_ns()` of the call.
            step: within 64 bits.
            common: split, dataset_digest, model_id, segment.
        """
        self.start()
        ring = self.ring
        if ring is _NoRing:
            return
        names, values = tuple(name for name, _ in pairs), [value for _, value in pairs]
        definition = {"context": context.envelope(), **common}
        stored = NO_STEP if step is None else step
        shape = ring.shape(names, definition)
        if shape is None:
            for start in range(0, len(names), METRICS_IN_SLOT):
                part = slice(start, start + METRICS_IN_SLOT)
                message = call_to_bytes({**definition, "names": names[part]}, at_ns, stored, values[part])
                if not ring.put(message):
                    self.drop(len(names[part]))
            return
        if key is not None:
            ring.shapes[key] = shape
        slot = -1
        try:
            slot = ring.take()
            shape[0](ring.memory, ring.place(slot), at_ns, stored, shape[1], *values, slot + 1)
        except RingFullError:
            if slot >= 0:
                ring.void(slot)
            self.drop(len(pairs))

    def append(self, record: Record) -> None:
        """Take an event to be recorded; one that cannot be encoded is warned about and counted."""
        self.start()
        ring, keeper = self.ring, self._keeper
        if keeper is None:
            return
        try:
            fields = {**record.fields, "producer_id": self.producer_id, "sequence": 0}
            value = wire.encode(latest(record.event_type), fields)
            key = str(fields[CATALOGUE[record.event_type].key] or self.producer_id)
            message = Sealed(record.event_type, key, value, record.points).to_bytes()
            if len(message) > ring.largest_message:
                raise ValueError(  # noqa: TRY301 - one way of telling
                    f"it has {len(message):,} bytes, the buffer takes {ring.largest_message:,}: "
                    "set TRAILHOUSE_BUFFER_MIB"
                )
        except Exception as error:  # noqa: BLE001 - one event that cannot be encoded is one event
            ring.count(DROPPED_EVENTS, 1)
            warn_once(f"a {record.event_type} event cannot be encoded ({type(error).__name__}: {error})")
            return
        keeper.put(message)

    def drop(self, points: int) -> None:
        """Count points of a call that found the ring full."""
        if self.ring is _NoRing:
            return
        self.ring.count(DROPPED_POINTS, points)
        warn_once(
            f"more is logged than can be written: the buffer of {self.settings.buffer_mib} MiB is full, "
            "the newest metrics are dropped and counted",
            key=("buffer full",),
        )

    def opened(self, context: Context) -> None:
        """Hear that a run begins: heartbeats speak for it."""
        with self._starting:
            self._contexts.append(context)
            self._say_open_runs()

    def closed(self, context: Context) -> None:
        """Hear that a run is over, while others of this recorder go on."""
        with self._starting:
            if context in self._contexts:
                self._contexts.remove(context)
            self._say_open_runs()

    def start(self) -> None:
        """Make the ring and start the thread unless they are there; never raises."""
        if self.ring is not _NoRing or self.finished:
            return
        with self._starting:
            if self.ring is not _NoRing or self.finished:
                return
            made = self._new_ring()
            if made is None:
                return
            ring, locks = made
            keeper = self._keeper = Keeper(ring, locks, self.settings, self.on_spool)
            self.ring = ring
            self._say_open_runs()
            keeper.start()
        if self.on_start is not None:
            self.on_start()

    def stop(self, deadline: float) -> int:
        """See to it that all is in the spool; return how many calls and events could not be written by then.

        Args:
            deadline: on `time.monotonic()`'s scale.
        """
        self.finished = True
        return 0 if self._keeper is None else self._keeper.stop(deadline)

    def hear(self) -> None:
        """Warn about what whoever empties the ring has found."""
        if self._keeper is not None:
            self._keeper.hear()

    @property
    def spool_path(self) -> Path | None:
        """The spool that this producer's events are written to; None before the first."""
        return None if self.ring is _NoRing else self.directory / f"{self.producer_id}{SPOOL_SUFFIX}"

    @property
    def is_kept(self) -> bool:
        """Whether what could not be written stays where another process finds it."""
        return self.ring is not _NoRing and self.ring.path is not None

    def _say_open_runs(self) -> None:
        if self.ring is not _NoRing:
            number = self.ring.define({"open_runs": [context.envelope() for context in self._contexts]})
            if number is not None:
                self.ring.set(OPEN_RUNS, number)

    def _new_ring(self) -> tuple[Ring, RingLocks | None] | None:
        owner = {
            "producer_id": self.producer_id,
            "parent_producer_id": self.parent_producer_id,
            "process_id": os.getpid(),
            "spool": str(self.directory.absolute()),
            "retained": self.retained,
            "context": self._outside.envelope(),
            "clock_base_ns": clock.base_ns(),
            "started_us": clock.now_us(),
            "flush_interval_seconds": self.settings.flush_interval_seconds,
            "heartbeat_interval_seconds": self.settings.heartbeat_interval_seconds,
            "settings": self.settings.handed_over(),
        }
        try:
            return new_ring(self.directory, self.producer_id, self.settings.buffer_mib << 20, owner)
        except (OSError, ValueError) as error:
            warn_once(f"nothing can be recorded: there is no memory for the buffer ({error})", key=("no ring",))
            self.finished = True
            return None


def _in_child() -> None:
    uuid_utils.reseed_rng()
    for recorder in list(_all):
        recorder._begin_in_child()  # noqa: SLF001 - the class's own hook


os.register_at_fork(after_in_child=_in_child)
