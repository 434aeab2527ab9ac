"""Where the collector reads from: the one interface that a Kafka cluster and a set of spools both keep.

A source hands out partitions. Of each it lends the next stretch of messages, keeps the promise to land it (the plan)
where the messages are, and forgets the stretch when it is done. The promises, which one suite of tests holds both to:

- Only one collector has a partition at a time, and only who has it can store a plan for it.
- A plan that is stored survives the death of the collector. Who gets the partition next finds it, and `read` then
  lends exactly its range.
- What was declared `landed` is never lent again by this source, nor after the next `commit_plan` or `settle` by any.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from trailhouse_schemas.catalogue import by_topic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from trailhouse_schemas.catalogue import EventType

__all__ = ["Gap", "Limits", "Messages", "Partition", "Plan", "RawMessage", "Source"]


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
class Plan:
    """The promise to land the offsets [first, last] of one partition.

    `tries` counts the attempts that ended in a death or a refusal, and the one that is going on.
    """

    first: int
    last: int
    tries: int = 1


@dataclass(frozen=True, slots=True)
class Gap:
    """Offsets [first, last] that the log no longer had when the collector came for them."""

    partition: Partition
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of one partition makes a range: whichever is reached first."""

    rows: int = 100_000
    bytes: int = 16 << 20
    seconds: float = 1.0


class RawMessage(Protocol):
    """What only a dead letter needs of a message."""

    def key(self) -> bytes | str | None:
        """Return the message's key."""

    def headers(self) -> Sequence[tuple[str, bytes | str | None]] | None:
        """Return the message's headers."""


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
    #: The message itself, by its place in this stretch.
    raw: Callable[[int], RawMessage]
    #: Who was verified to have published them, and how.
    principal: str = ""
    principal_source: str = "unverified"

    def __len__(self) -> int:
        """Return the number of messages."""
        return len(self.values)

    def head(self, count: int) -> Messages:
        """Return the first `count` of them."""
        return Messages(
            self.offsets[:count],
            self.published_us[:count],
            self.values[:count],
            self.identities[:count],
            self.raw,
            self.principal,
            self.principal_source,
        )


class Source(Protocol):
    """A place that messages come from. Not for use by several threads at once."""

    name: str

    def poll(self, timeout_seconds: float) -> None:
        """Take in what has come, waiting for it at most that long; serve changes of assignment.

        Reads no further ahead than its share of the memory. Raises `SourceUnavailableError`.
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
        """Forget what is lent up to the end of the plan: it is in the warehouse."""

    def settle(self) -> None:
        """Declare done all that was landed and not declared yet; raises `SourceUnavailableError`."""

    def gaps(self) -> Iterable[Gap]:
        """Return the gaps that were found since the last call."""

    def lag(self) -> dict[Partition, int]:
        """Return how many messages of each partition are not landed, as far as known."""

    @property
    def buffered_bytes(self) -> int:
        """Bytes of messages that are held in memory."""

    @property
    def drained(self) -> bool:
        """Whether all that was there at the last poll is landed."""

    def close(self) -> None:
        """Give everything back, in order."""
