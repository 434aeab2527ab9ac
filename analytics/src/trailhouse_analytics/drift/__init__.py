"""Drift: whether current data still looks like the reference, column by column, with one verdict and its reasons.

    from trailhouse_analytics import drift

    report = drift.compare("january.parquet", "june.csv")
    print(report.verdict, report.reasons)

What the figures mean and which case has which answer is in docs/drift.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trailhouse_analytics.drift.column import CategoryCounts, Column, Dataset, Histogram, NumericSample
from trailhouse_analytics.drift.compare import compare_datasets
from trailhouse_analytics.drift.families import Family
from trailhouse_analytics.drift.files import FILE_SUFFIXES, from_file, is_csv
from trailhouse_analytics.drift.frames import from_frame
from trailhouse_analytics.drift.profiles import from_profiles
from trailhouse_analytics.drift.report import COLUMNS, ColumnFinding, DriftReport, Verdict
from trailhouse_analytics.drift.thresholds import DEFAULT_ALPHA, DEFAULT_MINIMUM, Thresholds
from trailhouse_analytics.drift.warehouse import from_warehouse

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = [
    "COLUMNS",
    "DEFAULT_ALPHA",
    "DEFAULT_MINIMUM",
    "FILE_SUFFIXES",
    "CategoryCounts",
    "Column",
    "ColumnFinding",
    "Dataset",
    "DriftReport",
    "Family",
    "Histogram",
    "NumericSample",
    "Thresholds",
    "Verdict",
    "compare",
    "compare_datasets",
    "from_file",
    "from_frame",
    "from_profiles",
    "from_warehouse",
    "is_csv",
]


def compare(
    reference: Any,
    current: Any,
    *,
    alpha: float = DEFAULT_ALPHA,
    thresholds: Thresholds | None = None,
    columns: Collection[str] = (),
    exclude: Collection[str] = (),
    roles: Mapping[str, str] | None = None,
    seed: int = 0,
) -> DriftReport:
    """Compare two sides, each a `Dataset`, a data frame that `from_frame` reads or a file's path.

    See `compare_datasets` for the rest and for what is raised.
    """
    return compare_datasets(
        _dataset(reference, "reference"),
        _dataset(current, "current"),
        alpha=alpha,
        thresholds=thresholds,
        columns=columns,
        exclude=exclude,
        roles=roles,
        seed=seed,
    )


def _dataset(side: Any, label: str) -> Dataset:
    match side:
        case Dataset():
            return side
        case str() | Path():
            return from_file(side)
        case _:
            return from_frame(side, label=label)
