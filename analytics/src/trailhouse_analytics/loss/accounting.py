"""Asks the spools and the warehouse where every event is, and settles the account of each producer.

The warehouse counts; only producers whose numbers do not add up are asked for the names of what is missing or doubled.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pyarrow.compute as pc

from trailhouse_analytics.loss.account import Finding, ProducerAccount, Seen, settle
from trailhouse_analytics.loss.report import Accounting, total, worst
from trailhouse_analytics.loss.spools import Heartbeat, SpoolContent, read_spools
from trailhouse_analytics.queries import text
from trailhouse_analytics.ranks import silent_ranks
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.warehouse.retention import expired_before
from trailhouse_schemas.warehouse.tables import ORDINAL_COLUMN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    from clickhouse_connect.driver.client import Client

    from trailhouse_analytics.loss.ranges import Ranges

__all__ = ["DEFAULT_GRACE", "verify"]

#: How late a sign of life may be before its producer is overdue.
DEFAULT_GRACE: Final = timedelta(seconds=30)

#: Producers that one question names.
_AT_ONCE: Final = 10_000
#: Holes of a producer with at most so many events are found while all are counted, which takes 8 bytes an event.
_UNPACKED_EVENTS: Final = 1_000_000
#: Above every sequence.
_NONE_IS_KEPT: Final = 1 << 62
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2261, 1, 1, tzinfo=UTC)


def verify(
    client: Client,
    *,
    spools: Iterable[Path] = (),
    project: str = "",
    run_id: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    now: datetime | None = None,
    grace: timedelta = DEFAULT_GRACE,
) -> Accounting:
    """Account for every event of every producer.

    A producer is accounted for as a whole; the project, run and period choose the producers that have an event in them.

    Args:
        client: The warehouse.
        spools: Directories of spools that may still hold events.
        project: Only producers of this project.
        run_id: Only producers of this run.
        since: Only producers that said something from then on.
        until: Only producers that said something before then.
        now: What signs of life are held against; the clock by default.
        grace: How long a sign of life may be late.
    """
    everything = not (project or run_id or since or until)
    as_of = now or datetime.now(UTC)
    contents = {content.producer_id: content for content in read_spools(spools)}  # before the warehouse: see spools
    counted = _ask(
        client,
        "loss_producers",
        everything=everything,
        project=project,
        run_id=run_id,
        since=since or _EARLIEST,
        until=until or _LATEST,
        unpacked=_UNPACKED_EVENTS,
    )
    known = _seen(counted)
    unasked = [producer_id for producer_id in contents if producer_id not in known]
    if everything:
        known |= {producer_id: Seen(producer_id=producer_id) for producer_id in unasked}
    holes = _holes(client, known, counted)
    incomplete = [s.producer_id for s in known.values() if s.seen != s.end or s.producer_id in contents]
    heartbeats = _heartbeats(client, incomplete)
    kept_from = _kept_from(client, incomplete)
    doubled = _doubled(client, [s.producer_id for s in known.values() if s.landed_rows != s.landed])
    given_up = _given_up(client)
    unreadable = tuple(content.unreadable for content in contents.values() if content.unreadable)
    accounts = tuple(
        _with_findings(
            settle(
                seen,
                holes=holes[producer_id],
                heartbeats=heartbeats[producer_id],
                spool=contents.get(producer_id),
                now=as_of,
                grace=grace,
                kept_from=kept_from[producer_id],
            ),
            [*doubled[producer_id], *given_up[producer_id]],
        )
        for producer_id, seen in sorted(known.items())
    )
    silent = silent_ranks(
        client,
        now=as_of,
        grace=grace,
        project=project,
        run_id=run_id,
        since=since,
        until=until,
        elsewhere={beat.place for content in contents.values() for beat in content.heartbeats},
    )
    return Accounting(
        verdict=worst(accounts, silent),
        silent_ranks=tuple(silent),
        totals=total(accounts),
        accounts=accounts,
        as_of=as_of,
        notes=(*unreadable, *_notes(client, [] if everything else [contents[p] for p in unasked])),
        unreadable=unreadable,
    )


def _events() -> str:
    """Return the question that has one row an event, out of every event table; made of the catalogue's names alone."""
    of_one = text("loss_events")
    return "\nUNION ALL\n".join(
        of_one.replace("TABLE", event_type.table).replace(
            "ROWS", f"{ORDINAL_COLUMN} = 0" if event_type.rows_from else "1"
        )
        for event_type in CATALOGUE.values()
    )


