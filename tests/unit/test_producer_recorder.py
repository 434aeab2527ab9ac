"""From the buffer to the spool: every sequence number is in the spool or counted as dropped."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from producing import producers, read_spools
from trailhouse.draining import Drainer
from trailhouse.formed import Context, Record
from trailhouse.forming import Former, Sealed
from trailhouse.helping import Helper
from trailhouse.once import forget_warnings
from trailhouse.recorder import Recorder, new_id
from trailhouse.ring import Ring
from trailhouse.ring_reader import RingReader
from trailhouse.rings import RING_SUFFIX, RingLocks, new_ring_directory
from trailhouse.settings import ProducerSettings
from trailhouse.taking_up import take_up_rings
from trailhouse_schemas import wire
from trailhouse_schemas.spool import Spool, spool_files
from trailhouse_schemas.versions import latest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from producing import Spooled

CONTEXT = Context("p", "run", 0, 0, 1, "host", "me")
COMMON: dict[str, Any] = {"split": "", "dataset_digest": "", "model_id": "", "segment": ()}


@pytest.fixture(autouse=True)
def _fresh_warnings() -> None:
    forget_warnings()


def recorder(directory: Path, **settings: Any) -> Recorder:
    """Make a recorder that waits for nothing longer than a test should."""
    given = {"flush_interval_seconds": 0.02, "finish_timeout_seconds": 5.0}
    return Recorder(ProducerSettings(**(given | settings)), directory, CONTEXT)


def log(made: Recorder, value: float) -> None:
    """Log one metric."""
    made.log(None, CONTEXT, [("a", value)], at_ns=time.monotonic_ns(), step=None, common=COMMON)


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait until `condition` holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


def drainer(made: Recorder) -> Drainer:
    """Return what empties the ring, in this process and its first second."""
    keeper = made._keeper
    assert keeper is not None
    wait_for(lambda: keeper._drainer is not None)
    assert keeper._drainer is not None
    return keeper._drainer


def finish(made: Recorder) -> int:
    """Stop a recorder; return what it could not write."""
    return made.stop(time.monotonic() + 10)


def check_account(events: list[Spooled]) -> None:
    """Hold the spool against the last heartbeat: emitted = in the spool + dropped, and the end is the end."""
    last = events[-1]
    assert (last.event_type, last.fields["phase"]) == ("heartbeat_sent", "finished")
    assert last.fields["events_emitted"] == last.sequence + 1
    assert last.fields["events_emitted"] == len(events) + last.fields["events_dropped"]
    assert last.fields["next_due_at"] is None
    assert [e.sequence for e in events] == sorted({e.sequence for e in events})
    assert all(e.fields["sequence"] == e.sequence and e.fields["producer_id"] == e.producer_id for e in events)


def test_sequences_have_no_holes_when_nothing_is_dropped(tmp_path: Path) -> None:
    """0, 1, 2, … from the first heartbeat to the last."""
    made = recorder(tmp_path)
    for i in range(1_000):
        log(made, float(i))
    assert finish(made) == 0
    events = read_spools(tmp_path)
    check_account(events)
    assert [e.sequence for e in events] == list(range(len(events)))
    assert [p["value"] for e in events for p in e.fields.get("points", [])] == [float(i) for i in range(1_000)]


def test_a_dropped_call_leaves_a_hole_and_is_counted(tmp_path: Path) -> None:
    """600 points that were dropped are the places of three records, and 600 points."""
    made = recorder(tmp_path)
    log(made, 1.0)
    for _ in range(600):
        made.drop(1)
    log(made, 2.0)
    assert finish(made) == 0
    events = read_spools(tmp_path)
    check_account(events)
    last = events[-1].fields
    assert (last["points_dropped"], last["events_dropped"]) == (600, last["events_emitted"] - len(events))
    assert last["events_dropped"] >= 3


def test_an_event_that_cannot_be_encoded_leaves_a_hole_and_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One bad event is one hole; those around it are in the spool."""
    made = recorder(tmp_path)
    log(made, 1.0)
    made.append(Record("run_finished", {"status": 7}))
    log(made, 2.0)
    assert finish(made) == 0
    events = read_spools(tmp_path)
    check_account(events)
    assert events[-1].fields["events_dropped"] == 1
    assert "a run_finished event cannot be encoded" in caplog.text


