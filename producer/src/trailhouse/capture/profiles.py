"""What the columns of a dataset look like: the statistics that drift is found by, made so that shards can be merged.

One profile a column, as the fields of `DatasetProfiled`. Numbers, timestamps, dates and durations are profiled as
numbers (times in seconds, since 1970 UTC where they are moments); booleans, texts, categories and the rest by how often
each value occurs. docs/capture.md says what each figure is.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trailhouse.capture.column_values import Categories, Numbers, categories_of, is_numeric, numbers_of
from trailhouse.capture.edges import Edges, counts_over, edges_from, edges_named
from trailhouse.capture.json_values import clean_text, qualified_name
from trailhouse.capture.tables import read_table
from trailhouse_schemas.errors import TrailhouseError

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["MOST_CATEGORIES", "PROBABILITIES", "SAMPLE_SIZE", "profile_dataset"]

PROBABILITIES = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
SAMPLE_SIZE = 4096
MOST_CATEGORIES = 100


def profile_dataset(
    data: Any,
    *,
    dataset_id: str,
    version: str = "",
    digest: str = "",
    split: str = "",
    segment: Mapping[str, str] | None = None,
    window_start: datetime | None = None,
    window_end: datetime | None = None,
    shard: int = 0,
    shards: int = 1,
    revision: int = 0,
    roles: Mapping[str, str] | None = None,
    columns: Collection[str] | None = None,
    categorical: Collection[str] = (),
    edges: Mapping[str, Sequence[float]] | None = None,
    reference: Iterable[Any] | None = None,
    seed: int = 0,
    sample_size: int = SAMPLE_SIZE,
) -> list[dict[str, Any]]:
    """Return the fields of one `DatasetProfiled` for each column of `data`.

    Args:
        data: what `describe_dataset` takes, if it is in memory.
        dataset_id: the dataset, as namespace/name.
        version: the dataset's own version.
        digest: digest of the data.
        split: train, validation, test, …
        segment: the part of the data that this is.
        window_start: begin of the window of time that this is, included (with a time zone).
        window_end: end of the window, excluded (with a time zone).
        shard: number of the shard that this is, from 0.
        shards: number of shards that the data has; their profiles can be merged if all got the same edges.
        revision: a higher revision replaces the lower ones of the same window.
        roles: role by column: feature, target, weight, id, prediction.
        columns: only these columns.
        categorical: columns of numbers whose values are categories.
        edges: ascending edges of the bins, by column.
        reference: earlier profiles (dicts or events) whose edges to count over, so that the two can be compared.
            Columns in neither get edges from their own quantiles.
        seed: of the random sample; the same data with the same seed gives the same sample.
        sample_size: how many values the sample keeps at most.

    Raises:
        TrailhouseError: `data` has no columns that can be read, edges that do not ascend, a shard beyond the shards, a
            window without a time zone or that ends before it begins.
    """
    _check(shard, shards, window_start, window_end)
    table = read_table(data)
    if table is None or table.rows < 0:
        raise TrailhouseError(
            f"Data of {qualified_name(type(data))} has no columns in memory to profile; "
            "give pandas, Polars, Arrow, NumPy or a list of records"
        )
    known = _edges_of(reference) | {str(name): edges_named(bounds, name) for name, bounds in (edges or {}).items()}
    context: dict[str, Any] = {
        "dataset_id": clean_text(dataset_id),
        "version": clean_text(version),
        "digest": clean_text(digest),
        "split": clean_text(split),
        "segment": {clean_text(str(name)): clean_text(str(value)) for name, value in (segment or {}).items()},
        "window_start": window_start,
        "window_end": window_end,
        "shard": int(shard),
        "shards": int(shards),
        "revision": int(revision),
    }
    priorities = _priorities(table.rows, seed, context)
    profiles = []
    for position, column in enumerate(table.columns):
        if columns is not None and column.name not in columns:
            continue
        values = column.read()
        profile = context | {
            "column": column.name,
            "position": position,
            "type": clean_text(column.type),
            "role": (roles or {}).get(column.name, column.role),
            "rows": table.rows,
        }
        if column.name not in categorical and is_numeric(values):
            numbers = numbers_of(values)
            profile |= {"measure": "numeric"} | _numeric(numbers, known.get(column.name), priorities, sample_size)
        else:
            profile |= {"measure": "categorical"} | _categorical(categories_of(values))
        profiles.append(profile)
    return profiles


def _check(shard: int, shards: int, start: datetime | None, end: datetime | None) -> None:
    if not 0 <= shard < shards:
        raise TrailhouseError(f"Shard {shard} of {shards} cannot be: shards are numbered from 0")
    for name, moment in (("window_start", start), ("window_end", end)):
        if moment is not None and moment.utcoffset() is None:
            raise TrailhouseError(f"{name} {moment.isoformat()} has no time zone; give it one, such as datetime.UTC")
    if start is not None and end is not None and end <= start:
        raise TrailhouseError(f"The window ends at {end.isoformat()}, not after its start at {start.isoformat()}")


def _edges_of(reference: Iterable[Any] | None) -> dict[str, Edges]:
    known: dict[str, Edges] = {}
    for profile in reference or ():
        fields = profile if isinstance(profile, Mapping) else vars(profile)
        if fields.get("edges"):
            known[fields["column"]] = Edges(fields["edges_name"], tuple(fields["edges"]))
    return known


def _priorities(rows: int, seed: int, context: Mapping[str, Any]) -> Any:
    """Return one random number in (0, 1] for each row: of this shard of this window alone, the same for all columns."""
    names = ("dataset_id", "version", "digest", "split", "segment", "window_start", "window_end", "shard")
    said = repr([seed, *(str(context[name]) for name in names)])
    entropy = int.from_bytes(hashlib.sha256(said.encode("utf-8", "backslashreplace")).digest(), "little")
    return 1.0 - np.random.default_rng(entropy).random(rows)


def _numeric(numbers: Numbers, edges: Edges | None, priorities: Any, sample_size: int) -> dict[str, Any]:
    values = numbers.values  # doubles, infinities included, without the missing ones
    is_finite = np.isfinite(values)
    finite = values if is_finite.all() else values[is_finite]
    ordered = np.sort(finite)
    own = edges if edges is not None else edges_from(ordered)
    infinite = values[~is_finite] if len(finite) != len(values) else values[:0]
    there = priorities[: len(numbers.missing)] if not numbers.missing.any() else priorities[~numbers.missing]
    of_finite = there if len(finite) == len(values) else there[is_finite]
    sample, chosen = _bottom(finite, of_finite, sample_size)
    mean, m2 = _moments(finite)
    return {
        "nulls": int(numbers.missing.sum()),
        "infinities": len(infinite),
        "distinct": _distinct(ordered) + len(np.unique(infinite)),
        "min": float(ordered[0]) if len(ordered) else None,
        "max": float(ordered[-1]) if len(ordered) else None,
        "mean": mean,
        "m2": m2,
        "quantiles": quantiles_of(ordered),
        "edges_name": own.name,
        "edges": list(own.bounds),
        "counts": counts_over(own, ordered, infinite),
        "top_categories": [],
        "other_count": 0,
        "sample": sample.tolist(),
        "sample_priorities": chosen.tolist(),
    }


def quantiles_of(ordered: Any) -> list[dict[str, float]]:
    """Return the quantiles of sorted values: linear interpolation, type 7 of Hyndman & Fan (1996), NumPy's default."""
    if not len(ordered):
        return []
    half = 1.0 if math.isfinite(float(ordered[-1]) - float(ordered[0])) else 0.5  # the difference must not overflow
    values = np.quantile(ordered if half == 1.0 else ordered * half, PROBABILITIES) / half
    return [{"probability": p, "value": float(value)} for p, value in zip(PROBABILITIES, values, strict=True)]


