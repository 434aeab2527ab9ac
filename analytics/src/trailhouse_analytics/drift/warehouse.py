"""Profiles in the warehouse as one side of a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from trailhouse_analytics.drift import wording
from trailhouse_analytics.drift.profiles import from_profiles
from trailhouse_analytics.errors import DriftInputError
from trailhouse_analytics.queries import ask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clickhouse_connect.driver.client import Client

    from trailhouse_analytics.drift.column import Dataset

__all__ = ["KnownProfile", "choose", "from_warehouse"]

_FOREVER = datetime(2299, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class KnownProfile:
    """A profile that the warehouse has: of a version or of a window of time, of a split and a segment."""

    version: str
    split: str
    segment: Mapping[str, str]
    window: tuple[datetime, datetime] | None


def from_warehouse(
    client: Client,
    dataset_id: str,
    *,
    version: str = "",
    window: tuple[datetime, datetime] | None = None,
    digest: str = "",
    split: str | None = None,
    segment: Mapping[str, str] | None = None,
    as_of: datetime | None = None,
    roles: Mapping[str, str] | None = None,
) -> Dataset:
    """Read the profile of a version of a dataset, or the merged profiles of its windows within a stretch of time.

    Args:
        client: The warehouse, from `trailhouse_schemas.warehouse.connect`.
        dataset_id: The dataset: namespace and name, as namespace/name.
        version: Its version; empty for the one profiled last, and for windows of any. Of a version that was profiled
            in windows only, the window published last.
        window: Begin (included) and end (excluded): all windows that lie in between, instead of a version.
        digest: Only profiles of data with this digest.
        split: Its split; None for the whole, or for the only split there is.
        segment: The segment; None for the whole, or for the only one there is.
        as_of: Only what had been published by then.
        roles: Role of a column by its name, where it differs from the profile's.

    Raises:
        DriftInputError: There is no such profile, or several that fit.
    """
    moment = as_of or _FOREVER
    known = [
        KnownProfile(
            version=row["version"],
            split=row["split"],
            segment=dict(row["segment"]),
            window=(row["window_start"], row["window_end"]) if row["window_start"] is not None else None,
        )
        for row in ask(client, "drift_known_profiles", dataset_id=dataset_id, digest=digest, as_of=moment).to_pylist()
    ]
    chosen = choose(known, dataset_id, version=version, window=window, split=split, segment=segment)
    start, end = window or chosen.window or (None, None)
    profiles = ask(
        client,
        "drift_profiles",
        dataset_id=dataset_id,
        version=version if window else chosen.version,
        digest=digest,
        split=chosen.split,
        segment_keys=sorted(chosen.segment),
        segment_values=[chosen.segment[key] for key in sorted(chosen.segment)],
        window_start=start,
        window_end=end,
        as_of=moment,
    )
    return from_profiles(profiles.to_pylist(), label=_label(dataset_id, chosen, window), roles=roles)


def choose(
    known: Sequence[KnownProfile],
    dataset_id: str,
    *,
    version: str = "",
    window: tuple[datetime, datetime] | None = None,
    split: str | None = None,
    segment: Mapping[str, str] | None = None,
) -> KnownProfile:
    """Return the one profile that is meant, of those known (the latest published last).

    What is not said is the whole where there is a profile of the whole, else the only one there is; of several
    versions the one published last. Raises `DriftInputError` when nothing fits or when several do.
    """
    if not known:
        raise DriftInputError(f"Dataset {dataset_id!r} has no profiles; make one with run.profile_dataset")
    fitting = _of_window(known, dataset_id, window, version) if window else _of_version(known, dataset_id, version)
    splits = list(dict.fromkeys(profile.split for profile in fitting))
    wanted = _one(dataset_id, "split", splits, split)
    fitting = [profile for profile in fitting if profile.split == wanted]
    segments = list(dict.fromkeys(_segment_text(profile.segment) for profile in fitting))
    asked = None if segment is None else _segment_text(segment)
    part = _one(dataset_id, "segment", segments, asked)
    fitting = [profile for profile in fitting if _segment_text(profile.segment) == part]
    return fitting[-1]


def _of_version(known: Sequence[KnownProfile], dataset_id: str, version: str) -> list[KnownProfile]:
    named = [profile for profile in known if version and profile.version == version]
    if named and all(profile.window for profile in named):
        return [profile for profile in named if profile.window == named[-1].window]
    whole = [profile for profile in known if profile.window is None]
    if not whole:
        raise DriftInputError(
            f"Dataset {dataset_id!r} has profiles of windows only, {_span(known)}; ask for {dataset_id}@START..END"
        )
    wanted = version or whole[-1].version
    fitting = [profile for profile in whole if profile.version == wanted]
    if not fitting:
        versions = sorted({profile.version for profile in known})
        raise DriftInputError(f"Dataset {dataset_id!r} has no version {version!r}; it has {wording.listed(versions)}")
    return fitting


def _of_window(
    known: Sequence[KnownProfile], dataset_id: str, window: tuple[datetime, datetime], version: str
) -> list[KnownProfile]:
    start, end = window
    windows = [p for p in known if p.window is not None and version in {"", p.version}]
    if not windows:
        raise DriftInputError(f"Dataset {dataset_id!r} has no profiles of windows; ask for a version of it")
    fitting = [p for p in windows if p.window is not None and start <= p.window[0] and p.window[1] <= end]
    if not fitting:
        raise DriftInputError(
            f"Dataset {dataset_id!r} has no window within {start.isoformat()}..{end.isoformat()}; "
            f"it has {_span(windows)}"
        )
    return fitting


def _span(profiles: Sequence[KnownProfile]) -> str:
    windows = sorted({profile.window for profile in profiles if profile.window is not None})
    return (
        f"{wording.count_of(len(windows), 'window')} from {windows[0][0].isoformat()} to "
        f"{max(end for _, end in windows).isoformat()}"
    )


def _one(dataset_id: str, what: str, have: Sequence[str], asked: str | None) -> str:
    """Return the one asked for; else the whole, which is called ""; else the only one there is."""
    if asked is not None:
        if asked in have:
            return asked
        if not any(have):
            raise DriftInputError(f"Dataset {dataset_id!r} has no {what}s; leave {asked!r} out")
        raise DriftInputError(f"Dataset {dataset_id!r} has no {what} {asked!r}; it has {wording.listed(sorted(have))}")
    if "" in have:
        return ""
    if len(have) == 1:
        return have[0]
    raise DriftInputError(f"Dataset {dataset_id!r} has several {what}s, {wording.listed(sorted(have))}; name one")


def _segment_text(segment: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(segment.items()))


def _label(dataset_id: str, chosen: KnownProfile, window: tuple[datetime, datetime] | None) -> str:
    at = f"{window[0]:%Y-%m-%dT%H:%M:%S}..{window[1]:%Y-%m-%dT%H:%M:%S}" if window else chosen.version
    segment = _segment_text(chosen.segment)
    return (
        dataset_id
        + (f"@{at}" if at else "")
        + (f":{chosen.split}" if chosen.split else "")
        + (f"[{segment}]" if segment else "")
    )
