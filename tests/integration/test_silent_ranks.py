"""A rank that never came up, or went silent, is named by what the others said of their number."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from collected import heartbeat as heartbeat_value
from collected import spooled
from producing import run_script, trailhouse
from rows import event, insert_events
from trailhouse_analytics.loss import Verdict, verify
from trailhouse_analytics.ranks import ranks_in_words, silent_ranks
from trailhouse_analytics.runs import show_run
from trailhouse_schemas.events import HeartbeatSent, MetricPoint, MetricsLogged

if TYPE_CHECKING:
    from pathlib import Path

    from servers.warehouses import Warehouse
    from trailhouse_schemas.events import Event

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GRACE = timedelta(seconds=30)


def life(
    rank: int, *, last: datetime = NOW, ended: bool = False, began: datetime | None = None, **how: Any
) -> list[Event]:
    """The first and the last heartbeat of a rank of eight, ten minutes apart; the next is due 10 s later."""
    producer_id = how.pop("producer_id", f"{how.get('run_id', 'r')}-{how.get('attempt', 0)}-{rank}")
    first = began or last - timedelta(minutes=10)
    given = {"project": "p", "run_id": "r", "rank": rank, "world_size": 8, "subject_producer_id": producer_id} | how
    said = [("started", first, 1), ("finished" if ended else "alive", last, 2)]
    return [
        event(
            HeartbeatSent,
            producer_id=producer_id,
            phase=phase,
            occurred_at=at,
            next_due_at=None if phase == "finished" else at + timedelta(seconds=10),
            events_emitted=emitted,
            sequence=emitted - 1,
            **given,
        )
        for phase, at, emitted in said
    ]


def ranks(warehouse: Warehouse, *, now: datetime = NOW, **how: Any) -> dict[str, tuple[str, str]]:
    """Ranks never heard of and those that lost contact, by run."""
    found = silent_ranks(warehouse.client, now=now, grace=GRACE, **how)
    return {run.run_id: (ranks_in_words(run.never_heard_of), ranks_in_words(run.lost_contact)) for run in found}


def test_ranks_that_never_reported_and_ranks_that_went_silent_are_named(warehouse: Warehouse) -> None:
    """In the run of eight, by verify and by show; nothing is called complete."""
    events = [e for rank in (0, 1, 2, 4) for e in life(rank, ended=True)]
    insert_events(warehouse.client, [*events, *life(6, last=NOW - timedelta(minutes=2)), *life(7)])
    assert ranks(warehouse) == {"r": ("3, 5", "6")}
    found = verify(warehouse.client, now=NOW)
    (row,) = found.silent_ranks_to_arrow().to_pylist()
    assert row == {
        "project": "p",
        "run_id": "r",
        "attempt": 0,
        "world_size": 8,
        "never_heard_of": "3, 5",
        "lost_contact": "6",
    }
    assert (found.verdict, found.sound) == (Verdict.END_UNKNOWN, True)
    facts = show_run(warehouse.client, "r", now=NOW).facts
    assert (facts["ranks_never_heard_of"], facts["ranks_lost_contact"]) == ("3, 5", "6")


def test_a_run_of_which_all_ranks_were_heard_names_none(warehouse: Warehouse) -> None:
    """Finished or going on."""
    insert_events(warehouse.client, [e for rank in range(8) for e in life(rank, ended=rank % 2 == 0)])
    assert ranks(warehouse) == {}
    assert verify(warehouse.client, now=NOW).verdict is Verdict.UNDER_WAY
    assert "ranks_never_heard_of" not in show_run(warehouse.client, "r", now=NOW).facts


def test_a_rank_that_never_reported_leaves_no_run_complete(warehouse: Warehouse) -> None:
    """However well the others ended."""
    insert_events(warehouse.client, [e for rank in range(7) for e in life(rank, ended=True)])
    assert verify(warehouse.client, now=NOW).verdict is Verdict.END_UNKNOWN
    insert_events(warehouse.client, life(7, ended=True))
    assert verify(warehouse.client, now=NOW).verdict is Verdict.COMPLETE


def test_ranks_have_the_grace_to_come_up(warehouse: Warehouse) -> None:
    """Sixty-four processes do not start at once."""
    insert_events(warehouse.client, life(0, began=NOW - timedelta(seconds=29), last=NOW))
    assert ranks(warehouse) == {}
    assert ranks(warehouse, now=NOW + timedelta(seconds=2)) == {"r": ("1-7", "")}


def test_the_latest_attempt_is_the_one_that_is_asked_about(warehouse: Warehouse) -> None:
    """A restart with fewer ranks lacks none; those of the attempt before are no longer expected."""
    before = [e for rank in (0, 1) for e in life(rank, last=NOW - timedelta(hours=1))]
    after = [e for rank in range(4) for e in life(rank, attempt=1, world_size=4)]
    insert_events(warehouse.client, [*before, *after])
    assert ranks(warehouse) == {}


def test_a_rank_is_its_latest_process_and_not_a_child_of_it(warehouse: Warehouse) -> None:
    """A pod that was replaced in the same attempt goes on; a loader's worker that was killed is no rank."""
    early, gone = NOW - timedelta(hours=2), NOW - timedelta(hours=1)
    insert_events(
        warehouse.client,
        [
            *life(0, run_id="replaced", producer_id="first", began=early, last=gone, world_size=1),
            *life(0, run_id="replaced", producer_id="second", world_size=1),
            *life(0, run_id="loader", producer_id="parent", world_size=1),
            *life(0, run_id="loader", producer_id="child", parent_producer_id="parent", last=gone, world_size=1),
            *life(0, run_id="silent", producer_id="a", began=early, last=gone, ended=True, world_size=1),
            *life(0, run_id="silent", producer_id="b", last=NOW - timedelta(minutes=1), world_size=1),
        ],
    )
    assert ranks(warehouse) == {"silent": ("", "0")}


