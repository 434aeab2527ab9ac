"""Settles the account of one producer: where each of its events is, and what that makes of it. Decides, asks nothing.

Every sequence from 0 to the last one that is known of is in exactly one place: landed, dead letter, waiting in the
spool, refused by the broker, dropped by the producer, expired with the retention of the tables, or lost. What comes
after the last one known of is not in the account: if the producer never said its end, that is at most what one flush
interval held.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from trailhouse_analytics.loss.ranges import intersect, joined, size, subtract

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from trailhouse_analytics.loss.ranges import Range, Ranges
    from trailhouse_analytics.loss.spools import Heartbeat, SpoolContent

__all__ = ["End", "Finding", "ProducerAccount", "Seen", "Verdict", "settle"]

#: What a killed process can lose where its heartbeats did not say: the producer's own default.
_DEFAULT_FLUSH_SECONDS: Final = 0.2


class Verdict(StrEnum):
    """The answer for a producer and for the whole; of several the first one here is said."""

    LOST = "lost"
    DOUBLED = "doubled"
    #: A producer never said its end: at most one flush interval is not known of.
    END_UNKNOWN = "end unknown"
    #: Nothing is lost, but events wait in a spool or the producer goes on.
    UNDER_WAY = "under way"
    COMPLETE = "complete"


class End(StrEnum):
    """What is known of a producer's end."""

    FINISHED = "finished"
    #: Heard of, and its next sign of life is not overdue.
    RUNNING = "running"
    #: Its next sign of life is overdue.
    OVERDUE = "overdue"
    FOUND_DEAD = "found dead"
    #: It has sent events and no heartbeat that is known of.
    NO_HEARTBEAT = "no heartbeat"
    #: Its spool keeps every event for ever, and so says where they end.
    RETAINED = "retained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the warehouse knows of a producer."""

    producer_id: str
    project: str = ""
    run_id: str = ""
    attempt: int = 0
    rank: int = 0
    host: str = ""
    #: Events in the tables, doubled ones each time.
    landed_rows: int = 0
    #: Distinct sequences in the tables; in the tables or the dead letters.
    landed: int = 0
    seen: int = 0
    #: -1 where there is none.
    last_sequence: int = -1
    has_heartbeat: bool = False
    emitted: int = 0
    dropped: int = 0
    points_dropped: int = 0
    finished: bool = False
    #: When somebody took up its spool and found that its process was gone; None where nobody did.
    found_dead_at: datetime | None = None
    #: Whether that was said in its own name, by who emptied its ring, and so is its end.
    end_is_counted: bool = False
    last_heard_at: datetime | None = None
    next_due_at: datetime | None = None
    flush_interval_seconds: float = 0.0

    @property
    def end(self) -> int:
        """One above the highest sequence that the warehouse knows of."""
        return max(self.emitted, self.last_sequence + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A stretch of sequences of one producer that are not simply landed."""

    producer_id: str
    #: lost, lost or dropped, dropped, expired, doubled, waiting, refused, dead letter dropped.
    kind: str
    first: int
    last: int
    #: What is known about it.
    detail: str = ""

    @property
    def events(self) -> int:
        """Number of sequences."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducerAccount:
    """Where the events of one producer are.

    `emitted` = `landed` + `dead_letters` + `waiting` + `refused` + `dropped` + `expired` + `lost`; `doubled` counts the
    copies beyond the first, which are on top.
    """

    producer_id: str
    project: str
    run_id: str
    attempt: int
    rank: int
    host: str
    verdict: Verdict
    end: End
    emitted: int
    landed: int
    dead_letters: int
    waiting: int
    refused: int
    dropped: int
    #: Neither there nor dropped, but so old that its row may have expired.
    expired: int
    lost: int
    doubled: int
    #: Metric points that it dropped, with or without an event.
    points_dropped: int
    #: What is not in the account where the end is not known, in seconds; None where it is known.
    unknown_seconds: float | None
    last_heard_at: datetime | None
    #: When its process was found dead; None where it said its end itself, or nobody looked.
    found_dead_at: datetime | None
    reason: str
    findings: tuple[Finding, ...] = field(default=(), repr=False)


def settle(
    seen: Seen,
    *,
    holes: Sequence[Range],
    heartbeats: Sequence[Heartbeat],
    spool: SpoolContent | None,
    now: datetime,
    grace: timedelta,
    kept_from: int = 0,
) -> ProducerAccount:
    """Return the account of one producer.

    Args:
        seen: What the warehouse knows of it.
        holes: Sequences up to the last one seen that are in no table and no dead letter, sorted.
        heartbeats: Its heartbeats in the warehouse, in order; needed only where there are holes.
        spool: What its spool holds, where there is one.
        now: The moment that signs of life are held against.
        grace: How long a sign of life may be late.
        kept_from: The first sequence that cannot have expired.
    """
    waiting, refused = ([], []) if spool is None else (spool.waiting, joined((r.sequence,) * 2 for r in spool.refused))
    beats = sorted([*heartbeats, *(spool.heartbeats if spool else ())], key=lambda beat: beat.sequence)
    end = max(seen.end, spool.end if spool else 0, *(beat.emitted for beat in beats), 0)
    missing = joined([*holes, *([(seen.last_sequence + 1, end - 1)] if end > seen.last_sequence + 1 else [])])
    in_spool = intersect(missing, waiting)
    missing = subtract(missing, waiting)
    were_refused = intersect(missing, refused)
    missing = subtract(missing, refused)
    lost, dropped, expired, named = _lost_or_dropped(seen.producer_id, missing, beats, kept_from)
    known_end = _end(seen, spool, now, grace)
    doubled = seen.landed_rows - seen.landed
    counted = seen.end_is_counted or (spool is not None and any(beat.found_dead for beat in spool.heartbeats))
    is_unknown = known_end in _UNKNOWN_ENDS and not counted
    unknown_seconds = (seen.flush_interval_seconds or _DEFAULT_FLUSH_SECONDS) if is_unknown else None
    verdict, reason = _verdict(
        lost=lost,
        doubled=doubled,
        waiting=size(in_spool),
        end=known_end,
        found_dead_at=seen.found_dead_at,
        unknown_seconds=unknown_seconds,
        unreadable=spool.unreadable if spool else "",
        expired=expired,
    )
    findings = [
        *named,
        *(Finding(producer_id=seen.producer_id, kind="waiting", first=a, last=b) for a, b in in_spool),
        *_refusals(seen.producer_id, were_refused, spool),
    ]
    return ProducerAccount(
        producer_id=seen.producer_id,
        project=seen.project,
        run_id=seen.run_id,
        attempt=seen.attempt,
        rank=seen.rank,
        host=seen.host,
        verdict=verdict,
        end=known_end,
        emitted=end,
        landed=seen.landed,
        dead_letters=seen.seen - seen.landed,
        waiting=size(in_spool),
        refused=size(were_refused),
        dropped=dropped,
        expired=expired,
        lost=lost,
        doubled=doubled,
        points_dropped=seen.points_dropped,
        unknown_seconds=unknown_seconds,
        last_heard_at=seen.last_heard_at if seen.has_heartbeat else None,
        found_dead_at=seen.found_dead_at if known_end is End.FOUND_DEAD else None,
        reason=reason,
        findings=tuple(findings),
    )


_UNKNOWN_ENDS: Final = (End.OVERDUE, End.FOUND_DEAD, End.NO_HEARTBEAT)


def _end(seen: Seen, spool: SpoolContent | None, now: datetime, grace: timedelta) -> End:  # noqa: PLR0911 - one a case
    if seen.finished or (spool is not None and any(beat.finished for beat in spool.heartbeats)):
        return End.FINISHED
    if spool is not None and spool.retained:
        return End.RETAINED
    if seen.found_dead_at is not None or (spool is not None and any(beat.found_dead for beat in spool.heartbeats)):
        return End.FOUND_DEAD
    if spool is not None and spool.heartbeats:
        return End.RUNNING  # its latest sign of life is on its way; when it is overdue is judged where it has landed
    if not seen.has_heartbeat:
        return End.NO_HEARTBEAT
    if seen.next_due_at is not None and seen.next_due_at + grace < now:
        return End.OVERDUE
    return End.RUNNING


def _verdict(  # noqa: PLR0911 - one a case
    *,
    lost: int,
    doubled: int,
    waiting: int,
    end: End,
    found_dead_at: datetime | None,
    unknown_seconds: float | None,
    unreadable: str,
    expired: int,
) -> tuple[Verdict, str]:
    if lost:
        return Verdict.LOST, f"{lost:,} lost" + (f", {doubled:,} doubled" if doubled else "")
    if doubled:
        return Verdict.DOUBLED, f"{doubled:,} doubled"
    if unreadable:
        return Verdict.END_UNKNOWN, unreadable
    at = f" at {found_dead_at:%Y-%m-%d %H:%M:%S} UTC" if end is End.FOUND_DEAD and found_dead_at else ""
    if unknown_seconds is not None and (end is End.FOUND_DEAD or not waiting):
        return Verdict.END_UNKNOWN, f"{end.value}{at}: end unknown, at most one flush interval ({unknown_seconds:g} s)"
    if waiting:
        return Verdict.UNDER_WAY, f"{waiting:,} still in the spool"
    if end is End.RUNNING:
        return Verdict.UNDER_WAY, "still running"
    if end is End.FOUND_DEAD:
        return Verdict.COMPLETE, f"{end.value}{at}, and counted to its end"
    return Verdict.COMPLETE, f"{expired:,} expired by retention" if expired else ""


def _lost_or_dropped(
    producer_id: str, missing: Ranges, beats: Sequence[Heartbeat], kept_from: int
) -> tuple[int, int, int, list[Finding]]:
    """Return how many of the missing were lost, how many dropped, how many expired, and the ranges by name.

    Between one heartbeat and the next the producer says how many it dropped. As many of the missing there are dropped;
    which ones is known where all or none of them are. Of the others those before `kept_from` have expired.
    """
    sequences = [beat.sequence for beat in beats]
    old = intersect(missing, [(0, kept_from - 1)]) if kept_from else []
    stretches: defaultdict[int, Ranges] = defaultdict(list)
    for hole in [*old, *subtract(missing, old)]:  # a heartbeat is never within a hole: it landed, or waits
        stretches[bisect_left(sequences, hole[0])].append(hole)
    lost = dropped = expired = 0
    findings = []
    for after, ranges in sorted(stretches.items()):
        said_before = beats[after - 1].dropped if after else 0
        allowed = beats[after].dropped - said_before if after < len(beats) else 0
        events = size(ranges)
        of_these = min(max(allowed, 0), events)
        too_old = min(events - of_these, size(intersect(ranges, old)))
        dropped += of_these
        expired += too_old
        lost += events - of_these - too_old
        if of_these == events:
            kind, detail = "dropped", "the producer says so itself"
        elif of_these:
            kind, detail = "lost or dropped", f"{of_these:,} of {events:,} between two heartbeats were dropped"
        else:
            kind, detail = "lost", "" if after < len(beats) else "no later heartbeat is known that could say more"
        for first, last in ranges:
            gone = last < kept_from and of_these < events
            findings.append(
                Finding(
                    producer_id=producer_id,
                    kind="expired" if gone else kind,
                    first=first,
                    last=last,
                    detail="older than the tables keep their rows" if gone else detail,
                )
            )
    return lost, dropped, expired, findings


def _refusals(producer_id: str, refused: Ranges, spool: SpoolContent | None) -> list[Finding]:
    if spool is None:
        return []
    said = {refusal.sequence: refusal for refusal in spool.refused}
    return [
        Finding(
            producer_id=producer_id,
            kind="refused",
            first=sequence,
            last=sequence,
            detail=f"{said[sequence].event_type}: {said[sequence].reason}",
        )
        for first, last in refused
        for sequence in range(first, last + 1)
    ]
