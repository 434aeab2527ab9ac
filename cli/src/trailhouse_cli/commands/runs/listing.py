"""`trailhouse runs list`: list runs, filtered and sorted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from trailhouse_cli.commands.runs.choosing import choosing_options
from trailhouse_cli.commands.runs.words import duration
from trailhouse_cli.reporting import (
    Column,
    Report,
    Section,
    format_options,
    open_warehouse,
    print_report,
    warehouse_option,
)

if TYPE_CHECKING:
    from pathlib import Path

    from trailhouse_analytics.runs import RunList

__all__ = ["list_"]


@click.command("list")
@choosing_options
@click.option(
    "--sort", default="started", show_default=True, help="A field, 'metric NAME [STATISTIC]' or 'param NAME'."
)
@click.option("--order", type=click.Choice(["asc", "desc"]), help="Small or large ones first [default: best first].")
@click.option("--column", "columns", multiple=True, help="Show this, too: 'metric NAME' or 'param NAME'; repeatable.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many runs.")
@warehouse_option
@format_options
def list_(
    *,
    where: tuple[str, ...],
    statuses: tuple[str, ...],
    sort: str,
    order: str | None,
    columns: tuple[str, ...],
    limit: int,
    warehouse: str | None,
    format_: str,
    output: Path | None,
    section: str | None,
    **chosen: Any,
) -> None:
    """List runs, filtered and sorted by metrics, parameters and what they are.

    STATISTIC is last, best, min or max (of the finite values of a run); a metric of several splits is written
    NAME@SPLIT. Runs start in the period from --since to --until.
    """
    from trailhouse_analytics.runs import Condition, Quantity, Sort, check_statuses, list_runs  # noqa: PLC0415

    conditions = [Condition.parse(text) for text in where]
    by = Sort.parse(sort, descending=None if order is None else order == "desc")
    shown = [Quantity.parse(text) for text in columns]
    check_statuses(statuses)
    client = open_warehouse(warehouse)
    try:
        runs = list_runs(client, where=conditions, sort=by, columns=shown, statuses=statuses, limit=limit, **chosen)
    finally:
        client.close()
    print_report(_list_report(runs, chosen["project"]), format_=format_, output=output, section=section)


def _list_report(runs: RunList, project: str | None) -> Report:
    more = runs.matching - runs.table.num_rows
    projects = set(runs.table.column("project").to_pylist())
    several = len(projects) > 1 or (more > 0 and not project)
    count = f"{runs.matching:,} {'run' if runs.matching == 1 else 'runs'}"
    retried = any(attempts != 1 for attempts in runs.table.column("attempts").to_pylist())
    notes = [f"{more:,} more runs with '--limit'"] if more else []
    notes += runs.notes
    return Report(
        title=count if several or not projects else f"{count} of project {projects.pop()}",
        sections=(
            Section(
                name="runs",
                title="",
                table=runs.table,
                columns=(
                    Column("run_id", "run"),
                    Column("name", "name"),
                    *([Column("project", "project")] if several else []),
                    Column("status", "status"),
                    Column("started_at", "started (UTC)", show=lambda moment: f"{moment:%Y-%m-%d %H:%M}"),
                    Column("duration_seconds", "duration", show=duration),
                    *([Column("attempts", "attempts")] if retried else []),
                    Column("ranks", "ranks"),
                    *(Column(q.label, q.label.removesuffix(" last")) for q in runs.quantities),
                    *([Column("tags", "tags")] if any(runs.table.column("tags").to_pylist()) else []),
                ),
                empty="no such runs",
            ),
        ),
        notes=notes,
    )
