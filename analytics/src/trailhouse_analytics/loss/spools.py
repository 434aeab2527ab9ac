"""What is still in the spools of this machine: events that wait, events that the broker refused, last heartbeats.

Spools are read before the warehouse is: an event that moves in between is then seen twice, never nowhere.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastavro import schemaless_reader

from trailhouse_schemas.errors import DecodeError, SpoolError
from trailhouse_schemas.spool import SPOOL_SUFFIX, Spool, spool_files
from trailhouse_schemas.versions import by_fingerprint
from trailhouse_schemas.wire import read_header

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from trailhouse_analytics.loss.ranges import Ranges

__all__ = ["Heartbeat", "Refusal", "SpoolContent", "content_of", "read_spools"]

_HEARTBEAT = "heartbeat_sent"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a producer said of itself at one of its sequences: sequences used and events dropped up to there."""

    sequence: int
    emitted: int
    dropped: int
    #: Whether it said that nothing comes after it.
    finished: bool = False
    #: Which rank of which attempt of which run it spoke for; empty outside of runs, and where nobody asks.
    place: tuple[str, int, int] = ("", 0, 0)
    #: Whether whoever emptied its ring said in its name that its process was dead, and this the end.
    found_dead: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """One event that the broker refused for good."""

    sequence: int
    event_type: str
    reason: str


@dataclass(frozen=True, slots=True)
class SpoolContent:
    """What one spool holds of its producer's events."""

    producer_id: str
    path: Path
    #: Sequences that are not done yet.
    waiting: Ranges
    refused: tuple[Refusal, ...]
    #: Of the heartbeats that wait.
    heartbeats: tuple[Heartbeat, ...]
    #: One above the highest sequence that the spool has; 0 when it is empty.
    end: int
    #: Whether it keeps all its events for ever, and so says itself where the sequence ends.
    retained: bool
    #: Why it could not be read; empty when it could.
    unreadable: str = ""


def read_spools(directories: Iterable[Path]) -> list[SpoolContent]:
    """Return what is in the spools of these directories; one that cannot be read says why."""
    found = []
    for path in dict.fromkeys(path for directory in directories for path in spool_files(directory)):
        try:
            with Spool.open(path) as spool:
                found.append(content_of(spool))
        except SpoolError as error:
            if not path.exists():
                continue  # drained and removed since it was listed: all of it is in the warehouse or on its way
            producer_id = path.name.removesuffix(SPOOL_SUFFIX)
            found.append(SpoolContent(producer_id, path, [], (), (), 0, retained=False, unreadable=str(error)))
    return found


def content_of(spool: Spool) -> SpoolContent:
    """Return what is in one spool; raises `SpoolError`."""
    waiting = spool.undone_ranges()
    refused = spool.refused()
    highest = max(-1 if (last := spool.last_sequence()) is None else last, *(r.sequence for r in refused), -1)
    return SpoolContent(
        producer_id=spool.producer_id,
        path=spool.path,
        waiting=waiting,
        refused=tuple(Refusal(r.sequence, r.event_type, r.reason) for r in refused),
        heartbeats=tuple(_heartbeats(spool)),
        end=highest + 1,
        retained=spool.retained,
    )


def _heartbeats(spool: Spool) -> Iterable[Heartbeat]:
    after = spool.done_through(_HEARTBEAT)
    while events := spool.read(_HEARTBEAT, after=after):
        for event in events:
            said = _decoded(event.value)
            if said is not None and said["subject_producer_id"] == spool.producer_id:
                finished = said["phase"] == "finished"
                place = (said["run_id"], said["attempt"], said["rank"])
                yield Heartbeat(
                    event.sequence,
                    said["events_emitted"],
                    said["events_dropped"],
                    finished,
                    place,
                    said["phase"] == "found_dead",
                )
        after = events[-1].sequence


def _decoded(value: bytes) -> dict[str, Any] | None:
    """Return the record, or None when this version cannot read it: the collector will say so."""
    try:
        header = read_header(value)
        if header.fingerprint is None:
            return None
        body = io.BytesIO(value[header.body_at :])
        record: dict[str, Any] = schemaless_reader(body, by_fingerprint(header.fingerprint).parsed, None)  # type: ignore[assignment]
    except (DecodeError, EOFError, ValueError, IndexError):
        return None
    else:
        return record
