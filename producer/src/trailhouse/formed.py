"""What waits in the buffer, and how it becomes encoded records: calls of `log` are joined, everything else is as it is.

Pure: numbers and bytes in, numbers and bytes out. The recorder calls it on its background thread.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from trailhouse import clock
from trailhouse.capture.json_values import clean_text
from trailhouse.capture.values import as_points
from trailhouse.once import warn_once

__all__ = ["MOST_POINTS", "Context", "LogCall", "Record", "as_step", "join_calls"]

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


class LogCall(NamedTuple):
    """One call of `log`, as it waits in the buffer."""

    #: `time.monotonic_ns()` of the call.
    at_ns: int
    context: Context
    #: A mapping that nobody else changes, or (name, number) pairs that were checked already.
    metrics: Mapping[str, Any] | list[tuple[str, float]]
    step: Any
    split: Any
    dataset_digest: Any
    model_id: Any
    segment: Any


@dataclass(slots=True)
class Record:
    """An event that lacks but its producer and its sequence: name of its type, and its fields."""

    event_type: str
    fields: dict[str, Any]
    #: Metric points that it holds.
    points: int = 0


@dataclass(slots=True)
class _Group:
    fields: dict[str, Any]
    points: list[dict[str, Any]] = field(default_factory=list)


def join_calls(items: Iterable[LogCall | Record]) -> Iterator[Record]:
    """Yield the records of `items` in order, with the points of calls that say the same of themselves in one record.

    A record that is no metric closes those that were open, so that nothing is seen before what came before it.
    """
    groups: dict[Any, _Group] = {}
    for item in items:
        if isinstance(item, Record):
            yield from _closed(groups)
            yield item
            continue
        try:
            key, points = _read(item)
        except Exception as error:  # noqa: BLE001 - whatever was handed to log, the others go on
            warn_once(f"a call of log cannot be recorded ({type(error).__name__}: {error})")
            continue
        for start in range(0, len(points), MOST_POINTS):
            part = points[start : start + MOST_POINTS]
            group = groups.get(key)
            if group is not None and len(group.points) + len(part) > MOST_POINTS:
                yield _record(groups.pop(key))
                group = None
            if group is None:
                group = groups[key] = _Group(_fields(item, key))
            group.points.extend(part)
    yield from _closed(groups)


def _closed(groups: dict[Any, _Group]) -> Iterator[Record]:
    for key in list(groups):
        yield _record(groups.pop(key))


def _record(group: _Group) -> Record:
    return Record("metrics_logged", group.fields | {"points": group.points}, len(group.points))


def _read(call: LogCall) -> tuple[Any, list[dict[str, Any]]]:
    pairs = call.metrics
    if not isinstance(pairs, list):
        pairs, refused = as_points(pairs)
        for name, reason in refused:
            warn_once(f"metric {name!r} {reason}; it is not recorded", key=("metric", name, reason))
    at_us = clock.microseconds_at(call.at_ns)
    step = as_step(call.step)
    if step is not None and not -_LARGEST_STEP <= step <= _LARGEST_STEP:
        warn_once(
            f"step {step} is too large for 64 bits; the points are recorded without a step", key=("step", "large")
        )
        step = None
    key = (
        call.context,
        _text(call.split, "split"),
        _text(call.dataset_digest, "dataset_digest"),
        _text(call.model_id, "model_id"),
        _segment(call.segment),
    )
    return key, [{"name": name, "step": step, "value": value, "logged_at": at_us} for name, value in pairs]


def _fields(call: LogCall, key: Any) -> dict[str, Any]:
    context, split, dataset_digest, model_id, segment = key
    return {
        "occurred_at": clock.microseconds_at(call.at_ns),
        **context.envelope(),
        "split": split,
        "dataset_digest": dataset_digest,
        "model_id": model_id,
        "segment": dict(segment),
    }


def as_step(value: Any) -> int | None:
    """Return a step as a whole number; None where it is none, with a warning."""
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


def _text(value: Any, argument: str) -> str:
    if type(value) is str:
        return value if value.isascii() else clean_text(value)
    if value is None:
        return ""
    warn_once(f"argument {argument} of log is a {type(value).__name__}, not a text; its text is recorded")
    return clean_text(str(value))


def _segment(segment: Any) -> tuple[tuple[str, str], ...]:
    if not segment:
        return ()
    if not isinstance(segment, Mapping):
        warn_once(f"argument segment of log is a {type(segment).__name__}, not a mapping; it is not recorded")
        return ()
    return tuple(sorted((clean_text(str(name)), clean_text(str(value))) for name, value in segment.items()))
