"""What a collector tells of what it does: counts, the backlog, and lines in the log about what is not as usual."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trailhouse_consumer.jobs import Prepared
    from trailhouse_consumer.landing import Landed
    from trailhouse_consumer.monitoring import Metrics
    from trailhouse_consumer.sources import Gap, Partition, Source

__all__ = ["Summary", "Teller"]

_EVERY_SECONDS: Final = 1.0


@dataclass(slots=True)
class Summary:
    """What a collector has done."""

    ranges: int = 0
    messages: int = 0
    rows: int = 0
    dead_letters: int = 0
    duplicates: int = 0
    missing_offsets: int = 0


class Teller:
    """Is told by the loop what it does, and tells the metrics and the log."""

    def __init__(self, metrics: Metrics) -> None:
        """Begin at nothing."""
        self._metrics = metrics
        self._at = 0.0
        self._log = structlog.get_logger("trailhouse.collector")
        self.summary = Summary()

    def turned(self, sources: Sequence[Source]) -> None:
        """The loop has turned: tell, once a second, what its sources have."""
        now = time.monotonic()
        if now < self._at:
            return
        self._at = now + _EVERY_SECONDS
        metrics = self._metrics
        metrics.health.turned({source.name: source.unready() for source in sources})
        metrics.buffered.set(sum(source.buffered_bytes for source in sources))
        metrics.stuck.set(sum(len(source.stuck()) for source in sources))
        backlogs = {}
        for source in sources:
            metrics.assigned.labels(source.name).set(len(source.partitions()))
            metrics.begin({partition.topic for partition in source.partitions()})
            backlogs.update(source.backlog())
        metrics.tell_backlogs(backlogs)

    def planned(self, partition: Partition) -> None:
        """The plan of a range was stored."""
        self._metrics.begin({partition.topic})
        self._metrics.planned.labels(partition.topic).inc()

    def landed(self, partition: Partition, prepared: Prepared, landed: Landed) -> None:
        """A range was landed."""
        topic, metrics, summary, rows = partition.topic, self._metrics, self.summary, prepared.rows
        metrics.ranges.labels(topic).inc()
        metrics.replayed.labels(topic).inc(int(prepared.replayed))
        metrics.retried.labels(topic).inc(int(prepared.doubt))
        metrics.repairs.labels(topic).inc(landed.repairs)
        metrics.messages.labels(topic).inc(rows.messages)
        metrics.bytes.labels(topic).inc(prepared.bytes)
        metrics.rows.labels(topic).inc(len(rows.table))
        metrics.duplicates.labels(topic).inc(rows.duplicates)
        metrics.decode_seconds.labels(topic).observe(prepared.seconds)
        metrics.insert_seconds.labels(topic).observe(landed.seconds)
        metrics.landed(topic)
        reasons = Counter(rows.dead_letters.column("reason").to_pylist())
        for reason, count in reasons.items():
            metrics.dead_letters.labels(topic, reason).inc(count)
        if reasons:
            self._log.warning("dead letters", partition=str(partition), first=rows.first, last=rows.last, **reasons)
        if landed.repairs:
            self._log.warning("rows lacked and were inserted again", partition=str(partition), first=rows.first)
        summary.ranges += 1
        summary.messages += rows.messages
        summary.rows += len(rows.table)
        summary.dead_letters += len(rows.dead_letters)
        summary.duplicates += rows.duplicates

    def missing(self, gap: Gap) -> None:
        """Offsets that the log no longer has were recorded."""
        missing = gap.last - gap.first + 1
        self._log.error("offsets missing", partition=str(gap.partition), first=gap.first, last=gap.last)
        self._metrics.begin({gap.partition.topic})
        self._metrics.missing.labels(gap.partition.topic).inc(missing)
        self.summary.missing_offsets += missing
