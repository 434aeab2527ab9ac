"""What a comparison found: one verdict with reasons, and a row of figures for each column."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "ColumnFinding", "DriftReport", "Verdict"]


class Verdict(StrEnum):
    """The answer, for a column and for the whole."""

    DRIFT = "drift"
    NO_DRIFT = "no drift"
    #: Too little data to say.
    CANNOT_TELL = "cannot tell"
    #: A column that is no data to compare: an identifier, a time stamp, a list. Never the verdict of the whole.
    NOT_COMPARED = "not compared"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFinding:
    """What was found for one column. None is what was not measured, which is never the same as 0."""

    column: str
    verdict: Verdict
    #: In words, without the column's name.
    reason: str
    #: numeric, categorical, or empty where the values were not compared.
    measure: str = ""
    #: Types in Arrow's words; empty on the side that lacks the column.
    reference_type: str = ""
    current_type: str = ""
    reference_rows: int | None = None
    current_rows: int | None = None
    #: ks, chi-square, chi-square (Monte Carlo), Fisher; empty where the values were not tested.
    test: str = ""
    #: Values that went into the test (of a large column, a sample).
    reference_size: int | None = None
    current_size: int | None = None
    #: KS distance or Pearson's chi-square.
    statistic: float | None = None
    p_value: float | None = None
    #: Benjamini-Hochberg over all tests of all columns.
    adjusted_p_value: float | None = None
    psi: float | None = None
    #: Distance, base 2, from 0 to 1.
    jensen_shannon: float | None = None
    #: In the column's own unit; a time in seconds.
    wasserstein: float | None = None
    wasserstein_per_sd: float | None = None
    wasserstein_per_iqr: float | None = None
    cramers_v: float | None = None
    #: Cramér's V with both sides weighted alike.
    cramers_v_balanced: float | None = None
    reference_median: float | None = None
    current_median: float | None = None
    #: Categories that only one of the sides has, the most frequent ones first, and how many there are in all.
    new_categories: tuple[str, ...] = ()
    new_category_count: int | None = None
    vanished_categories: tuple[str, ...] = ()
    vanished_category_count: int | None = None
    #: Shares of rows whose value is missing, and the test of them.
    reference_missing: float | None = None
    current_missing: float | None = None
    missing_test: str = ""
    missing_p_value: float | None = None
    missing_adjusted_p_value: float | None = None
    missing_cohens_h: float | None = None
    #: Shares of values that are infinite, and the test of them.
    reference_infinite: float | None = None
    current_infinite: float | None = None
    infinite_test: str = ""
    infinite_p_value: float | None = None
    infinite_adjusted_p_value: float | None = None
    infinite_cohens_h: float | None = None


_ARROW_TYPES = {
    "str": pa.string(),
    "Verdict": pa.string(),
    "float | None": pa.float64(),
    "int | None": pa.int64(),
    "tuple[str, ...]": pa.list_(pa.string()),
}

#: The columns of the report's table: one row a compared column.
COLUMNS = pa.schema([pa.field(field.name, _ARROW_TYPES[str(field.type)]) for field in fields(ColumnFinding)])


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """What a comparison found."""

    verdict: Verdict
    #: In words, the ones that decided first.
    reasons: tuple[str, ...]
    #: In the order of the reference; columns that only the current data has come last.
    columns: tuple[ColumnFinding, ...]
    #: What the two sides are called, and their rows.
    reference: str
    current: str
    reference_rows: int
    current_rows: int
    alpha: float

    def to_arrow(self) -> pa.Table:
        """Return a table with the schema `COLUMNS`, one row a column."""
        rows: list[dict[str, Any]] = [
            {name: _plain(getattr(finding, name)) for name in COLUMNS.names} for finding in self.columns
        ]
        return pa.Table.from_pylist(rows, schema=COLUMNS)

    def to_pandas(self) -> pd.DataFrame:
        """Return the same as a data frame."""
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame


def _plain(value: object) -> object:
    match value:
        case Verdict():
            return value.value
        case tuple():
            return list(value)
        case _:
            return value
