"""The ring: what is written comes out once, in order, whoever stops in the middle."""

from __future__ import annotations

import contextlib
import random
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from producing import start_script
from trailhouse.ring import METRICS_IN_SLOT, NO_STEP, PROGRESS, Ring, RingFullError
from trailhouse.ring_reader import Call, Message, RingReader
from trailhouse_schemas.errors import SpoolError

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 1 << 16
COMMON: dict[str, Any] = {"split": "train"}


@pytest.fixture
def ring() -> Ring:
    """A small ring in memory."""
    return Ring(None, SIZE, {"producer_id": "p"})


def write(ring: Ring, step: int, *values: float) -> None:
    """Write a call as `run.log` does; raises RingFullError."""
    shape = ring.shape(tuple(f"m{n}" for n in range(len(values))), COMMON)
    assert shape is not None
    slot = ring.take()
    shape[0](ring.memory, ring.place(slot), 7, step, shape[1], *values, slot + 1)


def fill(ring: Ring) -> None:
    """Write calls until there is no room for more."""
    with contextlib.suppress(RingFullError):
        while True:
            write(ring, 0, 1.0)


def free(reader: RingReader, until: int) -> None:
    """Give slots back to the writer."""
    reader.set(PROGRESS["read"], until)


def values(reader: RingReader, call: Call) -> list[float]:
    """Return the values that count."""
    names = reader.definition(call.definition)["names"]
    return [struct.unpack("<d", value)[0] for value, _ in zip(call.values, names, strict=False)]


def test_it_says_whose_it_is_and_what_calls_have_in_common(ring: Ring) -> None:
    """Definitions are added once, and found by number."""
    write(ring, 1, 0.5)
    write(ring, 2, 0.25)
    reader = RingReader.of(ring)
    assert reader.owner == {"producer_id": "p"}
    calls = reader.take(0, 100, writer_gone=False).items
    assert [(c.at_ns, c.step, values(reader, c)) for c in calls if isinstance(c, Call)] == [
        (7, 1, [0.5]),
        (7, 2, [0.25]),
    ]
    assert {c.definition for c in calls if isinstance(c, Call)} == {1}
    assert reader.definition(1) == {"split": "train", "names": ["m0"]}


def test_what_is_written_in_any_mixture_comes_out_as_it_went_in(ring: Ring) -> None:
    """Narrow and wide calls, small and large messages, over many laps of the ring."""
    seed = random.randrange(1 << 32)  # noqa: S311 - which to try
    print(f"seed {seed}")  # noqa: T201 - a test that fails by chance must say its seed
    chance = random.Random(seed)  # noqa: S311 - what to try
    reader = RingReader.of(ring)
    expected: list[Any] = []
    found: list[Any] = []
    position = 0
    for step in range(2_000):
        if chance.random() < 0.3:
            data = chance.randbytes(chance.choice([0, 1, 95, 96, 97, 500, 5_000]))
            if ring.put(data):
                expected.append(data)
        else:
            numbers = [chance.random() for _ in range(chance.randint(0, 30))]
            try:
                write(ring, step, *numbers)
            except RingFullError:
                pass
            else:
                expected += [(step, n) for n in numbers]
        if chance.random() < 0.2:
            taken = reader.take(position, chance.randint(1, 200), writer_gone=False)
            assert taken.lost == 0
            for item in taken.items:
                if isinstance(item, Message):
                    found.append(item.data)
                else:
                    found += [(item.step, value) for value in values(reader, item)]
            position = taken.until
            free(reader, position)
    for item in reader.take(position, 1 << 20, writer_gone=True).items:
        found += [item.data] if isinstance(item, Message) else [(item.step, v) for v in values(reader, item)]
    by_step = sorted(expected, key=str), sorted(found, key=str)
    assert by_step[0] == by_step[1]
    assert [e for e in found if isinstance(e, bytes)] == [e for e in expected if isinstance(e, bytes)]


