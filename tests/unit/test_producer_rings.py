"""Where rings are, and whose: nobody else may put one where this user's are looked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from producing import read_spools
from trailhouse import rings
from trailhouse.formed import Context
from trailhouse.recorder import Recorder
from trailhouse.ring import Ring
from trailhouse.rings import RING_SUFFIX, RingLocks, new_ring_directory, remove_ring, ring_files, ring_size_bytes
from trailhouse.settings import ProducerSettings

if TYPE_CHECKING:
    from pathlib import Path

CONTEXT = Context("p", "run", 0, 0, 1, "host", "me")


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in the place of the machine's memory."""
    found = tmp_path / "memory"
    found.mkdir(mode=0o777)
    monkeypatch.setattr(rings, "_MEMORY", found)
    return found


def make(directory: Path) -> Path:
    """Make a ring."""
    path = directory / f"a{RING_SUFFIX}"
    Ring(path, 1 << 16, {"producer_id": "a"})
    return path


def test_rings_of_one_spool_directory_are_in_one_of_their_own(memory: Path, tmp_path: Path) -> None:
    """However it is named; only this user may enter, and the last ring takes the directory with it."""
    (tmp_path / "link").symlink_to(tmp_path / "spool")
    directory = new_ring_directory(tmp_path / "spool")
    assert new_ring_directory(tmp_path / "link") == directory != new_ring_directory(tmp_path / "other")
    assert directory.parent == memory / f"trailhouse-{os.getuid()}"
    assert directory.parent.stat().st_mode & 0o777 == directory.stat().st_mode & 0o777 == 0o700
    path = make(directory)
    assert ring_files(tmp_path / "link") == [path]
    remove_ring(path, RingLocks(path))
    assert not directory.exists()


def test_a_directory_that_others_may_enter_is_not_used(memory: Path, tmp_path: Path) -> None:
    """Nor is what is in it taken up: it may be anybody's."""
    directory = new_ring_directory(tmp_path / "spool")
    make(directory)
    directory.parent.chmod(0o777)
    assert ring_files(tmp_path / "spool") == []
    assert new_ring_directory(tmp_path / "spool") == tmp_path / "spool" / "rings"


def test_a_link_in_the_place_of_the_directory_is_not_followed(memory: Path, tmp_path: Path) -> None:
    """Somebody else may have made it."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (memory / f"trailhouse-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    assert new_ring_directory(tmp_path / "spool") == tmp_path / "spool" / "rings"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_without_such_a_file_system_rings_are_beside_the_spools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a Mac."""
    monkeypatch.setattr(rings, "_MEMORY", tmp_path / "nowhere")
    path = make(new_ring_directory(tmp_path / "spool"))
    assert path.parent == tmp_path / "spool" / "rings"
    assert ring_files(tmp_path / "spool") == [path]


def test_a_ring_takes_a_share_of_the_room_that_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An eighth, but no less than a MiB, and nothing where there is less."""
    wanted = 64 << 20

    def room(bytes_free: int) -> None:
        found = os.statvfs_result((4096, 4096, 0, 0, bytes_free // 4096, 0, 0, 0, 0, 255))
        monkeypatch.setattr(os, "statvfs", lambda _: found)

    room(1 << 40)
    assert ring_size_bytes(tmp_path, wanted) == wanted
    room(64 << 20)
    assert ring_size_bytes(tmp_path, wanted) == 8 << 20
    room(2 << 20)
    assert ring_size_bytes(tmp_path, wanted) == 1 << 20
    room(1 << 19)
    with pytest.raises(OSError, match="no room"):
        ring_size_bytes(tmp_path, wanted)


def test_where_there_is_room_for_no_file_memory_of_the_process_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it logs is written by a thread, and is whole at the end."""
    monkeypatch.setattr(rings, "_MEMORY", tmp_path / "nowhere")
    monkeypatch.setattr(rings, "ring_size_bytes", lambda *_: 1 << 60)
    made = Recorder(ProducerSettings(), tmp_path / "spool", CONTEXT)
    common = {"split": "", "dataset_digest": "", "model_id": "", "segment": ()}
    made.log(None, CONTEXT, [("a", 1.0)], at_ns=1, step=None, common=common)
    assert not made.is_kept
    assert made.stop(float("inf")) == 0
    assert [p["value"] for e in read_spools(tmp_path / "spool") for p in e.fields.get("points", [])] == [1.0]
