"""The signs of life of a producer, and its own count of what it has emitted: the accounting of loss rests on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trailhouse.formed import Context, Record

__all__ = ["Counts", "heartbeat"]


@dataclass(slots=True)
class Counts:
    """What a producer knows of itself."""

    #: Sequence numbers used so far; the next event gets this one.
    sequence: int = 0
    #: Events that were dropped; each left a hole in the sequence.
    events_dropped: int = 0
    #: Metric points that were dropped.
    points_dropped: int = 0


def heartbeat(
    phase: str,
    context: Context,
    counts: Counts,
    *,
    producer_id: str,
    parent_producer_id: str,
    process_id: int,
    at_us: int,
    clock_offset_us: int,
    next_due_seconds: float | None,
    spool_backlog: int,
    flush_interval_seconds: float,
) -> Record:
    """Return the heartbeat of a producer; `events_emitted` holds if it gets the next sequence number."""
    fields: dict[str, Any] = {
        "occurred_at": at_us,
        **context.envelope(),
        "phase": phase,
        "subject_producer_id": producer_id,
        "parent_producer_id": parent_producer_id,
        "process_id": process_id,
        "next_due_at": None if next_due_seconds is None else at_us + int(next_due_seconds * 1e6),
        "events_emitted": counts.sequence + 1,
        "events_dropped": counts.events_dropped,
        "points_dropped": counts.points_dropped,
        "spool_backlog": spool_backlog,
        "clock_offset_us": clock_offset_us,
        "flush_interval_seconds": flush_interval_seconds,
    }
    return Record("heartbeat_sent", fields)
