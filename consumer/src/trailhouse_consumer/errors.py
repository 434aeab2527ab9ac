"""All errors that trailhouse-consumer raises. Each says in one line what, which value, and the way out."""

from __future__ import annotations

from trailhouse_schemas.errors import TrailhouseError

__all__ = [
    "CollectorError",
    "InsertRejectedError",
    "MonitoringError",
    "PartitionLostError",
    "ReplayError",
    "RewindError",
    "SchemaRefusedError",
    "SourceUnavailableError",
]


class CollectorError(TrailhouseError):
    """Base of the collector's own errors."""


class SourceUnavailableError(CollectorError):
    """A source does not answer: wait, and go on where it was."""


class PartitionLostError(CollectorError):
    """The partition belongs to somebody else now: drop what was read of it, its new owner lands it."""


class InsertRejectedError(CollectorError):
    """The warehouse refuses these rows for what is in them: waiting will not help."""


class SchemaRefusedError(CollectorError):
    """The schema that a message names is none that events can be written with: its messages are dead letters."""


class MonitoringError(CollectorError):
    """What a collector tells of itself cannot be served, or read."""


class ReplayError(CollectorError):
    """A plan of replaying cannot be landed by this version: the text says by which."""


class RewindError(CollectorError):
    """The offsets of a group cannot be set back now: the text says why."""
