"""Who takes up the spool of a dead process says so, once: a heartbeat `found_dead`.

Where the process had a ring, whoever empties that says it in the dead one's own name, for it knows how much there was.
Otherwise a process is dead when nobody holds its spool's writer lock and it never said `finished`. What is said of it
then comes from a producer of its own, with two events: `found_dead` and its own `finished`. That producer's id follows
from the dead one's, so that two finders, or one that was killed halfway, say the same event, which is landed once.
"""

from __future__ import annotations

import getpass
import io
import os
import socket
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from fastavro import schemaless_reader

from trailhouse_schemas import wire
from trailhouse_schemas.errors import DecodeError, SpoolLockedError
from trailhouse_schemas.spool import Spool, SpooledEvent
from trailhouse_schemas.versions import by_fingerprint, latest

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["remember_end", "says_finished", "tell_death"]

_HEARTBEAT: Final = "heartbeat_sent"
#: What `Spool.end` says.
_FINISHED, _FOUND_DEAD = "finished", "found dead"
#: Version of the ids of processes: what is said of the dead has another.
_PROCESS_VERSION: Final = 7


def remember_end(spool: Spool, sequence: int) -> None:
    """Note in a spool that its producer has finished, if the event of this sequence says so.

    Whoever is about to take events out of a spool calls it with the last one; afterwards nobody could know.

    Raises:
        SpoolError: the spool cannot be read or written.
    """
    if not spool.end and says_finished(spool, sequence):
        spool.set_end(_FINISHED)


def says_finished(spool: Spool, sequence: int) -> bool:
    """Return whether the event of this sequence is its producer's word that it has finished; raises `SpoolError`."""
    found = spool.read(after=sequence - 1, through=sequence)
    return bool(found) and found[0].event_type == _HEARTBEAT and _is_last(found[0].value)


def tell_death(spool: Spool) -> Path | None:
    """Say that the producer of a spool is dead, if it is and nobody has said it; return the spool that says it.

    Whoever calls it holds the spool's drainer lock. The new spool lies beside the dead one's, for the caller to drain.

    Raises:
        SpoolError: one of the spools cannot be read or written.
        OSError: the spool's lock cannot be had.
    """
    if spool.ring or spool.writer_lock.held or not _is_process(spool.producer_id) or not spool.writer_lock.acquire():
        return None
    try:
        if spool.end:
            return None
        last = spool.last_sequence()
        if last is not None:
            remember_end(spool, last)
            if spool.end:
                return None
        try:
            path = _write(spool, emitted=0 if last is None else last + 1)
        except SpoolLockedError:  # somebody is writing the same
            return None
        spool.set_end(_FOUND_DEAD)
        return path
    finally:
        spool.writer_lock.release()


def _write(dead: Spool, *, emitted: int) -> Path:
    finder = str(uuid.uuid5(uuid.UUID(dead.producer_id), "found dead"))
    now = datetime.now(UTC)
    common = {
        "occurred_at": now,
        "producer_id": finder,
        "project": "",
        "run_id": "",
        "attempt": 0,
        "rank": 0,
        "world_size": 1,
        "host": socket.gethostname(),
        "principal": _user(),
        "parent_producer_id": "",
        "next_due_at": None,
        "events_dropped": 0,
        "points_dropped": 0,
        "clock_offset_us": None,
        "flush_interval_seconds": 0.0,
    }
    said: list[dict[str, Any]] = [
        {
            "phase": "found_dead",
            "subject_producer_id": dead.producer_id,
            "process_id": 0,
            "events_emitted": emitted,
            "spool_backlog": dead.backlog(),
        },
        {
            "phase": "finished",
            "subject_producer_id": finder,
            "process_id": os.getpid(),
            "events_emitted": 2,
            "spool_backlog": 0,
        },
    ]
    version, now_us = latest(_HEARTBEAT), int(now.timestamp() * 1e6)
    with Spool.create(dead.path.parent, finder) as spool:
        if spool.last_sequence() is None:
            spool.append(
                [
                    SpooledEvent(
                        sequence,
                        _HEARTBEAT,
                        finder,
                        now_us,
                        wire.encode(version, common | fields | {"sequence": sequence}),
                    )
                    for sequence, fields in enumerate(said)
                ]
            )
        return spool.path


def _is_last(value: bytes) -> bool:
    """Whether a heartbeat is its producer's last; one that this version cannot read says nothing."""
    try:
        header = wire.read_header(value)
        version = by_fingerprint(header.fingerprint or b"")
        record: Any = schemaless_reader(io.BytesIO(value[header.body_at :]), version.parsed, None)
    except (DecodeError, EOFError, ValueError, IndexError):
        return False
    return bool(record["phase"] == "finished" and record["subject_producer_id"] == record["producer_id"])


def _is_process(producer_id: str) -> bool:
    try:
        return uuid.UUID(producer_id).version == _PROCESS_VERSION
    except ValueError:
        return False


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return f"uid:{os.getuid()}"
