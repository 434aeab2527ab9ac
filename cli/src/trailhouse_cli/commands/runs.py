"""`trailhouse runs`: list, show, compare and plot runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from trailhouse_cli.reporting import (
    Column,
    Report,
    Section,
    format_options,
    open_warehouse,
    period_options,
    print_report,
    warehouse_option,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from trailhouse_analytics.runs import RunList

__all__ = ["command"]


@click.group()
def command() -> None:
    """List, show and compare runs; plot their metrics."""


def _filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what `list` and `plot` choose runs by."""
    for option in (
        click.option("--tag", "tags", multiple=True, help="Only runs with this tag; can be repeated."),
        click.option("--group", help="Only runs of this group (a sweep)."),
        click.option("--status", "statuses", multiple=True, help="Only runs with this status; can be repeated."),
        click.option(
            "--where",
            "where",
            multiple=True,
            metavar="CONDITION",
            help="'metric val.loss < 0.3', 'metric loss@test min < 1', 'param lr >= 0.01'; can be repeated.",
        ),
        period_options,
    ):
        function = option(function)
    return function


@command.command("list")
@_filter_options
@click.option(
    "--sort", default="started", show_default=True, help="A field, 'metric NAME [STATISTIC]' or 'param NAME'."
)
@click.option("--order", type=click.Choice(["asc", "desc"]), help="Small or large ones first [default: best first].")
@click.option("--column", "columns", multiple=True, help="Show this, too: 'metric NAME' or 'param NAME'; repeatable.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many runs.")
@warehouse_option
@format_options
def list_command(
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
    print_report(_list_report(runs), format_=format_, output=output, section=section)


def _list_report(runs: RunList) -> Report:
    more = runs.matching - runs.table.num_rows
    notes = [f"{more:,} more runs with '--limit'"] if more else []
    notes += runs.notes
    return Report(
        title=f"{runs.matching:,} {'run' if runs.matching == 1 else 'runs'}",
        sections=(
            Section(
                name="runs",
                title="",
                table=runs.table,
                columns=(
                    Column("run_id", "run"),
                    Column("name", "name"),
                    Column("project", "project"),
                    Column("status", "status"),
                    Column("started_at", "started"),
                    Column("duration_seconds", "duration", show=_duration),
                    Column("attempts", "attempts"),
                    Column("ranks", "ranks"),
                    *(Column(quantity.label, quantity.label) for quantity in runs.quantities),
                    *([Column("tags", "tags")] if any(runs.table.column("tags").to_pylist()) else []),
                ),
                empty="no such runs",
            ),
        ),
        notes=notes,
    )


_MINUTE: Final = 60
_HOUR: Final = 3600


def _duration(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min {int(seconds % _MINUTE)} s"
    return f"{int(seconds // _HOUR):,} h {int(seconds % _HOUR // _MINUTE)} min"
