"""Whatever happens, and in whatever order: each message is in the table, or a dead letter, or proven sent twice, once.

Schedules are drawn from a seed, and one that fails is shrunk to the shortest. `SIMULATION_SCHEDULES` says how many,
`SIMULATION_SEED` from which: `SIMULATION_SCHEDULES=200000 pytest tests/simulation/test_simulation.py`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.reporting import report

from simulation.processes import Fate
from simulation.rest import Rests
from simulation.schedules import AT_ONCE, play, schedules
from simulation.world import World, simulated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulation.schedules import Step

SCHEDULES = int(os.environ.get("SIMULATION_SCHEDULES", "20000"))
SEED = int(os.environ.get("SIMULATION_SEED", "1"))
#: One test each, so that they can run side by side.
PARTS = 4
#: Steps of the longest schedule.
LONGEST = 30


@pytest.fixture(autouse=True)
def _simulated() -> Iterator[None]:
    """Put the simulated parts in place."""
    with simulated():
        yield


@pytest.mark.timeout(60 + SCHEDULES)
@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
def test_every_message_is_accounted_for_once_whatever_happens(part: int) -> None:
    """Kills, stops, rebalances, lost and late answers, forgotten and hollow tokens, retention, resends, new topics."""
    report(f"SIMULATION_SEED={SEED} SIMULATION_SCHEDULES={SCHEDULES}")

    rests = Rests()

    @seed(SEED * PARTS + part)
    @settings(
        max_examples=SCHEDULES // PARTS // AT_ONCE,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(schedules(LONGEST))
    def accounted_for(drawn: list[list[Step]]) -> None:
        for schedule in drawn:
            assert play(schedule, rests=rests) == []

    accounted_for()


@pytest.mark.parametrize(
    "schedule",
    [
        pytest.param([("retain", 1, 0)], id="deleted_before_anything_was_committed"),
        pytest.param(
            [("go", 0, 40), ("kill", 0), ("publish", 0, 5), ("retain", 0, 1), ("lose offset", 0)],
            id="deleted_and_the_offset_lost",
        ),
        pytest.param(
            [("until", 0, "insert"), ("fate", 0, Fate.LOST), ("kill", 0), ("retain", 0, 0)],
            id="deleted_but_landed_by_the_dead",
        ),
        pytest.param(
            [("retain", 0, 0), ("until", 0, "insert"), ("fate", 0, Fate.HOLLOW)],
            id="a_gap_whose_token_is_hollow",
        ),
        pytest.param(
            [("until", 0, "insert"), ("fate", 0, Fate.HOLLOW), ("kill", 0), ("lose offset", 0)],
            id="a_hollow_token_whose_plan_is_lost",
        ),
        pytest.param(
            [
                ("until", 0, "insert"),
                ("expire", 0),
                ("until", 2, "insert"),
                ("expire", 2),
                ("until", 1, "insert"),
            ],
            id="landed_in_parts_while_others_stand_before_inserting_the_whole",
        ),
    ],
)
def test_what_was_found_once_stays_mended(schedule: list[Step]) -> None:
    """The shortest schedules that the protocol once failed."""
    assert play(schedule) == []


@pytest.mark.parametrize(
    "then",
    [
        pytest.param([("kill", 0)], id="the_collector_is_killed"),
        pytest.param([("expire", 0), ("go", 1, 40)], id="both_go_to_another"),
        pytest.param(
            [("until", 1, "insert"), ("other", 0), ("other", 0), ("until", 0, "wait")], id="one_goes_to_another"
        ),
    ],
)
def test_two_partitions_of_one_collector_are_on_their_way_at_once(then: list[Step]) -> None:
    """Both are planned and being inserted when something befalls the collector."""
    going = []

    class Watched(World):
        def both(self, slot: int, calls: int) -> None:
            super().both(slot, calls)
            process = self.process(slot)
            going.append((sorted(process.holding), [lane.call for lane in process.lanes].count("insert")))

    assert play([("both", 0), *then, ("publish", 0, 5)], Watched) == []
    assert going == [([0, 1], 2)]


def test_a_schedule_is_played_the_same_each_time() -> None:
    """Or a failing one could not be shrunk."""
    schedule: list[Step] = [
        ("until", 0, "insert"),
        ("publish", 2, 5),
        ("until", 1, "insert"),
        ("fate", 1, Fate.LATER),
        ("resend", 0, 3),
        ("expire", 0),
        ("go", 2, 40),
        ("crash",),
        ("new month",),
        ("junk", 1),
        ("go", 0, 5),
        ("kill", 2),
    ]
    seen = []

    class Watched(World):
        def end(self) -> None:
            seen.append((self.server.tables, self.server.tokens, self.broker.committed))
            super().end()

    assert [play(schedule, Watched) for _ in range(2)] == [[], []]
    assert seen[0] == seen[1]
