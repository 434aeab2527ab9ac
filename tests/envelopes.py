"""Envelopes for events that are made in a test, from nothing but their own fields."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trailhouse_schemas.events import Event

    AnyEvent = TypeVar("AnyEvent", bound=Event)


def in_envelope(model: type[AnyEvent], fields: Mapping[str, Any]) -> AnyEvent:
    """Return the event with these fields; raises where a field is not what the schema says."""
    envelope = {
        "occurred_at": datetime(2026, 1, 2, tzinfo=UTC),
        "producer_id": "producer",
        "sequence": 0,
        "project": "project",
        "run_id": "run",
        "attempt": 0,
        "rank": 0,
        "world_size": 1,
        "host": "host",
        "principal": "principal",
    }
    return model(**envelope, **fields)
