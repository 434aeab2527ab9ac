"""What is said of a dead process is said once, whoever says it and however often; of others it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import uuid_utils

from collected import heartbeat, metrics, new_producer_id, spooled
from producing import decode
from trailhouse_schemas.deaths import remember_end, tell_death
from trailhouse_schemas.errors import SpoolError
from trailhouse_schemas.spool import Spool, spool_files

if TYPE_CHECKING:
    from pathlib import Path


def process(directory: Path, *, finished: bool = False) -> Path:
    """Make the spool that a process has left: it said that it began, three numbers, and perhaps its end."""
    me = str(uuid_utils.uuid7())
    values = [("heartbeat_sent", heartbeat(me, 0, phase="started"))]
    values += [("metrics_logged", metrics(me, n)) for n in (1, 2, 3)]
    values += [("heartbeat_sent", heartbeat(me, 4, phase="finished" if finished else "alive"))]
    return directory / f"{spooled(directory, values, me)}.spool"


def test_it_is_said_once_with_what_is_known(tmp_path: Path) -> None:
    """Two events of a producer of its own: that the process is dead, and that nothing more will be said."""
    path = process(tmp_path)
    with Spool.open(path) as spool:
        assert spool.drainer_lock.acquire()
        said_in = tell_death(spool)
        assert tell_death(spool) is None
        assert (spool.end, spool.backlog(), spool.writer_lock.held) == ("found dead", 5, False)
    assert said_in is not None
    assert sorted(spool_files(tmp_path)) == sorted([path, said_in])
    with Spool.open(said_in) as spool:
        found, finished = (decode(event.value) for event in spool.read())
        finder = spool.producer_id
    dead = path.name.removesuffix(".spool")
    assert (found["phase"], found["subject_producer_id"], found["producer_id"]) == ("found_dead", dead, finder)
    assert (found["events_emitted"], found["spool_backlog"], found["sequence"]) == (5, 5, 0)
    assert (found["run_id"], found["next_due_at"]) == ("", None)
    assert (finished["phase"], finished["subject_producer_id"], finished["events_emitted"]) == ("finished", finder, 2)


def test_a_finder_that_dies_halfway_is_repeated_by_the_next_with_the_same_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails when the mark is to be set: the next one says the same, which is one event wherever it goes."""
    path = process(tmp_path)

    def fail(*_: object) -> None:
        raise SpoolError("the disk is gone")

    with Spool.open(path) as spool:
        with monkeypatch.context() as broken:
            broken.setattr(Spool, "set_end", fail)
            with pytest.raises(SpoolError):
                tell_death(spool)
        (first,) = set(spool_files(tmp_path)) - {path}
        assert not spool.writer_lock.held
        assert tell_death(spool) == first
    with Spool.open(first) as spool:
        assert [event.sequence for event in spool.read()] == [0, 1]


def test_a_process_that_lives_or_said_its_end_is_not_found_dead(tmp_path: Path) -> None:
    """Neither is one whose last word has left the spool since."""
    with Spool.create(tmp_path, str(uuid_utils.uuid7())) as writer, Spool.open(writer.path) as spool:
        assert tell_death(spool) is None
    with Spool.open(process(tmp_path, finished=True)) as spool:
        assert tell_death(spool) is None
        assert spool.end == "finished"
    with Spool.open(process(tmp_path, finished=True)) as spool:
        remember_end(spool, 4)
        spool.delete(range(5))
        assert tell_death(spool) is None


def test_what_is_no_process_is_not_found_dead(tmp_path: Path) -> None:
    """Ids of processes are UUIDv7: what was said of one that is dead is nobody's death."""
    with Spool.open(process(tmp_path)) as spool:
        said_in = tell_death(spool)
    assert said_in is not None
    with Spool.open(said_in) as spool:
        spool.delete([0, 1])
        assert tell_death(spool) is None
    with Spool.open(tmp_path / f"{spooled(tmp_path, [], new_producer_id())}.spool") as spool:
        assert tell_death(spool) is None


def test_a_last_event_that_cannot_be_read_says_no_end(tmp_path: Path) -> None:
    """And stops nobody: the process is found dead."""
    me = str(uuid_utils.uuid7())
    spooled(tmp_path, [("heartbeat_sent", b"\xc3\x01nothing that is known")], me)
    with Spool.open(tmp_path / f"{me}.spool") as spool:
        assert tell_death(spool) is not None
