"""Reads the facts of cost from the warehouse: allocations, signs of life, and how long each piece was in use.

What only this process knows (which holders are asked about, how time is cut) goes to the warehouse in temporary
tables of the client's session, so that samples are added up where they are.
"""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from trailhouse_analytics.accounting.allocations import Life, holder, without_end
from trailhouse_analytics.accounting.moments import DAY, FIRST
from trailhouse_analytics.queries import ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client

    from trailhouse_analytics.accounting.timelines import Integers, Pieces

__all__ = ["Sampled", "Use", "known_names", "read_allocations", "read_lives", "read_sampled", "read_use"]


@dataclass(frozen=True, slots=True)
class Sampled:
    """Of each allocation: how many devices were ever measured, and the end of the last sample."""

    devices: Integers
    until_us: Integers


@dataclass(frozen=True, slots=True)
class Use:
    """Of each piece, added up over devices: microseconds measured, and in use (in 10^-6 of a microsecond, exact)."""

    measured_us: Integers
    used: np.ndarray[Any, np.dtype[np.object_]]


def known_names(client: Client, what: str) -> list[str]:
    """Return all names that the warehouse has heard of, in order, of a kind: project, run, principal, node, …."""
    names: list[str] = ask(client, "cost_known", what=what).column("name").to_pylist()
    return names


def read_allocations(client: Client, *, since_us: int, until_us: int, as_of_us: int) -> pa.Table:
    """Return the allocations that lie in the period at least in part, as `sql/cost_allocations.sql` says."""
    return ask(client, "cost_allocations", since_us=since_us, until_us=until_us, as_of_us=as_of_us)


def read_lives(client: Client, table: pa.Table, *, now_us: int, as_of_us: int) -> dict[tuple[str, int, str], Life]:
    """Return what is known of the holders of the allocations in `table` that have no end."""
    held = table.filter(pa.array(without_end(table))).select(["run", "attempt", "producer"])
    if not held.num_rows:
        return {}
    holders = {holder(**row) for row in held.to_pylist()}
    rows = pa.table(
        {
            "run": pa.array([run for run, _, _ in holders], pa.string()),
            "producer": pa.array([producer for _, _, producer in holders], pa.string()),
        }
    )
    with _temporary(client, "run String, producer String", rows) as name:
        found = ask(client, "cost_life", holders=name, now_us=now_us, as_of_us=as_of_us).to_pylist()
    return {
        holder(row["run"], row["attempt"], row["producer"]): Life(row["seen_us"], bool(row["alive"])) for row in found
    }


def read_sampled(client: Client, table: pa.Table, which: Integers, *, as_of_us: int) -> Sampled:
    """Return what was measured of the allocations `which` of `table`; of the others nothing."""
    devices = np.zeros(table.num_rows, np.int64)
    until_us = np.full(table.num_rows, FIRST, np.int64)
    if len(which):
        asked = table.take(pa.array(which))
        with _temporary(client, "allocation String", asked.select(["allocation"])) as name:
            found = ask(
                client, "cost_sampled", pieces=name, published_since_us=_published_since(asked), as_of_us=as_of_us
            ).to_pylist()
        place = _places(table, which)
        for row in found:
            index = place.get((row["allocation"], row["resource"]))
            if index is not None:
                devices[index], until_us[index] = row["devices"], row["sampled_us"]
    return Sampled(devices, until_us)


def read_use(client: Client, table: pa.Table, pieces: Pieces, *, as_of_us: int) -> Use:
    """Return how long each piece was measured and in use; pieces are sorted by allocation and time, without gaps."""
    measured = np.zeros(len(pieces), np.int64)
    used = np.zeros(len(pieces), dtype=object)
    if len(pieces):
        owners, first = np.unique(pieces.owner, return_index=True)
        count = np.diff([*first, len(pieces)])
        bounds = np.insert(pieces.begin, (first + count)[:-1], pieces.end[(first + count - 1)[:-1]])
        bounds = np.append(bounds, pieces.end[-1])
        offsets = np.concatenate([[0], np.cumsum(count + 1)])
        asked = table.take(pa.array(owners))
        rows = pa.table(
            {
                "allocation": asked.column("allocation"),
                "resource": asked.column("resource"),
                "first_piece": pa.array(first, pa.int64()),
                "bounds": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(bounds, pa.int64())),
            }
        )
        columns = "allocation String, resource String, first_piece Int64, bounds Array(Int64)"
        with _temporary(client, columns, rows) as name:
            found = ask(
                client, "cost_samples", pieces=name, published_since_us=_published_since(asked), as_of_us=as_of_us
            )
        of = found.column("piece").to_numpy()
        measured[of] = found.column("measured_us").to_numpy()
        used[of] = found.column("used_us").to_numpy().astype(object) * 1_000_000 + found.column("used_rest").to_numpy()
    return Use(measured, used)


def _published_since(table: pa.Table) -> int:
    """Return a moment before which no sample of these allocations was published.

    A sample is published after it was taken, and about when its allocation is reported or later; a day is left for
    clocks that differ. What was reported long after the fact has begun long before.
    """
    return max(
        FIRST,
        min(
            min(table.column("first_published_us").to_pylist(), default=FIRST),
            min(table.column("started_us").to_pylist(), default=FIRST),
        )
        - DAY,
    )


def _places(table: pa.Table, which: Integers) -> dict[tuple[str, str], int]:
    names = table.take(pa.array(which))
    keys = zip(names.column("allocation").to_pylist(), names.column("resource").to_pylist(), strict=True)
    return dict(zip(keys, which.tolist(), strict=True))


@contextmanager
def _temporary(client: Client, columns: str, rows: pa.Table) -> Iterator[str]:
    """Have `rows` in a temporary table of the session, whose name is given."""
    name = f"trailhouse_{uuid.uuid4().hex}"
    client.command(f"CREATE TEMPORARY TABLE {name} ({columns})")
    try:
        client.insert_arrow(name, rows)
        yield name
    finally:
        client.command(f"DROP TEMPORARY TABLE IF EXISTS {name}")
