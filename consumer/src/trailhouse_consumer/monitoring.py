"""What the collector tells about itself: the names of all metrics, in one place, and how log lines look."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trailhouse_consumer.sources import Partition

__all__ = ["Metrics", "configure_logs"]


class Metrics:
    """All metrics of one collector."""

    def __init__(self) -> None:
        """Make them, in a registry of their own."""
        self.registry = CollectorRegistry()
        topic = ["topic"]
        self.lag = Gauge(
            "trailhouse_lag_messages", "Messages that are not landed", ["topic", "partition"], registry=self.registry
        )
        self.buffered = Gauge("trailhouse_buffered_bytes", "Bytes of messages in memory", registry=self.registry)
        self.ranges = Counter("trailhouse_ranges", "Ranges landed", topic, registry=self.registry)
        self.retried = Counter("trailhouse_ranges_in_doubt", "Ranges landed in doubt", topic, registry=self.registry)
        self.repairs = Counter("trailhouse_repairs", "Inserts of rows that lacked", topic, registry=self.registry)
        self.messages = Counter("trailhouse_messages", "Messages of landed ranges", topic, registry=self.registry)
        self.rows = Counter("trailhouse_rows", "Rows landed", topic, registry=self.registry)
        self.dead_letters = Counter(
            "trailhouse_dead_letters",
            "Messages put among the dead letters",
            ["topic", "reason"],
            registry=self.registry,
        )
        self.duplicates = Counter("trailhouse_duplicates", "Resent events left out", topic, registry=self.registry)
        self.missing = Counter(
            "trailhouse_missing_offsets", "Offsets that the log no longer had", topic, registry=self.registry
        )
        self.insert_seconds = Histogram(
            "trailhouse_insert_seconds", "Time to land a range", topic, registry=self.registry
        )
        self.waits = Counter(
            "trailhouse_waits", "Times that something did not answer", ["what"], registry=self.registry
        )

    def serve(self, address: str, port: int) -> None:
        """Serve them over HTTP from a thread of their own."""
        start_http_server(port, address, registry=self.registry)

    def set_lag(self, lag: Mapping[Partition, int]) -> None:
        """Replace the lag by what is known now."""
        self.lag.clear()
        for partition, messages in lag.items():
            self.lag.labels(partition.topic, partition.number).set(messages)


def configure_logs() -> None:
    """Log to the standard error: for people on a terminal, as JSON lines elsewhere."""
    people = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if people else structlog.processors.JSONRenderer(),
        ],
        logger_factory=lambda *_names: structlog.PrintLogger(sys.stderr),
    )
