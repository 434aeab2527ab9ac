"""What was read of one Kafka partition and is not landed, and how far its offsets have come. No I/O.

The client's messages are taken apart as they come, while they are in the processor's cache, and let go: what is kept
of one is a third of what the client needs for it.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from confluent_kafka import Message

from trailhouse_consumer.sources import Messages, value_bytes
from trailhouse_schemas.wire import IDENTITY_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trailhouse_consumer.sources import Headers, Limits, Partition, Plan

__all__ = ["MESSAGE_OVERHEAD_BYTES", "Buffer", "Key", "crowded", "taken_apart"]

#: Topic and number of a partition.
Key = tuple[str, int]

#: What a message takes in memory beside its value.
MESSAGE_OVERHEAD_BYTES: Final = 160

#: A partition that cannot be landed for so long is not to take the memory of the others.
_LONG_SECONDS: Final = 10.0


@dataclass(slots=True)
class Buffer:
    """One assigned partition."""

    partition: Partition
    #: The next offset to come.
    position: int
    #: The plan that is stored and not landed.
    plan: Plan | None = None
    count: int = 0
    bytes: int = 0
    #: When the oldest of the messages came, on the monotonic clock.
    since: float = 0.0
    #: Whether all that the log holds has been read.
    at_end: bool = False
    #: What is behind `position` came to the log at this time or later, in microseconds since 1970; 0: not known.
    follows_us: int = 0
    #: The next offset to land, where that is not committed yet.
    unsettled: int | None = None
    #: Why nothing more can be read of it.
    stuck: str = ""
    _stretches: deque[Messages] = field(default_factory=deque)

    def add(self, messages: Messages) -> None:
        """Take in messages that came, at least one."""
        if not self.count:
            self.since = time.monotonic()
        self._stretches.append(messages)
        self.count += len(messages)
        self.bytes += _size(messages)
        self.position = int(messages.offsets[-1]) + 1
        self.at_end = False
        self.follows_us = max(self.follows_us, int(messages.published_us[-1]))

    def ended(self, position: int) -> None:
        """All that the log holds has been read, up to that offset."""
        self.at_end = True
        self.position = position
        self.follows_us = max(self.follows_us, time.time_ns() // 1000)

    @property
    def first(self) -> int:
        """The first offset that is not landed, as far as it is known."""
        return int(self._stretches[0].offsets[0]) if self._stretches else self.position

    @property
    def oldest_us(self) -> int | None:
        """The broker's time of the first of the messages, in microseconds since 1970; None where there is none."""
        return int(self._stretches[0].published_us[0]) if self._stretches else None

    def is_due(self, limits: Limits) -> bool:
        """Return whether a range can be cut from it: the one of its plan, or a full or an old one."""
        if self.plan is not None:
            return self.position > self.plan.last
        if not self.count:
            return False
        return (
            self.count >= limits.rows
            or self.bytes >= limits.bytes + MESSAGE_OVERHEAD_BYTES * self.count
            or (self.at_end and not limits.wait_at_end)
            or time.monotonic() - self.since >= limits.seconds
        )

    @property
    def waits(self) -> bool:
        """Whether nothing of it could be landed for long: its schema is not to be had, say."""
        return self.count > 0 and time.monotonic() - self.since > _LONG_SECONDS

    @property
    def lacks_of_plan(self) -> bool:
        """Whether messages of its plan are still to come: it cannot be landed before."""
        return self.plan is not None and self.position <= self.plan.last

    def head(self, limits: Limits) -> Messages | None:
        """Return the messages of the plan, else as many as the limits allow, at least one; None when there is none."""
        parts: list[Messages] = []
        rows, room = limits.rows, limits.bytes
        for stretch in self._stretches:
            part = stretch[: _through(stretch, self.plan.last)] if self.plan is not None else stretch[:rows]
            full = False
            if self.plan is None:
                size = value_bytes(part)
                if full := size > room:
                    sizes = np.cumsum([len(value or b"") for value in part.values])
                    part = part[: max(0 if parts else 1, int(np.searchsorted(sizes, room, side="right")))]
                room -= size
            rows -= len(part)
            if len(part):
                parts.append(part)
            if full or len(part) < len(stretch):
                break
        return Messages.joined(parts) if parts else None

    def drop_through(self, last: int) -> None:
        """Forget messages up to an offset."""
        while self._stretches:
            stretch = self._stretches.popleft()
            end = _through(stretch, last)
            dropped = stretch[:end]
            self.count -= len(dropped)
            self.bytes -= _size(dropped)
            if end < len(stretch):
                self._stretches.appendleft(stretch[end:])
                return


def taken_apart(run: list[Any]) -> Messages:
    """Return messages of the client, of one partition, column by column."""
    seen: dict[bytes | None, bytes | None] = {}
    all_headers: list[Any] = list(map(Message.headers, run))
    identities, odd = _identities(all_headers)
    offsets = np.array(list(map(Message.offset, run)), np.int64)
    return Messages(
        offsets=offsets,
        published_us=np.array([stamp[1] for stamp in map(Message.timestamp, run)], np.int64) * 1000,
        values=list(map(Message.value, run)),
        identities=identities,
        # One object for each key: a producer sends thousands of events under the same.
        keys=[seen.setdefault(key, key) for key in map(Message.key, run)],
        odd_headers={int(offsets[place]): all_headers[place] for place in odd},
    )


def crowded(buffers: Mapping[Key, Buffer], used: int, bound: int, *, full: bool) -> set[Key]:
    """Return the partitions that nothing more is to be fetched of, given the bytes that are used and their bound.

    A plan can be landed only whole. When memory is full, one partition that lacks some of its own, the furthest, still
    goes on; so nothing stands still, and the bound is passed by one range at most. Who is `full` stays so until half
    of the bound is free. A partition that cannot be landed for long has a quarter of the bound.
    """
    if used < (bound // 2 if full else bound):
        return {key for key, b in buffers.items() if b.bytes >= bound // 4 and b.waits and not b.lacks_of_plan}
    lacking = {key: buffer.bytes for key, buffer in buffers.items() if buffer.lacks_of_plan}
    furthest = max(lacking, key=lambda key: (lacking[key], key), default=None)
    return {key for key in buffers if key != furthest}


def _through(stretch: Messages, last: int) -> int:
    """Return how many of the messages are not behind an offset."""
    return int(np.searchsorted(stretch.offsets, last, side="right"))


def _size(messages: Messages) -> int:
    return value_bytes(messages) + MESSAGE_OVERHEAD_BYTES * len(messages)


def _identities(all_headers: list[Headers | None]) -> tuple[list[bytes | None], Iterable[int]]:
    """Return the header that identifies the event, of each message, and which messages have others."""
    # Our own producers send one header: without a call for each message.
    usual = [
        headers[0][1] if headers and len(headers) == 1 and headers[0][0] == IDENTITY_HEADER else None
        for headers in all_headers
    ]
    if all(usual):
        return usual, ()
    odd = [place for place, identity in enumerate(usual) if identity is None and all_headers[place]]
    for place in odd:
        usual[place] = next((value for name, value in all_headers[place] or () if name == IDENTITY_HEADER), None)
    return usual, odd
