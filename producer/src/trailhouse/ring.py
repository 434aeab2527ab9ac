"""The ring: memory that a training process writes to and another process reads, one file a producer.

`run.log` is one `pack_into` into a mapped file, and what is in the mapping is the kernel's: it survives `kill -9` of
the process that wrote it. Nothing is encoded there, and no system call is made. Whoever holds the ring's drainer lock
takes out what is there, in order, and frees the slots (see `trailhouse.ring_reader`).

The file: a header, definitions, slots.

- The header holds a few numbers, each written by one side only.
- A definition is JSON: number 0 says whose ring this is; the others say what the calls that refer to them have in
  common (names of the metrics, run, split, …). Definitions are only ever added.
- A slot is 128 bytes. Its last 8 are its mark, its number plus one, which is written last: a slot without its mark has
  not been written. One slot takes 12 metrics of a call; a call with more takes several. Anything else is a message, cut
  into fragments.

Slots are handed out by an iterator over a range, which is atomic under the interpreter's lock: threads and signal
handlers never get the same one, and none waits for another.
"""

from __future__ import annotations

import itertools
import json
import mmap
import operator
import os
import struct
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

__all__ = [
    "BEAT",
    "CLOSING",
    "DONE",
    "DROPPED_EVENTS",
    "DROPPED_POINTS",
    "FORMAT_VERSION",
    "FRAGMENT",
    "FRAGMENT_BYTES",
    "HEAD",
    "HEADER_BYTES",
    "LONGEST_SAID_BYTES",
    "MAGIC",
    "METRICS_IN_SLOT",
    "NO_STEP",
    "NUMBER_BYTES",
    "OPEN_RUNS",
    "PROGRESS",
    "READ",
    "SAID",
    "SLOT_BYTES",
    "VOID",
    "Ring",
    "RingFullError",
]

MAGIC: Final = b"TRAILRNG"
FORMAT_VERSION: Final = 1
HEADER_BYTES: Final = 4096
#: magic, version, definitions' bytes, slots.
HEAD: Final = struct.Struct("<8sIIQ")
NUMBER_BYTES: Final = 8
#: Places of the reader's numbers in the header: how far it is, by name, and whether it has ended.
PROGRESS: Final = {
    "read": 64,
    "sequence": 72,
    "events_dropped": 80,
    "points_dropped": 88,
    "seen_points": 96,
    "seen_events": 104,
}
READ: Final = PROGRESS["read"]
DONE: Final = 112
#: Places of the writer's numbers: what was dropped before it was numbered, whether the end is near, when it last was
#: seen alive on `time.monotonic_ns()`'s scale, and the definition of the runs that are open.
DROPPED_POINTS: Final = 128
DROPPED_EVENTS: Final = 136
CLOSING: Final = 144
BEAT: Final = 152
OPEN_RUNS: Final = 160
#: What the reader has to say to people: a key and a text in JSON, with the length before it.
SAID: Final = 1024
LONGEST_SAID_BYTES: Final = 2048

SLOT_BYTES: Final = 128
METRICS_IN_SLOT: Final = 12
#: A step that was not given.
NO_STEP: Final = -(1 << 63)
#: Stands where a call has the number of its definition: part of a message, or nothing.
FRAGMENT: Final = 0
VOID: Final = 0xFFFFFFFF
FRAGMENT_BYTES: Final = 96
#: The message's number, its length, FRAGMENT, place of the part, the part, mark.
_FRAGMENT: Final = struct.Struct(f"<qqII{FRAGMENT_BYTES}sQ")
_LENGTH: Final = struct.Struct("<I")
_LARGEST_DEFINITIONS: Final = 1 << 20
_ZEROS: Final = 1 << 20
#: A signal handler that logs while the thread that it interrupted refills would wait for itself.
_LONGEST_WAIT_SECONDS: Final = 0.01


class RingFullError(Exception):
    """There is no room until the reader has freed some."""


def _packer(metrics: int) -> Callable[..., None]:
    pad = SLOT_BYTES - 20 - 8 * metrics - 8
    return struct.Struct(f"<qqI{metrics}d{pad}xQ").pack_into


_PACKERS: Final = tuple(_packer(metrics) for metrics in range(METRICS_IN_SLOT + 1))


