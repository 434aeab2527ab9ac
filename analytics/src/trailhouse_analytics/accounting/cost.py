"""Cost: whose time on which resource it was, how much of it was used, and what it cost at the prices of its moment.

Each allocation is a stretch of time times a weight (quantity x fraction). It is cut exactly where its price changes,
where its team changes, at the edges of the period and at UTC hours or days where that is asked for, measured by its
samples, priced, and added up in integers (`ledger`); only the report rounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trailhouse_analytics.accounting.allocations import STATES, Allocations, ends, exact_weights
from trailhouse_analytics.accounting.double_booking import Booking, overbooked, overbooked_micros
from trailhouse_analytics.accounting.grouping import Dimension, grid_width, group, parse_by
from trailhouse_analytics.accounting.ledger import Ledger, Postings, add_up
from trailhouse_analytics.accounting.measures import (
    known_names,
    read_allocations,
    read_lives,
    read_sampled,
    read_use,
)
from trailhouse_analytics.accounting.moments import DAY, FIRST, LAST, to_micros
from trailhouse_analytics.accounting.notes import notes
from trailhouse_analytics.accounting.prices import ResourceClass, price_timeline, prices
from trailhouse_analytics.accounting.report import CostReport, Subjects, rows_and_totals
from trailhouse_analytics.accounting.teams import read_teams
from trailhouse_analytics.accounting.timelines import Pieces, cut, grid
from trailhouse_analytics.errors import CostInputError
from trailhouse_schemas.names import near

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clickhouse_connect.driver.client import Client

    from trailhouse_analytics.accounting.measures import Sampled
    from trailhouse_analytics.accounting.prices import Price
    from trailhouse_analytics.accounting.timelines import Integers

__all__ = ["Account", "account", "cost"]

#: Kinds of resource that are counted in devices, each of which is measured by itself; others are measured as a whole.
_UNDIVIDED: Final = frozenset({"cpu", "memory", "storage", "disk", "network"})

_NAMED: Final = (
    "project",
    "principal",
    "run",
    "attempt",
    "allocation",
    "node",
    "pool",
    "resource",
    "model",
    "capacity_type",
)


@dataclass(frozen=True, slots=True)
class Account:
    """All pieces of the time asked about, measured and priced, before they are grouped and rounded."""

    allocations: Allocations
    pieces: Pieces
    postings: Postings
    #: Index of each piece's price in `prices`, -1 for none.
    price: Integers
    prices: Sequence[Price]
    currencies: Sequence[str]
    #: What the pieces can be grouped by: of those asked for.
    dimensions: Sequence[Dimension]

    def grouped(self) -> tuple[Ledger, Integers]:
        """Return the exact sums by the dimensions, and of each group the index of a piece in it."""
        numbers, representative = group(self.dimensions, len(self.pieces))
        return add_up(self.postings, numbers), representative


def cost(
    client: Client,
    *,
    by: Sequence[str] = ("project",),
    since: datetime | None = None,
    until: datetime | None = None,
    project: str | None = None,
    team: str | None = None,
    principal: str | None = None,
    run: str | None = None,
    node: str | None = None,
    pool: str | None = None,
    resource: str | None = None,
    model: str | None = None,
    capacity_type: str | None = None,
    now: datetime | None = None,
    as_of: datetime | None = None,
    digits: int | None = None,
) -> CostReport:
    """Return what resources were allocated, used and idle, and what they cost.

    Args:
        client: The warehouse, from `trailhouse_schemas.warehouse.connect`.
        by: What to group by: names of `DIMENSIONS`.
        since: Begin of the period, included; None: from the first allocation on.
        until: End of the period, excluded; None: up to now.
        project: Only this project; so do team, principal, run, node, pool, resource, model and capacity_type.
        team: Only what counts for this team, at the time when it does.
        principal: Only this principal, as it claims.
        run: Only this run.
        node: Only this node.
        pool: Only this pool.
        resource: Only this kind of resource.
        model: Only this model of resource.
        capacity_type: Only on_demand, reserved or spot.
        now: The present, after which nothing counts; `as_of`, else the clock's, when it is None.
        as_of: Only what was published by then counts: what was believed at that moment.
        digits: Digits after the point that money is rounded to; the currency's own when it is None.

    Raises:
        CostInputError: unknown project, run, node, … or dimension, or a period that is none.
    """
    if digits is not None and not 0 <= digits <= 12:  # noqa: PLR2004 - what a price can have
        raise CostInputError(f"Money cannot be rounded to {digits} digits; give 0 to 12")
    names = parse_by(by)
    only = {
        "project": project,
        "team": team,
        "principal": principal,
        "run": run,
        "node": node,
        "pool": pool,
        "resource": resource,
        "model": model,
        "capacity_type": capacity_type,
    }
    present = now or as_of or datetime.now(UTC)
    found = account(
        client,
        by=names,
        since=since,
        until=until,
        only={name: value for name, value in only.items() if value is not None},
        now=present,
        as_of=as_of,
    )
    ledger, representative = found.grouped()
    owners = found.pieces.owner
    resources = found.allocations.column("resource")
    subjects = Subjects(owners, found.allocations.state[owners], [resources[i] for i in owners])
    rows, totals = rows_and_totals(ledger, found.dimensions, representative, subjects, found.currencies, digits=digits)
    return CostReport(names, since, until, present, as_of, rows, totals, notes(found, rows, totals))


def account(
    client: Client,
    *,
    by: Sequence[str],
    since: datetime | None,
    until: datetime | None,
    only: Mapping[str, str],
    now: datetime,
    as_of: datetime | None,
) -> Account:
    """Read and cut all that is asked about; as `cost`, without grouping and rounding.

    Raises:
        CostInputError: unknown project, run, node, …, or a period that is none.
    """
    since_us = FIRST if since is None else to_micros(since)
    now_us = to_micros(now)
    until_us = now_us if until is None else min(to_micros(until), now_us)
    as_of_us = LAST if as_of is None else to_micros(as_of)
    if since is not None and until is not None and since >= until:
        raise CostInputError(f"Period from {since:%Y-%m-%d %H:%M:%S} to {until:%Y-%m-%d %H:%M:%S} is none; swap them")
    for what, name in only.items():
        _require_known(client, what, name)
    table = read_allocations(client, since_us=since_us, until_us=until_us, as_of_us=as_of_us)
    asked = np.ones(table.num_rows, bool)
    for name, value in only.items():
        if name != "team":
            asked &= np.array([have == value for have in table.column(name).to_pylist()], bool)
    lives = read_lives(client, table, now_us=now_us, as_of_us=as_of_us)
    unmeasured = np.full(table.num_rows, FIRST, np.int64)
    lost = ends(table, lives, unmeasured.tolist(), now_us).state == STATES.index("lost")
    sampled = read_sampled(client, table, np.flatnonzero(asked | lost), as_of_us=as_of_us)
    allocations = ends(table, lives, sampled.until_us.tolist(), now_us)
    begin, end = np.maximum(allocations.begin, since_us), np.minimum(allocations.end, until_us)
    owner = np.flatnonzero(asked & (begin < end))
    pieces = Pieces(owner, begin[owner], end[owner])
    dimensions = [_attribute(allocations, name) for name in by if name in _NAMED or name == "state"]
    known = prices(client, as_of=as_of)
    return _cut_and_measured(
        client,
        allocations,
        pieces,
        whole=dimensions,
        known=known,
        sampled=sampled,
        by=by,
        only=only,
        as_of_us=as_of_us,
    )


def _cut_and_measured(
    client: Client,
    allocations: Allocations,
    pieces: Pieces,
    *,
    whole: Sequence[Dimension],
    known: Sequence[Price],
    sampled: Sampled,
    by: Sequence[str],
    only: Mapping[str, str],
    as_of_us: int,
) -> Account:
    pieces, price = _priced(allocations, pieces, known)
    moment = pieces.begin
    if width := grid_width(by):
        pieces, source, moment = cut(pieces, [grid(pieces, width)], np.zeros(len(pieces), np.int64))
        price = price[source]
    team = np.zeros(len(pieces), np.int64)
    team_names: Sequence[str] = [""]
    if "team" in by or "team" in only:
        teams = read_teams(client, as_of_us=as_of_us)
        owners = list(zip(*(allocations.column(name) for name in ("run", "project", "principal")), strict=True))
        keys = [teams.key(*owners[i]) for i in pieces.owner]
        distinct = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        which = np.array([distinct[key] for key in keys], np.int64)
        pieces, source, team = cut(pieces, [teams.timeline(key) for key in distinct], which)
        price, moment, team_names = price[source], moment[source], teams.names
    use = read_use(client, allocations.table, pieces, as_of_us=as_of_us)
    double = overbooked_micros(overbooked(_bookings(allocations)), pieces)
    counted = np.ones(len(pieces), bool)
    if "team" in only:
        counted = np.array([team_names[code] == only["team"] for code in team.tolist()], bool)
    pieces, price, moment, team = pieces.only(counted), price[counted], moment[counted], team[counted]
    currencies = sorted({known[i].currency for i in np.unique(price).tolist() if i >= 0})
    number = {name: code for code, name in enumerate(currencies)}
    currency_of = np.array([number.get(p.currency, -1) for p in known] + [-1], np.int64)
    per_hour = np.array([p.per_hour for p in known] + [0], dtype=object)
    named, expected = _devices(allocations)
    postings = Postings(
        length_us=pieces.end - pieces.begin,
        measured_us=use.measured_us[counted],
        used=use.used[counted],
        overbooked_us=double[counted],
        weight=exact_weights(allocations.column("quantity"), allocations.column("fraction"))[pieces.owner],
        devices=np.maximum(expected, sampled.devices)[pieces.owner],
        named_devices=named[pieces.owner],
        per_hour=per_hour[price],
        currency=currency_of[price],
    )
    dimensions = []
    attributes = {dimension.name: dimension for dimension in whole}
    for name in by:
        if name in attributes:
            of = attributes[name]
            dimensions.append(Dimension(name, of.members, of.codes[pieces.owner]))
        elif name == "team":
            dimensions.append(Dimension(name, team_names, team))
        elif name == "sku":
            dimensions.append(Dimension(name, *_factorized([p.sku for p in known] + [""], price)))
        elif name == "currency":
            dimensions.append(Dimension(name, [*currencies, ""], postings.currency))
        else:
            dimensions.append(_moments(name, moment))
    return Account(allocations, pieces, postings, price, known, currencies, dimensions)


def _priced(allocations: Allocations, pieces: Pieces, known: Sequence[Price]) -> tuple[Pieces, Integers]:
    columns = [allocations.column(name) for name in ("pool", "resource", "model", "capacity_type")]
    classes = list(zip(*columns, strict=True))
    distinct = {key: number for number, key in enumerate(dict.fromkeys(classes[i] for i in pieces.owner))}
    which = np.array([distinct[classes[i]] for i in pieces.owner], np.int64)
    timelines = [price_timeline(known, ResourceClass(*key)) for key in distinct]
    pieces, _, price = cut(pieces, timelines, which)
    return pieces, price


def _bookings(allocations: Allocations) -> list[Booking]:
    """Return every named device of every allocation; a node without a name is known by who reports it."""
    columns = [allocations.column(name) for name in ("node", "host", "resource", "devices", "fraction")]
    ones = [1.0] * len(allocations)
    shares = exact_weights(ones, columns[-1])
    return [
        Booking(index, (node or f"host {host}", resource, device), int(begin), int(end), int(share))
        for index, (node, host, resource, devices, share, begin, end) in enumerate(
            zip(*columns[:-1], shares, allocations.begin.tolist(), allocations.end.tolist(), strict=True)
        )
        for device in devices
    ]


def _devices(allocations: Allocations) -> tuple[Integers, Integers]:
    """Return how many devices each allocation names (at least 1), and how many are to be measured."""
    named = np.array([max(1, len(devices)) for devices in allocations.column("devices")], np.int64)
    expected = [
        len(devices) or (1 if resource in _UNDIVIDED else max(1, int(np.ceil(quantity))))
        for devices, resource, quantity in zip(
            *(allocations.column(name) for name in ("devices", "resource", "quantity")), strict=True
        )
    ]
    return named, np.array(expected, np.int64)


def _attribute(allocations: Allocations, name: str) -> Dimension:
    if name == "state":
        return Dimension(name, STATES, allocations.state)
    encoded = allocations.table.column(name).combine_chunks().dictionary_encode()
    return Dimension(
        name, encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    )


def _factorized(values: Sequence[Any], indices: Integers) -> tuple[list[Any], Integers]:
    """Return the distinct values, and the code of the value that each index points to (-1: the last one)."""
    distinct = {value: code for code, value in enumerate(dict.fromkeys(values))}
    codes = np.array([distinct[value] for value in values], np.int64)
    return list(distinct), codes[indices]


def _moments(name: str, begin: Integers) -> Dimension:
    """Return the stretches of time that pieces of an hour or a day begin in."""
    distinct, codes = np.unique(begin, return_inverse=True)
    if name == "hour":
        return Dimension(name, distinct.tolist(), codes.astype(np.int64))
    days = distinct // DAY
    if name == "week":
        days = days - (days + 3) % 7  # 1970-01-01 was a Thursday
    elif name == "month":
        days = days.astype("datetime64[D]").astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    starts, of = np.unique(days * DAY, return_inverse=True)
    return Dimension(name, starts.tolist(), of[codes].astype(np.int64))


#: Capacity types that are known before anything of theirs was heard of.
_CAPACITY_TYPES: Final = ("on_demand", "reserved", "spot")


def _require_known(client: Client, what: str, name: str) -> None:
    """Raise `CostInputError` when nobody has ever heard of the name; empty means what has none."""
    if not name and what not in {"project", "run"}:
        return
    if what == "team":
        known = read_teams(client).ever()
    else:
        known = [*known_names(client, what), *(_CAPACITY_TYPES if what == "capacity_type" else ())]
    if name not in known:
        words = what.replace("_", " ").capitalize()
        listed = "trailhouse runs list" if what == "run" else f"trailhouse cost --by {what}"
        raise CostInputError(f"{words} {name!r} is not known{near(name, known, otherwise=f'see them with {listed!r}')}")
