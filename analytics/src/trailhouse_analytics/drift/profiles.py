"""Stored profiles as one side of a comparison: DatasetProfiled events, of one version or of consecutive windows.

Shards and windows are merged: counts are added, and of the samples the values with the smallest priorities are kept,
which is the sample that one profile of all the data would have kept. A higher revision replaces the lower ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from trailhouse_analytics.drift import wording
from trailhouse_analytics.drift.column import CategoryCounts, Column, Dataset, Histogram, NumericSample
from trailhouse_analytics.drift.families import Family, family_of
from trailhouse_analytics.errors import DriftInputError

if TYPE_CHECKING:
    from trailhouse_schemas.events.datasets import DatasetProfiled

__all__ = ["from_profiles"]


def from_profiles(
    profiles: Iterable[DatasetProfiled | Mapping[str, Any]], *, label: str = "", roles: Mapping[str, str] | None = None
) -> Dataset:
    """Merge profiles of one dataset, given as events or as mappings with the events' fields, in order of publication.

    What is merged must be parts of one thing: shards of a version, or windows that do not overlap.

    Args:
        profiles: One event for each column, shard, window and revision; of two alike the later one counts.
        label: What a report calls it; the dataset's name and version if empty.
        roles: Role of a column by its name, where it differs from the profile's.

    Raises:
        DriftInputError: There are none, they are of several datasets, versions, splits or segments, or their windows
            overlap.
    """
    rows = [_mapping(profile) for profile in profiles]
    if not rows:
        raise DriftInputError(f"There is no profile of {label or 'the dataset'}; make one with run.profile_dataset")
    _check_one_thing(rows)
    label = label or _label(rows[0])
    notes = []
    columns: dict[str, Column] = {}
    windows = _by(rows, "window_start", "window_end")
    kept = {window: _latest(of_window) for window, of_window in windows.items()}
    _check_apart(label, list(windows))
    current = [row for of_window in kept.values() for row in of_window]
    for (name,), parts in sorted(_by(current, "column").items(), key=lambda item: item[1][-1].get("position", 0)):
        columns[name] = _merged(parts, (roles or {}).get(name))
    lacking = sum(_lacking_shards(of_window) for of_window in kept.values())
    if lacking:
        notes.append(f"{label}: {wording.count_of(lacking, 'shard')} not profiled (yet), the others speak for all")
    return Dataset(
        label=label,
        rows=max(column.rows for column in columns.values()),
        columns=columns,
        notes=tuple(notes),
    )


def _mapping(profile: DatasetProfiled | Mapping[str, Any]) -> Mapping[str, Any]:
    return profile if isinstance(profile, Mapping) else profile.model_dump()


def _label(row: Mapping[str, Any]) -> str:
    version, split = row.get("version") or "", row.get("split") or ""
    window = f"{row['window_start']:%Y-%m-%dT%H:%M}.." if row.get("window_start") else version
    return f"{row['dataset_id']}{'@' + window if window else ''}{':' + split if split else ''}"


def _by(rows: Iterable[Mapping[str, Any]], *fields: str) -> dict[tuple[Any, ...], list[Mapping[str, Any]]]:
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(field) for field in fields), []).append(row)
    return groups


def _check_one_thing(rows: Sequence[Mapping[str, Any]]) -> None:
    for field in ("dataset_id", "version", "split"):
        # Windows that follow one another may well have a version each.
        concerned = rows if field != "version" else [row for row in rows if row.get("window_start") is None]
        values = sorted({str(row.get(field) or "") for row in concerned})
        if len(values) > 1:
            raise DriftInputError(f"The profiles are of several {field}s ({wording.listed(values)}); give those of one")
    segments = {tuple(sorted(dict(row.get("segment") or {}).items())) for row in rows}
    if len(segments) > 1:
        raise DriftInputError(f"The profiles are of {len(segments)} segments; give those of one")


def _check_apart(label: str, windows: Sequence[tuple[Any, ...]]) -> None:
    if len(windows) > 1 and any(None in window for window in windows):
        raise DriftInputError(f"The profiles of {label} are partly of windows, partly not; give one of the two")
    in_order = sorted(windows) if len(windows) > 1 else []
    for (start, end), (next_start, _) in pairwise(in_order):
        if next_start < end:
            raise DriftInputError(
                f"Windows of {label} overlap ({start.isoformat()}..{end.isoformat()} and one from "
                f"{next_start.isoformat()}); ask for a stretch that holds windows of one length"
            )


def _latest(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of one window: of each column and shard the highest revision, cut into shards as the newest one is."""
    newest: dict[tuple[str, int], Mapping[str, Any]] = {}
    for row in rows:
        key = (row["column"], row.get("shard", 0))
        if key not in newest or row.get("revision", 0) >= newest[key].get("revision", 0):
            newest[key] = row
    latest = max(newest.values(), key=lambda row: row.get("revision", 0))
    return [row for row in newest.values() if row.get("shards", 1) == latest.get("shards", 1)]


