"""Whether a spool is in order by itself: no warehouse is asked, so what has left it is taken to have arrived.

A hole is a sequence between what has left the spool and the last one that it has or that its producer's heartbeats tell
of, which is neither there, nor refused, nor dropped by the producer's own word.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from fastavro import schemaless_reader

from trailhouse_analytics.loss.account import Finding, Seen, settle
from trailhouse_analytics.loss.ranges import joined
from trailhouse_analytics.loss.spools import Heartbeat, content_of
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.errors import DecodeError
from trailhouse_schemas.versions import by_fingerprint
from trailhouse_schemas.wire import read_header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trailhouse_analytics.loss.ranges import Range
    from trailhouse_schemas.spool import Spool, SpooledEvent

__all__ = ["SpoolCheck", "check_spool"]

#: Findings that are no fault of a spool.
_FINE: Final = frozenset({"waiting", "dropped"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolCheck:
    """What was found in one spool."""

    producer_id: str
    #: Events in it, kept ones included.
    events: int
    waiting: int
    refused: int
    #: Dropped by the producer's own word, as far as the heartbeats in the spool say.
    dropped: int
    #: Sequences that are missing.
    lost: int
    #: Events that cannot be read, or are other events than the spool says.
    unreadable: int
    #: The first sequence that can be judged: those before it have left the spool.
    since: int
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing is missing, unreadable or refused."""
        return not (self.lost or self.unreadable or self.refused)


def check_spool(spool: Spool) -> SpoolCheck:
    """Read every event of a spool and look for holes.

    Raises:
        SpoolError: the spool cannot be read.
    """
    content = content_of(spool)
    there: list[Range] = []
    bad: list[Finding] = []
    beats: list[Heartbeat] = []
    events = 0
    for event in _events(spool):
        events += 1
        there = _with(there, event.sequence)
        record, reason = _read(event, spool.producer_id)
        if record is None:
            bad.append(
                Finding(
                    producer_id=spool.producer_id,
                    kind="unreadable",
                    first=event.sequence,
                    last=event.sequence,
                    detail=f"{event.event_type}: {reason}",
                )
            )
        elif event.event_type == "heartbeat_sent" and record["subject_producer_id"] == spool.producer_id:
            beats.append(Heartbeat(event.sequence, record["events_emitted"], record["events_dropped"]))
    since = 0 if spool.retained else _since(spool, there, [r.sequence for r in content.refused])
    left = [(max(first, since), last) for first, last in there if last >= since]
    account = settle(
        Seen(producer_id=spool.producer_id, last_sequence=since - 1, seen=since, landed=since, landed_rows=since),
        holes=[],
        heartbeats=[],
        spool=replace(content, waiting=left, heartbeats=tuple(beats)),
        now=datetime.now(UTC),
        grace=timedelta(0),
    )
    refusals = [
        Finding(
            producer_id=spool.producer_id,
            kind="refused",
            first=each.sequence,
            last=each.sequence,
            detail=f"{each.event_type}: {each.reason}",
        )
        for each in content.refused
    ]
    holes = [finding for finding in account.findings if finding.kind not in {"waiting", "refused"}]
    return SpoolCheck(
        producer_id=spool.producer_id,
        events=events,
        waiting=spool.backlog(),
        refused=len(content.refused),
        dropped=account.dropped,
        lost=account.lost,
        unreadable=len(bad),
        since=since,
        findings=tuple(sorted([*bad, *refusals, *holes], key=lambda finding: finding.first)),
    )


def _events(spool: Spool) -> Iterator[SpooledEvent]:
    after = -1
    while events := spool.read(after=after):
        yield from events
        after = events[-1].sequence


def _with(ranges: list[Range], sequence: int) -> list[Range]:
    """Return the ranges with one more sequence, which is above them all."""
    if ranges and ranges[-1][1] == sequence - 1:
        ranges[-1] = (ranges[-1][0], sequence)
    else:
        ranges.append((sequence, sequence))
    return ranges


def _since(spool: Spool, there: list[Range], refused: list[int]) -> int:
    """Return the first sequence that is not below something that has left the spool."""
    known = joined([*there, *((sequence, sequence) for sequence in refused)])
    done = max((spool.done_through(name) for name in CATALOGUE), default=-1)
    return max(done + 1, there[0][0] if there else known[-1][1] + 1 if known else 0)


def _read(event: SpooledEvent, producer_id: str) -> tuple[dict[str, Any] | None, str]:
    try:
        header = read_header(event.value)
        version = by_fingerprint(header.fingerprint or b"")
        body = io.BytesIO(event.value[header.body_at :])
        record: Any = schemaless_reader(body, version.parsed, None)
    except (DecodeError, EOFError, ValueError, IndexError, UnicodeDecodeError) as error:
        return None, str(error) or type(error).__name__
    if body.read(1):
        return None, "there are bytes behind its end"
    said = (record["producer_id"], record["sequence"])
    if said != (producer_id, event.sequence):
        return None, f"it says that it is event {said[1]} of producer {said[0]}"
    return record, ""
