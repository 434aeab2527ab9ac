"""By what cost can be grouped, and the numbers that stand for the groups."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trailhouse_analytics.accounting.moments import DAY, HOUR
from trailhouse_analytics.errors import CostInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trailhouse_analytics.accounting.timelines import Integers

__all__ = ["DIMENSIONS", "MOMENTS", "Dimension", "grid_width", "group", "parse_by"]

#: Every dimension with what it is.
DIMENSIONS: Final = {
    "project": "The project.",
    "team": "Team of the run, else of the project, else of the principal, as of each moment.",
    "principal": "Who holds it, as they say.",
    "run": "The run.",
    "attempt": "Restart of the run, from 0.",
    "allocation": "The allocation.",
    "node": "The node that it is on.",
    "pool": "The pool that it was taken from.",
    "resource": "What kind: gpu, cpu, memory, storage, ….",
    "model": "Model of the resource.",
    "capacity_type": "on_demand, reserved or spot.",
    "state": "How its end is known: released, finished (with its run), lost, open.",
    "sku": "The item of the price list.",
    "currency": "The currency; always grouped by, currencies never add up.",
    "hour": "Hour, in UTC.",
    "day": "Day, in UTC.",
    "week": "Week by its Monday, in UTC.",
    "month": "Month by its first day, in UTC.",
}

#: Dimensions that are stretches of time.
MOMENTS: Final = ("hour", "day", "week", "month")

_ALIASES: Final = {"resource_model": "model", "kind": "resource", "user": "principal", "run_id": "run"}


@dataclass(frozen=True, slots=True)
class Dimension:
    """One dimension of all pieces of time: `members[codes[i]]` is the value of piece i."""

    name: str
    members: Sequence[Any]
    codes: Integers


def parse_by(names: Sequence[str]) -> tuple[str, ...]:
    """Return the dimensions of that name, each once; raises `CostInputError` for an unknown one."""
    found = []
    for name in names:
        plain = name.strip().lower().replace("-", "_")
        plain = _ALIASES.get(plain, plain)
        if plain not in DIMENSIONS:
            close = difflib.get_close_matches(plain, DIMENSIONS, n=1)
            meant = f"did you mean {close[0]}? " if close else ""
            raise CostInputError(f"Cost cannot be grouped by {name!r}; {meant}known are {', '.join(DIMENSIONS)}")
        found.append(plain)
    return tuple(dict.fromkeys(found))


def grid_width(by: Sequence[str]) -> int:
    """Return the width in microseconds of what time must be cut into, 0 for nothing."""
    if "hour" in by:
        return HOUR
    return DAY if any(name in by for name in MOMENTS) else 0


def group(dimensions: Sequence[Dimension], pieces: int) -> tuple[Integers, Integers]:
    """Number the groups of pieces that agree in all dimensions.

    Returns:
        The number of each piece's group, and of each group the index of one piece in it.
    """
    numbers = np.zeros(pieces, np.int64)
    for dimension in dimensions:
        _, numbers = np.unique(numbers * (len(dimension.members) + 1) + dimension.codes + 1, return_inverse=True)
    _, first, numbers = np.unique(numbers, return_index=True, return_inverse=True)
    return numbers.astype(np.int64), first.astype(np.int64)
