"""The names of all metrics of a collector, in one place; docs/monitoring.md says what each means."""

from __future__ import annotations

import platform
import time
from importlib import metadata
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

from trailhouse_consumer.dead_letters import Reason
from trailhouse_consumer.monitoring.backlog import Backlogs
from trailhouse_consumer.monitoring.health import Health

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from trailhouse_consumer.sources import Backlog, Partition

__all__ = ["Metrics"]

#: Seconds: an embedded warehouse takes 20 ms, one far away that is busy half a minute.
_INSERT_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_DECODE_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
#: What happens to an assignment, in the words of Kafka's client.
_REBALANCES: Final = ("assigned", "revoked", "lost")


class _Registry(CollectorRegistry):
    """A registry that leaves out when each counter was made: a series more for each, and the process began then."""

    def collect(self) -> Iterator[Metric]:
        """Return the metrics."""
        for metric in super().collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class Metrics:
    """All metrics of one collector."""

    def __init__(self, health: Health | None = None) -> None:
        """Make them, in a registry of their own; `health` is what readiness is read from."""
        self.health = health or Health()
        self.registry = registry = _Registry()
        topic = ["topic"]
        self.backlogs = Backlogs()
        registry.register(self.backlogs)
        self.buffered = Gauge("trailhouse_buffered_bytes", "Bytes of messages in memory", registry=registry)
        self.planned = Counter("trailhouse_ranges_planned", "Ranges whose plan was stored", topic, registry=registry)
        self.ranges = Counter("trailhouse_ranges", "Ranges landed", topic, registry=registry)
        self.replayed = Counter(
            "trailhouse_ranges_replayed", "Ranges landed whose plan was found or tried before", topic, registry=registry
        )
        self.retried = Counter("trailhouse_ranges_in_doubt", "Ranges landed in doubt", topic, registry=registry)
        self.repairs = Counter("trailhouse_repairs", "Inserts of rows that lacked", topic, registry=registry)
        self.messages = Counter("trailhouse_messages", "Messages of landed ranges", topic, registry=registry)
        self.bytes = Counter("trailhouse_message_bytes", "Bytes of the values of those", topic, registry=registry)
        self.rows = Counter("trailhouse_rows", "Rows landed", topic, registry=registry)
        self.dead_letters = Counter(
            "trailhouse_dead_letters", "Messages put among the dead letters", ["topic", "reason"], registry=registry
        )
        self.duplicates = Counter("trailhouse_duplicates", "Resent events left out", topic, registry=registry)
        self.missing = Counter(
            "trailhouse_missing_offsets", "Offsets that the log no longer had", topic, registry=registry
        )
        self.landed_at = Gauge(
            "trailhouse_last_landing_timestamp_seconds", "When a range was landed last", topic, registry=registry
        )
        self.decode_seconds = Histogram(
            "trailhouse_decode_seconds",
            "Time to make a range's rows",
            topic,
            registry=registry,
            buckets=_DECODE_BUCKETS,
        )
        self.insert_seconds = Histogram(
            "trailhouse_insert_seconds", "Time to land a range", topic, registry=registry, buckets=_INSERT_BUCKETS
        )
        self.waits = Counter("trailhouse_waits", "Times that something did not answer", ["what"], registry=registry)
        self.waiting = Gauge("trailhouse_waiting", "1 while something is waited for", ["what"], registry=registry)
        self.assigned = Gauge(
            "trailhouse_assigned_partitions", "Partitions that this collector has", ["source"], registry=registry
        )
        self.stuck = Gauge("trailhouse_stuck_partitions", "Partitions not collected any more", registry=registry)
        self.rebalances = Counter(
            "trailhouse_rebalances", "Changes of the group's assignment", ["kind"], registry=registry
        )
        for kind in _REBALANCES:
            self.rebalances.labels(kind)
        ready = Gauge("trailhouse_ready", "1 when what comes can be landed", registry=registry)
        ready.set_function(lambda: float(self.health.ready().fine))
        turned = Gauge("trailhouse_loop_turn_age_seconds", "Time since the loop has turned", registry=registry)
        turned.set_function(lambda: self.health.turn_age_seconds)
        info = Info("trailhouse_collector", "The collector", registry=registry)
        info.info({"version": metadata.version("trailhouse-consumer"), "python": platform.python_version()})
        ProcessCollector(registry=registry)
        self._topics: set[str] = set()

    def tell_backlogs(self, backlogs: Mapping[Partition, Backlog]) -> None:
        """Replace what is not landed by what is known now."""
        self.backlogs.tell(backlogs)

    def begin(self, topics: Collection[str]) -> None:
        """Begin to count what is of these topics, at 0: what begins at 1 has not risen, to who looks for a rise."""
        for topic in set(topics) - self._topics:
            self._topics.add(topic)
            for counted in (
                self.planned,
                self.ranges,
                self.replayed,
                self.retried,
                self.repairs,
                self.messages,
                self.bytes,
                self.rows,
                self.duplicates,
                self.missing,
                self.decode_seconds,
                self.insert_seconds,
            ):
                counted.labels(topic)
            for reason in Reason:
                self.dead_letters.labels(topic, reason.value)

    def landed(self, topic: str) -> None:
        """A range of the topic was landed now."""
        self.landed_at.labels(topic).set(time.time())

    def rebalanced(self, kind: str) -> None:
        """The group's assignment has changed: partitions were assigned, revoked or lost."""
        self.rebalances.labels(kind).inc()

    def waits_for(self, what: str, reason: str) -> None:
        """Something does not answer."""
        self.waits.labels(what).inc()
        self.waiting.labels(what).set(1)
        self.health.waits(what, reason)

    def answers(self, what: str) -> None:
        """It answers, again or for the first time."""
        self.waits.labels(what)
        self.waiting.labels(what).set(0)
        self.health.answers(what)