def test_events_wait_while_the_disk_fails_and_are_all_there_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file where the directory should be, then a directory: one warning, no event lost."""
    directory = tmp_path / "spool"
    directory.write_text("in the way")
    made = recorder(directory)
    for i in range(10):
        log(made, float(i))
    wait_for(lambda: f"{directory} cannot be written" in caplog.text)
    wait_for(lambda: drainer(made).backed_off_seconds > 0.2)
    directory.unlink()
    for i in range(10, 20):
        log(made, float(i))
    assert finish(made) == 0
    events = read_spools(directory)
    check_account(events)
    assert [p["value"] for e in events for p in e.fields.get("points", [])] == [float(i) for i in range(20)]
    assert caplog.text.count(f"{directory} cannot be written") == 1


def test_a_disk_that_stays_away_delays_the_events_but_not_the_process(tmp_path: Path) -> None:
    """The end comes after the time-out at the latest; what could not be written is taken up when the disk is back."""
    directory = tmp_path / "spool"
    directory.write_text("in the way")
    made = recorder(directory)
    log(made, 1.0)
    began = time.monotonic()
    assert made.stop(time.monotonic() + 0.5) >= 1
    assert time.monotonic() - began < 5
    assert take_up_rings(directory) == 1
    directory.unlink()
    assert take_up_rings(directory) == 0
    events = read_spools(directory)
    check_account(events)
    assert [p["value"] for e in events for p in e.fields.get("points", [])] == [1.0]


def test_two_threads_that_log_lose_nothing(tmp_path: Path) -> None:
    """Every point of both is there, once, and each thread's in order."""
    made = recorder(tmp_path)

    def log_many(thread: int) -> None:
        for i in range(2_000):
            log(made, float(thread * 10_000 + i))

    threads = [threading.Thread(target=log_many, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert finish(made) == 0
    events = read_spools(tmp_path)
    check_account(events)
    values = [p["value"] for e in events for p in e.fields.get("points", [])]
    assert [v for v in values if v < 10_000] == [float(i) for i in range(2_000)]
    assert [v for v in values if v >= 10_000] == [float(10_000 + i) for i in range(2_000)]


def test_a_full_buffer_never_refuses_what_is_no_metric(tmp_path: Path) -> None:
    """The end of a run is recorded however much is logged."""
    directory = tmp_path / "spool"
    directory.write_text("in the way")
    made = recorder(directory, buffer_mib=1)
    calls = 10_000
    for i in range(calls):
        log(made, float(i))
    for i in range(100):
        made.append(Record("parameters_logged", {**_envelope(), "parameters": {"eta": str(i) * 1_000}}))
    directory.unlink()
    assert finish(made) == 0
    events = read_spools(directory)
    check_account(events)
    found = [e.fields["parameters"]["eta"] for e in events if e.event_type == "parameters_logged"]
    assert found == [str(i) * 1_000 for i in range(100)]
    values = [p["value"] for e in events for p in e.fields.get("points", [])]
    assert values == [float(i) for i in range(len(values))], "the newest are dropped, not the oldest"
    assert 0 < events[-1].fields["points_dropped"] == calls - len(values)


def test_a_heartbeat_says_what_was_emitted_and_when_the_next_is_due(tmp_path: Path) -> None:
    """Started, alive every interval, finished: each with the number of events up to itself."""
    made = recorder(tmp_path, heartbeat_interval_seconds=0.05)
    log(made, 1.0)
    wait_for(lambda: drainer(made).counts.sequence >= 5)
    assert finish(made) == 0
    events = read_spools(tmp_path)
    beats = [e for e in events if e.event_type == "heartbeat_sent"]
    assert [b.fields["phase"] for b in beats] == ["started", *["alive"] * (len(beats) - 2), "finished"]
    assert all(b.fields["events_emitted"] == b.sequence + 1 for b in beats)
    assert all(b.fields["next_due_at"] > b.fields["occurred_at"] for b in beats[:-1])


def test_the_spool_is_free_when_its_producer_has_finished(tmp_path: Path) -> None:
    """Whoever drains it may remove it then, and not before."""
    made = recorder(tmp_path)
    log(made, 1.0)
    wait_for(lambda: list(tmp_path.glob("*.spool")))
    (path,) = tmp_path.glob("*.spool")
    with Spool.open(path) as spool:
        assert not spool.writer_lock.acquire()
    finish(made)
    with Spool.open(path) as spool:
        assert spool.writer_lock.acquire()
    assert len(producers(read_spools(tmp_path))) == 1


def _envelope() -> dict[str, Any]:
    return {"occurred_at": 1, **CONTEXT.envelope()}


def test_what_goes_wrong_amid_a_batch_doubles_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is numbered as a whole or not at all: the next try begins with it again."""
    form = Former.form
    failed: list[int] = []

    def failing(self: Former, items: Any) -> Any:
        yield from form(self, items)
        if items and len(failed) < 2:
            failed.append(len(items))
            raise IndexError("made up by this test")

    monkeypatch.setattr(Former, "form", failing)
    made = recorder(tmp_path)
    for i in range(10):
        log(made, float(i))
    wait_for(lambda: len(failed) == 2)
    assert finish(made) == 0
    events = read_spools(tmp_path)
    check_account(events)
    assert [p["value"] for e in events for p in e.fields.get("points", [])] == [float(i) for i in range(10)]
    assert events[-1].fields["events_dropped"] == 0


def test_an_emptier_that_survives_an_error_begins_with_the_batch_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a helper does, which goes on with the same ring."""
    its = owner(tmp_path)
    ring = Ring(None, 1 << 20, its)
    assert ring.put(Sealed("parameters_logged", "run", parameters(its["producer_id"]), 0).to_bytes())
    drainer = Drainer(RingReader.of(ring))
    form = Former.form

    def failing(self: Former, items: Any) -> Any:
        yield from form(self, items)
        raise IndexError("made up by this test")

    with monkeypatch.context() as patched:
        patched.setattr(Former, "form", failing)
        for _ in range(3):
            with pytest.raises(IndexError):
                drainer.turn()
    assert drainer.end("finished", writer_gone=True)
    drainer.close()
    events = read_spools(tmp_path)
    check_account(events)
    assert [e.event_type for e in events] == ["heartbeat_sent", "parameters_logged", "heartbeat_sent"]


@pytest.mark.parametrize("stored", [False, True])
def test_who_dies_while_it_stores_is_followed_by_one_who_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, stored: bool
) -> None:
    """Right before the spool has the events, or right after: none is lost, none doubled, and no number used twice."""
    ring = Ring(None, 1 << 20, owner(tmp_path))
    shape = ring.shape(("a",), {"context": CONTEXT.envelope(), **COMMON})
    assert shape is not None
    first = Drainer(RingReader.of(ring))
    first.turn()  # which writes that the producer has started
    first.close()
    value = 0
    append = Spool.append

    def die(*given: Any) -> None:
        if stored:
            append(*given)
        raise KeyboardInterrupt

    for _ in range(5):
        for _ in range(100):
            slot = ring.take()
            shape[0](ring.memory, ring.place(slot), 1, value, shape[1], float(value), slot + 1)
            value += 1
        drainer = Drainer(RingReader.of(ring))
        with monkeypatch.context() as patched:
            patched.setattr(Spool, "append", die)
            with pytest.raises(KeyboardInterrupt):
                drainer.turn()
        drainer.close()
    last = Drainer(RingReader.of(ring))
    assert last.end("finished", writer_gone=True)
    last.close()
    events = read_spools(tmp_path)
    check_account(events)
    assert [e.sequence for e in events] == list(range(len(events)))
    assert [p["value"] for e in events for p in e.fields.get("points", [])] == [float(i) for i in range(500)]


@pytest.mark.parametrize("stored", [False, True])
def test_the_end_is_said_once_though_who_said_it_has_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, stored: bool
) -> None:
    """Right before the spool has the last heartbeat, or right after: what was said is the end, whoever comes next."""
    ring = Ring(None, 1 << 20, owner(tmp_path))
    drainer = Drainer(RingReader.of(ring))

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        drainer.turn()
        patched.setattr(Spool, "set_end" if stored else "append", die)
        with pytest.raises(KeyboardInterrupt):
            drainer.end("finished", writer_gone=False)
    drainer.close()
    last = Drainer(RingReader.of(ring))
    assert last.end("found_dead", writer_gone=True)
    last.close()
    events = read_spools(tmp_path)
    assert [e.fields["phase"] for e in events] == ["started", "finished" if stored else "found_dead"]
    assert events[-1].fields["events_emitted"] == 2
    (path,) = spool_files(tmp_path)
    with Spool.open(path) as spool:
        assert spool.end == ("finished" if stored else "found dead")


