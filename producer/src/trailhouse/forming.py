"""From what a ring held to events: calls of `log` that say the same of themselves are joined, all else is as it is."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from trailhouse.formed import MOST_POINTS, Context
from trailhouse.once import warn_once
from trailhouse.ring import NO_STEP
from trailhouse.ring_reader import Message
from trailhouse_schemas import wire
from trailhouse_schemas.points import Points, encode_metrics, name_to_bytes
from trailhouse_schemas.versions import by_fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from trailhouse.ring_reader import Call, RingReader

__all__ = ["Former", "Joined", "Sealed", "call_to_bytes"]

_DOUBLE: Final = struct.Struct("<d")
_CALL: Final = b"C"
_EVENT: Final = b"E"
#: Kind, length of the type's name, length of the key, points.
_HEAD: Final = struct.Struct("<cHII")


@dataclass(frozen=True, slots=True)
class Sealed:
    """An event that was encoded by its producer, and lacks but its sequence number."""

    event_type: str
    #: Key of its message.
    key: str
    #: In single-object encoding, with any sequence number.
    value: bytes
    #: Metric points that it holds.
    points: int

    def to_bytes(self) -> bytes:
        """Return the message for a ring."""
        name, key = self.event_type.encode(), self.key.encode()
        return _HEAD.pack(_EVENT, len(name), len(key), self.points) + name + key + self.value

    @classmethod
    def from_bytes(cls, data: bytes) -> Sealed:
        """Return the event of a ring's message."""
        _, name, key, points = _HEAD.unpack_from(data)
        at = _HEAD.size
        return cls(
            data[at : at + name].decode(), data[at + name : at + name + key].decode(), data[at + name + key :], points
        )

    def numbered(self, sequence: int) -> bytes:
        """Return the value with this number."""
        fingerprint = wire.read_header(self.value).fingerprint
        return wire.with_sequence(by_fingerprint(fingerprint or b""), self.value, sequence)


def call_to_bytes(definition: Mapping[str, Any], at_ns: int, step: int, values: Iterable[float]) -> bytes:
    """Return the message of a call that says all of itself: for when a ring takes no more definitions."""
    return _CALL + json.dumps([definition, at_ns, step, list(values)], separators=(",", ":")).encode()


@dataclass(slots=True)
class Joined:
    """A MetricsLogged event that lacks but its producer and its sequence number."""

    fields: dict[str, Any]
    joined: Points = field(default_factory=Points)
    event_type: ClassVar[str] = "metrics_logged"

    @property
    def points(self) -> int:
        """Metric points that it holds."""
        return self.joined.count

    def numbered(self, producer_id: str, sequence: int) -> bytes:
        """Return the event in single-object encoding."""
        return encode_metrics({**self.fields, "producer_id": producer_id, "sequence": sequence}, self.joined)


class _Definition(NamedTuple):
    """What calls have in common: a text that says all but their names, the fields, and the names."""

    key: str
    fields: dict[str, Any]
    names: list[bytes]


class Former:
    """Makes events of what one ring held. Keeps what the definitions say."""

    def __init__(self, reader: RingReader, clock_base_ns: int) -> None:
        """Take the ring, and what its writer's clock adds to the monotonic one."""
        self._reader = reader
        self._clock_base_ns = clock_base_ns
        self._known: dict[int, _Definition] = {}

    def form(self, items: Iterable[Call | Message]) -> Iterator[Joined | Sealed]:
        """Yield the events of `items` in order, with the points of calls that have the same in common in one record.

        What is no metric closes the records that were open, so that nothing is seen before what came before it.
        """
        open_records: dict[str, Joined] = {}
        for item in items:
            if not isinstance(item, Message):
                definition = self._definition(item.definition)
                yield from self._join(open_records, definition, item.at_ns, item.step, item.values)
            elif item.data[:1] == _CALL:
                said, at_ns, step, values = json.loads(item.data[1:])
                yield from self._join(open_records, _read(said), at_ns, step, map(_DOUBLE.pack, values))
            else:
                yield from open_records.values()
                open_records.clear()
                try:
                    yield Sealed.from_bytes(item.data)
                except (struct.error, UnicodeDecodeError) as error:
                    warn_once(f"a message of {self._reader.name} cannot be read ({error})")
        yield from open_records.values()

    def _definition(self, number: int) -> _Definition:
        known = self._known.get(number)
        if known is None:
            known = self._known[number] = _read(self._reader.definition(number))
        return known

    def _join(
        self,
        open_records: dict[str, Joined],
        definition: _Definition,
        at_ns: int,
        step: int,
        values: Iterable[bytes],
    ) -> Iterator[Joined]:
        key, fields, names = definition
        at_us = (self._clock_base_ns + at_ns) // 1000
        record = open_records.get(key)
        if record is not None and record.joined.count + len(names) > MOST_POINTS:
            yield open_records.pop(key)
            record = None
        if record is None:
            record = open_records[key] = Joined({"occurred_at": at_us, **fields})
        record.joined.add(names, None if step == NO_STEP else step, values, at_us)


def _read(definition: dict[str, Any]) -> _Definition:
    common = {name: value for name, value in definition.items() if name != "names"}
    fields = {
        **Context(**common["context"]).envelope(),
        "split": common["split"],
        "dataset_digest": common["dataset_digest"],
        "model_id": common["model_id"],
        "segment": dict(common["segment"]),
    }
    return _Definition(json.dumps(common), fields, [name_to_bytes(name) for name in definition["names"]])