def _lacking_shards(rows: Sequence[Mapping[str, Any]]) -> int:
    return int(rows[0].get("shards", 1)) - len({row.get("shard", 0) for row in rows})


def _merged(parts: Sequence[Mapping[str, Any]], role: str | None) -> Column:
    last = parts[-1]
    filled = [part for part in parts if part["rows"] > part["nulls"]] or [last]
    types = list(dict.fromkeys(part.get("type", "") for part in filled))
    families = {family_of(arrow_type) for arrow_type in types} - {Family.UNKNOWN}
    measures = {part["measure"] for part in filled}
    content: NumericSample | CategoryCounts | None = None
    if len(families) > 1 or len(measures) > 1:
        types = [f"mixed ({', '.join(types)})"]
    else:
        content = _numbers(filled) if measures == {"numeric"} else _categories(filled)
    return Column(
        name=last["column"],
        type=types[-1],
        role=role if role is not None else last.get("role", ""),
        rows=sum(part["rows"] for part in parts),
        nulls=sum(part["nulls"] for part in parts),
        infinities=sum(part.get("infinities", 0) for part in parts),
        content=content,
    )


def _numbers(parts: Sequence[Mapping[str, Any]]) -> NumericSample:
    finite = [part["rows"] - part["nulls"] - part.get("infinities", 0) for part in parts]
    return NumericSample(
        values=np.sort(_sample(parts, finite)),
        population=sum(finite),
        histogram=_histogram(parts),
    )


def _sample(parts: Sequence[Mapping[str, Any]], finite: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The union's smallest priorities: as many as the smallest of the samples that were cut off has."""
    samples = [np.asarray(part.get("sample") or [], dtype=np.float64) for part in parts]
    if len(samples) == 1:
        return samples[0]
    cut = [len(sample) for sample, count in zip(samples, finite, strict=True) if len(sample) < count]
    if not cut:
        return np.concatenate(samples)
    priorities = [np.asarray(part.get("sample_priorities") or [], dtype=np.float64) for part in parts]
    if any(len(p) != len(s) for p, s in zip(priorities, samples, strict=True)):
        return np.empty(0)  # samples of parts whose weights are unknown are no sample of the whole
    order = np.argsort(np.concatenate(priorities), kind="stable")[: min(cut)]
    return np.concatenate(samples)[order]


def _histogram(parts: Sequence[Mapping[str, Any]]) -> Histogram | None:
    edges = [list(part.get("edges") or []) for part in parts]
    counts = [list(part.get("counts") or []) for part in parts]
    if len(edges[0]) < 2 or any(e != edges[0] for e in edges) or any(len(c) != len(edges[0]) + 1 for c in counts):  # noqa: PLR2004 - a bin has two edges
        return None
    return Histogram(
        name=parts[0].get("edges_name", ""),
        edges=np.asarray(edges[0], dtype=np.float64),
        counts=np.sum(np.asarray(counts, dtype=np.int64), axis=0),
    )


def _categories(parts: Sequence[Mapping[str, Any]]) -> CategoryCounts:
    """Added counts of the categories that every part counts; a part that lists all of its own counts every one."""
    tops = [{entry["value"]: entry["count"] for entry in part.get("top_categories") or []} for part in parts]
    whole = [part.get("other_count", 0) == 0 for part in parts]
    known = [
        name
        for name in dict.fromkeys(name for top in tops for name in top)
        if all(complete or name in top for top, complete in zip(tops, whole, strict=True))
    ]
    counts = {name: sum(top.get(name, 0) for top in tops) for name in known}
    total = sum(sum(top.values()) + part.get("other_count", 0) for top, part in zip(tops, parts, strict=True))
    distinct = sum(part.get("distinct") or 0 for part in parts)
    return CategoryCounts(counts=counts, other=total - sum(counts.values()), distinct=distinct)