def _ask(client: Client, name: str, **parameters: Any) -> pa.Table:
    return client.query_arrow(text(name).replace("(EVENTS)", f"(\n{_events()})"), parameters=parameters)


def _ask_of(client: Client, name: str, producers: Sequence[str]) -> Iterator[dict[str, Any]]:
    for begin in range(0, len(producers), _AT_ONCE):
        yield from _ask(client, name, producers=list(producers[begin : begin + _AT_ONCE])).to_pylist()


def _seen(table: pa.Table) -> dict[str, Seen]:
    names = [f.name for f in fields(Seen)]
    return {row["producer_id"]: Seen(**{name: row[name] for name in names}) for row in table.select(names).to_pylist()}


def _holes(client: Client, known: Mapping[str, Seen], counted: pa.Table) -> defaultdict[str, Ranges]:
    found: defaultdict[str, Ranges] = defaultdict(list)
    table = counted.select(["producer_id", "hole_firsts", "hole_lasts"])
    for row in table.filter(pc.greater(pc.list_value_length(table.column("hole_firsts")), 0)).to_pylist():
        found[row["producer_id"]] = list(zip(row["hole_firsts"], row["hole_lasts"], strict=True))
    left = [s.producer_id for s in known.values() if s.seen != s.last_sequence + 1 and s.producer_id not in found]
    for row in _ask_of(client, "loss_holes", left):
        found[row["producer_id"]].append((row["first"], row["last"]))
    return found


def _heartbeats(client: Client, producers: Sequence[str]) -> defaultdict[str, list[Heartbeat]]:
    found: defaultdict[str, list[Heartbeat]] = defaultdict(list)
    if not producers:
        return found
    wanted, named = set(producers), len(producers) <= _AT_ONCE
    for row in _ask(client, "loss_heartbeats", producers=list(producers) if named else []).to_pylist():
        if row["producer_id"] in wanted:
            beats = found[row["producer_id"]]
            beats.append(Heartbeat(row["first"], row["first_emitted"], row["dropped"]))
            if row["last"] > row["first"]:
                beats.append(Heartbeat(row["last"], row["last_emitted"], row["dropped"]))
    return found


def _kept_from(client: Client, producers: Sequence[str]) -> defaultdict[str, int]:
    """Return the first sequence of each producer that cannot have expired: a producer publishes in order."""
    expired = expired_before(client)
    if not expired or not producers:
        return defaultdict(int)
    found: defaultdict[str, int] = defaultdict(int, dict.fromkeys(producers, _NONE_IS_KEPT))
    for begin in range(0, len(producers), _AT_ONCE):
        asked = list(producers[begin : begin + _AT_ONCE])
        for row in _ask(client, "loss_expired", producers=asked, since=max(expired.values())).to_pylist():
            found[row["producer_id"]] = row["first"]
    return found


def _doubled(client: Client, producers: Sequence[str]) -> defaultdict[str, list[Finding]]:
    found: defaultdict[str, list[Finding]] = defaultdict(list)
    for row in _ask_of(client, "loss_doubled", producers):
        found[row["producer_id"]].append(
            Finding(
                producer_id=row["producer_id"],
                kind="doubled",
                first=row["first"],
                last=row["last"],
                detail=f"{row['copies']} times in {', '.join(row['tables'])}",
            )
        )
    return found


def _given_up(client: Client) -> defaultdict[str, list[Finding]]:
    """Return the dead letters that people have dropped: no holes, and nothing that anybody will land."""
    found: defaultdict[str, list[Finding]] = defaultdict(list)
    for row in _ask(client, "loss_given_up").to_pylist():
        found[row["producer_id"]].append(
            Finding(
                producer_id=row["producer_id"],
                kind="dead letter dropped",
                first=row["first"],
                last=row["last"],
                detail=f"by {row['dropped_by']}: {row['dropped_why']}",
            )
        )
    return found


def _with_findings(account: ProducerAccount, more: Sequence[Finding]) -> ProducerAccount:
    return replace(account, findings=(*account.findings, *more)) if more else account


def _notes(client: Client, left_out: Sequence[SpoolContent]) -> Iterator[str]:
    (nameless,) = _ask(client, "loss_nameless").column("nameless").to_pylist()
    if nameless:
        yield f"{nameless:,} dead letters do not say which event they were; they are in no account"
    waiting = [content for content in left_out if content.waiting]
    if waiting:
        yield f"{len(waiting):,} spools of producers that the warehouse does not know yet are not accounted for here"