def _distinct(ordered: Any) -> int:
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + 1 if len(ordered) else 0


def _moments(finite: Any) -> tuple[float | None, float | None]:
    """Return mean and sum of squared deviations, in two passes (Chan, Golub & LeVeque 1983), corrected for rounding."""
    if not len(finite):
        return None, None
    with np.errstate(all="ignore"):
        mean = float(finite.mean())
        deviations = finite - mean
        m2 = float(np.dot(deviations, deviations) - deviations.sum() ** 2 / len(finite))
    return mean, max(m2, 0.0) if m2 == m2 else m2  # noqa: PLR0124  NaN, where the squares overflow, stays NaN


def _bottom(values: Any, priorities: Any, size: int) -> tuple[Any, Any]:
    """Return the values with the smallest priorities, and these, ascending."""
    if len(values) > size:
        chosen = np.argpartition(priorities, size)[:size]
        values, priorities = values[chosen], priorities[chosen]
    order = np.argsort(priorities, kind="stable")
    return values[order], priorities[order]


def _categorical(categories: Categories) -> dict[str, Any]:
    top = sorted(categories.counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_CATEGORIES]
    total = sum(categories.counts.values())
    return {
        "nulls": categories.missing,
        "infinities": 0,
        "distinct": len(categories.counts),
        "min": None,
        "max": None,
        "mean": None,
        "m2": None,
        "quantiles": [],
        "edges_name": "",
        "edges": [],
        "counts": [],
        "top_categories": [{"value": value, "count": count} for value, count in top],
        "other_count": total - sum(count for _, count in top),
        "sample": [],
        "sample_priorities": [],
    }
