"""The accounting of loss: each test loses, doubles or holds back one thing, and expects it to be named."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from collected import heartbeat as heartbeat_value
from collected import metrics as metrics_value
from producing import read_spools, run_script
from rows import event, insert_events
from trailhouse_analytics.loss import Accounting, End, ProducerAccount, Verdict, accounting, verify
from trailhouse_cli.main import main
from trailhouse_schemas.events import HeartbeatSent, MetricPoint, MetricsLogged, ParametersLogged
from trailhouse_schemas.spool import Spool, SpooledEvent

if TYPE_CHECKING:
    from pathlib import Path

    from servers.warehouses import Warehouse
    from trailhouse_schemas.events import Event

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def producer() -> str:
    """A producer of this test's own."""
    return str(uuid.uuid4())


def heartbeat(producer_id: str, sequence: int, phase: str = "alive", **fields: Any) -> Event:
    """A heartbeat that says what is true when nothing was dropped, and that the next is due in ten seconds."""
    given = {
        "phase": phase,
        "subject_producer_id": producer_id,
        "events_emitted": sequence + 1,
        "occurred_at": NOW,
        "next_due_at": None if phase == "finished" else NOW + timedelta(seconds=10),
        "project": "p",
        "run_id": "r",
    }
    return event(HeartbeatSent, producer_id=producer_id, sequence=sequence, **(given | fields))


def metrics(producer_id: str, *sequences: int) -> list[Event]:
    """One event of two points for each of these sequences."""
    points = [MetricPoint(name=name, value=1.0, logged_at=NOW) for name in ("loss", "accuracy")]
    return [
        event(
            MetricsLogged, producer_id=producer_id, sequence=s, points=points, project="p", run_id="r", occurred_at=NOW
        )
        for s in sequences
    ]


def dead_letter(warehouse: Warehouse, producer_id: str, sequence: int | None) -> None:
    """Put a message that cannot be decoded where the collector puts it."""
    warehouse.client.insert(
        "dead_letters",
        [["metrics_logged", producer_id, sequence, "decode", "cut off", "trailhouse.metrics_logged", "id", 0, 5, NOW]],
        column_names=[
            *("event_type", "producer_id", "sequence", "reason", "detail"),
            *("_topic", "_topic_id", "_partition", "_offset", "_published_at"),
        ],
        settings={"insert_deduplication_token": uuid.uuid4().hex},
    )


def account(accounting: Accounting, producer_id: str) -> ProducerAccount:
    """The account of one producer; its numbers sum to what it emitted, in every test."""
    (found,) = [a for a in accounting.accounts if a.producer_id == producer_id]
    places = (
        found.landed + found.dead_letters + found.waiting + found.refused + found.dropped + found.expired + found.lost
    )
    assert places == found.emitted
    return found


def findings(found: ProducerAccount) -> list[tuple[str, int, int]]:
    """Kind, first and last of each finding."""
    return [(f.kind, f.first, f.last) for f in found.findings]


def test_a_producer_whose_events_are_all_there_is_complete(warehouse: Warehouse, producer: str) -> None:
    """Events of several points count once, over several tables."""
    parameters = event(ParametersLogged, producer_id=producer, sequence=3, parameters={"lr": "1"}, project="p")
    insert_events(
        warehouse.client,
        [heartbeat(producer, 0, "started"), *metrics(producer, 1, 2), parameters, heartbeat(producer, 4, "finished")],
    )
    found = verify(warehouse.client, now=NOW)
    assert (found.verdict, found.sound, account(found, producer).landed) == (Verdict.COMPLETE, True, 5)
    assert account(found, producer).findings == ()


def test_every_missing_sequence_is_named(warehouse: Warehouse, producer: str) -> None:
    """In the middle as ranges, and at the end up to what the heartbeats say."""
    insert_events(
        warehouse.client,
        [heartbeat(producer, 0, "started"), *metrics(producer, 1, 4, 8), heartbeat(producer, 9, "finished")],
    )
    found = verify(warehouse.client, now=NOW)
    assert (found.verdict, found.sound, found.totals.lost) == (Verdict.LOST, False, 5)
    assert findings(account(found, producer)) == [("lost", 2, 3), ("lost", 5, 7)]


