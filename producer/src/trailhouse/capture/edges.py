"""Edges of histograms, and counts over them: made the same way everywhere, so that profiles can be compared.

The name of edges is a digest of them, so that equal names mean equal edges. Edges that nobody gave come from the data's
own quantiles, rounded to a grid, so that a few more values seldom move them.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trailhouse_schemas.errors import TrailhouseError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NO_EDGES", "Edges", "counts_over", "edges_from", "edges_named"]

BINS = 20
#: The grid of generated edges: this many steps, at least, between the smallest and the largest value.
GRID_STEPS = 1000
MOST_EDGES = 4096


@dataclass(frozen=True)
class Edges:
    """Bins [e0, e1), …, [en-1, en] and their name."""

    name: str
    bounds: tuple[float, ...]


NO_EDGES = Edges("", ())


def edges_named(bounds: Sequence[float], column: str) -> Edges:
    """Return given bounds with their name.

    Raises:
        TrailhouseError: bounds that are too few or many, not finite, or do not ascend.
    """
    listed = tuple(float(bound) for bound in bounds)
    if not 2 <= len(listed) <= MOST_EDGES:  # noqa: PLR2004  a bin has two
        raise TrailhouseError(f"Column {column!r} has {len(listed)} edges; give from 2 to {MOST_EDGES}")
    if not all(map(math.isfinite, listed)) or any(b <= a for a, b in itertools.pairwise(listed)):
        raise TrailhouseError(f"Edges {listed[:8]} of column {column!r} do not ascend; sort them and drop doubles")
    return _named(listed)


def edges_from(ordered: Any) -> Edges:
    """Return edges for sorted finite values: one bin a value where there are few, else bins of about equal counts."""
    if not len(ordered):
        return NO_EDGES
    low, high = float(ordered[0]), float(ordered[-1])
    few = np.unique(ordered[:: max(1, len(ordered) // 10_000)])
    if len(few) <= BINS:
        few = np.unique(ordered)
    if len(few) <= BINS:
        return _named(_between(few.tolist()))
    if not math.isfinite(high - low):
        return _named((low, 0.0, high))
    step = 10.0 ** math.floor(math.log10((high - low) / GRID_STEPS))
    inner = np.round(np.quantile(ordered, np.linspace(0, 1, BINS + 1)[1:-1]) / step) * step
    ends = (math.floor(low / step) * step, math.ceil(high / step) * step)
    bounds = sorted({_short(bound, step) for bound in (*ends, *inner.tolist())})
    if not all(map(math.isfinite, bounds)) or len(bounds) < 2 or bounds[0] > low or bounds[-1] < high:  # noqa: PLR2004
        bounds = sorted({low, *np.quantile(ordered, [0.25, 0.5, 0.75]).tolist(), high})
    return _named(tuple(bounds))


def counts_over(edges: Edges, ordered: Any, infinite: Any) -> list[int]:
    """Return the numbers of values below e0, in each bin, and above en; infinities are below or above."""
    if not edges.bounds:
        return []
    bounds = np.array(edges.bounds)
    # The last bin holds its upper edge too, so that the greatest value is not above the edges made from it.
    places = np.append(np.searchsorted(ordered, bounds[:-1], "left"), np.searchsorted(ordered, bounds[-1], "right"))
    counts = np.diff(places, prepend=0, append=len(ordered))
    counts[0] += int((infinite < 0).sum())
    counts[-1] += int((infinite > 0).sum())
    return [int(count) for count in counts]


def _named(bounds: tuple[float, ...]) -> Edges:
    digest = hashlib.sha256(struct.pack(f"<{len(bounds)}d", *bounds)).hexdigest()
    return Edges(f"edges:{digest[:16]}", bounds)


def _between(values: list[float]) -> tuple[float, ...]:
    """Return edges half-way between neighbouring values, and as far beyond the first and the last."""
    if len(values) == 1:
        width = max(abs(values[0]) / 2, 0.5)
        bounds = [values[0] - width, values[0] + width]
    else:
        middles = [a + (b - a) / 2 for a, b in itertools.pairwise(values)]
        bounds = [values[0] - (middles[0] - values[0]), *middles, values[-1] + (values[-1] - middles[-1])]
    kept = sorted({bound for bound in bounds if math.isfinite(bound)})
    if len(kept) >= 2:  # noqa: PLR2004  a bin has two
        return tuple(kept)
    low, high = values[0], values[-1]
    if low < high:
        return low, high
    return (math.nextafter(low, -math.inf), low) if low > 0 else (low, math.nextafter(low, math.inf))


def _short(bound: float, step: float) -> float:
    """Return the multiple of `step` in as few digits as it has, so that 0.30000000000000004 is 0.3."""
    digits = -math.floor(math.log10(step))
    return round(bound, digits) + 0.0
