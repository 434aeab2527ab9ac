"""What two looks at a collector come to, as a report: all of it for programs, what matters for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from trailhouse_cli.commands.status.spans import ago, amount, span
from trailhouse_cli.reporting import Column, Report, Section

if TYPE_CHECKING:
    from trailhouse_consumer.monitoring.reading import Look

__all__ = ["report"]

#: Partitions that people are shown: those that are furthest behind.
_SHOWN: Final = 10
_RATED: Final = ("messages", "rows", "bytes")
_TOPICS: Final = pa.schema(
    [
        ("topic", pa.string()),
        ("partitions", pa.int64()),
        ("lag_messages", pa.int64()),
        ("lag_seconds", pa.float64()),
        *((f"{name}_per_second", pa.float64()) for name in _RATED),
        *((name, pa.int64()) for name in (*_RATED, "planned", "ranges", "replayed", "duplicates", "missing_offsets")),
        ("dead_letters", pa.int64()),
        ("landed_at", pa.timestamp("us", "UTC")),
    ]
)
_PARTITIONS: Final = pa.schema(
    [("topic", pa.string()), ("partition", pa.string()), ("messages", pa.int64()), ("seconds", pa.float64())]
)
_LETTERS: Final = pa.schema([("topic", pa.string()), ("reason", pa.string()), ("letters", pa.int64())])
_CHECKS: Final = pa.schema([("what", pa.string()), ("says", pa.string())])


def report(url: str, earlier: Look, later: Look, *, people: bool) -> Report:
    """Return what the collector at `url` does; rates are those between the two looks."""
    topics = _topics(earlier, later)
    lags = sorted(later.lags.values(), key=lambda lag: (-(lag.seconds or 0), -lag.messages, lag.topic, lag.partition))
    letters = [
        {"topic": topic.topic, "reason": reason, "letters": count}
        for topic in later.topics.values()
        for reason, count in sorted(topic.dead_letters.items())
    ]
    checks = [{"what": what, "says": says} for what, says in later.checks.items()]
    notes = []
    if people:
        behind = [lag for lag in lags if lag.messages and lag.partition.isdigit()]
        lags = behind[:_SHOWN]
        if len(behind) > _SHOWN:
            notes.append(f"{len(behind) - _SHOWN:,} more partitions are behind; '--format json' has all")
    sections = [
        Section(
            "topics", "Topics", _table(topics, _TOPICS), _topic_columns(topics, later.at), empty="nothing assigned yet"
        ),
        Section(
            "partitions",
            "Furthest behind",
            _table([{name: getattr(lag, name) for name in _PARTITIONS.names} for lag in lags], _PARTITIONS),
            [
                Column("topic", "topic"),
                Column("partition", "partition"),
                Column("messages", "not landed"),
                Column("seconds", "behind", span),
            ],
        ),
        Section("dead_letters", "Dead letters since it began", _table(letters, _LETTERS)),
        Section("checks", "Not ready", _table([c for c in checks if not people or c["says"] != "ok"], _CHECKS)),
    ]
    if people:
        sections = [each for each in sections if each.name == "topics" or each.table.num_rows]
    up = f", up {span(later.at - later.started_at)}" if later.started_at else ""
    return Report(
        title=f"Collector {later.version} at {url}{up}" if people else f"Collector {later.version} at {url}",
        facts=_for_people(later) if people else _for_programs(url, later),
        sections=sections,
        notes=notes,
    )


def _for_people(look: Look) -> dict[str, Any]:
    waiting = sum(lag.messages for lag in look.lags.values())
    oldest = f", the oldest {span(look.oldest_unlanded_seconds)} old" if look.oldest_unlanded_seconds else ""
    return {
        "state": "ready" if look.ready else "not ready",
        "not_landed": f"{waiting:,} messages{oldest}" if waiting else "nothing",
        "waits_for": ", ".join(sorted(look.waiting)) or None,
        "partitions_not_collected": int(look.stuck_partitions) or None,
        "rebalances": ", ".join(f"{count:,} {kind}" for kind, count in look.rebalances.items() if count) or None,
    }


def _for_programs(url: str, look: Look) -> dict[str, Any]:
    return {
        "collector": url,
        "ready": look.ready,
        "version": look.version,
        "looked_at": _moment(look.at),
        "started_at": _moment(look.started_at),
        "oldest_unlanded_seconds": look.oldest_unlanded_seconds,
        "buffered_bytes": int(look.buffered_bytes),
        "stuck_partitions": int(look.stuck_partitions),
        "rebalances": look.rebalances,
        "waiting": look.waiting,
    }


def _topics(earlier: Look, later: Look) -> list[dict[str, Any]]:
    seconds = later.at - earlier.at
    # One that has begun anew in between counts from 0.
    before = earlier.topics if later.started_at == earlier.started_at else {}
    rows = []
    for name in sorted({*later.topics, *(lag.topic for lag in later.lags.values())}):
        totals = later.topics.get(name)
        lags = [lag for lag in later.lags.values() if lag.topic == name]
        known = [lag.seconds for lag in lags if lag.seconds is not None]
        row: dict[str, Any] = {
            "topic": name,
            "partitions": sum(lag.partition.isdigit() for lag in lags),
            "lag_messages": sum(lag.messages for lag in lags),
            "lag_seconds": max(known, default=None),
            "dead_letters": sum(totals.dead_letters.values()) if totals else 0,
            "landed_at": _moment(totals.landed_at) if totals else None,
        }
        for column in ("planned", "ranges", "replayed", "duplicates", "missing_offsets", *_RATED):
            row[column] = int(getattr(totals, column)) if totals else 0
        for column in _RATED:
            begun = getattr(before[name], column) if name in before else 0
            row[f"{column}_per_second"] = (row[column] - begun) / seconds if seconds > 0 else None
        rows.append(row)
    return rows


def _topic_columns(rows: list[dict[str, Any]], now: float) -> list[Column]:
    """Return what people are shown: what never happened has no column."""
    odd = {"duplicates": "resent", "missing_offsets": "missing", "dead_letters": "dead letters"}
    return [
        Column("topic", "topic"),
        *([Column("partitions", "partitions")] if any(row["partitions"] for row in rows) else []),
        Column("lag_messages", "not landed"),
        Column("lag_seconds", "behind", span),
        Column("messages_per_second", "messages/s", amount),
        Column("rows_per_second", "rows/s", amount),
        Column("bytes_per_second", "bytes/s", amount),
        Column("messages", "messages"),
        Column("rows", "rows"),
        *(Column(name, title) for name, title in odd.items() if any(row[name] for row in rows)),
        Column("landed_at", "landed last", lambda at: ago(now - at.timestamp())),
    ]


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema)


def _moment(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