def test_the_first_sequence_can_be_missing(warehouse: Warehouse, producer: str) -> None:
    """Sequences begin at 0, whatever is there."""
    insert_events(warehouse.client, [*metrics(producer, 1), heartbeat(producer, 2, "finished")])
    assert findings(account(verify(warehouse.client, now=NOW), producer)) == [("lost", 0, 0)]


def test_every_doubled_sequence_is_named_with_its_table(warehouse: Warehouse, producer: str) -> None:
    """Doubled events do not hide missing ones: the counts are equal, the sequences are not."""
    insert_events(
        warehouse.client,
        [heartbeat(producer, 0, "started"), *metrics(producer, 1, 2, 2, 3, 3), heartbeat(producer, 6, "finished")],
    )
    found = account(verify(warehouse.client, now=NOW), producer)
    assert (found.lost, found.doubled) == (2, 2)
    assert findings(found) == [("lost", 4, 5), ("doubled", 2, 3)]
    assert found.findings[-1].detail == "2 times in metrics_logged"


def test_doubled_alone_is_unsound(warehouse: Warehouse, producer: str) -> None:
    """Three times counts two too many."""
    insert_events(warehouse.client, [*metrics(producer, 0, 0, 0), heartbeat(producer, 1, "finished")])
    found = verify(warehouse.client, now=NOW)
    assert (found.verdict, found.sound, found.totals.doubled) == (Verdict.DOUBLED, False, 2)


def test_a_dropped_event_is_counted_as_dropped_not_as_lost(warehouse: Warehouse, producer: str) -> None:
    """The heartbeats account for the hole."""
    insert_events(
        warehouse.client,
        [
            heartbeat(producer, 0, "started"),
            *metrics(producer, 1, 4),
            heartbeat(producer, 5, "finished", events_dropped=2, points_dropped=7),
        ],
    )
    found = verify(warehouse.client, now=NOW)
    assert (found.verdict, found.totals.dropped, found.totals.lost) == (Verdict.COMPLETE, 2, 0)
    assert found.totals.points_dropped == 7
    assert findings(account(found, producer)) == [("dropped", 2, 3)]


def test_a_drop_of_one_stretch_does_not_excuse_a_loss_of_another(warehouse: Warehouse, producer: str) -> None:
    """One dropped before the second heartbeat, one lost after it."""
    insert_events(
        warehouse.client,
        [
            heartbeat(producer, 0, "started"),
            heartbeat(producer, 2, events_dropped=1),
            *metrics(producer, 3),
            heartbeat(producer, 5, "finished", events_dropped=1),
        ],
    )
    found = account(verify(warehouse.client, now=NOW), producer)
    assert (found.dropped, found.lost, found.verdict) == (1, 1, Verdict.LOST)
    assert findings(found) == [("dropped", 1, 1), ("lost", 4, 4)]


def test_where_some_of_a_stretch_were_dropped_nobody_claims_to_know_which(warehouse: Warehouse, producer: str) -> None:
    """Two holes, one drop: one is lost, and both are named as one or the other."""
    insert_events(
        warehouse.client,
        [
            heartbeat(producer, 0, "started"),
            *metrics(producer, 2),
            heartbeat(producer, 4, "finished", events_dropped=1),
        ],
    )
    found = account(verify(warehouse.client, now=NOW), producer)
    assert (found.dropped, found.lost) == (1, 1)
    assert findings(found) == [("lost or dropped", 1, 1), ("lost or dropped", 3, 3)]


def test_a_producer_that_goes_on_is_under_way(warehouse: Warehouse, producer: str) -> None:
    """Its next sign of life is not overdue."""
    insert_events(warehouse.client, [heartbeat(producer, 0, "started"), *metrics(producer, 1)])
    found = verify(warehouse.client, now=NOW + timedelta(seconds=20))
    assert (found.verdict, account(found, producer).end) == (Verdict.UNDER_WAY, End.RUNNING)
    assert account(found, producer).unknown_seconds is None


def test_a_killed_producer_has_an_end_that_is_unknown_not_a_loss_of_0(warehouse: Warehouse, producer: str) -> None:
    """At most one flush interval, which its heartbeats name."""
    insert_events(
        warehouse.client, [heartbeat(producer, 0, "started", flush_interval_seconds=0.5), *metrics(producer, 1)]
    )
    found = verify(warehouse.client, now=NOW + timedelta(minutes=5))
    assert (found.verdict, found.sound, found.totals.ends_unknown) == (Verdict.END_UNKNOWN, True, 1)
    assert account(found, producer).unknown_seconds == 0.5
    assert account(found, producer).reason == "overdue: end unknown, at most one flush interval (0.5 s)"


