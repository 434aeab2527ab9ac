"""Decides where a range ends and what it is called. No I/O: a range that is cut once is cut the same way always.

A range must go into the warehouse as one block, or the deduplication token would not hold for all of it; and into one
month of the table's partitions, because a block is split there.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trailhouse_consumer.sources import Partition, Plan, Whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "MAX_ARROW_BYTES",
    "MAX_DEATHS",
    "MAX_ROWS",
    "MAX_TRIES",
    "fitting",
    "halved",
    "part_after",
    "plan_from_metadata",
    "plan_to_metadata",
    "settled_metadata",
    "token",
    "within_one_month",
]

#: ClickHouse cuts blocks at 1,048,449 rows or 268 MB.
MAX_ROWS: Final = 1_000_000
MAX_ARROW_BYTES: Final = 200_000_000

#: After so many tries a range is landed in parts.
MAX_TRIES: Final = 3
#: After so many deaths of collectors over one record that is tried alone it is taken for the cause. Machines and their
#: keepers kill collectors far more often than records do.
MAX_DEATHS: Final = 10

#: Kafka's own limit for the metadata of a commit.
MAX_METADATA_BYTES: Final = 4095
_FORMAT: Final = 1


def token(partition: Partition, plan: Plan) -> str:
    """Return the first deduplication token of a range: unique in a table for ever, and the same for whoever lands it.

    A part has that of the whole: who is still about the whole, stopped in the middle of an insert, is fenced by it.
    """
    of = plan.whole or plan
    return f"{partition.topic_id}:{partition.number}:{of.first}-{of.last}"


def halved(plan: Plan, offsets: NDArray[np.int64]) -> Plan:
    """Return the first part of a plan that has fewer of its offsets, of which there are at least two.

    Parts are the halves of the whole, their halves, and so on: each time the same.
    """
    first, last = plan.first, plan.last
    while True:
        middle = (first + last) // 2
        if offsets[0] > middle:
            first = middle + 1
            continue
        last = middle
        if offsets[-1] > middle:
            return Plan(first, last, whole=plan.whole or Whole(plan.first, plan.last))


def part_after(plan: Plan, used: tuple[int, int]) -> Plan | None:
    """Return the largest part of the same whole that begins behind a plan; None when the whole is landed.

    `used` says how many of the whole's tokens are used up.
    """
    if plan.whole is None or plan.last >= plan.whole.last:
        return None
    first, last, begin = plan.whole.first, plan.whole.last, plan.last + 1
    while first < begin:
        middle = (first + last) // 2
        if begin <= middle:
            last = middle
        else:
            first = middle + 1
    return Plan(first, last, whole=replace(plan.whole, used=used))


def plan_to_metadata(topic_id: str, plan: Plan) -> str:
    """Return what a commit says of an open plan."""
    said: dict[str, object] = {
        "v": _FORMAT,
        "topic_id": topic_id,
        "first": plan.first,
        "last": plan.last,
        "try": plan.tries,
    }
    if plan.whole is not None:
        said["whole"] = [plan.whole.first, plan.whole.last, *plan.whole.used]
    return json.dumps(said, separators=(",", ":"))


def settled_metadata(topic_id: str) -> str:
    """Return what a commit says that leaves no plan open."""
    return json.dumps({"v": _FORMAT, "topic_id": topic_id}, separators=(",", ":"))


def plan_from_metadata(metadata: str | None) -> tuple[str | None, Plan | None]:
    """Return the topic's id and the open plan that a commit's metadata names; None for what it does not name."""
    try:
        found: Any = json.loads(metadata or "")
    except ValueError:
        return None, None
    if not isinstance(found, dict) or found.get("v") != _FORMAT:
        return None, None
    topic_id = found.get("topic_id")
    if "first" not in found:
        return topic_id, None
    whole = None
    if "whole" in found:
        first, last, letters, rows = map(int, found["whole"])
        whole = Whole(first, last, (letters, rows))
    return topic_id, Plan(int(found["first"]), int(found["last"]), int(found["try"]), whole)


def within_one_month(published_us: NDArray[np.int64]) -> int:
    """Return how many of the first messages have their broker's time in the same month (UTC) as the first."""
    if not len(published_us):
        return 0
    months = published_us.astype("datetime64[us]").astype("datetime64[M]")
    others = np.flatnonzero(months != months[0])
    return int(others[0]) if len(others) else len(months)


def fitting(rows: NDArray[np.int64], sizes: NDArray[np.int64]) -> int:
    """Return how many of the first records fit into one block, given each one's rows and Arrow bytes; at least one."""
    fits = (np.cumsum(rows) <= MAX_ROWS) & (np.cumsum(sizes) <= MAX_ARROW_BYTES)
    return max(1, int(np.argmin(fits)) if not fits.all() else len(fits))
