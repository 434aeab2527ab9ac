"""Lists runs: filtered by what they are, by metrics and by parameters, sorted by any of these.

Filters on what a run is are answered by the warehouse; metrics come as one summary a run and metric (see the projection
`summaries` of metrics_logged), so that no point is read, whatever the number of runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from trailhouse_analytics.queries import ask
from trailhouse_analytics.runs.attributes import tagged, tags_of
from trailhouse_analytics.runs.conditions import Condition, Quantity, Sort, Value
from trailhouse_analytics.runs.lookup import check_group, check_project
from trailhouse_analytics.runs.standing import DEFAULT_GRACE, overview
from trailhouse_analytics.runs.values import values_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from clickhouse_connect.driver.client import Client

__all__ = ["RunList", "list_runs"]

_FIELDS: Final = {
    "started": "started_at",
    "ended": "ended_at",
    "duration": "duration_seconds",
    "name": "name",
    "status": "status",
    "attempts": "attempts",
}


@dataclass(frozen=True, slots=True)
class RunList:
    """Runs, in order, one row each; the columns of quantities stand last, in the order of `quantities`."""

    table: pa.Table
    quantities: tuple[Quantity, ...]
    #: Runs that met the conditions, those beyond the limit included.
    matching: int
    as_of: datetime
    #: When the warehouse last heard of anything: signs of life that came later are not in it.
    last_heard_at: datetime | None
    #: Values of each quantity by (project, run id), of all runs that have it.
    of: dict[Quantity, dict[tuple[str, str], Value]]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know: that lost contact may be the warehouse's, when it has heard of nothing since."""
        silent = "lost contact" in self.table.column("status").to_pylist()
        if not silent or self.last_heard_at is None or self.last_heard_at + 10 * DEFAULT_GRACE > self.as_of:
            return ()
        return (
            (
                f"the warehouse has heard of no run since {self.last_heard_at:%Y-%m-%d %H:%M:%S}: "
                "runs may go on that it has lost contact with; 'trailhouse collect' lands what there is"
            ),
        )

    def to_arrow(self) -> pa.Table:
        """Return the table."""
        return self.table

    def to_pandas(self) -> pd.DataFrame:
        """Return the table as a data frame."""
        frame: pd.DataFrame = self.table.to_pandas()
        return frame


def list_runs(
    client: Client,
    *,
    project: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    statuses: Sequence[str] = (),
    group: str | None = None,
    tags: Sequence[str] = (),
    where: Sequence[Condition] = (),
    sort: Sort | None = None,
    columns: Sequence[Quantity] = (),
    having: Sequence[Quantity] = (),
    run_ids: Sequence[str] = (),
    limit: int | None = 50,
    now: datetime | None = None,
    grace: timedelta = DEFAULT_GRACE,
) -> RunList:
    """Return the runs that started in the period and meet all conditions.

    Args:
        client: The warehouse.
        project: Only runs of this project.
        since: Only runs started from then on.
        until: Only runs started before then.
        statuses: Only runs with one of these (`STATUSES`).
        group: Only runs of this group.
        tags: Only runs that have all of these tags.
        where: Only runs that meet all of these.
        sort: What to sort by; runs without it come last. By default the latest started come first.
        columns: Quantities to show, besides those of the conditions and the sort.
        having: Quantities to show that a run must have.
        run_ids: Only these runs.
        limit: At most so many; None: all.
        now: What signs of life are held against; the clock by default.
        grace: How late a sign of life may be.

    Raises:
        RunsInputError: the project, the group, a metric or a parameter is not known, or a metric has several splits.
    """
    check_project(client, project)
    check_group(client, group, project=project)
    as_of = now or datetime.now(UTC)
    order = sort or Sort("started")
    asked = [*columns, *having, *(c.quantity for c in where), *([order.by] if isinstance(order.by, Quantity) else [])]
    quantities = tuple(dict.fromkeys(asked))
    table = overview(
        client,
        project=project,
        since=since,
        until=until,
        statuses=statuses,
        group=group,
        run_ids=run_ids,
        now=as_of,
        grace=grace,
    )
    keys = list(zip(table.column("project").to_pylist(), table.column("run_id").to_pylist(), strict=True))
    values = {quantity: values_of(client, quantity, project=project) for quantity in quantities}
    keep = tagged(client, tags, as_of) if tags else None
    chosen = [
        at
        for at, key in enumerate(keys)
        if (keep is None or key[1] in keep)
        and all(key in values[quantity] for quantity in having)
        and all(c.holds(values[c.quantity].get(key)) for c in where)
    ]
    ordered = _ordered(table, keys, chosen, order, values)
    shown = ordered if limit is None else ordered[:limit]
    result = table.take(pa.array(shown, pa.int64()))
    result = _with_attributes(client, _with_ranks(client, result), as_of)
    for quantity in quantities:
        result = result.append_column(quantity.label, _column([values[quantity].get(keys[at]) for at in shown]))
    heard = ask(client, "runs_last_heard").column("last_heard_at").to_pylist()[0]
    return RunList(result, quantities, len(chosen), as_of, heard, values)


def _ordered(
    table: pa.Table,
    keys: Sequence[tuple[str, str]],
    chosen: Sequence[int],
    sort: Sort,
    values: dict[Quantity, dict[tuple[str, str], Value]],
) -> list[int]:
    """Return the rows in order; those without a value last, and the latest started first among equals."""
    if isinstance(sort.by, Quantity):
        of_run = values[sort.by]
        there = [at for at in chosen if keys[at] in of_run]
        absent = [at for at in chosen if keys[at] not in of_run]
        there.sort(key=lambda at: _rank(of_run[keys[at]]), reverse=sort.largest_first)  # stable: the latest first
        return there + absent
    if sort.by == "started" and sort.largest_first:
        return list(chosen)  # the order of the question
    rows = pa.array(chosen, pa.int64())
    column = table.column(_FIELDS[sort.by]).take(rows)
    order = "descending" if sort.largest_first else "ascending"
    in_order: list[int] = rows.take(pc.array_sort_indices(column.combine_chunks(), order=order)).to_pylist()
    return in_order


def _rank(value: Any) -> tuple[int, Any]:
    """Return a key that puts numbers before words, so that a parameter may have both."""
    return (1, str(value)) if isinstance(value, (str, bool)) else (0, value)


def _column(values: Sequence[Value | None]) -> pa.Array:
    if all(value is None or isinstance(value, float) for value in values):
        return pa.array(values, pa.float64())
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _with_ranks(client: Client, table: pa.Table) -> pa.Table:
    run_ids = table.column("run_id").to_pylist()
    projects = table.column("project").unique().to_pylist()
    rows = ask(client, "runs_ranks", projects=projects, run_ids=run_ids).to_pylist() if run_ids else []
    seen = {row["run_id"]: row["ranks_seen"] for row in rows}
    ranks = [seen.get(run_id, 0) for run_id in run_ids]
    sizes = table.column("world_size").to_pylist()
    of_all = [f"{there} of {size}" for there, size in zip(ranks, sizes, strict=True)]
    table = table.append_column("ranks_seen", pa.array(ranks, pa.int64()))
    return table.append_column("ranks", pa.array(of_all, pa.string()))


def _with_attributes(client: Client, table: pa.Table, now: datetime) -> pa.Table:
    run_ids = table.column("run_id").to_pylist()
    tags = tags_of(client, run_ids, now)
    return table.append_column("tags", pa.array([tags[run_id] for run_id in run_ids], pa.list_(pa.string())))
