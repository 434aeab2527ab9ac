"""What a collector serves, read back: for who shows it to an operator."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from prometheus_client.parser import text_string_to_metric_families

from trailhouse_consumer.errors import MonitoringError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.samples import Sample

__all__ = ["Look", "PartitionLag", "TopicTotals", "look", "parse"]

_ANSWER_SECONDS: Final = 5.0
_COUNTED: Final = {
    "trailhouse_ranges_planned_total": "planned",
    "trailhouse_ranges_total": "ranges",
    "trailhouse_ranges_replayed_total": "replayed",
    "trailhouse_messages_total": "messages",
    "trailhouse_message_bytes_total": "bytes",
    "trailhouse_rows_total": "rows",
    "trailhouse_duplicates_total": "duplicates",
    "trailhouse_missing_offsets_total": "missing_offsets",
    "trailhouse_last_landing_timestamp_seconds": "landed_at",
}
_SINGLE: Final = {
    "trailhouse_oldest_unlanded_seconds": "oldest_unlanded_seconds",
    "trailhouse_buffered_bytes": "buffered_bytes",
    "trailhouse_stuck_partitions": "stuck_partitions",
    "process_start_time_seconds": "started_at",
}


@dataclass(slots=True)
class PartitionLag:
    """What of one partition is not landed."""

    topic: str
    #: Its number, or `spools` for all spools together.
    partition: str
    messages: int = 0
    #: Age of the oldest of the messages; None where that is not known yet.
    seconds: float | None = None


@dataclass(slots=True)
class TopicTotals:
    """What a collector has done of one topic since it began."""

    topic: str
    planned: float = 0
    ranges: float = 0
    replayed: float = 0
    messages: float = 0
    bytes: float = 0
    rows: float = 0
    duplicates: float = 0
    missing_offsets: float = 0
    #: Seconds since 1970; 0 where nothing was landed.
    landed_at: float = 0
    #: By reason; those that there are.
    dead_letters: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Look:
    """What a collector said at one moment."""

    #: Seconds since 1970, on this machine's clock.
    at: float
    version: str = ""
    #: Seconds since 1970; 0 where its system does not say.
    started_at: float = 0
    ready: bool = False
    #: What was looked at for readiness: `ok`, or what is wrong.
    checks: Mapping[str, str] = field(default_factory=dict)
    oldest_unlanded_seconds: float = 0
    buffered_bytes: float = 0
    stuck_partitions: float = 0
    lags: dict[tuple[str, str], PartitionLag] = field(default_factory=dict)
    topics: dict[str, TopicTotals] = field(default_factory=dict)
    #: By kind.
    rebalances: dict[str, int] = field(default_factory=dict)
    #: What is waited for now.
    waiting: list[str] = field(default_factory=list)


def look(url: str) -> Look:
    """Ask the collector at `url` (such as http://127.0.0.1:9464) how it is.

    Raises:
        MonitoringError: none answers there, or what answers is no collector.
    """
    metrics, _ = _get(url, "/metrics")
    found = parse(metrics, time.time())
    if not found.version:
        raise MonitoringError(f"What answers at {url} is no Trailhouse collector; name another --url")
    said, status = _get(url, "/ready")
    try:
        found.checks = {str(name): str(text) for name, text in json.loads(said)["checks"].items()}
    except (ValueError, LookupError, AttributeError):
        raise MonitoringError(f"The collector at {url} says of its readiness {said[:80]!r}; upgrade it") from None
    found.ready = status == http.client.OK
    return found


def _get(url: str, path: str) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise MonitoringError(f"URL {url!r} of the collector is none; write it like http://127.0.0.1:9464")
    try:
        with urllib.request.urlopen(url.rstrip("/") + path, timeout=_ANSWER_SECONDS) as answer:  # noqa: S310 - see above
            return answer.read().decode(), answer.status
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.client.SERVICE_UNAVAILABLE:
                return error.read().decode(), error.code
        raise MonitoringError(f"What answers at {url} has no {path} ({error.code}); name another --url") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "reason", error) or error
        raise MonitoringError(
            f"No collector answers at {url} ({getattr(why, 'strerror', None) or why}); start one with "
            "'trailhouse collect --metrics-port 9464', or name another --url"
        ) from error


def parse(text: str, at: float) -> Look:
    """Return what the text of /metrics says; `at` is when it was asked for, in seconds since 1970.

    Raises:
        MonitoringError: it is no such text.
    """
    found = Look(at)
    try:
        for sample in _samples(text):
            _take(found, sample)
    except (ValueError, LookupError) as error:
        raise MonitoringError(f"What was read as metrics is none ({error}); name another --url") from error
    return found


def _samples(text: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(text):
        yield from family.samples


def _take(found: Look, sample: Sample) -> None:
    name, labels, value = sample.name, sample.labels, sample.value
    if name in _COUNTED:
        setattr(_topic(found, labels["topic"]), _COUNTED[name], value)
    elif name in {"trailhouse_lag_messages", "trailhouse_lag_seconds"}:
        place = labels["topic"], labels["partition"]
        lag = found.lags.setdefault(place, PartitionLag(*place))
        if name == "trailhouse_lag_messages":
            lag.messages = int(value)
        else:
            lag.seconds = value
    elif name == "trailhouse_dead_letters_total" and value:
        _topic(found, labels["topic"]).dead_letters[labels["reason"]] = int(value)
    elif name == "trailhouse_rebalances_total":
        found.rebalances[labels["kind"]] = int(value)
    elif name == "trailhouse_waiting" and value:
        found.waiting.append(labels["what"])
    elif name == "trailhouse_collector_info":
        found.version = labels["version"]
    elif name in _SINGLE:
        setattr(found, _SINGLE[name], value)


def _topic(found: Look, topic: str) -> TopicTotals:
    return found.topics.setdefault(topic, TopicTotals(topic))
