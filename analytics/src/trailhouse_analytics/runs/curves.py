"""The numbers behind the plots of runs: a metric against its steps, or against a hyper-parameter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from trailhouse_analytics.errors import RunsInputError
from trailhouse_analytics.queries import ask
from trailhouse_analytics.runs.conditions import Quantity, Value
from trailhouse_analytics.runs.lookup import check_metric
from trailhouse_analytics.runs.values import one_split, values_of

if TYPE_CHECKING:
    import pandas as pd
    from clickhouse_connect.driver.client import Client

    from trailhouse_analytics.runs.listing import RunList

__all__ = ["CURVES", "MOST_POINTS", "SCATTER", "Curves", "Scatter", "curves_of", "scatter_of"]

#: Points of one run that are drawn: more cannot be told apart on a screen.
MOST_POINTS: Final = 2_000

#: One row a point; x is the step, or seconds since the run's first point.
CURVES: Final = pa.schema(
    [
        ("project", pa.string()),
        ("run_id", pa.string()),
        ("label", pa.string()),
        ("x", pa.float64()),
        ("y", pa.float64()),
    ]
)
#: One row a run; words and numbers as text in `parameter` and `color`, null where the run has none.
SCATTER: Final = pa.schema(
    [
        ("project", pa.string()),
        ("run_id", pa.string()),
        ("label", pa.string()),
        ("parameter", pa.string()),
        ("metric", pa.float64()),
        ("color", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Curves:
    """A metric against its steps, a curve a run."""

    metric: Quantity
    #: With the schema `CURVES`, ordered by run and x.
    table: pa.Table
    #: Whether x is the step; else it is seconds since the run's first point.
    by_step: bool
    #: A parameter's value by label, to colour by.
    colors: dict[str, Value]
    color: str = ""
    notes: tuple[str, ...] = ()

    def to_arrow(self) -> pa.Table:
        """Return the table."""
        return self.table

    def to_pandas(self) -> pd.DataFrame:
        """Return the table as a data frame."""
        frame: pd.DataFrame = self.table.to_pandas()
        return frame


@dataclass(frozen=True, slots=True)
class Scatter:
    """A metric against a hyper-parameter, a point a run."""

    metric: Quantity
    parameter: str
    #: The values, in the order of the table.
    x: tuple[Value, ...]
    y: tuple[float, ...]
    colors: tuple[Value | None, ...]
    #: With the schema `SCATTER`.
    table: pa.Table
    color: str = ""
    notes: tuple[str, ...] = ()

    def to_arrow(self) -> pa.Table:
        """Return the table."""
        return self.table

    def to_pandas(self) -> pd.DataFrame:
        """Return the table as a data frame."""
        frame: pd.DataFrame = self.table.to_pandas()
        return frame


def curves_of(
    client: Client,
    runs: RunList,
    metric: Quantity,
    *,
    project: str | None = None,
    by_step: bool = True,
    color: str = "",
) -> Curves:
    """Return the curve of a metric in each of these runs.

    Args:
        client: The warehouse.
        runs: The runs, in the order of their curves.
        metric: The metric; its statistic is of no account.
        project: The project of the runs, where it is one.
        by_step: Against the steps; else, and where no point has a step, against time.
        color: A hyper-parameter to colour by.

    Raises:
        RunsInputError: no run has the metric or the parameter, or the metric has several splits.
    """
    labels = _labels(runs)
    ids = [run_id for _, run_id in labels]
    if not ids:
        raise RunsInputError("There is no such run to plot; widen the conditions, or list with 'trailhouse runs list'")
    split = one_split(metric, check_metric(client, metric.name, project=project, run_ids=ids))
    of_metric = {"project": project or "", "run_ids": ids, "name": metric.name, "split": split}
    (kinds,) = ask(client, "runs_curve_kinds", **of_metric).to_pylist()
    stepped = by_step and kinds["with_step"] > 0
    points = ask(client, "runs_curves", most=MOST_POINTS, by_step=stepped, **of_metric).to_pylist()
    place = {run_id: (at, of, labels[of, run_id]) for at, (of, run_id) in enumerate(labels)}
    points.sort(key=lambda point: (place[point["run_id"]][0], point["x"]))
    rows = [{**point, "project": place[point["run_id"]][1], "label": place[point["run_id"]][2]} for point in points]
    there = {row["run_id"] for row in rows}
    notes = []
    if kinds["not_finite"]:
        notes.append(f"{kinds['not_finite']:,} values that are not finite are not drawn")
    if kinds["ranks"] > 1:
        notes.append(f"the mean of {kinds['ranks']:,} ranks")
    if len(there) < len(ids):
        notes.append(f"{len(ids) - len(there):,} runs without the metric are left out")
    values = values_of(client, Quantity("param", color), project=project, run_ids=ids) if color else {}
    colors = {labels[key]: value for key, value in values.items() if key in labels}
    table = pa.Table.from_pylist(rows, schema=CURVES)
    return Curves(replace(metric, split=split), table, stepped, colors, color, tuple(notes))


def scatter_of(runs: RunList, metric: Quantity, parameter: Quantity, color: Quantity | None = None) -> Scatter:
    """Return a point for each of these runs that has both; the list must have the quantities as columns.

    Raises:
        RunsInputError: no run has both.
    """
    labels = _labels(runs)
    ys = runs.of[metric]
    xs = runs.of[parameter]
    of_color = runs.of[color] if color else {}
    rows = []
    for key in labels:
        y = ys.get(key)
        x = xs.get(key)
        if isinstance(y, float) and x is not None:
            rows.append((key, x, y, of_color.get(key)))
    if not rows:
        raise RunsInputError(f"No run has both metric {metric.name!r} and parameter {parameter.name!r}; plot another")
    rows.sort(key=lambda row: (isinstance(row[1], str), str(row[1]) if isinstance(row[1], str) else row[1]))
    table = pa.Table.from_pylist(
        [
            {
                "project": key[0],
                "run_id": key[1],
                "label": labels[key],
                "parameter": str(x),
                "metric": y,
                "color": None if c is None else str(c),
            }
            for key, x, y, c in rows
        ],
        schema=SCATTER,
    )
    lacking = len(labels) - len(rows)
    notes = (f"{lacking:,} runs without the metric or the parameter are left out",) if lacking else ()
    _, x_values, y_values, colors = zip(*rows, strict=True)
    return Scatter(metric, parameter.name, x_values, y_values, colors, table, color.name if color else "", notes)


def _labels(runs: RunList) -> dict[tuple[str, str], str]:
    """Return a label for each run, all different: its name, with the id's end where several have that name."""
    rows = runs.table.select(["project", "run_id", "name"]).to_pylist()
    names = [row["name"] or row["run_id"][:13] for row in rows]
    return {
        (row["project"], row["run_id"]): name if names.count(name) == 1 else f"{name} ({row['run_id'][-6:]})"
        for row, name in zip(rows, names, strict=True)
    }
