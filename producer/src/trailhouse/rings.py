"""Where rings are: in the machine's memory where it has a file system for that, or else beside the spools.

A mapped file on a disk would make the training wait whenever the kernel writes its pages back; on tmpfs none are. The
rings of one spool directory are in one directory of their own, which only their user may enter. Two locks beside each
ring say who may do what, as with a spool: the writer's is held by the process that logs, the drainer's by whoever
empties the ring.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trailhouse.ring import Ring
from trailhouse_schemas.spool import FileLock

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "HELPER_LOCK",
    "RING_SUFFIX",
    "RingLocks",
    "all_rings",
    "new_ring",
    "new_ring_directory",
    "remove_ring",
    "ring_files",
    "ring_size_bytes",
]

RING_SUFFIX: Final = ".ring"
#: Beside the rings of a directory; held by their helper.
HELPER_LOCK: Final = "helper.lock"
#: Where memory is a file system.
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a directory of one's own in there, made so that no other can enter
_BESIDE_SPOOLS: Final = "rings"
_SMALLEST_BYTES: Final = 1 << 20
#: Others need that memory, too: data loaders pass their batches through it.
_SHARE: Final = 8
_TRIES: Final = 5


class RingLocks:
    """The two locks of a ring, not yet taken."""

    def __init__(self, path: Path) -> None:
        """Make the locks of the ring at `path`."""
        self.writer = FileLock(path.with_name(path.name + ".writer"))
        self.drainer = FileLock(path.with_name(path.name + ".drainer"))

    def leave(self, path: Path) -> None:
        """Give back what this object holds, and delete the files where the ring at `path` was removed meanwhile."""
        self.release() if path.exists() else self.remove()

    def release(self) -> None:
        """Give back what this object holds."""
        self.drainer.release()
        self.writer.release()

    def remove(self) -> None:
        """Give back what this object holds, and delete the files: there is no ring any more."""
        for lock in (self.writer, self.drainer):
            lock.path.unlink(missing_ok=True)
            lock.release()


def new_ring(
    spool_directory: Path, producer_id: str, size_bytes: int, owner: Mapping[str, Any]
) -> tuple[Ring, RingLocks | None]:
    """Make the ring of a process that spools to `spool_directory`, with the writer's lock held.

    Where no file can be, it is memory of this process alone, and has no locks.

    Args:
        spool_directory: where its spool will be.
        producer_id: names the file.
        size_bytes: of the ring at most.
        owner: what its definition 0 says, without where the ring is.

    Raises:
        OSError: there is no memory.
        ValueError: as OSError.
    """
    for _ in range(_TRIES):
        try:
            return _mapped_ring(new_ring_directory(spool_directory), producer_id, size_bytes, owner)
        except FileNotFoundError:  # the last process to leave the directory has removed it meanwhile
            continue
        except OSError:
            break
    return Ring(None, size_bytes, {**owner, "ring": ""}), None


def new_ring_directory(spool_directory: Path) -> Path:
    """Return the directory for a new ring, which is made; raises OSError."""
    for directory in _directories(spool_directory):
        try:
            if _in_memory(directory):
                directory.parent.mkdir(mode=0o700, exist_ok=True)
            if not _may_enter(directory):
                continue
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError:
            continue
        if os.access(directory, os.W_OK | os.X_OK):
            return directory
    raise OSError(f"there is no place for a ring of {spool_directory}")


def remove_ring(path: Path, locks: RingLocks) -> None:
    """Delete a ring that has been emptied, by who holds its writer's lock, and its directory with the last."""
    path.unlink(missing_ok=True)
    locks.remove()
    with contextlib.suppress(OSError):
        path.parent.rmdir()


def ring_files(spool_directory: Path) -> list[Path]:
    """Return this user's rings of the processes that spool to `spool_directory`, the oldest first."""
    found: list[Path] = []
    for directory in _directories(spool_directory):
        if _may_enter(directory):
            with contextlib.suppress(OSError):
                found += [file for file in directory.iterdir() if file.name.endswith(RING_SUFFIX) and _is_own(file)]
    return sorted(found, key=lambda path: path.name)


def all_rings() -> list[Path]:
    """Return the rings of this user that are in the machine's memory, whatever they spool to."""
    return sorted((_MEMORY / f"trailhouse-{os.getuid()}").glob(f"*/*{RING_SUFFIX}"))


def ring_size_bytes(directory: Path, wanted_bytes: int) -> int:
    """Return how large a ring may be there; raises OSError when there is no room for the smallest."""
    room = os.statvfs(directory)
    size = min(wanted_bytes, max(room.f_bavail * room.f_frsize // _SHARE, _SMALLEST_BYTES))
    if room.f_bavail * room.f_frsize < size:
        raise OSError(f"there is no room in {directory}")
    return size


def _mapped_ring(
    directory: Path, producer_id: str, size_bytes: int, owner: Mapping[str, Any]
) -> tuple[Ring, RingLocks]:
    path = directory / f"{producer_id}{RING_SUFFIX}"
    locks = RingLocks(path)
    if not locks.writer.acquire():
        raise OSError(f"{path} is locked")
    try:
        return Ring(path, ring_size_bytes(directory, size_bytes), {**owner, "ring": str(path)}), locks
    except OSError:
        locks.remove()
        raise


def _directories(spool_directory: Path) -> list[Path]:
    spool = Path(os.path.realpath(spool_directory))
    beside = spool / _BESIDE_SPOOLS
    if not _MEMORY.is_dir():
        return [beside]
    name = hashlib.sha256(os.fsencode(spool)).hexdigest()[:24]
    return [_MEMORY / f"trailhouse-{os.getuid()}" / name, beside]


def _in_memory(directory: Path) -> bool:
    return directory.parent.parent == _MEMORY


def _may_enter(directory: Path) -> bool:
    """Return whether nobody else can have put anything there: in memory every user may make directories."""
    if not _in_memory(directory):
        return True
    try:
        found = directory.parent.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077


def _is_own(file: Path) -> bool:
    try:
        return file.lstat().st_uid == os.getuid()
    except OSError:
        return False
