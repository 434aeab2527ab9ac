"""Ranges of sequences, and the settling of one account, without a warehouse."""

from __future__ import annotations

import random
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from trailhouse_analytics.loss.account import Seen, Verdict, settle
from trailhouse_analytics.loss.ranges import intersect, joined, size, subtract
from trailhouse_analytics.loss.spools import Heartbeat

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def seeded() -> random.Random:
    """A source of chance that prints its seed, so that a failure can be had again."""
    seed = random.SystemRandom().randrange(2**32)
    sys.stdout.write(f"seed {seed}\n")
    return random.Random(seed)  # noqa: S311 - no secret


def members(ranges: list[tuple[int, int]]) -> set[int]:
    """The sequences of ranges, one by one."""
    return {sequence for first, last in ranges for sequence in range(first, last + 1)}


def test_arithmetic_on_ranges_is_arithmetic_on_sets() -> None:
    """Against Python's own sets, on random ones."""
    chance = seeded()
    for _ in range(500):
        left, right = ({chance.randrange(40) for _ in range(chance.randrange(30))} for _ in range(2))
        a, b = joined((s, s) for s in left), joined((s, s) for s in right)
        assert members(a) == left
        assert members(subtract(a, b)) == left - right
        assert members(intersect(a, b)) == left & right
        assert size(a) == len(left)
        assert all(last + 1 < first for (_, last), (first, _) in pairwise(a))


def test_the_numbers_of_an_account_sum_to_what_was_emitted() -> None:
    """Whatever is missing: every sequence is in exactly one place."""
    chance = seeded()
    for _ in range(200):
        emitted = chance.randrange(1, 60)
        there = sorted(s for s in range(emitted) if chance.random() < 0.7)
        holes = subtract([(0, there[-1])] if there else [], joined((s, s) for s in there))
        last = there[-1] if there else -1
        beats = [Heartbeat(s, s + 1, chance.randrange(s + 1)) for s in there if chance.random() < 0.2]
        landed = len(there) - chance.randrange(len(there) + 1)
        seen = Seen(
            producer_id="a",
            landed_rows=landed,
            landed=landed,
            seen=len(there),
            last_sequence=last,
            emitted=emitted,
            has_heartbeat=True,
        )
        found = settle(seen, holes=holes, heartbeats=beats, spool=None, now=NOW, grace=timedelta(0))
        places = (
            found.landed
            + found.dead_letters
            + found.waiting
            + found.refused
            + found.dropped
            + found.expired
            + found.lost
        )
        assert places == found.emitted == emitted
        assert found.lost + found.dropped == sum(finding.events for finding in found.findings)


def test_a_hole_after_the_last_heartbeat_is_taken_for_a_loss() -> None:
    """Nothing says that it was dropped; that is said, too."""
    seen = Seen(producer_id="a", landed_rows=2, landed=2, seen=2, last_sequence=2, emitted=1, has_heartbeat=True)
    found = settle(seen, holes=[(1, 1)], heartbeats=[Heartbeat(0, 1, 0)], spool=None, now=NOW, grace=timedelta(0))
    (finding,) = found.findings
    assert (found.verdict, finding.kind) == (Verdict.LOST, "lost")
    assert finding.detail == "no later heartbeat is known that could say more"
