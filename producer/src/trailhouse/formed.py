"""What a run gives to its events, an event on its way, and what the arguments of `log` are taken for."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from trailhouse.capture.json_values import clean_text
from trailhouse.once import warn_once

__all__ = ["MOST_POINTS", "Context", "Record", "as_segment", "as_step", "as_text"]

#: Points in one MetricsLogged record.
MOST_POINTS: Final = 256
_LARGEST_STEP: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Context:
    """The part of the envelope that a run gives to its events."""

    project: str
    run_id: str
    attempt: int
    rank: int
    world_size: int
    host: str
    principal: str

    def envelope(self) -> dict[str, Any]:
        """Return these fields of the envelope."""
        return {
            "project": self.project,
            "run_id": self.run_id,
            "attempt": self.attempt,
            "rank": self.rank,
            "world_size": self.world_size,
            "host": self.host,
            "principal": self.principal,
        }


@dataclass(slots=True)
class Record:
    """An event that lacks but its producer and its sequence: name of its type, and its fields."""

    event_type: str
    fields: dict[str, Any]
    #: Metric points that it holds.
    points: int = 0


def as_step(value: Any) -> int | None:
    """Return a step as a whole number of 64 bits; None where it is none, with a warning."""
    step = _as_whole(value)
    if step is not None and not -_LARGEST_STEP <= step <= _LARGEST_STEP:
        warn_once(
            f"step {step} is too large for 64 bits; the points are recorded without a step", key=("step", "large")
        )
        return None
    return step


def _as_whole(value: Any) -> int | None:
    if value is None or type(value) is int:
        return value
    try:
        return operator.index(value)
    except TypeError:
        pass
    try:
        number = float(value)
        if number == int(number):
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    warn_once(
        f"step {value!r} is no whole number; the points are recorded without a step", key=("step", type(value).__name__)
    )
    return None


def as_text(value: Any, argument: str) -> str:
    """Return an argument of `log` as text that can be stored, with a warning where it is none."""
    if type(value) is str:
        return value if value.isascii() else clean_text(value)
    if value is None:
        return ""
    warn_once(f"argument {argument} of log is a {type(value).__name__}, not a text; its text is recorded")
    return clean_text(str(value))


def as_segment(segment: Any) -> tuple[tuple[str, str], ...]:
    """Return a segment as sorted pairs of texts; empty, with a warning, where it is no mapping."""
    if not segment:
        return ()
    if not isinstance(segment, Mapping):
        warn_once(f"argument segment of log is a {type(segment).__name__}, not a mapping; it is not recorded")
        return ()
    return tuple(sorted((clean_text(str(name)), clean_text(str(value))) for name, value in segment.items()))
