"""What the loop of the collector remembers of partitions, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from trailhouse_consumer.collector import Collector
from trailhouse_consumer.monitoring import Metrics
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_consumer.sources import Messages, Partition

if TYPE_CHECKING:
    from trailhouse_consumer.landing import Landing
    from trailhouse_consumer.sources import Plan, Source
    from trailhouse_consumer.warehouse import Warehouse


class Scripted:
    """A source whose one partition, always without a message, has these assignments, one a poll."""

    name = "scripted"
    buffered_bytes = 0

    def __init__(self, assignments: list[int]) -> None:
        """Take them."""
        self._left = [Partition("trailhouse.run_started", "id", -1, assignment) for assignment in assignments]
        self._now: list[Partition] = []

    def poll(self, _timeout_seconds: float) -> None:
        """Go on to the next."""
        self._now, self._left = self._left[:1], self._left[1:]

    def partitions(self) -> list[Partition]:
        """Return the one of this poll."""
        return self._now

    due = partitions

    @property
    def drained(self) -> bool:
        """Whether the script is over."""
        return not self._left

    def open_plan(self, _partition: Partition) -> Plan | None:
        """Return none."""

    def read(self, _partition: Partition) -> Messages:
        """Return nothing."""
        none = np.empty(0, np.int64)
        return Messages(none, none, [], [], list[Partition]().__getitem__)  # type: ignore[arg-type]

    def gaps(self) -> list[object]:
        """Return none."""
        return []

    def lag(self) -> dict[Partition, int]:
        """Return none."""
        return {}

    def settle(self) -> None:
        """Do nothing."""

    close = settle


class Asked:
    """A landing that counts how often it is asked how far a partition is."""

    times = 0

    def highest_offset(self, _partition: Partition) -> int:
        """Count."""
        self.times += 1
        return -1


def test_what_was_known_of_a_partition_is_forgotten_when_it_is_assigned_anew() -> None:
    """Also when it was lost and came back within one poll: somebody else may have landed of it meanwhile."""
    asked = Asked()
    collector = Collector(
        [cast("Source", Scripted([1, 1, 2, 2, 2, 5]))],
        cast("Warehouse", None),
        cast("Landing", asked),
        settings=CollectorSettings(idle_seconds=0),
        metrics=Metrics(),
    )
    collector.run(until_idle=True)
    assert asked.times == 3
