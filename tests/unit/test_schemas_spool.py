"""The spool keeps what was appended, in order, whoever dies, and lets one drain it at a time."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import uuid
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from trailhouse_schemas.errors import SpoolError, SpoolLockedError
from trailhouse_schemas.spool import FileLock, Spool, SpooledEvent, SpoolPlan, _connect, spool_files

if TYPE_CHECKING:
    from pathlib import Path


def event(sequence: int, event_type: str = "metrics_logged", size: int = 10) -> SpooledEvent:
    """Return an event of some bytes."""
    return SpooledEvent(sequence, event_type, "key", 1_700_000_000_000_000 + sequence, bytes([sequence % 256]) * size)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty spool, open for writing."""
    return Spool.create(tmp_path, str(uuid.uuid4()))


def test_events_read_back_in_order_as_they_were_appended(spool: Spool) -> None:
    """Whatever the batches."""
    spool.append([event(0), event(1, "run_started")])
    spool.append([event(2)])
    assert spool.read() == [event(0), event(1, "run_started"), event(2)]
    assert spool.read("metrics_logged", after=0) == [event(2)]
    assert spool.read(through=1) == [event(0), event(1, "run_started")]
    assert spool.event_types() == ["metrics_logged", "run_started"]
    assert spool.backlog() == 3


def test_reading_respects_its_limits_but_always_returns_one(spool: Spool) -> None:
    """An event larger than the limit must not stop the spool for ever."""
    spool.append([event(0, size=1000), event(1, size=1000), event(2, size=10)])
    assert [e.sequence for e in spool.read(limit_bytes=500)] == [0]
    assert [e.sequence for e in spool.read(limit_bytes=2000)] == [0, 1]
    assert [e.sequence for e in spool.read(limit_events=2)] == [0, 1]


def test_an_append_is_whole_or_not_at_all(spool: Spool) -> None:
    """A batch with a sequence that is there already leaves nothing behind."""
    spool.append([event(5)])
    with pytest.raises(SpoolError, match="cannot be written"):
        spool.append([event(6), event(5)])
    assert [e.sequence for e in spool.read()] == [5]


def test_what_is_done_leaves_the_spool_and_the_rest_stays(spool: Spool) -> None:
    """By type: another type's events are not touched."""
    spool.append([event(0), event(1, "run_started"), event(2), event(3)])
    spool.set_plan(SpoolPlan("metrics_logged", 0, 2, 1))
    assert spool.plan("metrics_logged") == SpoolPlan("metrics_logged", 0, 2, 1)
    spool.set_done("metrics_logged", 2)
    assert spool.plans() == []
    assert [e.sequence for e in spool.read()] == [1, 3]
    assert spool.done_through("metrics_logged") == 2
    assert spool.done_through("run_started") == -1
    assert spool.backlog() == 2


def test_a_retained_spool_keeps_what_is_done(tmp_path: Path) -> None:
    """Control facts stay readable for those who decide by them."""
    spool = Spool.create(tmp_path, "p", retained=True)
    spool.append([event(0, "permission_changed"), event(1, "permission_changed")])
    spool.set_done("permission_changed", 0)
    assert len(spool.read()) == 2
    assert spool.backlog() == 1


def test_a_retained_spool_is_drained_again_but_for_what_was_published(tmp_path: Path) -> None:
    """And only by who may drain it: another warehouse may be at it."""
    with Spool.create(tmp_path, "p", retained=True) as spool:
        spool.append([event(0, "permission_changed"), event(1, "price_set"), event(2, "price_set")])
        spool.choose_partitions([(0, 0)])
        for name, through in (("permission_changed", 0), ("price_set", 2)):
            spool.set_done(name, through)
        with Spool.open(spool.path) as other:
            assert other.drainer_lock.acquire()
            assert spool.drain_again() == 0
        assert spool.drain_again() == 2
        assert (spool.done_through("permission_changed"), spool.done_through("price_set")) == (0, -1)
    with Spool.create(tmp_path, "q") as spool:
        spool.append([event(0, "price_set")])
        assert spool.drain_again() == 0


