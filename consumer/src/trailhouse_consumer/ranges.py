"""Decides where a range ends and what it is called. No I/O: a range that is cut once is cut the same way always.

A range must go into the warehouse as one block, or the deduplication token would not hold for all of it; and into one
month of the table's partitions, because a block is split there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trailhouse_consumer.sources import Partition, Plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "MAX_ARROW_BYTES",
    "MAX_DEATHS",
    "MAX_ROWS",
    "MAX_TRIES",
    "fitting",
    "plan_from_metadata",
    "plan_to_metadata",
    "settled_metadata",
    "token",
    "within_one_month",
]

#: ClickHouse cuts blocks at 1,048,449 rows or 268 MB.
MAX_ROWS: Final = 1_000_000
MAX_ARROW_BYTES: Final = 200_000_000

#: After so many tries of a range its records are tried one by one.
MAX_TRIES: Final = 3
#: After so many deaths of collectors over one record that is tried alone it is taken for the cause. Machines and their
#: keepers kill collectors far more often than records do.
MAX_DEATHS: Final = 10

#: Kafka's own limit for the metadata of a commit.
MAX_METADATA_BYTES: Final = 4095
_FORMAT: Final = 1


def token(partition: Partition, plan: Plan) -> str:
    """Return the deduplication token of a range: unique in a table for ever, and the same for whoever lands it."""
    return f"{partition.topic_id}:{partition.number}:{plan.first}-{plan.last}"


def plan_to_metadata(topic_id: str, plan: Plan) -> str:
    """Return what a commit says of an open plan."""
    return json.dumps(
        {"v": _FORMAT, "topic_id": topic_id, "first": plan.first, "last": plan.last, "try": plan.tries},
        separators=(",", ":"),
    )


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
    return topic_id, Plan(int(found["first"]), int(found["last"]), int(found["try"]))


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