def test_metrics_leave_room_for_what_is_never_dropped(ring: Ring) -> None:
    """A ring that is full of metrics still takes messages; what is read makes room."""
    fill(ring)
    assert ring.put(b"x" * 1_000)
    reader = RingReader.of(ring)
    taken = reader.take(0, 10, writer_gone=False)
    free(reader, taken.until)
    with pytest.raises(RingFullError):
        write(ring, 0, 1.0)  # the message is in the room that these have left
    taken = reader.take(10, 100, writer_gone=False)
    free(reader, taken.until)
    write(ring, 0, 1.0)


def test_a_message_that_is_larger_than_the_ring_is_refused(ring: Ring) -> None:
    """It would wait for ever."""
    assert ring.put(bytes(ring.largest_message))
    with pytest.raises(ValueError, match="the buffer takes"):
        ring.put(bytes(ring.largest_message + 1))


def test_a_slot_that_is_being_written_holds_up_what_is_behind_it(ring: Ring) -> None:
    """Order is kept; once its writer is dead the slot is passed over and counted."""
    write(ring, 1, 1.0)
    ring.take()
    write(ring, 3, 3.0)
    reader = RingReader.of(ring)
    taken = reader.take(0, 100, writer_gone=False)
    assert ([c.step for c in taken.items if isinstance(c, Call)], taken.until, taken.lost) == ([1], 1, 0)
    taken = reader.take(1, 100, writer_gone=True)
    assert ([c.step for c in taken.items if isinstance(c, Call)], taken.until, taken.lost) == ([3], 3, 1)


def test_a_slot_that_nobody_will_write_is_passed_over_after_a_while(
    ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that was interrupted between taking a slot and writing it must not hold up the others for ever."""
    monkeypatch.setattr("trailhouse.ring_reader._LOST_AFTER_SECONDS", 0.0)
    ring.take()
    write(ring, 2, 2.0)
    taken = RingReader.of(ring).take(0, 100, writer_gone=False)
    assert ([c.step for c in taken.items if isinstance(c, Call)], taken.lost) == ([2], 1)


def test_a_message_without_its_end_waits_for_it_or_is_counted(ring: Ring) -> None:
    """The reader begins with it again; when the writer is dead it is lost."""
    write(ring, 1, 1.0)
    assert ring.put(b"x" * 300)
    reader = RingReader.of(ring)
    place = ring.place(3)
    whole = ring.memory[place : place + 128]
    ring.memory[place : place + 128] = bytes(128)  # not written yet
    taken = reader.take(0, 100, writer_gone=False)
    assert (len(taken.items), taken.until, taken.lost) == (1, 1, 0)
    assert reader.take(1, 100, writer_gone=True) == ([], 5, 1)
    ring.memory[place : place + 128] = whole
    assert reader.take(1, 100, writer_gone=False).items == [Message(b"x" * 300)]


def test_a_void_slot_says_nothing(ring: Ring) -> None:
    """A call that failed after it had taken its slot."""
    slot = ring.take()
    ring.void(slot)
    write(ring, 1, 1.0)
    ring.void(1)  # was written already: that stays
    taken = RingReader.of(ring).take(0, 100, writer_gone=False)
    assert ([c.step for c in taken.items if isinstance(c, Call)], taken.until, taken.lost) == ([1], 2, 0)


def test_threads_never_write_the_same_slot(ring: Ring) -> None:
    """Four threads write while one reads; each thread's are there once and in order, and what was refused is not."""
    reader = RingReader.of(ring)
    written: list[list[int]] = [[] for _ in range(4)]
    found: list[tuple[int, int]] = []
    done = threading.Event()

    def work(thread: int) -> None:
        for n in range(3_000):
            try:
                write(ring, n, float(thread))
            except RingFullError:
                continue
            written[thread].append(n)

    def read() -> None:
        position = 0
        while True:
            last = done.is_set()
            taken = reader.take(position, 500, writer_gone=last)
            found.extend((int(values(reader, c)[0]), c.step) for c in taken.items if isinstance(c, Call))
            if taken.until == position and last:
                return
            position = taken.until
            free(reader, position)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    reading = threading.Thread(target=read)
    reading.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    reading.join()
    for number, steps in enumerate(written):
        assert [step for by, step in found if by == number] == steps


def test_when_there_is_no_room_for_another_definition_it_says_so(ring: Ring) -> None:
    """Those that are there go on."""
    names = 0
    while ring.shape((f"name{names}",), COMMON) is not None:
        names += 1
    assert names > 10
    assert ring.shape(("name0",), COMMON) is not None


def test_a_step_that_was_not_given_is_told_from_any_other(ring: Ring) -> None:
    """Also from the smallest that is taken."""
    write(ring, NO_STEP, 1.0)
    write(ring, NO_STEP + 1, 1.0)
    taken = RingReader.of(ring).take(0, 100, writer_gone=False)
    assert [c.step for c in taken.items if isinstance(c, Call)] == [NO_STEP, NO_STEP + 1]


def test_a_file_is_read_by_who_did_not_write_it(tmp_path: Path) -> None:
    """It has its name when it is whole, and only its user may read it."""
    path = tmp_path / "a.ring"
    ring = Ring(path, SIZE, {"producer_id": "p"})
    write(ring, 1, *map(float, range(METRICS_IN_SLOT)))
    assert [file.name for file in tmp_path.iterdir()] == ["a.ring"]
    assert path.stat().st_mode & 0o777 == 0o600
    reader = RingReader.open(path)
    (call,) = reader.take(0, 100, writer_gone=False).items
    assert isinstance(call, Call)
    assert values(reader, call) == [float(n) for n in range(METRICS_IN_SLOT)]
    assert ring.said() is None
    reader.say(["a", "key"], "über")
    assert ring.said() == (("a", "key"), "über")
    reader.say([], "x" * 10_000)
    assert ring.said() == ((), "x" * 256)


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"x" * 10_000, bytes(1 << 16)])
def test_what_is_no_ring_is_refused(tmp_path: Path, content: bytes) -> None:
    """In one line that names it."""
    path = tmp_path / "a.ring"
    path.write_bytes(content)
    with pytest.raises(SpoolError, match=r"a\.ring"):
        RingReader.open(path)


