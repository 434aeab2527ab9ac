"""The values of one column for statistics: doubles with a mask of the missing, or categories with their counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from trailhouse.capture.json_values import as_json_text, clean_text

__all__ = ["Categories", "Numbers", "categories_of", "is_numeric", "numbers_of"]

LONGEST_CATEGORY = 256
_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9, "m": 1 / 60, "h": 1 / 3600, "D": 1 / 86400}


@dataclass(frozen=True)
class Numbers:
    """A column of numbers."""

    values: Any
    """Doubles, without the missing ones: float64 array; infinities are values."""
    missing: Any
    """Whether each row is missing (null, NaN, NaT): boolean array as long as the column."""


@dataclass(frozen=True)
class Categories:
    """A column of categories."""

    counts: dict[str, int]
    """Rows by category, as text."""
    missing: int
    """Rows without one."""


def is_numeric(values: Any) -> bool:
    """Say whether a column is profiled as numbers: numbers, decimals, timestamps, dates, times and durations."""
    if hasattr(values, "chunks"):
        from pyarrow import types  # noqa: PLC0415  loaded already, since there is an array of it

        kind = values.type
        return bool(
            types.is_integer(kind)
            or types.is_floating(kind)
            or types.is_decimal(kind)
            or (types.is_temporal(kind) and not types.is_interval(kind))
        )
    return values.ndim == 1 and values.dtype.kind in "iufmM"


def numbers_of(values: Any) -> Numbers:
    """Return the doubles of a numeric column; moments in seconds since 1970 UTC, durations in seconds."""
    doubles, missing = _from_arrow(values) if hasattr(values, "chunks") else _from_numpy(values)
    missing = missing | np.isnan(doubles)
    return Numbers(doubles[~missing] if missing.any() else doubles, missing)


def categories_of(values: Any) -> Categories:
    """Return how often each value occurs. Booleans are `true` and `false`; texts over 256 characters are cut."""
    if hasattr(values, "chunks"):
        pairs, missing = _counted_arrow(values)
    else:
        pairs, missing = _counted_numpy(values)
    counts: Counter[str] = Counter()
    for value, count in pairs:
        counts[_category(value)] += int(count)
    return Categories(dict(counts), missing)


def _from_numpy(values: Any) -> tuple[Any, Any]:
    if values.dtype.kind in "mM":
        unit = np.datetime_data(values.dtype)
        missing = np.isnat(values)
        if unit[0] not in _PER_SECOND:  # months, years, weeks
            values, unit = values.astype(f"{values.dtype.kind}8[s]"), ("s", 1)
        return values.astype("i8").astype("f8") * unit[1] / _PER_SECOND[unit[0]], missing
    return values.astype("f8", copy=False), np.zeros(len(values), bool)


def _from_arrow(values: Any) -> tuple[Any, Any]:
    import pyarrow as pa  # noqa: PLC0415  loaded already, since there is an array of it

    types = pa.types
    kind = values.type
    missing = values.is_null().to_numpy() if values.null_count else np.zeros(len(values), bool)
    divisor = 1.0
    if types.is_date32(kind):
        values, divisor = values.cast(pa.int32()), _PER_SECOND["D"]
    elif types.is_temporal(kind):
        divisor = _PER_SECOND["ms" if types.is_date64(kind) else kind.unit]
        values = values.cast(pa.int32() if types.is_time32(kind) else pa.int64())
    if values.type != pa.float64():
        values = values.cast(pa.float64(), safe=False)
    if values.null_count:
        values = values.fill_null(0.0)
    doubles = values.to_numpy()
    return (doubles if divisor == 1.0 else doubles / divisor), missing


def _counted_arrow(values: Any) -> tuple[list[tuple[Any, int]], int]:
    import pyarrow as pa  # noqa: PLC0415  loaded already, since there is an array of it
    import pyarrow.compute as pc  # noqa: PLC0415

    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_string_view(values.type):
        values = values.cast(pa.large_string())
    missing = int(values.null_count)
    try:
        counted = pc.value_counts(values.drop_null())
    except pa.ArrowNotImplementedError:  # lists, structs: by their text
        texts = [as_json_text(value) for value in values.to_pylist() if value is not None]
        return list(Counter(texts).items()), missing
    pairs = list(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))
    absent = sum(count for value, count in pairs if value != value)  # noqa: PLR0124  NaN, of numbers as categories
    return [(value, count) for value, count in pairs if value == value], missing + absent  # noqa: PLR0124


def _counted_numpy(values: Any) -> tuple[list[tuple[Any, int]], int]:
    if values.ndim > 1:
        return [], 0
    if values.dtype.kind == "O":
        there = [value for value in values.tolist() if value is not None and value == value]  # noqa: PLR0124  NaN
        texts = [value if isinstance(value, str | bool | int | float) else as_json_text(value) for value in there]
        return list(Counter(map(_category, texts)).items()), len(values) - len(there)
    absent = np.isnat(values) if values.dtype.kind in "mM" else values != values  # noqa: PLR0124  NaN
    found, counts = np.unique(values[~absent], return_counts=True)
    return list(zip(found.tolist(), counts.tolist(), strict=True)), int(absent.sum())


def _category(value: Any) -> str:
    if isinstance(value, str):
        return clean_text(value[:LONGEST_CATEGORY])
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value[:LONGEST_CATEGORY].decode("utf-8", "backslashreplace")
    return clean_text(str(value)[:LONGEST_CATEGORY])
