"""The short form of the producers' soak (`make soak ARGS=--producers` is the long one)."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING

import pytest

from soak.producers import How, report, soak_producers

if TYPE_CHECKING:
    from pathlib import Path

    from servers.topics import Topics
    from servers.warehouses import Warehouse
    from trailhouse_cli.servers.kafka import KafkaServer


def say(text: str) -> None:
    """Tell whoever looks at a failed test."""
    sys.stdout.write(text + "\n")


@pytest.mark.long
def test_ranks_that_are_killed_at_any_moment_lose_no_more_than_is_promised(
    server_warehouse: Warehouse, tmp_path: Path
) -> None:
    """What remains is there once, and verify says of each process that it was found dead or has finished."""
    seed = random.SystemRandom().randrange(1 << 31)
    say(f"seed {seed}")
    how = How(seed, kills=8, ranks=3, rest_seconds=1.5)
    outcome = soak_producers(how, tmp_path, server_warehouse, None, say)
    say(report(outcome))
    assert outcome.faults == []
    assert (outcome.kills, outcome.processes) == (8, 11)
    assert outcome.verify["landed"] > 0


@pytest.mark.long
@pytest.mark.kafka
def test_a_broker_that_is_away_when_the_job_starts_costs_nothing(
    kafka: KafkaServer, topics: Topics, server_warehouse: Warehouse, tmp_path: Path
) -> None:
    """Nothing is lost, nothing doubled, and every call of `log` has landed, for no process was killed.

    In the middle and at the end: test_producer_broker, and `make soak ARGS='--producers --kills 0 --away 600'`.
    """
    topics.create_catalogue()
    how = How(seed=0, kills=0, ranks=2, away_seconds=2.0, away_at=("start",), there_seconds=2.0)
    outcome = soak_producers(how, tmp_path, server_warehouse, kafka, say)
    say(report(outcome))
    assert outcome.faults == []
    assert outcome.torn == 0
    assert outcome.returned == outcome.landed > 0
    assert outcome.ends == {"finished": 2}