def test_a_producer_that_was_found_dead_has_an_end_that_is_unknown_at_once(warehouse: Warehouse, producer: str) -> None:
    """Whoever found it is a producer of its own, with an account of its own."""
    finder = str(uuid.uuid4())
    insert_events(
        warehouse.client,
        [
            heartbeat(producer, 0, "started"),
            *metrics(producer, 1),
            heartbeat(finder, 0, "started"),
            heartbeat(finder, 1, "found_dead", subject_producer_id=producer, events_emitted=2),
            heartbeat(finder, 2, "finished"),
        ],
    )
    found = verify(warehouse.client, now=NOW)
    assert account(found, producer).end is End.FOUND_DEAD
    assert (account(found, producer).verdict, account(found, producer).emitted) == (Verdict.END_UNKNOWN, 2)
    assert (account(found, finder).verdict, account(found, finder).emitted) == (Verdict.COMPLETE, 3)


def test_events_without_any_heartbeat_have_an_end_that_is_unknown(warehouse: Warehouse, producer: str) -> None:
    """Nothing says how many there were."""
    insert_events(warehouse.client, metrics(producer, 0, 1))
    assert account(verify(warehouse.client, now=NOW), producer).end is End.NO_HEARTBEAT


def test_a_dead_letter_is_accounted_for(warehouse: Warehouse, producer: str) -> None:
    """It is kept whole, so it is not lost; one that says nothing of itself is only counted."""
    insert_events(warehouse.client, [heartbeat(producer, 0, "started"), heartbeat(producer, 2, "finished")])
    dead_letter(warehouse, producer, 1)
    dead_letter(warehouse, "", None)
    found = verify(warehouse.client, now=NOW)
    assert (found.verdict, found.totals.dead_letters, found.totals.lost) == (Verdict.COMPLETE, 1, 0)
    assert found.notes == ("1 dead letters do not say which event they were; they are in no account",)


def spooled(sequence: int, value: bytes, event_type: str = "metrics_logged") -> SpooledEvent:
    """An event as it lies in a spool."""
    return SpooledEvent(sequence, event_type, "key", 0, value)


def test_what_is_still_in_the_spool_is_not_lost(warehouse: Warehouse, producer: str, tmp_path: Path) -> None:
    """Also between events that have landed, and above the last one that has."""
    insert_events(warehouse.client, [heartbeat(producer, 0, "started"), *metrics(producer, 2)])
    with Spool.create(tmp_path, producer) as spool:
        spool.append([spooled(s, metrics_value(producer, s)) for s in (1, 3, 4)])
        last = heartbeat_value(producer, 5, phase="finished", events_emitted=6, next_due_at=None)
        spool.append([spooled(5, last, "heartbeat_sent")])
    found = verify(warehouse.client, spools=[tmp_path], now=NOW + timedelta(hours=1))
    assert (found.verdict, found.sound, found.totals.waiting) == (Verdict.UNDER_WAY, True, 4)
    assert account(found, producer).end is End.FINISHED
    assert findings(account(found, producer)) == [("waiting", 1, 1), ("waiting", 3, 5)]


def test_a_heartbeat_in_the_spool_accounts_for_drops(warehouse: Warehouse, producer: str, tmp_path: Path) -> None:
    """What it says holds before it has landed."""
    insert_events(warehouse.client, [heartbeat(producer, 0, "started")])
    with Spool.create(tmp_path, producer) as spool:
        said = heartbeat_value(producer, 2, phase="finished", events_emitted=3, events_dropped=1, next_due_at=None)
        spool.append([spooled(2, said, "heartbeat_sent")])
    found = account(verify(warehouse.client, spools=[tmp_path], now=NOW), producer)
    assert (found.dropped, found.lost, found.waiting) == (1, 0, 1)


def test_a_spool_of_a_producer_that_nothing_has_landed_of_is_accounted_for(
    warehouse: Warehouse, producer: str, tmp_path: Path
) -> None:
    """The warehouse does not know it; its spool does."""
    with Spool.create(tmp_path, producer) as spool:
        spool.append([spooled(s, metrics_value(producer, s)) for s in range(3)])
    found = account(verify(warehouse.client, spools=[tmp_path], now=NOW), producer)
    assert (found.emitted, found.waiting, found.lost) == (3, 3, 0)


