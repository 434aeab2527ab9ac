"""`trailhouse spool`: shows, checks and publishes what processes have left, and says who holds what."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest
import uuid_utils

from collected import heartbeat, metrics, spooled
from messages import consume
from producing import command, run_script, start_script
from trailhouse_schemas.spool import Spool, spool_files
from trailhouse_schemas.wire import IDENTITY_HEADER, identity_from_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from servers.topics import Topics
    from trailhouse_cli.servers.kafka import KafkaServer

QUICK = {"TRAILHOUSE_SAMPLE_INTERVAL_SECONDS": "0"}
NAMES = ("heartbeat_sent", "metrics_logged", "run_started", "run_finished")


def report(spool: Path, *arguments: object) -> tuple[int, dict[str, Any]]:
    """Run `trailhouse spool …` and return its exit code and its report."""
    done = command(spool, "spool", *arguments, "-f", "json")
    assert done.returncode in {0, 1, 2}, done.stderr
    return done.returncode, json.loads(done.stdout)


def left_by(directory: Path, sequences: list[int], *, dropped: int = 0) -> Path:
    """Make the spool of a process that began, and of whose events these are there, the last a heartbeat."""
    me = str(uuid_utils.uuid7())
    values = [("metrics_logged", metrics(me, n)) for n in range(sequences[-1])]
    values.append(
        (
            "heartbeat_sent",
            heartbeat(me, sequences[-1], events_emitted=sequences[-1] + 1, events_dropped=dropped),
        )
    )
    path = directory / f"{spooled(directory, values, me)}.spool"
    with Spool.open(path) as spool:
        spool.delete(set(range(sequences[-1])) - set(sequences))
    return path


def findings(found: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Return kind, first and last of each finding."""
    return [(row["kind"], row["first"], row["last"]) for row in found["sections"]["findings"]]


def test_the_list_says_who_lives_who_holds_what_and_how_much_waits(tmp_path: Path) -> None:
    """A process that trains, one that finished, one that was killed; and who empties one of them."""
    train = """
        import time, trailhouse
        run = trailhouse.start_run(project="p")
        run.log({"loss": 1.0})
        print("going", flush=True)
        time.sleep(60)
    """
    run_script("import trailhouse\nwith trailhouse.start_run() as run:\n    run.log({'a': 1})", tmp_path, QUICK)
    (finished,) = spool_files(tmp_path)
    living, dying = start_script(train, tmp_path, QUICK), start_script(train, tmp_path, QUICK)
    try:
        for process in (living, dying):
            assert process.stdout is not None
            process.stdout.readline()
        until = time.monotonic() + 20
        while len(spool_files(tmp_path)) < 3 and time.monotonic() < until:
            time.sleep(0.02)
        dying.kill()
        dying.wait()
        with Spool.open(finished) as held:
            assert held.drainer_lock.acquire()
            _, found = report(tmp_path, "list", "--spool", tmp_path)
    finally:
        for process in (living, dying):
            process.kill()
            process.communicate()
    rows = {row["process"]: row for row in found["sections"]["spools"]}
    assert set(rows) == {"alive", "gone", "finished"}
    assert (rows["alive"]["writer"], rows["gone"]["writer"]) == ("alive", "gone")
    assert rows["alive"]["writer_process_id"] in {living.pid, None}
    assert rows["finished"]["path"] == str(finished)
    assert rows["finished"]["drainer"] == "busy"
    assert rows["finished"]["waiting"] == 5
    assert rows["finished"]["oldest_at"] is not None
    assert rows["finished"]["size_bytes"] >= finished.stat().st_size
    assert {row["drainer"] for name, row in rows.items() if name != "finished"} == {"nobody"}


def test_a_spool_that_is_whole_is_in_order(tmp_path: Path) -> None:
    """From its first event on, or from where others have taken them out; what was dropped is said by the producer."""
    left_by(tmp_path, [0, 1, 2, 3])
    left_by(tmp_path, [5, 6, 7])
    left_by(tmp_path, [0, 1, 4, 5], dropped=2)
    code, found = report(tmp_path, "verify")
    assert (code, found["title"]) == (0, "0 of 3 spools not in order")
    assert findings(found) == [("dropped", 2, 3)]
    assert [row["since"] for row in found["sections"]["spools"]] == [0, 5, 0]
    assert command(tmp_path / "nothing", "spool", "verify").returncode == 0


