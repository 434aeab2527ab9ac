"""The reader's side of a ring: takes out what its writer has written, in order, while it goes on or is dead."""

from __future__ import annotations

import json
import mmap
import os
import struct
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from trailhouse.ring import (
    FORMAT_VERSION,
    FRAGMENT,
    FRAGMENT_BYTES,
    HEAD,
    HEADER_BYTES,
    LONGEST_SAID_BYTES,
    MAGIC,
    METRICS_IN_SLOT,
    NUMBER_BYTES,
    SAID,
    SLOT_BYTES,
    VOID,
)
from trailhouse_schemas.errors import SpoolError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trailhouse.ring import Ring

__all__ = ["Call", "Message", "RingReader", "Taken"]

#: Time, step, definition, values. Values stay as they are, for that is how they go on.
_SLOT: Final = struct.Struct(f"<qqI{'8s' * METRICS_IN_SLOT}")
_FRAGMENT: Final = struct.Struct(f"<qqII{FRAGMENT_BYTES}s")
_LENGTH: Final = struct.Struct("<I")
#: A slot that is not written while later ones are: whoever was to write it was interrupted for good.
_LOST_AFTER_SECONDS: Final = 5.0
#: How far ahead is looked for later ones.
_LOOK_AHEAD: Final = 4_096


class Call(NamedTuple):
    """One call of `log`, or the part of it that one slot holds."""

    #: `time.monotonic_ns()` of the call, on this machine.
    at_ns: int
    #: `NO_STEP` where none was given.
    step: int
    #: Number of the definition that says the rest.
    definition: int
    #: Twelve doubles, little-endian; as many count as the definition has names.
    values: Sequence[bytes]


class Message(NamedTuple):
    """Anything else that was written."""

    data: bytes


class Taken(NamedTuple):
    """What was taken out at once."""

    items: list[Call | Message]
    #: Where the next take begins; to be stored together with what becomes of the items.
    until: int
    #: Slots and messages that were begun and never written.
    lost: int