def test_the_ring_of_who_lives_is_not_taken_up(tmp_path: Path) -> None:
    """Though nobody empties it at the moment."""
    directory = new_ring_directory(tmp_path)
    path = directory / f"{'0' * 8}{RING_SUFFIX}"
    locks = RingLocks(path)
    assert locks.writer.acquire()
    Ring(path, 1 << 20, owner(tmp_path) | {"ring": str(path)})
    assert take_up_rings(tmp_path) == 0
    assert path.exists()
    locks.release()
    assert take_up_rings(tmp_path) == 0
    assert not path.exists()
    assert [e.fields["phase"] for e in read_spools(tmp_path)] == ["started", "found_dead"]


def parameters(producer_id: str) -> bytes:
    """Return an event as its producer encodes it."""
    fields = {**_envelope(), "parameters": {"eta": "1"}, "producer_id": producer_id, "sequence": 0}
    return wire.encode(latest("parameters_logged"), fields)


def test_a_helper_ends_though_a_ring_cannot_be_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is no ring, one whose spool cannot be written, one that was taken away: the last ring is long gone."""
    monkeypatch.setattr("trailhouse.helping._IDLE_SECONDS", 0.2)
    monkeypatch.setattr("trailhouse.helping._GIVE_UP_SECONDS", 0.2)
    blocked = tmp_path / "blocked"
    blocked.write_text("in the way")
    directory = new_ring_directory(tmp_path)
    bad, full, whole = (directory / f"{name * 8}{RING_SUFFIX}" for name in "012")
    bad.write_text("no ring")
    Ring(full, 1 << 20, owner(blocked))
    Ring(whole, 1 << 20, owner(tmp_path))
    assert Helper(directory, set()).serve() == {bad, full}
    assert not whole.exists()
    assert [e.fields["phase"] for e in read_spools(tmp_path)] == ["started", "found_dead"]
    bad.unlink()
    full.unlink()


def owner(spool: Path) -> dict[str, Any]:
    """Return what a ring says of its owner."""
    return {
        "producer_id": new_id(),
        "parent_producer_id": "",
        "process_id": 1,
        "spool": str(spool),
        "ring": "",
        "retained": False,
        "context": CONTEXT.envelope(),
        "clock_base_ns": 0,
        "started_us": 1,
        "flush_interval_seconds": 0.2,
        "heartbeat_interval_seconds": 10.0,
        "settings": ProducerSettings().model_dump(mode="json"),
    }


def test_a_loop_that_logs_faster_than_its_own_thread_writes_has_a_helper_soon(tmp_path: Path) -> None:
    """It would never come to an end of writing by itself, and drop what the ring has no room for."""
    made = recorder(tmp_path, buffer_mib=4)
    until = time.monotonic() + 30
    log(made, 0.0)
    value = 1
    while not (made.ring.path and list(made.ring.path.parent.glob("helper.lock"))) and time.monotonic() < until:
        for _ in range(2_000):
            log(made, float(value))
            value += 1
    assert time.monotonic() < until
    assert finish(made) == 0
    events = read_spools(tmp_path)
    check_account(events)