def test_what_has_landed_and_is_still_in_the_spool_is_landed(
    warehouse: Warehouse, producer: str, tmp_path: Path
) -> None:
    """A collector that dies between the insert and the spool's note leaves it in both."""
    insert_events(warehouse.client, [heartbeat(producer, 0, "started"), heartbeat(producer, 1, "finished")])
    with Spool.create(tmp_path, producer) as spool:
        spool.append([spooled(1, heartbeat_value(producer, 1, phase="finished", events_emitted=2), "heartbeat_sent")])
    found = verify(warehouse.client, spools=[tmp_path], now=NOW)
    assert (found.verdict, found.totals.landed, found.totals.waiting) == (Verdict.COMPLETE, 2, 0)


def test_what_the_broker_refused_is_named_with_its_reason(warehouse: Warehouse, producer: str, tmp_path: Path) -> None:
    """It is kept in the spool, so it is not lost."""
    insert_events(warehouse.client, [heartbeat(producer, 0, "started"), heartbeat(producer, 2, "finished")])
    with Spool.create(tmp_path, producer) as spool:
        spool.append([spooled(1, b"large")])
        spool.refuse(1, "MSG_SIZE_TOO_LARGE")
    found = verify(warehouse.client, spools=[tmp_path], now=NOW)
    assert (found.sound, found.totals.refused, found.totals.lost) == (True, 1, 0)
    (finding,) = account(found, producer).findings
    assert (finding.kind, finding.first, finding.detail) == ("refused", 1, "metrics_logged: MSG_SIZE_TOO_LARGE")


def test_a_retained_spool_says_itself_where_its_events_end(warehouse: Warehouse, producer: str, tmp_path: Path) -> None:
    """Control facts are sent without heartbeats; a hole among them is a loss all the same."""
    with Spool.create(tmp_path, producer, retained=True) as spool:
        spool.append([spooled(s, metrics_value(producer, s)) for s in range(3)])
        spool.set_done("metrics_logged", 2)
    insert_events(warehouse.client, metrics(producer, 0, 1, 2))
    assert account(verify(warehouse.client, spools=[tmp_path], now=NOW), producer).verdict is Verdict.COMPLETE


def test_an_event_that_is_done_in_a_retained_spool_and_nowhere_else_is_lost(
    warehouse: Warehouse, producer: str, tmp_path: Path
) -> None:
    """Done means landed: the warehouse must have it."""
    with Spool.create(tmp_path, producer, retained=True) as spool:
        spool.append([spooled(s, metrics_value(producer, s)) for s in range(3)])
        spool.set_done("metrics_logged", 2)
    insert_events(warehouse.client, metrics(producer, 0, 1))
    found = account(verify(warehouse.client, spools=[tmp_path], now=NOW), producer)
    assert findings(found) == [("lost", 2, 2)]


def test_a_spool_that_cannot_be_read_leaves_its_producer_in_doubt(
    warehouse: Warehouse, producer: str, tmp_path: Path
) -> None:
    """It is said which, and the others are accounted for."""
    insert_events(warehouse.client, [heartbeat(producer, 0, "started"), heartbeat(producer, 1, "finished")])
    (tmp_path / f"{producer}.spool").write_bytes(b"no database at all" * 100)
    found = verify(warehouse.client, spools=[tmp_path], now=NOW)
    assert found.verdict is Verdict.END_UNKNOWN
    assert "cannot be read" in account(found, producer).reason
    assert (found.sound, found.whole) == (True, False)