def test_a_rank_whose_death_was_found_has_lost_contact_before_it_is_overdue(warehouse: Warehouse) -> None:
    """Somebody else says so."""
    found_dead = event(
        HeartbeatSent,
        producer_id="node",
        phase="found_dead",
        subject_producer_id="r-0-0",
        occurred_at=NOW,
        events_emitted=1,
    )
    insert_events(warehouse.client, [*life(0, world_size=1), found_dead])
    assert ranks(warehouse) == {"r": ("", "0")}


def test_a_rank_is_heard_of_by_any_event_and_in_the_spools_too(warehouse: Warehouse, tmp_path: Path) -> None:
    """One has lost its heartbeats and kept a metric; the events of another wait on this machine."""
    points = [MetricPoint(name="loss", value=1.0, logged_at=NOW)]
    metric = event(MetricsLogged, producer_id="m", project="p", run_id="r", rank=1, world_size=3, points=points)
    insert_events(warehouse.client, [*life(0, ended=True, world_size=3), metric])
    assert ranks(warehouse) == {"r": ("2", "")}
    spooled(
        tmp_path, [("heartbeat_sent", heartbeat_value("s", 0, phase="started", run_id="r", rank=2, world_size=3))], "s"
    )
    assert verify(warehouse.client, spools=[tmp_path], now=NOW).silent_ranks == ()


def test_project_run_and_period_choose_the_runs(warehouse: Warehouse) -> None:
    """As they choose producers."""
    old = NOW - timedelta(days=3)
    insert_events(
        warehouse.client, [*life(0), *life(0, run_id="old", last=old, ended=True), *life(0, run_id="q", project="q")]
    )
    assert set(ranks(warehouse)) == {"r", "old", "q"}
    assert set(ranks(warehouse, project="q")) == {"q"}
    assert set(ranks(warehouse, run_id="old")) == {"old"}
    assert set(ranks(warehouse, since=NOW - timedelta(days=1))) == {"r", "q"}
    assert set(ranks(warehouse, until=NOW - timedelta(days=1))) == {"old"}


@pytest.mark.parametrize(
    ("numbers", "words"),
    [((), ""), ((3,), "3"), ((3, 5), "3, 5"), ((0, 1, 2), "0-2"), ((1, 2, 4, 6, 7), "1-2, 4, 6-7")],
)
def test_neighbouring_ranks_are_said_as_a_range(numbers: tuple[int, ...], words: str) -> None:
    """Of ten thousand ranks a whole pod is missing more often than every other rank."""
    assert ranks_in_words(numbers) == words


def test_the_commands_name_the_ranks_of_real_processes_that_never_came(tmp_path: Path) -> None:
    """Four are announced, two come."""
    spool = tmp_path / "spool"
    script = """
        import trailhouse
        with trailhouse.start_run(project="p", run_id="r") as run:
            run.log({"loss": 1.0})
    """
    for rank in ("0", "2"):
        own = {"TRAILHOUSE_RANK": rank, "TRAILHOUSE_WORLD_SIZE": "4", "TRAILHOUSE_SAMPLE_INTERVAL_SECONDS": "0"}
        assert run_script(script, spool, own).returncode == 0
    trailhouse(spool, "collect", "--until-idle")
    verified = json.loads(trailhouse(spool, "verify", "--run", "r", "--grace", "0", "--format", "json"))
    assert verified["verdict"] == "end unknown"
    assert [run["never_heard_of"] for run in verified["sections"]["silent_ranks"]] == ["1, 3"]
    assert "never heard of" in trailhouse(spool, "verify", "--grace", "0")
