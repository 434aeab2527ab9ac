"""The short form of the soak (`make soak` is the long one), and what its account finds."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING

import pytest

from collected import new_producer_id
from soak.account import account
from soak.chaos import soak
from soak.faults import FEW_KILLS
from soak.outcome import How
from soak.publishing import Event
from soak.report import report

if TYPE_CHECKING:
    from pathlib import Path

    from servers.warehouses import Warehouse
    from trailhouse_cli.servers.kafka import KafkaServer


def say(text: str) -> None:
    """Tell whoever looks at a failed test."""
    sys.stdout.write(text + "\n")


@pytest.mark.long
@pytest.mark.kafka
def test_every_event_is_there_once_whatever_was_killed_when(kafka: KafkaServer, tmp_path: Path) -> None:
    """Collectors, broker and warehouse end at random moments, while the warehouse fails requests."""
    seed = random.SystemRandom().randrange(1 << 31)
    say(f"seed {seed}")
    how = How(seed, len(FEW_KILLS), session_seconds=3.0, rest_seconds=1.0, deck=FEW_KILLS)
    outcome = soak(how, kafka, tmp_path, say)
    say(report(outcome))
    assert outcome.account.faults() == []
    assert outcome.fallen == []
    assert outcome.kills.total() == len(FEW_KILLS)
    assert outcome.account.events > len(FEW_KILLS)


def test_the_account_finds_what_is_lost_doubled_halved_strange_or_misplaced(warehouse: Warehouse) -> None:
    """And nothing else."""
    me, client = new_producer_id(), warehouse.client
    events = {(me, sequence): Event("heartbeat_sent", 1) for sequence in range(6)}
    events |= {(me, 6): Event("metrics_logged", 2), (me, 7): Event("metrics_logged", 2)}
    events |= {(me, 8): Event("heartbeat_sent", 0), (me, 9): Event("heartbeat_sent", 1)}
    once = {"insert_deduplicate": 0}
    heartbeats = [0, 1, 1, 3, 4, 5, 77]
    client.insert("heartbeat_sent", [[me, each] for each in heartbeats], ["producer_id", "sequence"], settings=once)
    client.insert("parameters_logged", [[me, 3]], ["producer_id", "sequence"], settings=once)
    points = [[me, 6, 0], [me, 6, 1], [me, 7, 1]]
    client.insert("metrics_logged", points, ["producer_id", "sequence", "ordinal"], settings=once)
    letters = [[me, 4], [me, 8], [me, 9]]
    client.insert("dead_letters", letters, ["producer_id", "sequence"], settings=once)
    found = account(client, events, messages=20)
    assert found.lost == [(me, 2), (me, 7)]
    assert found.doubled == [(me, 1), (me, 3), (me, 4)]
    assert found.strange == [(me, 77)]
    assert found.misplaced == [(me, 4), (me, 9)]
    assert (found.events, found.rows, found.dead_letters) == (10, 11, 3)
    assert not found.exact
