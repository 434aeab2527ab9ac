"""`trailhouse runs plot`: a metric against steps or a hyper-parameter, as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from trailhouse_cli.commands.runs.choosing import choosing_options
from trailhouse_cli.reporting import (
    open_warehouse,
    warehouse_option,
)

if TYPE_CHECKING:
    from trailhouse_analytics.runs import Curves, Scatter

__all__ = ["plot"]


@click.command("plot")
@click.argument("metric")
@click.option("--run", "runs", multiple=True, help="Only this run (id, begin of one, or name); can be repeated.")
@click.option("--against", metavar="PARAM", help="Plot against this hyper-parameter, a point a run, not against steps.")
@click.option("--color", metavar="PARAM", help="Colour by this hyper-parameter.")
@click.option("--statistic", type=click.Choice(["last", "best", "min", "max"]), default="last", show_default=True)
@click.option(
    "--x", "by", type=click.Choice(["step", "time"]), default="step", show_default=True, help="What curves go by."
)
@click.option("--limit", type=click.IntRange(min=1), help="At most so many runs [default: 20 curves, 10000 points].")
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="The page [default: METRIC.html]."
)
@choosing_options
@warehouse_option
def plot(
    *,
    metric: str,
    runs: tuple[str, ...],
    against: str | None,
    color: str | None,
    statistic: str,
    by: str,
    limit: int | None,
    output: Path | None,
    where: tuple[str, ...],
    statuses: tuple[str, ...],
    project: str | None,
    warehouse: str | None,
    **chosen: Any,
) -> None:
    """Plot METRIC (NAME or NAME@SPLIT) against its steps, or against a hyper-parameter, as one HTML page.

    The page needs nothing else: it opens offline. Scales that span decades are logarithmic.
    """
    from trailhouse_analytics import runs as api  # noqa: PLC0415 - slow to import

    name, _, split = metric.partition("@")
    measured = api.Quantity("metric", name, split or None, statistic)
    parameters = [api.Quantity("param", parameter) for parameter in (against, color) if parameter]
    conditions = [api.Condition.parse(text) for text in where]
    api.check_statuses(statuses)
    client = open_warehouse(warehouse)
    try:
        found = api.list_runs(
            client,
            project=project,
            where=conditions,
            statuses=statuses,
            columns=parameters,
            having=[measured],
            run_ids=[run.run_id for run in api.find_runs(client, runs, project=project)],
            limit=limit or (_POINTS if against else _CURVES),
            **chosen,
        )
        plot: Curves | Scatter
        if against:
            plot = api.scatter_of(found, measured, parameters[0], parameters[1] if color else None)
        else:
            plot = api.curves_of(client, found, measured, project=project, by_step=by == "step", color=color or "")
    finally:
        client.close()
    page = output or Path(f"{''.join(c if c.isalnum() or c in '.-_' else '-' for c in metric)}.html")
    api.write_page(plot, page)
    drawn = plot.table.column("run_id").unique()
    click.echo(f"{page}: {metric} of {len(drawn):,} {'run' if len(drawn) == 1 else 'runs'}")
    for note in plot.notes:
        click.echo(f"* {note}")


_CURVES: Final = 20
_POINTS: Final = 10_000