class _Parts:
    """Puts a message together; the slots of two are never mixed."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        #: Slot of the first part.
        self.first = 0
        #: Messages that were begun and never written to their end.
        self.lost = 0
        self._number = -1

    def add(self, slot: int, number: int, length: int, _: int, place: int, part: bytes) -> bytes | None:
        """Return the message when this is its last part."""
        if self.parts and number != self._number:
            self.lost += 1
            self.parts = []
        if place != len(self.parts):
            return None
        if not self.parts:
            self.first, self._number = slot, number
        self.parts.append(part)
        if len(self.parts) * FRAGMENT_BYTES < length:
            return None
        whole = b"".join(self.parts)[:length]
        self.parts = []
        return whole


class RingReader:
    """One open ring. Whoever reads holds its drainer lock."""

    def __init__(self, memory: mmap.mmap, name: str) -> None:
        """Wrap mapped memory; use `open` or `of`.

        Raises:
            SpoolError: it is no ring, or one of another version.
        """
        self.memory = memory
        self.name = name
        magic, version, definitions, slots = HEAD.unpack_from(memory, 0)
        if magic != MAGIC or version != FORMAT_VERSION:
            raise SpoolError(f"Ring {name} has format {version if magic == MAGIC else 'none'}; move it away")
        if not slots or definitions % NUMBER_BYTES or len(memory) != HEADER_BYTES + definitions + slots * SLOT_BYTES:
            raise SpoolError(f"Ring {name} is not as long as it says; move it away")
        self._numbers = memoryview(memory).cast("Q")
        #: How many slots there are.
        self.slots: int = slots
        self._first = HEADER_BYTES + definitions
        self._definitions: list[dict[str, Any]] = []
        self._defined_to = HEADER_BYTES
        self._stuck_at = -1
        self._stuck_since = 0.0
        self._read_definitions()
        if not self._definitions:
            raise SpoolError(f"Ring {name} does not say whose it is; move it away")

    @classmethod
    def open(cls, path: Path) -> RingReader:
        """Open the ring at `path`; raises `SpoolError`."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                return cls(mmap.mmap(descriptor, 0), str(path))
            finally:
                os.close(descriptor)
        except (OSError, ValueError, struct.error) as error:
            raise SpoolError(f"Ring {path} cannot be read ({error}); move it away to go on without it") from error

    @classmethod
    def of(cls, ring: Ring) -> RingReader:
        """Read a ring of this process."""
        return cls(ring.memory, str(ring.path or "in memory"))

    @property
    def owner(self) -> dict[str, Any]:
        """What definition 0 says."""
        return self._definitions[0]

    def definition(self, number: int) -> dict[str, Any]:
        """Return a definition; raises `IndexError`."""
        if number >= len(self._definitions):
            self._read_definitions()
        return self._definitions[number]

    def get(self, place: int) -> int:
        """Return a number of the header."""
        return self._numbers[place // NUMBER_BYTES]

    def set(self, place: int, value: int) -> None:
        """Set one of the reader's numbers in the header."""
        self._numbers[place // NUMBER_BYTES] = value

    def say(self, key: list[str], text: str) -> None:
        """Leave a warning for people, which the writer's process shows them unless it has shown one with this key."""
        data = json.dumps([key, text[: LONGEST_SAID_BYTES // 8]]).encode()
        if len(data) > LONGEST_SAID_BYTES:
            return
        self.memory[SAID + _LENGTH.size : SAID + _LENGTH.size + len(data)] = data
        _LENGTH.pack_into(self.memory, SAID, len(data))

    def is_written(self, slot: int) -> bool:
        """Return whether that slot holds something."""
        return self.get(self._first + slot % self.slots * SLOT_BYTES + SLOT_BYTES - NUMBER_BYTES) == slot + 1

    def take(self, begin: int, most: int, *, writer_gone: bool) -> Taken:
        """Return what was written from slot `begin` on: at most `most` slots and the rest of a message begun in them.

        What is not written yet ends it; where that is amid a message, the message's first slot does.
        """
        items: list[Call | Message] = []
        message = _Parts()
        slot = begin
        while (slot < begin + most or message.parts) and slot < begin + self.slots:
            place = self._first + slot % self.slots * SLOT_BYTES
            # The mark first: it is written last, and what is read before it may be older than it.
            if self.get(place + SLOT_BYTES - NUMBER_BYTES) != slot + 1:
                if not self._is_lost(slot, writer_gone=writer_gone):
                    break
                message.lost += not message.parts
                slot += 1
                continue
            at_ns, step, number, *values = _SLOT.unpack_from(self.memory, place)
            if number == FRAGMENT:
                whole = message.add(slot, *_FRAGMENT.unpack_from(self.memory, place))
                if whole is not None:
                    items.append(Message(whole))
            elif number != VOID:
                items.append(Call(at_ns, step, number, values))
            slot += 1
        if message.parts and not writer_gone:
            slot = message.first
        return Taken(items, slot, message.lost + bool(message.parts and writer_gone))

    def _is_lost(self, slot: int, *, writer_gone: bool) -> bool:
        """Return whether a slot that is not written never will be: later ones are, and for long, or for ever."""
        if not self._is_followed(slot, self.slots if writer_gone else _LOOK_AHEAD):
            return False
        if writer_gone:
            return True
        if slot != self._stuck_at:
            self._stuck_at, self._stuck_since = slot, time.monotonic()
        return time.monotonic() - self._stuck_since >= _LOST_AFTER_SECONDS

    def _is_followed(self, slot: int, far: int) -> bool:
        # A slot's mark of an earlier lap is another number.
        marks = self._numbers[(self._first + SLOT_BYTES) // NUMBER_BYTES - 1 :: SLOT_BYTES // NUMBER_BYTES]
        return any(marks[later % self.slots] == later + 1 for later in range(slot + 1, slot + far))

    def _read_definitions(self) -> None:
        while self._defined_to + _LENGTH.size <= self._first:
            (length,) = _LENGTH.unpack_from(self.memory, self._defined_to)
            begin = self._defined_to + _LENGTH.size
            if not length or begin + length > self._first:
                break
            try:
                definition = json.loads(self.memory[begin : begin + length])
            except ValueError:  # it is being written
                break
            self._definitions.append(definition)
            self._defined_to = begin + length
