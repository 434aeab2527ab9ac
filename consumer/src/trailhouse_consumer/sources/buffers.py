"""What was read of one Kafka partition and is not landed, and how far its offsets have come. No I/O."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from confluent_kafka import Message

from trailhouse_consumer.sources import Messages
from trailhouse_schemas.wire import IDENTITY_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from trailhouse_consumer.sources import Limits, Partition, Plan

__all__ = ["MESSAGE_OVERHEAD_BYTES", "Buffer", "Key", "crowded"]

#: Topic and number of a partition.
Key = tuple[str, int]

#: What a message takes in memory beside its value.
MESSAGE_OVERHEAD_BYTES: Final = 600


@dataclass(slots=True)
class Buffer:
    """One assigned partition."""

    partition: Partition
    #: The next offset to come.
    position: int
    #: The plan that is stored and not landed.
    plan: Plan | None = None
    messages: list[Any] = field(default_factory=list)
    bytes: int = 0
    #: When the oldest of the messages came, on the monotonic clock.
    since: float = 0.0
    #: Whether all that the log holds has been read.
    at_end: bool = False
    #: The next offset to land, where that is not committed yet.
    unsettled: int | None = None
    #: Why nothing more can be read of it.
    stuck: str = ""

    def add(self, run: list[Any], size: int) -> None:
        """Take in messages that came, with the bytes of their values."""
        if not self.messages:
            self.since = time.monotonic()
        self.messages += run
        self.bytes += size + MESSAGE_OVERHEAD_BYTES * len(run)
        self.position = run[-1].offset() + 1
        self.at_end = False

    def is_due(self, limits: Limits) -> bool:
        """Return whether a range can be cut from it: the one of its plan, or a full or an old one."""
        if self.plan is not None:
            return self.position > self.plan.last
        if not self.messages:
            return False
        return (
            len(self.messages) >= limits.rows
            or self.bytes >= limits.bytes + MESSAGE_OVERHEAD_BYTES * len(self.messages)
            or time.monotonic() - self.since >= limits.seconds
        )

    @property
    def lacks_of_plan(self) -> bool:
        """Whether messages of its plan are still to come: it cannot be landed before."""
        return self.plan is not None and self.position <= self.plan.last

    def head(self, limits: Limits) -> Messages:
        """Return the messages of the plan, else as many as the limits allow, at least one if there is one."""
        if self.plan is not None:
            last = self.plan.last
            run = [message for message in self.messages if message.offset() <= last]
        else:
            run = self.messages[: limits.rows]
        values = list(map(Message.value, run))
        if self.plan is None and self.bytes > limits.bytes:
            sizes = np.cumsum([len(value or b"") for value in values])
            keep = max(1, int(np.searchsorted(sizes, limits.bytes, side="right")))
            run, values = run[:keep], values[:keep]
        return Messages(
            offsets=np.array(list(map(Message.offset, run)), np.int64),
            published_us=np.array([stamp[1] for stamp in map(Message.timestamp, run)], np.int64) * 1000,
            values=values,
            identities=_identities(list(map(Message.headers, run))),
            raw=run.__getitem__,
        )

    def drop_through(self, last: int) -> None:
        """Forget messages up to an offset."""
        messages = self.messages
        keep = next((place for place, message in enumerate(messages) if message.offset() > last), len(messages))
        dropped = messages[:keep]
        self.bytes -= sum(map(len, dropped)) + MESSAGE_OVERHEAD_BYTES * len(dropped)
        del messages[:keep]


def crowded(buffers: Mapping[Key, Buffer], paused: AbstractSet[Key], bound: int) -> set[Key]:
    """Return the partitions that nothing more is to be fetched of, given those that are paused and a bound in bytes.

    A partition may have a quarter of the bound, and when all have the bound together none may have more; who is paused
    waits until half of that is free. But a plan can be landed only whole: who lacks some of its own has no share, and
    when memory is full one of them, the furthest, still goes on. So nothing stands still, and the bound is passed by
    one range at most.
    """
    used = sum(buffer.bytes for buffer in buffers.values())
    full = used >= bound or (len(paused) == len(buffers) and used >= bound // 2)
    lacking = {key: buffer.bytes for key, buffer in buffers.items() if buffer.lacks_of_plan}
    if full:
        furthest = max(lacking, key=lambda key: (lacking[key], key), default=None)
        return {key for key in buffers if key != furthest}
    return {
        key
        for key, buffer in buffers.items()
        if key not in lacking and buffer.bytes >= bound // (8 if key in paused else 4)
    }


def _identities(all_headers: list[Any]) -> list[bytes | None]:
    """Return the header that identifies the event, of each message."""
    return [
        # Our own producers send one header: without a call for each message.
        headers[0][1] if headers and len(headers) == 1 and headers[0][0] == IDENTITY_HEADER else _identity(headers)
        for headers in all_headers
    ]


def _identity(headers: list[tuple[str, bytes | None]] | None) -> bytes | None:
    for name, value in headers or ():
        if name == IDENTITY_HEADER:
            return value
    return None