class Ring:
    """The writer's side of a ring. Any thread may write; not for use in a forked child."""

    def __init__(self, path: Path | None, size_bytes: int, owner: Mapping[str, Any]) -> None:
        """Make the ring's file at `path`, of at most `size_bytes`; without a path, memory of this process.

        Args:
            path: where; nothing is there yet. It has its name only when it is whole.
            size_bytes: of the whole; at least 64 KiB are taken.
            owner: what definition 0 says.

        Raises:
            OSError: there is no room, or no right to write there.
        """
        definitions = min(_LARGEST_DEFINITIONS, max(size_bytes, 1 << 16) // 8 // SLOT_BYTES * SLOT_BYTES)
        slots = (max(size_bytes, 1 << 16) - HEADER_BYTES - definitions) // SLOT_BYTES
        self.path = path
        self.first = HEADER_BYTES + definitions
        #: Slots in all.
        self.capacity: Final = slots
        self._half = None if path is None else path.with_name(path.name + ".new")
        self.memory = _mapped(self._half, self.first + slots * SLOT_BYTES)
        #: Read and written whole, which `struct` does not promise: it clears a number before it writes it.
        self._numbers = memoryview(self.memory).cast("Q")
        HEAD.pack_into(self.memory, 0, MAGIC, FORMAT_VERSION, definitions, slots)
        #: Numbers of slots that may be written, each once.
        self.slots: Iterator[int] = iter(())
        #: By run, split, dataset digest, model id and names of metrics: how such a call is packed, and its definition.
        self.shapes: dict[tuple[Any, ...], tuple[Callable[..., None], int]] = {}
        self._handed_out = 0
        #: Of slots that calls of `log` may fill; the rest is kept for what is never dropped.
        self._for_metrics = slots - slots // 8
        self._lock = threading.Lock()
        self._defining = threading.RLock()
        self._definitions = 0
        self._defined_to = HEADER_BYTES
        self._known: dict[str, int] = {}
        self._messages = itertools.count()
        self.define(owner)
        if path is not None and self._half is not None:
            self._half.rename(path)

    def define(self, definition: Mapping[str, Any]) -> int | None:
        """Return the number of a definition, which is added unless it is there; None when there is no more room."""
        text = json.dumps(definition, separators=(",", ":"))
        with self._defining:
            if (known := self._known.get(text)) is not None:
                return known
            data = text.encode()
            end = self._defined_to + _LENGTH.size + len(data)
            if end + _LENGTH.size > self.first:
                return None
            self.memory[self._defined_to + _LENGTH.size : end] = data
            _LENGTH.pack_into(self.memory, self._defined_to, len(data))
            self._defined_to = end
            number = self._known[text] = self._definitions
            self._definitions += 1
            return number

    def shape(self, names: tuple[str, ...], common: Mapping[str, Any]) -> tuple[Callable[..., None], int] | None:
        """Return how a call with these metrics is packed, and the number to pack with it; None when nobody can say.

        The first is called with the memory, the slot's place, the time, the step, the number, the values, and the mark.
        """
        parts = [names[start : start + METRICS_IN_SLOT] for start in range(0, len(names), METRICS_IN_SLOT)] or [()]
        numbers = [self.define({**common, "names": part}) for part in parts]
        known = [number for number in numbers if number is not None]
        if len(known) < len(numbers):
            return None
        if len(parts) == 1:
            return _PACKERS[len(names)], known[0]

        def pack(memory: mmap.mmap, offset: int, at_ns: int, step: int, number: int, *values: Any) -> None:
            further: list[int] = []
            try:
                for _ in parts[1:]:
                    further.append(self.take())  # noqa: PERF401 - what was taken is to be known when the next fails
                for place, slot in enumerate(further, 1):
                    part = values[place * METRICS_IN_SLOT : min((place + 1) * METRICS_IN_SLOT, len(names))]
                    _PACKERS[len(part)](memory, self.place(slot), at_ns, step, known[place], *part, slot + 1)
            except BaseException:
                for slot in further:
                    self.void(slot)
                raise
            _PACKERS[METRICS_IN_SLOT](memory, offset, at_ns, step, number, *values[:METRICS_IN_SLOT], values[-1])

        return pack, known[0]

    def place(self, slot: int) -> int:
        """Return where in the memory a slot is."""
        return self.first + slot % self.capacity * SLOT_BYTES

    def take(self) -> int:
        """Return the number of a slot for metrics; raises `RingFullError`."""
        while True:
            for slot in self.slots:
                return slot
            self._refill()

    def void(self, slot: int) -> None:
        """Say of a slot that was taken and could not be written that it holds nothing."""
        place = self.place(slot)
        if self.get(place + SLOT_BYTES - NUMBER_BYTES) != slot + 1:
            _PACKERS[0](self.memory, place, 0, 0, VOID, slot + 1)

    def put(self, message: bytes) -> bool:
        """Write a message, also into what is kept free of metrics; return whether there was room for the whole.

        Raises:
            ValueError: there will never be, the message is too large.
        """
        parts = max(1, -(-len(message) // FRAGMENT_BYTES))
        if parts > self.capacity // 2:
            raise ValueError(f"has {len(message):,} bytes, the buffer takes {self.largest_message:,}")
        slots = self._take_for_message(parts)
        if slots is None:
            return False
        number = next(self._messages)
        for part, slot in enumerate(slots):
            chunk = message[part * FRAGMENT_BYTES : (part + 1) * FRAGMENT_BYTES]
            _FRAGMENT.pack_into(self.memory, self.place(slot), number, len(message), FRAGMENT, part, chunk, slot + 1)
        return True

    @property
    def largest_message(self) -> int:
        """Bytes of the largest message that the ring takes."""
        return self.capacity // 2 * FRAGMENT_BYTES

    def count(self, place: int, more: int) -> None:
        """Add to one of the writer's numbers in the header."""
        with self._defining:
            self.set(place, self.get(place) + more)

    def get(self, place: int) -> int:
        """Return a number of the header."""
        return self._numbers[place // NUMBER_BYTES]

    def set(self, place: int, value: int) -> None:
        """Set a number of the header."""
        self._numbers[place // NUMBER_BYTES] = value

    def said(self) -> tuple[tuple[str, ...], str] | None:
        """Return the warning that the reader left last, and the key under which it is said once; None where none is."""
        (length,) = _LENGTH.unpack_from(self.memory, SAID)
        begin = SAID + _LENGTH.size
        try:
            key, text = json.loads(self.memory[begin : begin + min(length, LONGEST_SAID_BYTES)])
        except ValueError:  # there is none, or it is being written
            return None
        return tuple(key), text

    @property
    def waiting(self) -> int:
        """Slots that were handed out and are not free again."""
        return self._handed_out - operator.length_hint(self.slots) - self.get(READ)

    def _refill(self) -> None:
        if not self._lock.acquire(timeout=_LONGEST_WAIT_SECONDS):
            raise RingFullError
        try:
            if operator.length_hint(self.slots):
                return
            until = self.get(READ) + self._for_metrics
            if until <= self._handed_out:
                raise RingFullError
            begin, self._handed_out = self._handed_out, until
            self.slots = iter(range(begin, until))
        finally:
            self._lock.release()

    def _take_for_message(self, parts: int) -> list[int] | None:
        """Return as many slots in order; what was taken in vain is void."""
        if not self._lock.acquire(timeout=_LONGEST_WAIT_SECONDS):
            return None
        try:
            free = self.get(READ) + self.capacity - self._handed_out
            if free + operator.length_hint(self.slots) < parts:
                return None
            slots = list(itertools.islice(self.slots, parts))
            missing = parts - len(slots)
            if missing > free:  # other threads were faster
                for slot in slots:
                    self.void(slot)
                return None
            begin = self._handed_out
            self._handed_out += missing
            return [*slots, *range(begin, begin + missing)]
        finally:
            self._lock.release()


def _mapped(path: Path | None, size_bytes: int) -> mmap.mmap:
    if path is None:
        return mmap.mmap(-1, size_bytes)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        # What is not allocated now would kill the process when it is written, once the disk is full.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size_bytes)
        else:
            for _ in range(0, size_bytes, _ZEROS):
                os.write(descriptor, bytes(_ZEROS))
        return mmap.mmap(descriptor, size_bytes)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
