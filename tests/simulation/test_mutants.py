"""The simulation finds what it is there to find: each of these broken protocols fails a short schedule."""

from __future__ import annotations

import os
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.reporting import report

from simulation.rest import Rests
from simulation.schedules import AT_ONCE, play, schedules
from simulation.world import Source, World, simulated
from trailhouse_consumer import landing
from trailhouse_consumer.duplicates import Duplicates
from trailhouse_consumer.errors import PartitionLostError
from trailhouse_consumer.landing import Landed, Landing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from simulation.schedules import Step
    from trailhouse_consumer.rows import Rows
    from trailhouse_consumer.sources import Partition, Plan
    from trailhouse_consumer.sources.buffers import Buffer

SEED = int(os.environ.get("SIMULATION_SEED", "1"))
#: A mutant that lives through so many schedules is one that the simulation does not find.
WITHIN = 50_000
LONGEST = 12


@pytest.fixture(autouse=True)
def _simulated() -> Iterator[None]:
    """Put the simulated parts in place."""
    with simulated():
        yield


def shortest(mutant: type[World] = World, often: Sequence[str] = ()) -> list[Step]:
    """Return a schedule that a mutant fails, without needless steps; raises `NoSuchExample`.

    `often` names the steps without which nobody would notice: they are taken more often, so that few schedules will do.
    """
    rests = Rests()
    drawn = find(
        schedules(LONGEST, often),
        lambda drawn: any(play(schedule, mutant, rests) for schedule in drawn),
        settings=settings(
            max_examples=WITHIN // AT_ONCE,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
        random=Random(SEED),  # noqa: S311 - no secret
    )
    found = next(schedule for schedule in drawn if play(schedule, mutant))
    found = _without_needless(found, mutant)
    report(f"seed {SEED}: {', '.join(' '.join(map(str, step)) for step in found)}: {play(found, mutant)[0]}")
    return found


def _without_needless(schedule: list[Step], mutant: type[World]) -> list[Step]:
    """Return a schedule of which no single step can be left out."""
    for place in reversed(range(len(schedule))):
        shorter = schedule[:place] + schedule[place + 1 :]
        if play(shorter, mutant):
            return _without_needless(shorter, mutant)
    return schedule


class PlanAfterInsert(Source):
    """Stores the plan when the range is landed."""

    def commit_plan(self, partition: Partition, plan: Plan) -> None:
        """Store it in memory alone."""
        self._buffer(partition).plan = plan

    def landed(self, partition: Partition, plan: Plan) -> None:
        """Store it."""
        super().commit_plan(partition, plan)
        super().landed(partition, plan)


class NotItsOwn(Source):
    """Goes on with partitions that it has lost."""

    def _forget(self, gone: list[Any]) -> None:
        """Forget nothing."""


class AnyAssignment(Source):
    """Takes what is said of a partition at one assignment for another, when it has it again."""

    def _buffer(self, partition: Partition) -> Buffer:
        if (buffer := self._buffers.get((partition.topic, partition.number))) is None:
            raise PartitionLostError("not assigned")
        return buffer


class NoReadBack(Landing):
    """Takes the acknowledgement of a repeated insert for proof."""

    def _insert(self, table: str, rows: pa.Table, *place: Any, doubt: bool) -> int:
        partition, plan, tokens = place
        lacking = self._lacking(table, rows, partition, plan) if doubt else rows
        if len(lacking):
            self._warehouse.insert(table, lacking, tokens[tokens.used])
        return 1


class TableFirst(Landing):
    """Inserts the rows before the dead letters."""

    def land(self, partition: Partition, plan: Plan, rows: Rows, **how: Any) -> Landed:
        """Land the one, then the other."""
        super().land(partition, plan, replace(rows, dead_letters=rows.dead_letters[:0]), **how)
        return super().land(partition, plan, replace(rows, table=rows.table[:0]), **how)


def world_of(**parts: type) -> type[World]:
    """Return a world with other parts."""
    return type("Mutant", (World,), parts)


@pytest.mark.parametrize(
    ("mutant", "often"),
    [
        pytest.param(world_of(source=PlanAfterInsert), (), id="plan_after_insert"),
        pytest.param(world_of(source=NotItsOwn), ("until", "both", "expire"), id="commits_what_it_does_not_own"),
        pytest.param(world_of(landing=NoReadBack), (), id="no_read_back"),
        pytest.param(world_of(landing=TableFirst), (), id="table_before_dead_letters"),
    ],
)
def test_a_broken_part_is_found(mutant: type[World], often: Sequence[str]) -> None:
    """And the real one passes what it fails."""
    assert play(shortest(mutant, often)) == []


def _without_range(partition: Partition, _plan: Plan) -> str:
    return f"{partition.topic_id}:{partition.number}"


def _without_topic_id(partition: Partition, plan: Plan) -> str:
    return f"{partition.number}:{plan.first}-{plan.last}"


def _of_the_part(partition: Partition, plan: Plan) -> str:
    return f"{partition.topic_id}:{partition.number}:{plan.first}-{plan.last}"


@pytest.mark.parametrize(
    ("token", "often"),
    [
        (_without_range, ("new topic", "go", "until", "both")),
        (_without_topic_id, ("new topic", "go", "until", "both")),
        (_of_the_part, ("until", "expire")),
    ],
)
def test_a_token_that_names_too_little_or_too_much_is_found(
    token: Callable[[Partition, Plan], str], often: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another range, or one of a topic made again, is taken for landed; or the whole of a part is not fenced."""
    with monkeypatch.context() as broken:
        broken.setattr(landing, "token", token)
        found = shortest(often=often)
    assert play(found) == []


def test_taking_a_low_sequence_for_proof_of_a_duplicate_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that was refused and comes behind others is new, and so is one whose first copy was lost."""

    def believe(_self: object, _names: object, codes: Any, _sequences: object, suspects: Any, _first: int) -> Any:
        return np.isin(np.arange(len(codes)), suspects)

    with monkeypatch.context() as broken:
        broken.setattr(Duplicates, "_proven", believe)
        found = shortest(often=("refuse", "send refused"))
    assert play(found) == []


def test_what_was_made_at_an_earlier_assignment_is_not_planned_at_a_later_one() -> None:
    """A collector loses a partition while its worker makes rows, and has it again when they are made.

    Found after some thousand schedules; so the shortest is played alone.
    """
    schedule: list[Step] = [("until", 2, "ask"), ("expire", 2), ("until", 1, "insert"), ("expire", 1), ("both", 2)]
    assert play(schedule, world_of(source=AnyAssignment)) == ["('topic-1', 0, 1) is there 2 times"]
    assert play(schedule) == []
