"""What is not landed yet, in messages and in seconds.

The seconds are reckoned when somebody asks, from the broker's time of the oldest message that is not landed: they go
on growing while the collector hangs, and those of a partition that is somebody else's now are gone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from prometheus_client.metrics_core import Metric

    from trailhouse_consumer.sources import Backlog, Partition

__all__ = ["SPOOLS", "Backlogs"]

#: The label of all spools together: there may be a hundred thousand of them, each for an hour.
SPOOLS: Final = "spools"

_Place = tuple[str, str]


class Backlogs(Collector):
    """The backlog of each partition, as the loop has told it last."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        """Know nothing; `now` returns seconds since 1970."""
        self._now = now
        #: By topic and partition: messages, and the time of the oldest in seconds since 1970. Replaced as a whole.
        self._known: dict[_Place, tuple[int, float | None]] = {}

    def tell(self, backlogs: Mapping[Partition, Backlog]) -> None:
        """Replace what was known. Spools count together; a topic that came from them stays, with nothing left."""
        known = {place: (0, None) for place in self._known if place[1] == SPOOLS}
        found: dict[_Place, tuple[int, float | None]] = dict(known)
        for partition, backlog in backlogs.items():
            place = partition.topic, SPOOLS if partition.number < 0 else str(partition.number)
            messages, oldest = found.get(place, (0, None))
            at = None if backlog.oldest_us is None else backlog.oldest_us / 1e6
            both = [each for each in (oldest, at) if each is not None]
            found[place] = messages + backlog.messages, min(both, default=None)
        self._known = found

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as of now."""
        known, now = self._known, self._now()
        lag = GaugeMetricFamily("trailhouse_lag_messages", "Messages not landed", labels=["topic", "partition"])
        late = GaugeMetricFamily(
            "trailhouse_lag_seconds", "Age of the oldest message not landed", labels=["topic", "partition"]
        )
        longest = 0.0
        for place, (messages, oldest) in known.items():
            lag.add_metric(place, messages)
            if messages and oldest is None:
                continue  # its time is being asked for
            seconds = max(0.0, now - oldest) if messages and oldest is not None else 0.0
            longest = max(longest, seconds)
            late.add_metric(place, seconds)
        yield lag
        yield late
        yield GaugeMetricFamily(
            "trailhouse_oldest_unlanded_seconds", "Age of the oldest message not landed of all", value=longest
        )
