"""Where ranges end, what they are called, and what a commit says of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trailhouse_consumer.ranges import (
    MAX_ARROW_BYTES,
    MAX_METADATA_BYTES,
    MAX_ROWS,
    fitting,
    halved,
    part_after,
    plan_from_metadata,
    plan_to_metadata,
    settled_metadata,
    token,
    within_one_month,
)
from trailhouse_consumer.sources import Partition, Plan, Whole

OFFSETS = st.integers(0, (1 << 63) - 1)


@given(first=OFFSETS, last=OFFSETS, tries=st.integers(1, 1000), topic_id=st.text(max_size=40))
def test_a_plan_comes_back_from_the_metadata_of_a_commit(first: int, last: int, tries: int, topic_id: str) -> None:
    """What is stored with the group is what the next owner finds."""
    metadata = plan_to_metadata(topic_id, Plan(first, last, tries))
    assert plan_from_metadata(metadata) == (topic_id, Plan(first, last, tries))
    assert len(metadata.encode()) < MAX_METADATA_BYTES


@given(whole=st.builds(Whole, OFFSETS, OFFSETS, st.tuples(OFFSETS, OFFSETS)), topic_id=st.text(max_size=40))
def test_a_part_comes_back_with_the_whole(whole: Whole, topic_id: str) -> None:
    """And with how many of its tokens are used up."""
    metadata = plan_to_metadata(topic_id, Plan(3, 4, 2, whole))
    assert plan_from_metadata(metadata) == (topic_id, Plan(3, 4, 2, whole))
    assert len(metadata.encode()) < MAX_METADATA_BYTES


def test_a_plan_of_an_earlier_version_is_read() -> None:
    """It knew no parts."""
    assert plan_from_metadata('{"v":1,"topic_id":"id","first":3,"last":9,"try":2}') == ("id", Plan(3, 9, 2))


@given(st.sets(st.integers(100, 400), min_size=2), st.integers(0, 3), st.data())
def test_parts_cover_a_whole_once_and_come_down_to_each_record_that_fails(
    offsets: set[int], bad: int, data: st.DataObject
) -> None:
    """Whatever offsets are missing; a collector that comes later takes the same parts; few tries are needed."""
    there = np.array(sorted(offsets))
    failing = set(data.draw(st.permutations(sorted(offsets)))[:bad])
    whole = Plan(int(there[0]), int(there[-1]))
    plan: Plan | None = halved(whole, there)
    landed: list[int] = []
    alone, tries = set(), 0
    while plan is not None:
        tries += 1
        assert plan.whole is not None
        assert (plan.whole.first, plan.whole.last) == (whole.first, whole.last)
        here = there[(there >= plan.first) & (there <= plan.last)]
        if len(here) > 1 and failing & set(here.tolist()):
            plan = halved(plan, here)
            continue
        if failing & set(here.tolist()):
            alone |= set(here.tolist())
        landed += here.tolist()
        plan = part_after(plan, (1, tries))
        assert plan is None or plan.whole == Whole(whole.first, whole.last, (1, tries))
    assert landed == there.tolist()
    assert alone == failing
    assert tries <= 2 + 2 * max(1, bad) * (whole.last - whole.first + 1).bit_length()


def test_a_range_that_is_no_part_has_nothing_after_it() -> None:
    """What comes next is cut anew."""
    assert part_after(Plan(0, 9), (1, 1)) is None


def test_a_settled_commit_names_the_topic_and_no_plan() -> None:
    """So that a topic that was made again is noticed even when nothing is open."""
    assert plan_from_metadata(settled_metadata("id")) == ("id", None)


@pytest.mark.parametrize("foreign", [None, "", "no JSON", "7", '{"v": 99, "first": 1}', "[]"])
def test_metadata_of_somebody_else_is_no_plan(foreign: str | None) -> None:
    """A commit made by a tool leaves nothing open."""
    assert plan_from_metadata(foreign) == (None, None)


def test_tokens_of_a_topic_that_was_made_again_are_others() -> None:
    """Offsets are reused then; tokens must not be."""
    plan = Plan(0, 9)
    assert token(Partition("trailhouse.run_started", "a", 3), plan) == "a:3:0-9"
    assert token(Partition("trailhouse.run_started", "b", 3), plan) == "b:3:0-9"


def test_a_part_has_the_token_of_the_whole() -> None:
    """Who is still about the whole is fenced by it."""
    assert token(Partition("trailhouse.run_started", "a", 3), Plan(3, 4, 1, Whole(0, 9))) == "a:3:0-9"


def test_a_range_ends_with_the_month() -> None:
    """A block is split at the table's partitions, and a token would hold for each part alone."""
    times = np.array(["2026-01-31T23:59:59.999999", "2026-01-01", "2026-02-01", "2026-01-31"], "datetime64[us]")
    assert within_one_month(times.astype(np.int64)) == 2
    assert within_one_month(times[:2].astype(np.int64)) == 2
    assert within_one_month(times[:0].astype(np.int64)) == 0


def test_a_range_has_no_more_rows_than_a_block() -> None:
    """Points explode to rows: the records that would be too many wait for the next range."""
    rows = np.full(10, MAX_ROWS // 4)
    assert fitting(rows, np.ones(10, np.int64)) == 4


def test_a_range_has_no_more_bytes_than_a_block() -> None:
    """The same for bytes."""
    assert fitting(np.ones(10, np.int64), np.full(10, MAX_ARROW_BYTES // 2)) == 2


def test_a_record_that_fits_no_block_is_a_range_of_its_own() -> None:
    """It becomes a dead letter; it must not hold up the others."""
    assert fitting(np.array([MAX_ROWS + 1, 1]), np.ones(2, np.int64)) == 1
