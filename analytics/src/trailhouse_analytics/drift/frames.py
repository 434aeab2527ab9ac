"""Data frames as one side of a comparison: pandas, Polars, Arrow, or columns by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from trailhouse_analytics.drift.accumulate import ColumnAccumulator
from trailhouse_analytics.drift.column import Dataset
from trailhouse_analytics.errors import DriftInputError

__all__ = ["from_frame"]


def from_frame(frame: Any, *, label: str = "data", roles: Mapping[str, str] | None = None) -> Dataset:
    """Read a pandas or Polars data frame, an Arrow table or record batch, or a mapping of column names to sequences.

    Values that do not fit one Arrow type (an object column of numbers and text) are read as text.

    Args:
        frame: The data; it is not changed.
        label: What a report calls it.
        roles: Role of a column by its name: feature, target, weight, id, prediction.

    Raises:
        DriftInputError: It is none of these, or two columns have one name.
    """
    columns = _columns_of(frame)
    names = [name for name, _ in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DriftInputError(f"{label} has two columns named {twice[0]!r}; rename one")
    rows = len(columns[0][1]) if columns else 0
    gathered = {}
    for name, values in columns:
        accumulator = ColumnAccumulator(name, values.type, role=(roles or {}).get(name, ""))
        accumulator.add(values)
        gathered[name] = accumulator.finish()
    return Dataset(label=label, rows=rows, columns=gathered)


def _columns_of(frame: Any) -> list[tuple[str, pa.Array | pa.ChunkedArray]]:
    if isinstance(frame, pa.RecordBatch):
        frame = pa.Table.from_batches([frame])
    if isinstance(frame, pa.Table):
        return list(zip(frame.column_names, frame.columns, strict=True))
    kind = type(frame).__module__.partition(".")[0]
    if kind == "pandas" and hasattr(frame, "columns"):
        return [(str(name), _array(frame.iloc[:, i])) for i, name in enumerate(frame.columns)]
    if kind == "polars" and hasattr(frame, "lazy"):
        return _columns_of(frame.to_arrow())
    if isinstance(frame, Mapping):
        return [(str(name), _array(values)) for name, values in frame.items()]
    raise DriftInputError(
        f"Cannot compare a {type(frame).__name__}; give a pandas or Polars data frame, an Arrow table or a mapping"
    )


def _array(values: Any) -> pa.Array | pa.ChunkedArray:
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return pa.array([None if _is_missing(value) else str(value) for value in values], pa.string())


def _is_missing(value: object) -> bool:
    return value is None or value != value  # noqa: PLR0124 - NaN, NaT and the like are not equal to themselves