def test_a_refused_event_is_kept_with_its_reason(spool: Spool) -> None:
    """The accounting of loss reads it."""
    spool.append([event(0), event(1)])
    spool.refuse(0, "too large")
    assert [e.sequence for e in spool.read()] == [1]
    (refused,) = spool.refused()
    assert (refused.sequence, refused.value, refused.reason) == (0, event(0).value, "too large")


def test_the_first_choice_of_a_partition_stays(spool: Spool) -> None:
    """A resend goes where the first send went."""
    spool.append([event(0), event(1)])
    spool.choose_partitions([(0, 3)])
    spool.choose_partitions([(0, 5), (1, 4)])
    assert [e.partition for e in spool.read()] == [3, 4]


def test_only_one_drains_a_spool_at_a_time(spool: Spool) -> None:
    """Locks of the operating system, also between two objects of one process."""
    one, other = Spool.open(spool.path), Spool.open(spool.path)
    assert one.drainer_lock.acquire()
    assert not other.drainer_lock.acquire()
    one.close()
    assert other.drainer_lock.acquire()


def test_a_second_writer_is_refused(spool: Spool) -> None:
    """One producer, one spool."""
    with pytest.raises(SpoolLockedError, match="written by another process"):
        Spool.create(spool.path.parent, spool.producer_id)


def test_a_lock_goes_with_the_process_however_it_dies(tmp_path: Path) -> None:
    """Kill -9 leaves no lock behind, and what was appended stays."""
    code = (
        "import sys, pathlib, time; from trailhouse_schemas.spool import *;"
        "s = Spool.create(pathlib.Path(sys.argv[1]), 'p');"
        "s.append([SpooledEvent(0, 't', 'k', 1, b'x')]); print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        (path,) = spool_files(tmp_path)
        lock = FileLock(path.with_name(path.name + ".writer"))
        assert not lock.acquire()
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert lock.acquire()
    lock.release()
    assert [e.value for e in Spool.open(path).read()] == [b"x"]


def test_a_forked_child_holds_no_lock_of_its_parent(spool: Spool) -> None:
    """Else a data loader that outlives the training process would keep its spool locked."""
    code = (
        "import sys, os, pathlib, time; from trailhouse_schemas.spool import *;"
        "s = Spool.create(pathlib.Path(sys.argv[1]), 'child');"
        "pid = os.fork();"
        "print(pid, flush=True) if pid else (os.close(1), time.sleep(30))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(spool.path.parent)], stdout=subprocess.PIPE, text=True, check=True, timeout=20
    )
    child = int(result.stdout)
    try:
        assert FileLock(spool.path.parent / "child.spool.writer").acquire()
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_finished_spool_is_removed_and_no_other(tmp_path: Path) -> None:
    """Not while its writer lives, nor while anything is in it."""
    writer = Spool.create(tmp_path, "p")
    writer.append([event(0)])
    drainer = Spool.open(writer.path)
    assert drainer.drainer_lock.acquire()
    drainer.set_done("metrics_logged", 0)
    assert not drainer.remove_if_finished()
    writer.append([event(1)])
    writer.close()
    assert not drainer.remove_if_finished()
    drainer.set_done("metrics_logged", 1)
    assert drainer.remove_if_finished()
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_spool_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """Not there, or another file of that name."""
    with pytest.raises(SpoolError, match="is not there"):
        Spool.open(tmp_path / "x.spool")
    (tmp_path / "y.spool").write_bytes(b"no database, but long enough to be looked at" * 10)
    with pytest.raises(SpoolError, match="cannot be read"):
        Spool.open(tmp_path / "y.spool")
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError, match="set TRAILHOUSE_SPOOL"):
        Spool.create(tmp_path / "file" / "spool", "p")


def test_a_spool_that_could_not_be_made_can_be_made_when_the_disk_has_room_again(tmp_path: Path) -> None:
    """The lock of the try that failed is given back, or all events of the process would be lost."""
    producer_id = str(uuid.uuid4())
    in_the_way = tmp_path / f"{producer_id}.spool.new"
    in_the_way.mkdir()
    with pytest.raises(SpoolError, match="cannot be written"):
        Spool.create(tmp_path, producer_id)
    in_the_way.rmdir()
    with Spool.create(tmp_path, producer_id) as spool:
        spool.append([event(0)])
        assert spool.backlog() == 1