def test_holes_unreadable_and_refused_events_are_named(tmp_path: Path) -> None:
    """Each by its sequence, and the exit code is 1."""
    holes = left_by(tmp_path, [0, 1, 4, 5, 9])
    code, found = report(tmp_path, "verify", holes)
    assert (code, findings(found)) == (1, [("lost", 2, 3), ("lost", 6, 8)])
    bad = left_by(tmp_path, [0, 1, 2, 3])
    with sqlite3.connect(bad) as connection:
        connection.execute("UPDATE events SET value = substr(value, 1, 12) WHERE sequence = 1")
    connection.close()
    code, found = report(tmp_path, "verify", bad.name[:30])
    assert (code, findings(found)) == (1, [("unreadable", 1, 1)])
    other = left_by(tmp_path, [0, 1, 2])
    with Spool.open(other) as spool, Spool.open(bad) as source:
        stranger = source.read(limit_events=1)[0].value
        spool._connection.execute("UPDATE events SET value = ? WHERE sequence = 1", (stranger,))
    code, found = report(tmp_path, "verify", other)
    assert (code, findings(found)) == (1, [("unreadable", 1, 1)])
    assert "it says that it is event 0 of producer" in found["sections"]["findings"][0]["detail"]
    refused = left_by(tmp_path, [0, 1, 2, 3])
    with Spool.open(refused) as spool:
        spool.refuse(2, "MSG_SIZE_TOO_LARGE")
    code, found = report(tmp_path, "verify", refused)
    assert (code, findings(found)) == (1, [("refused", 2, 2)])
    code, found = report(tmp_path, "verify")
    assert (code, found["title"]) == (1, "4 of 4 spools not in order")


def test_a_spool_that_is_none_is_named_and_the_others_are_checked(tmp_path: Path) -> None:
    """Exit code 2, for nobody can say what is in it; 1 where another one has a hole."""
    left_by(tmp_path, [0, 1])
    (tmp_path / "junk.spool").write_bytes(b"this is no database" * 1000)
    code, found = report(tmp_path, "verify")
    assert (code, found["unreadable_spools"], len(found["sections"]["spools"])) == (2, 1, 1)
    assert any("junk.spool cannot be read" in note for note in found["notes"])
    left_by(tmp_path, [0, 2])
    assert report(tmp_path, "verify")[0] == 1


@pytest.mark.kafka
def test_one_spool_is_published_now_and_the_others_stay(kafka: KafkaServer, topics: Topics, tmp_path: Path) -> None:
    """By the begin of its producer's id; what another process empties is left to that one, which is named."""
    topics.create_catalogue(NAMES)
    one, other = left_by(tmp_path, [0, 1, 2]), left_by(tmp_path, [0, 1, 2, 3])
    forward = ("spool", "forward", "--kafka", kafka.bootstrap_servers)
    done = command(tmp_path, *forward, one.name.removesuffix(".spool"))
    assert done.returncode == 0, done.stderr
    assert f"3 events of {one.name} published" in done.stdout
    assert spool_files(tmp_path) == [other]
    with Spool.open(other) as held:
        assert held.drainer_lock.acquire()
        done = command(tmp_path, *forward, other)
        assert (done.returncode, done.stderr) == (1, "")
        assert f"{other.name} is emptied by " in done.stdout
        assert "4 events are left" in done.stdout
        assert held.backlog() == 4
    assert command(tmp_path, *forward, "--spool", tmp_path).returncode == 0
    assert spool_files(tmp_path) == []
    said = [identity_from_bytes(dict(m.headers())[IDENTITY_HEADER]) for m in consume(kafka, NAMES)]
    mine = {path.name.removesuffix(".spool") for path in (one, other)}
    assert sorted(each.sequence for each in said if each.producer_id in mine) == [0, 0, 1, 1, 2, 2, 3]
    assert len(said) == 7 + 2 * 2  # each was found dead


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("spool", "verify", "nobody"), "Producer 'nobody' has no spool here"),
        (("spool", "verify", "--spool", "nowhere"), "Spool directory nowhere is not there"),
        (("spool", "forward"), "There is no Kafka to forward to"),
        (("spool", "forward", "nobody", "--kafka", "localhost:1"), "Producer 'nobody' has no spool here"),
        (("spool", "forward", "--kafka", "localhost:1"), "Kafka at localhost:1 does not answer"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: tuple[str, ...], text: str) -> None:
    """Exit code 2, no traceback, what is wrong and the way out."""
    done = command(tmp_path / "spool", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert text in done.stderr
