"""One column of one side of a comparison: what raw values and stored profiles both become.

Everything that decides about drift sees these values alone, so that a file, a data frame, a profile and a merged set
of profiles can be compared with one another in any combination.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trailhouse_analytics.drift.families import Family, family_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

__all__ = ["CategoryCounts", "Column", "Dataset", "Histogram", "NumericSample"]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of finite values below `edges[0]`, in the bins [e0, e1), …, [en-1, en], and above `edges[-1]`."""

    name: str
    #: Strictly increasing; shape (n + 1,).
    edges: npt.NDArray[np.float64]
    #: Shape (n + 2,).
    counts: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NumericSample:
    """The finite values of a column, or a uniform random sample of them without replacement."""

    #: Sorted; shape (n,), n <= population.
    values: npt.NDArray[np.float64]
    #: Number of finite values that the sample stands for.
    population: int
    histogram: Histogram | None = None

    @property
    def complete(self) -> bool:
        """Whether the sample is all there is."""
        return len(self.values) == self.population


@dataclass(frozen=True, slots=True)
class CategoryCounts:
    """How often each category occurs."""

    counts: Mapping[str, int]
    #: Values whose category is not listed; what is listed is counted exactly all the same.
    other: int = 0
    #: Whether these are the counts of a sample, in which a rare category may not occur.
    sampled: bool = False
    #: Different categories, the ones that are not listed included; at least so many as are listed.
    distinct: int = 0

    @property
    def total(self) -> int:
        """Number of values that are not missing."""
        return sum(self.counts.values()) + self.other

    @property
    def complete(self) -> bool:
        """Whether every category is listed."""
        return self.other == 0


@dataclass(frozen=True, slots=True)
class Column:
    """One column: how many rows, how many of them missing, and the distribution of the others."""

    name: str
    #: In Arrow's words; empty where it is not known.
    type: str
    #: feature, target, weight, id, prediction, or empty where it is not known.
    role: str
    rows: int
    #: Missing values: null, and NaN of a numeric column.
    nulls: int
    #: Infinite values, of either sign: neither missing nor part of the distribution.
    infinities: int
    #: None where there are no values or where they are of a kind that is not compared.
    content: NumericSample | CategoryCounts | None

    @property
    def family(self) -> Family:
        """Family of the column's type; without a single value it is unknown, whatever the type says."""
        return Family.UNKNOWN if self.rows == self.nulls else family_of(self.type)


@dataclass(frozen=True, slots=True)
class Dataset:
    """One side of a comparison."""

    #: What a report calls it.
    label: str
    rows: int
    #: By name, in the order of the data.
    columns: Mapping[str, Column]
    #: What a reader of the report must know about how it was read, in whole sentences.
    notes: tuple[str, ...] = field(default=())