def test_a_spool_of_which_pages_are_spoilt_is_an_error_with_the_way_out(tmp_path: Path) -> None:
    """Whatever is asked of it: who drains many spools leaves this one alone and goes on."""
    with Spool.create(tmp_path, str(uuid.uuid4())) as whole:
        whole.append([event(sequence, size=1000) for sequence in range(100)])
        path = whole.path
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xff" * (len(content) - 8192))
    with Spool.open(path) as spool:
        questions = (spool.event_types, spool.backlog, spool.read, spool.plans, spool.refused, spool.undone_ranges)
        for ask in (*questions, spool.last_sequence, lambda: spool.done_through("metrics_logged")):
            with pytest.raises(SpoolError, match="move it away"):
                ask()


def test_opening_makes_no_spool(tmp_path: Path) -> None:
    """One that another process removes at that moment does not come back as an empty file."""
    path = tmp_path / f"{uuid.uuid4()}.spool"
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        _connect(path, mode="rw")
    assert not path.exists()


def test_a_disk_that_fills_up_within_a_transaction_leaves_the_spool_fit_for_the_next(spool: Spool) -> None:
    """SQLite ends the transaction by itself; the error says what it was, and appending goes on later."""
    connection = spool._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(SpoolError, match="full"):
        spool.append([event(sequence, size=10_000) for sequence in range(100)])
    connection.execute("PRAGMA max_page_count = 100000")
    spool.append([event(0)])
    assert [e.sequence for e in spool.read()] == [0]


def test_a_plan_keeps_the_number_of_its_tries(spool: Spool) -> None:
    """What a record kills again and again is known by it."""
    spool.append([event(0)])
    plan = SpoolPlan("metrics_logged", 0, 0, 2)
    spool.set_plan(plan)
    assert (spool.plan("metrics_logged"), spool.plans()) == (plan, [plan])


def test_a_plan_of_a_part_keeps_the_whole(spool: Spool) -> None:
    """Until a plan without takes its place, or it is done."""
    spool.append([event(0), event(1)])
    part = SpoolPlan("metrics_logged", 0, 0, 1, (0, 1, 2, 3))
    spool.set_plan(part)
    assert (spool.plan("metrics_logged"), spool.plans()) == (part, [part])
    spool.set_plan(SpoolPlan("metrics_logged", 0, 1, 1))
    assert spool.plans() == [SpoolPlan("metrics_logged", 0, 1, 1)]


def test_a_plan_in_a_spool_of_an_earlier_version_is_read(spool: Spool) -> None:
    """Its file has no table for wholes."""
    with closing(sqlite3.connect(spool.path)) as connection, connection:
        connection.execute("DROP TABLE IF EXISTS wholes")
        connection.execute("INSERT INTO plans VALUES ('metrics_logged', 0, 0, 2)")
    assert spool.plans() == [SpoolPlan("metrics_logged", 0, 0, 2)]
    spool.set_plan(SpoolPlan("metrics_logged", 0, 0, 1, (0, 1, 2, 3)))
    assert spool.plans() == [SpoolPlan("metrics_logged", 0, 0, 1, (0, 1, 2, 3))]


def test_a_spool_with_refused_events_stays_for_the_accounting(tmp_path: Path) -> None:
    """However empty it is else: they are nowhere but here."""
    with Spool.create(tmp_path, str(uuid.uuid4())) as writer:
        writer.append([event(0)])
        writer.refuse(0, "too large")
        path = writer.path
    with Spool.open(path) as spool:
        assert spool.drainer_lock.acquire()
        assert not spool.remove_if_finished()
        assert [refused.sequence for refused in spool.refused()] == [0]


def test_a_spool_into_which_more_may_come_is_not_removed(tmp_path: Path) -> None:
    """As long as its producer's ring is there, which may outlive who writes the spool."""
    ring = tmp_path / "a.ring"
    ring.touch()
    Spool.create(tmp_path, "a", ring=str(ring)).close()
    (path,) = spool_files(tmp_path)
    for there in (True, False):
        with Spool.open(path) as spool:
            assert spool.drainer_lock.acquire()
            assert spool.remove_if_finished() is not there
        ring.unlink(missing_ok=True)
    assert spool_files(tmp_path) == []