def test_what_a_spool_that_cannot_be_read_may_hold_is_not_called_accounted_for(
    warehouse: Warehouse, producer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, also when one project is asked about: its events may be in there; a loss stays a loss, 1."""
    insert_events(warehouse.client, [heartbeat(producer, 0, "started"), heartbeat(producer, 1, "finished")])

    def verified(*arguments: str) -> tuple[Any, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["verify", "--spool", str(tmp_path), "--warehouse", warehouse.url, *arguments])
        return ended.value.code, *capsys.readouterr()

    assert verified()[0] == 0
    damaged = tmp_path / f"{uuid.uuid4()}.spool"
    damaged.write_bytes(b"no database at all" * 100)
    for arguments in ((), ("--project", "p")):
        code, printed, said = verified(*arguments)
        assert (code, said.count("\n")) == (2, 1), printed
        assert "1 spool cannot be read" in said
        assert str(damaged) in printed.replace("\n", "")
    insert_events(warehouse.client, [heartbeat(producer, 5, "finished")])
    code, printed, _ = verified()
    assert (code, "verdict: lost" in printed) == (1, True)


def test_what_is_left_out_of_the_table_is_more_only_where_something_is_shown(
    warehouse: Warehouse, producer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Thirteen producers that are complete are not thirteen more; with one that is not, they are."""
    complete = [heartbeat(str(uuid.uuid4()), 0, "finished") for _ in range(13)]
    insert_events(warehouse.client, complete)

    def verified() -> str:
        with pytest.raises(SystemExit):
            main(["verify", "--warehouse", warehouse.url, "--spool", str(tmp_path)])
        return capsys.readouterr().out

    said = verified()
    assert "complete, all of them" in said
    assert "* '--all' lists the 13 producers\n" in said
    insert_events(warehouse.client, [heartbeat(producer, 1, "finished")])
    assert "* 13 more producers with '--all'\n" in verified()


def test_a_forked_child_has_an_account_of_its_own(warehouse: Warehouse, tmp_path: Path) -> None:
    """A real fork: two producers, two spools, and each counts from 0."""
    script = """
    import os, trailhouse
    with trailhouse.start_run(project="p", name="parent") as run:
        run.log({"loss": 1.0}, step=0)
        child = os.fork()
        if child == 0:
            run.log({"loss": 2.0}, step=1)
            trailhouse.finish_all()
            os._exit(0)
        os.waitpid(child, 0)
    """
    assert run_script(script, tmp_path, {}).returncode == 0
    by_producer: dict[str, int] = {}
    for one in read_spools(tmp_path):
        by_producer[one.producer_id] = by_producer.get(one.producer_id, 0) + 1
    assert len(by_producer) == 2
    found = verify(warehouse.client, spools=[tmp_path], now=datetime.now(UTC))
    assert {a.producer_id: a.emitted for a in found.accounts} == by_producer
    assert (found.totals.lost, found.totals.doubled, found.totals.waiting) == (0, 0, sum(by_producer.values()))


def test_the_project_chooses_producers_and_each_is_accounted_for_as_a_whole(
    warehouse: Warehouse, producer: str
) -> None:
    """A producer with an event in the project is there with its events outside of it, too."""
    other = str(uuid.uuid4())
    insert_events(
        warehouse.client,
        [
            heartbeat(producer, 0, "started", project="mine"),
            heartbeat(producer, 1, "finished", project=""),
            heartbeat(other, 0, "started", project="other"),
        ],
    )
    found = verify(warehouse.client, project="mine", now=NOW)
    assert [(a.producer_id, a.emitted) for a in found.accounts] == [(producer, 2)]


def test_the_period_chooses_producers_that_said_something_in_it(warehouse: Warehouse, producer: str) -> None:
    """From since on, before until."""
    insert_events(warehouse.client, [heartbeat(producer, 0, "started"), heartbeat(producer, 1, "finished")])
    client = warehouse.client
    assert len(verify(client, since=NOW, until=NOW + timedelta(seconds=1), now=NOW).accounts) == 1
    assert verify(client, until=NOW, now=NOW).accounts == ()
    assert verify(client, since=NOW + timedelta(microseconds=1), now=NOW).accounts == ()


def test_millions_of_sequences_are_accounted_for_in_seconds(warehouse: Warehouse, producer: str) -> None:
    """Three million events, three of them missing: the numbers come from the warehouse, not from lists in Python."""
    warehouse.client.command(
        "INSERT INTO steps_timed (occurred_at, producer_id, sequence, project, started_at, _published_at) "
        "SELECT {now:DateTime64(6, 'UTC')}, {producer:String}, number + 1, 'p', {now:DateTime64(6, 'UTC')}, "
        "{now:DateTime64(6, 'UTC')} FROM numbers(3000000) WHERE number NOT IN (7, 8, 2000000)",
        {"now": NOW, "producer": producer},
    )
    insert_events(warehouse.client, [heartbeat(producer, 0, "started"), heartbeat(producer, 3_000_001, "finished")])
    found = account(verify(warehouse.client, now=NOW), producer)
    assert (found.emitted, found.lost) == (3_000_002, 3)
    assert findings(found) == [("lost", 8, 9), ("lost", 2_000_001, 2_000_001)]


def test_holes_are_the_same_however_they_are_found(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """While all are counted or afterwards, by name or all at once, of few events or many: those that were left out."""
    chance = random.Random(20261123)  # noqa: S311 - no secret
    expected = {}
    for size in (2, 5, 30, 31, 34, 300):
        producer_id = str(uuid.UUID(int=chance.getrandbits(128)))
        lost = sorted(chance.sample(range(1, size), chance.randrange(size // 2)))
        there = [sequence for sequence in range(1, size) if sequence not in lost]
        beats = [heartbeat(producer_id, at, "alive") for at in there[::7]]
        events = [*beats, *metrics(producer_id, *(set(there) - set(there[::7])))]
        insert_events(warehouse.client, [heartbeat(producer_id, 0), *events, heartbeat(producer_id, size, "finished")])
        expected[producer_id] = lost
    for at_once, unpacked in ((10_000, 1_000_000), (1, 1_000_000), (2, 0), (10_000, 32)):
        monkeypatch.setattr(accounting, "_AT_ONCE", at_once)
        monkeypatch.setattr(accounting, "_UNPACKED_EVENTS", unpacked)
        found = {
            one.producer_id: [s for f in one.findings for s in range(f.first, f.last + 1)]
            for one in verify(warehouse.client, now=NOW).accounts
        }
        assert found == expected, (at_once, unpacked)


def test_the_result_goes_to_arrow_and_pandas(warehouse: Warehouse, producer: str) -> None:
    """A row a producer, a row a finding."""
    insert_events(warehouse.client, [heartbeat(producer, 1, "finished")])
    found = verify(warehouse.client, now=NOW)
    assert found.to_arrow().select(["producer_id", "lost"]).to_pylist() == [{"producer_id": producer, "lost": 1}]
    assert found.to_pandas()["verdict"].tolist() == ["lost"]
    (row,) = found.findings_to_arrow().to_pylist()
    assert (row["first"], row["last"], row["events"]) == (0, 0, 1)


def command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRAILHOUSE_")}
    return subprocess.run(
        [sys.executable, "-m", "trailhouse_cli", *arguments],
        env=kept | {"TRAILHOUSE_HOME": str(home), "TRAILHOUSE_SAMPLE_INTERVAL_SECONDS": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_command_says_0_when_all_is_there_and_1_when_something_is_lost(tmp_path: Path) -> None:
    """The whole way: train, collect, verify; then an event is deleted from the warehouse."""
    script = """
    import trailhouse
    with trailhouse.start_run(project="p", name="one") as run:
        for step in range(10):
            run.log({"loss": 1.0 / (step + 1)}, step=step)
    """
    assert run_script(script, tmp_path / "spool", {}).returncode == 0
    assert command(tmp_path, "migrate").returncode == 0
    waiting = command(tmp_path, "verify", "--format", "json")
    assert (waiting.returncode, json.loads(waiting.stdout)["verdict"]) == (0, "under way"), waiting.stderr
    assert command(tmp_path, "collect", "--until-idle").returncode == 0
    complete = command(tmp_path, "verify", "--project", "p", "--format", "json")
    assert (complete.returncode, json.loads(complete.stdout)["verdict"]) == (0, "complete"), complete.stdout
    delete = (
        "from trailhouse_schemas.warehouse import connect; import sys;"
        "connect(sys.argv[1]).command('ALTER TABLE parameters_logged DELETE WHERE 1', settings={'mutations_sync': 1});"
        "connect(sys.argv[1]).command('ALTER TABLE run_started DELETE WHERE 1', settings={'mutations_sync': 1})"
    )
    subprocess.run([sys.executable, "-c", delete, f"chdb://{tmp_path}/warehouse"], check=True, timeout=60)
    lost = command(tmp_path, "verify", "--format", "json")
    assert (lost.returncode, json.loads(lost.stdout)["verdict"]) == (1, "lost")
    assert [f["kind"] for f in json.loads(lost.stdout)["sections"]["findings"]] == ["lost"]


def test_an_unknown_project_or_run_is_one_line_and_exit_code_2(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the value; no traceback."""
    for arguments in (["--project", "nobody"], ["--run", "nothing"], ["--since", "whenever"]):
        with pytest.raises(SystemExit) as ended:
            main(["verify", *arguments, "--warehouse", warehouse.url])
        said = capsys.readouterr().err
        assert (ended.value.code, len(said.splitlines())) == (2, 1)
        assert arguments[1] in said
