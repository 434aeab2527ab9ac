"""Takes up what dead processes have left in their rings, where no helper does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trailhouse.draining import Drainer
from trailhouse.once import warn_once
from trailhouse.ring import CLOSING, DONE
from trailhouse.ring_reader import RingReader
from trailhouse.rings import RingLocks, remove_ring, ring_files
from trailhouse_schemas.errors import SpoolError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["take_up_rings"]


def take_up_rings(spool_directory: Path) -> int:
    """Empty the rings of dead processes that spooled to a directory, where no helper is at it.

    Returns:
        How many of the dead have left something that is not in a spool yet.
    """
    left = 0
    for path in ring_files(spool_directory):
        locks = RingLocks(path)
        try:
            if locks.writer.acquire():
                left += not (locks.drainer.acquire() and _take_up(path, locks))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one, there are others
            if path.exists():
                left += 1
                warn_once(str(error) if isinstance(error, SpoolError) else f"Ring {path} cannot be read ({error!r})")
        finally:
            locks.leave(path)
    return left


def _take_up(path: Path, locks: RingLocks) -> bool:
    reader = RingReader.open(path)
    drainer = Drainer(reader)
    try:
        phase = "finished" if reader.get(CLOSING) else "found_dead"
        if not reader.get(DONE) and not drainer.end(phase, writer_gone=True):
            return False
    finally:
        drainer.close()
    remove_ring(path, locks)
    return True
