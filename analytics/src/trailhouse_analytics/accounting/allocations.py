"""Allocations as they were last stated, and until when each counts.

An allocation ends, by the first of these that is known:

released   when its release says (`ended_at`);
finished   when its attempt of its run finished, though nobody released it;
lost       at the last sign of life of its holder (a heartbeat, or the end of a sample of the allocation) when no
           producer of that attempt is still due to send one; the holder of an allocation outside of runs is the
           producer that reported it;
open       now: somebody still holds it, or nobody ever promised signs of life.

Nothing counts after now, and an end before the begin counts as nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from trailhouse_analytics.accounting.timelines import Integers

__all__ = ["STATES", "WEIGHT_SCALE", "Allocations", "Life", "ends", "exact_weights", "holder", "without_end"]

#: How an allocation's end is known; `Allocations.state` numbers them.
STATES: Final = ("released", "finished", "lost", "open")
RELEASED, FINISHED, LOST, OPEN = range(4)

#: Digits after the point that quantity times fraction counts with.
WEIGHT_SCALE: Final = 9

_UNKNOWN: Final = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Life:
    """What is known of a holder: its last sign of life, and whether another one is still due."""

    seen_us: int
    alive: bool


@dataclass(frozen=True, slots=True)
class Allocations:
    """All allocations of a period: a column each, in microseconds where they are moments."""

    #: As `sql/cost_allocations.sql` names its columns.
    table: pa.Table
    begin: Integers
    end: Integers
    #: Index into `STATES`.
    state: Integers

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.begin)

    def column(self, name: str) -> list[Any]:
        """Return a column's values."""
        values: list[Any] = self.table.column(name).to_pylist()
        return values


def holder(run: str, attempt: int, producer: str) -> tuple[str, int, str]:
    """Return who holds an allocation: an attempt of a run, or outside of runs a producer."""
    return (run, attempt, "") if run else ("", 0, producer)


def without_end(table: pa.Table) -> NDArray[np.bool_]:
    """Mark the allocations that neither a release nor the end of a run closes."""
    marked: NDArray[np.bool_] = (_micros(table, "released_us") == _UNKNOWN) & (
        _micros(table, "finished_us") == _UNKNOWN
    )
    return marked


def ends(
    table: pa.Table, lives: Mapping[tuple[str, int, str], Life], sampled_us: Sequence[int], now_us: int
) -> Allocations:
    """Decide how each allocation of `table` ends.

    Args:
        table: The allocations.
        lives: What is known of the holders of those without an end.
        sampled_us: End of the last sample of each allocation; the first of all moments where there is none.
        now_us: The present.
    """
    begin = _micros(table, "started_us")
    released, finished = _micros(table, "released_us"), _micros(table, "finished_us")
    end = np.where(released != _UNKNOWN, released, finished)
    state = np.where(released != _UNKNOWN, RELEASED, FINISHED).astype(np.int64)
    names = [table.column(name) for name in ("run", "attempt", "producer")]
    for index in np.flatnonzero(without_end(table)).tolist():
        life = lives.get(holder(*(column[index].as_py() for column in names)))
        if life is None or life.alive:
            end[index], state[index] = now_us, OPEN
        else:
            end[index], state[index] = max(life.seen_us, sampled_us[index]), LOST
    end = np.maximum(np.minimum(end, now_us), begin)
    return Allocations(table, begin, end, state)


def exact_weights(quantities: Sequence[float], fractions: Sequence[float]) -> NDArray[np.object_]:
    """Return quantity times fraction in 10^-9, as exact integers, from the shortest decimals that the numbers have."""
    known: dict[tuple[float, float], int] = {}
    weights = np.empty(len(quantities), dtype=object)
    for index, pair in enumerate(zip(quantities, fractions, strict=True)):
        weight = known.get(pair)
        if weight is None:
            product = Decimal(repr(pair[0])) * Decimal(repr(pair[1]))
            weight = known[pair] = int(product.scaleb(WEIGHT_SCALE).to_integral_value(ROUND_HALF_EVEN))
        weights[index] = weight
    return weights


def _micros(table: pa.Table, name: str) -> Integers:
    micros: Integers = table.column(name).combine_chunks().fill_null(_UNKNOWN).to_numpy(zero_copy_only=False)
    return micros.astype(np.int64)
