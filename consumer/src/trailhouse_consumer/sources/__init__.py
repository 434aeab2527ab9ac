"""Where the collector reads from: the one interface that a Kafka cluster and a set of spools both keep.

A source hands out partitions. Of each it lends the next stretch of messages, keeps the promise to land it (the plan)
where the messages are, and forgets the stretch when it is done. The promises, which one suite of tests holds both to:

- Only one collector has a partition at a time, and only who has it can store a plan for it.
- A plan that is stored survives the death of the collector. Who gets the partition next finds it, and `read` then
  lends exactly its range.
- What was declared `landed` is never lent again by this source, nor after the next `commit_plan` or `settle` by any.
- What is said of a partition counts for the assignment at which it was lent, not for a later one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from trailhouse_schemas.catalogue import by_topic
from trailhouse_schemas.wire import IDENTITY_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from trailhouse_schemas.catalogue import EventType

__all__ = [
    "Backlog",
    "Gap",
    "Headers",
    "Limits",
    "Messages",
    "Partition",
    "Plan",
    "Source",
    "Whole",
    "value_bytes",
]

#: Names and values of a message's headers; a name may come more than once.
Headers = list[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition of one topic, or the events of one type in one spool."""

    topic: str
    #: Kafka's id of the topic, or `spool:PRODUCER_ID`: a topic that was deleted and made again has another one.
    topic_id: str
    #: Number of the partition; -1 for a spool.
    number: int
    #: Which time it is that the source has it: what was known of it at an earlier one may have grown old since.
    assignment: int = field(default=0, compare=False)

    @property
    def event_type(self) -> EventType:
        """The event type whose topic it is."""
        return by_topic(self.topic)

    def __str__(self) -> str:
        """Return its name for people."""
        return f"{self.topic}[{self.number}]" if self.number >= 0 else f"{self.topic}@{self.topic_id}"


