"""Profiles of the shards of one dataset become the profile of the whole.

Exact: rows, nulls, infinities, smallest, largest, mean, squared deviations, counts over the same edges. The sample of
the whole is the values with the smallest priorities of all shards: again a uniform random sample. Quantiles are those
of that sample: exact while it holds every value, else with a standard error of at most 0.8 % of the rank (4096 values).
Distinct values are known only while the sample, or the list of categories, holds everything. A category that is not
among a shard's most frequent ones counts as other there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from trailhouse.capture.profiles import MOST_CATEGORIES, SAMPLE_SIZE, quantiles_of
from trailhouse_schemas.errors import TrailhouseError

__all__ = ["merge_profiles"]

_SAME = ("dataset_id", "version", "split", "segment", "window_start", "window_end", "type", "measure", "role")


def merge_profiles(profiles: Iterable[Any], *, sample_size: int = SAMPLE_SIZE) -> list[dict[str, Any]]:
    """Return one profile for each column of the given profiles (dicts or events of several shards).

    Raises:
        TrailhouseError: profiles of a column that are not of one dataset, window and type, or not counted over the
            same edges.
    """
    by_column: dict[str, list[Mapping[str, Any]]] = {}
    for profile in profiles:
        fields = profile if isinstance(profile, Mapping) else profile.model_dump()
        by_column.setdefault(fields["column"], []).append(fields)
    return [_merged(shards, sample_size) for shards in by_column.values()]


def _merged(shards: Sequence[Mapping[str, Any]], sample_size: int) -> dict[str, Any]:
    first = shards[0]
    for name in _SAME:
        others = [shard[name] for shard in shards if shard[name] != first[name]]
        if others:
            raise TrailhouseError(
                f"Profiles of column {first['column']!r} cannot be merged: {name} is {first[name]!r} and {others[0]!r}"
            )
    digests = {shard["digest"] for shard in shards}
    whole = {name: value for name, value in first.items() if name not in {"shard", "shards", "digest", "revision"}}
    whole |= {
        "digest": digests.pop() if len(digests) == 1 else "",
        "shard": 0,
        "shards": 1,
        "revision": max(shard["revision"] for shard in shards),
        "position": min(shard["position"] for shard in shards),
        "rows": sum(shard["rows"] for shard in shards),
        "nulls": sum(shard["nulls"] for shard in shards),
        "infinities": sum(shard["infinities"] for shard in shards),
    }
    return whole | (_numeric(shards, sample_size) if first["measure"] == "numeric" else _categorical(shards))


def _numeric(shards: Sequence[Mapping[str, Any]], sample_size: int) -> dict[str, Any]:
    weighed = [(shard["rows"] - shard["nulls"] - shard["infinities"], shard) for shard in shards]
    filled = [(count, shard) for count, shard in weighed if count > 0]
    total = sum(count for count, _ in filled)
    mean = sum(count / total * shard["mean"] for count, shard in filled) if filled else None
    # Chan, Golub & LeVeque (1983), for any number of parts: within the parts, and between them.
    m2 = sum(shard["m2"] + count * (shard["mean"] - mean) ** 2 for count, shard in filled) if filled else None
    values = np.concatenate([np.asarray(shard["sample"], float) for shard in shards])
    priorities = np.concatenate([np.asarray(shard["sample_priorities"], float) for shard in shards])
    # A shard that kept fewer values than asked for here, and not all of its own, bounds what the whole can keep.
    short = [len(shard["sample"]) for count, shard in filled if len(shard["sample"]) < count]
    order = np.argsort(priorities, kind="stable")[: min([sample_size, *short])]
    values, priorities = values[order], priorities[order]
    ordered = np.sort(values)
    complete = len(values) == total
    return {
        "distinct": len(np.unique(ordered)) if complete and not any(shard["infinities"] for shard in shards) else None,
        "min": min((shard["min"] for _, shard in filled), default=None),
        "max": max((shard["max"] for _, shard in filled), default=None),
        "mean": mean,
        "m2": m2,
        "quantiles": quantiles_of(ordered),
        "sample": values.tolist(),
        "sample_priorities": priorities.tolist(),
        **_counts(shards),
    }


def _counts(shards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counted = [shard for shard in shards if shard["edges_name"]]
    names = {shard["edges_name"] for shard in counted}
    if len(names) > 1:
        raise TrailhouseError(
            f"Profiles of column {shards[0]['column']!r} are over different edges ({', '.join(sorted(names))}); "
            "profile all shards with the same edges=… or reference=…"
        )
    if not counted:
        return {"edges_name": "", "edges": [], "counts": []}
    counts = [sum(column) for column in zip(*(shard["counts"] for shard in counted), strict=True)]
    return {"edges_name": counted[0]["edges_name"], "edges": list(counted[0]["edges"]), "counts": counts}


def _categorical(shards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    for shard in shards:
        for category in shard["top_categories"]:
            counts[category["value"]] += category["count"]
    other = sum(shard["other_count"] for shard in shards)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {
        "distinct": len(counts) if other == 0 else None,
        "top_categories": [{"value": value, "count": count} for value, count in ranked[:MOST_CATEGORIES]],
        "other_count": other + sum(count for _, count in ranked[MOST_CATEGORIES:]),
    }