def test_what_another_process_is_writing_is_never_read_half(tmp_path: Path) -> None:
    """It writes without a pause while this one reads without one: each slot is there as a whole, or not yet."""
    path = tmp_path / "a.ring"
    script = f"""
        import struct
        from pathlib import Path
        from trailhouse.ring import Ring, RingFullError
        ring = Ring(Path({str(path)!r}), 1 << 16, {{}})
        pack, number = ring.shape(("a", "b"), {{}})
        for step in range(1, 300_001):
            while True:
                try:
                    slot = ring.take()
                except RingFullError:
                    continue
                break
            pack(ring.memory, ring.place(slot), step, step, number, float(step), float(-step), slot + 1)
    """
    writer = start_script(script, tmp_path, {})
    try:
        until = time.monotonic() + 60
        while not path.exists() and time.monotonic() < until:
            time.sleep(0.001)
        reader = RingReader.open(path)
        position = step = 0
        while step < 300_000 and time.monotonic() < until:
            taken = reader.take(position, 1_000, writer_gone=False)
            for call in taken.items:
                step += 1
                assert isinstance(call, Call), (step, call)
                assert (call.at_ns, call.step, call.definition) == (step, step, 1)
                assert values(reader, call) == [float(step), float(-step)]
            position = taken.until
            free(reader, position)
        assert step == 300_000
    finally:
        writer.kill()
        writer.communicate()


def test_a_ring_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    """Whatever it says of itself."""
    path = tmp_path / "a.ring"
    Ring(path, SIZE, {"producer_id": "p"})
    whole = path.read_bytes()
    for length in (24, 5_000, len(whole) - 128, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(SpoolError, match=r"a\.ring"):
            RingReader.open(path)