@dataclass(frozen=True, slots=True)
class Whole:
    """A range that is landed in parts, after tries of it as a whole have failed. All its parts share its tokens."""

    first: int
    last: int
    #: How many of its tokens are known to be used up, in dead_letters and in the table: others are under the next.
    used: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Plan:
    """The promise to land the offsets [first, last] of one partition.

    `tries` counts the attempts that ended in a death or a refusal, and the one that is going on; `whole` is the range
    that it is a part of, if it is one.
    """

    first: int
    last: int
    tries: int = 1
    whole: Whole | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Offsets [first, last] that the log no longer had when the collector came for them."""

    partition: Partition
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What of one partition is not landed, as far as it is known."""

    messages: int
    #: The broker's time of the oldest of them, in microseconds since 1970; None: not known yet, or there is none.
    oldest_us: int | None


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of one partition makes a range: whichever is reached first."""

    rows: int = 100_000
    bytes: int = 8 << 20
    seconds: float = 1.0
    #: Whether what was read up to the end of a log waits so long for more to come.
    wait_at_end: bool = True


@dataclass(frozen=True, slots=True)
class Messages:
    """A stretch of messages of one partition, column by column, in order of offset."""

    #: int64, rising; there may be holes.
    offsets: NDArray[np.int64]
    #: The broker's time in microseconds since 1970 (of a spool: when the event was appended).
    published_us: NDArray[np.int64]
    values: list[bytes | None]
    #: The 24 bytes of the header that identifies the event, where there is one.
    identities: list[bytes | None]
    keys: list[bytes | None]
    #: All headers, by offset, of the messages that have others than the one that identifies the event.
    odd_headers: Mapping[int, Headers] = field(default_factory=dict)
    #: Who was verified to have published them, and how.
    principal: str = ""
    principal_source: str = "unverified"

    def __len__(self) -> int:
        """Return the number of messages."""
        return len(self.values)

    def __getitem__(self, places: slice) -> Messages:
        """Return some of them; `places` has no step."""
        return replace(
            self,
            offsets=self.offsets[places],
            published_us=self.published_us[places],
            values=self.values[places],
            identities=self.identities[places],
            keys=self.keys[places],
        )

    def headers_of(self, place: int) -> Headers:
        """Return all headers of one of them."""
        odd = self.odd_headers.get(int(self.offsets[place]))
        if odd is not None:
            return odd
        identity = self.identities[place]
        return [] if identity is None else [(IDENTITY_HEADER, identity)]

    @staticmethod
    def joined(parts: Sequence[Messages]) -> Messages:
        """Return stretches that follow one another as one; at least one, all of the same principal."""
        if len(parts) == 1:
            return parts[0]
        return replace(
            parts[0],
            offsets=np.concatenate([part.offsets for part in parts]),
            published_us=np.concatenate([part.published_us for part in parts]),
            values=[value for part in parts for value in part.values],
            identities=[identity for part in parts for identity in part.identities],
            keys=[key for part in parts for key in part.keys],
            odd_headers={offset: odd for part in parts for offset, odd in part.odd_headers.items()},
        )


def value_bytes(messages: Messages) -> int:
    """Return the bytes of the values of messages."""
    values: list[Any] = messages.values
    try:
        return sum(map(len, values))
    except TypeError:  # a value that is null
        return sum(len(value or b"") for value in values)


class Source(Protocol):
    """A place that messages come from. Not for use by several threads at once."""

    name: str
    #: Is told of partitions that are about to go to somebody else, while what is landed of them can still be declared.
    losing: Callable[[Sequence[Partition]], None]
    #: Is told that partitions were assigned, revoked or lost, in these words.
    rebalanced: Callable[[str], None]

    def poll(self, timeout_seconds: float) -> bool:
        """Take in what has come, waiting for it at most that long; serve changes of assignment.

        Reads no further ahead than its share of the memory: where that is full it returns at once. Returns whether
        anything came. Raises `SourceUnavailableError`.
        """

    def partitions(self) -> list[Partition]:
        """Return the partitions that this collector has now."""

    def due(self) -> list[Partition]:
        """Return the partitions of which a range is ready: full, old enough, or with an open plan."""

    def open_plan(self, partition: Partition) -> Plan | None:
        """Return the plan that was found with the partition and is not landed yet, if there is one."""

    def read(self, partition: Partition) -> Messages:
        """Lend the next stretch: with an open plan exactly its range, else as much as the limits allow."""

    def commit_plan(self, partition: Partition, plan: Plan) -> None:
        """Store the promise; when this returns it is kept. What was landed before is done with it.

        Raises:
            PartitionLostError: somebody else has the partition; nothing was stored.
            SourceUnavailableError: it is not known whether the promise is stored.
        """

    def landed(self, partition: Partition, plan: Plan) -> None:
        """Forget what is lent up to the end of the plan: it is in the warehouse.

        Raises:
            PartitionLostError: it is somebody else's, or was meanwhile; nothing is changed.
            SourceUnavailableError: say it again.
        """

    def settle(self) -> None:
        """Declare done all that was landed and not declared yet; raises `SourceUnavailableError`."""

    def gaps(self) -> Iterable[Gap]:
        """Return the gaps that were found since the last call."""

    def watch(self) -> None:
        """Begin to find out, beside who polls, what `backlog` cannot know without asking."""

    def backlog(self) -> dict[Partition, Backlog]:
        """Return what of each partition is not landed, as far as it is known; asks nobody, and takes no time."""

    def unready(self) -> str:
        """Return why nothing can be read from it now; empty where it can."""

    def stuck(self) -> dict[Partition, str]:
        """Return the partitions that are not collected any more until somebody mends them, and why."""

    @property
    def buffered_bytes(self) -> int:
        """Bytes of messages that are held in memory."""

    @property
    def drained(self) -> bool:
        """Whether all that was there at the last poll is landed."""

    def close(self) -> None:
        """Give everything back, in order."""
