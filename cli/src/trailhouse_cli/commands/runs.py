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

    from trailhouse_analytics.runs import Comparison, RunDetails, RunList

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


@command.command("show")
@click.argument("run")
@click.option("--project", help="The project that the run is in.")
@warehouse_option
@format_options
def show_command(run: str, project: str | None, warehouse: str | None, **how: Any) -> None:
    """Show all that is known of RUN: an id, a unique begin of one, or a unique name."""
    from trailhouse_analytics.runs import check_project, show_run  # noqa: PLC0415 - slow to import

    client = open_warehouse(warehouse)
    try:
        check_project(client, project)
        details = show_run(client, run, project=project)
    finally:
        client.close()
    print_report(_show_report(details, for_people=how["format_"] in {"table", "html"}), **how)


def _show_report(run: RunDetails, *, for_people: bool) -> Report:
    title = f"Run {run.facts.get('name', '')} {run.run_id}".replace("  ", " ")
    return Report(
        title=title,
        facts={name: _in_words(name, value) if for_people else value for name, value in run.facts.items()},
        sections=(
            Section("parameters", "Parameters", run.parameters, empty="none logged"),
            Section(
                "metrics",
                "Metrics",
                run.metrics,
                columns=(
                    Column("name", "metric"),
                    Column("split", "split"),
                    Column("last_value", "last"),
                    Column("last_step", "at step"),
                    Column("min_value", "min"),
                    Column("max_value", "max"),
                    Column("points", "points"),
                    Column("not_finite", "not finite"),
                ),
                empty="none logged",
            ),
            Section(
                "datasets",
                "Data",
                run.datasets,
                columns=(
                    Column("direction", "direction"),
                    Column("dataset_id", "dataset"),
                    Column("version", "version"),
                    Column("split", "split"),
                    Column("split_fold", "fold"),
                    Column("rows", "rows"),
                    Column("columns", "columns", show=lambda columns: str(len(columns))),
                    Column("digest", "digest", show=_digest),
                    Column("split_scheme", "scheme"),
                    Column("split_settings", "settings", show=_pairs),
                    Column("split_membership_digest", "membership", show=_digest),
                ),
                empty="none logged",
            ),
            Section(
                "models",
                "Models",
                run.models,
                columns=(
                    Column("name", "name"),
                    Column("version", "version"),
                    Column("class_name", "class"),
                    Column("arguments", "arguments", show=_pairs),
                    Column("features", "features", show=lambda features: str(len(features))),
                    Column("size_bytes", "bytes"),
                    Column("digest", "digest", show=_digest),
                ),
                empty="none logged",
            ),
            Section(
                "preprocessing",
                "Preprocessing, step by step",
                run.preprocessing,
                columns=(
                    Column("path", "step", show=lambda path: "  " * path.count(".") + path.rpartition(".")[2]),
                    Column("class_name", "class"),
                    Column("settings", "settings", show=_pairs),
                    Column("input_columns", "from", show=_some),
                    Column("output_columns", "to", show=_some),
                    Column("fitted_digest", "fitted", show=_digest),
                ),
                empty="none logged",
            ),
            Section(
                "resources",
                "Resources",
                run.resources,
                columns=tuple(
                    Column(name, name.replace("_", " ").removesuffix(" at"))
                    for name in ("rank", "node", "pool", "resource", "model", "quantity", "started_at", "ended_at", "reason")
                ),
                empty="none logged",
            ),
            Section(
                "processes",
                "Processes, by their heartbeats",
                run.processes,
                columns=tuple(
                    Column(name, name.replace("_", " ").removesuffix(" at"))
                    for name in ("attempt", "rank", "host", "process_id", "state", "last_heard_at", "emitted", "dropped")
                ),
                empty="never heard of",
            ),
            Section(
                "artifacts",
                "Artifacts",
                run.artifacts,
                columns=(
                    Column("direction", "direction"),
                    Column("name", "name"),
                    Column("kind", "kind"),
                    Column("uri", "where"),
                    Column("size_bytes", "bytes"),
                    Column("digest", "digest", show=_digest),
                ),
                empty="none logged",
            ),
            Section("packages", f"Packages ({run.packages.num_rows:,})", run.packages, empty="none logged"),
        ),
    )


_DIGEST_SHOWN: Final = 20
_LIST_SHOWN: Final = 6


def _digest(text: str) -> str:
    return f"{text[:_DIGEST_SHOWN]}…" if len(text) > _DIGEST_SHOWN else text


def _pairs(pairs: list[tuple[str, str]]) -> str:
    return ", ".join(f"{name}={value}" for name, value in pairs)


def _some(names: list[str]) -> str:
    more = len(names) - _LIST_SHOWN
    return ", ".join(names[:_LIST_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _in_words(name: str, value: Any) -> Any:
    if name == "duration_seconds":
        return _duration(value)
    if isinstance(value, dict):
        return _pairs(list(value.items()))
    return " ".join(value) if isinstance(value, list) else value


@command.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN [RUN]...")
@click.option("--project", help="The project that the runs are in.")
@click.option("--metric", help="The metric that has to be comparable [default: all that the runs have in common].")
@click.option("--all", "show_all", is_flag=True, help="Show what is the same, too.")
@warehouse_option
@format_options
def compare_command(
    runs: tuple[str, ...],
    project: str | None,
    metric: str | None,
    show_all: bool,
    warehouse: str | None,
    **how: Any,
) -> None:
    """Show how runs differ, and whether their metrics may be held against each other, with the reasons."""
    from trailhouse_analytics.runs import check_project, compare_runs  # noqa: PLC0415 - slow to import

    client = open_warehouse(warehouse)
    try:
        check_project(client, project)
        comparison = compare_runs(client, runs, project=project, metric=metric)
    finally:
        client.close()
    print_report(_compare_report(comparison, differing=not show_all), **how)


def _compare_report(comparison: Comparison, *, differing: bool) -> Report:
    import pyarrow as pa  # noqa: PLC0415 - slow to import

    from trailhouse_analytics.runs import SUBJECTS  # noqa: PLC0415

    reasons = pa.table(
        {
            "aspect": [reason.aspect for reason in comparison.reasons],
            "verdict": [reason.verdict.value for reason in comparison.reasons],
            "reason": [reason.text for reason in comparison.reasons],
        }
    )
    labels = [Column(label, label, show=_digest) for label in comparison.labels]
    return Report(
        title=f"Runs {', '.join(comparison.labels)}",
        facts={"verdict": comparison.verdict.value},
        sections=(
            Section("comparable", "May their metrics be held against each other?", reasons),
            *(
                Section(
                    subject,
                    f"{subject.capitalize()} that differ" if differing else subject.capitalize(),
                    comparison.of(subject, differing=differing),
                    columns=(Column("name", "name"), *labels),
                    empty="no difference" if differing else "none logged",
                )
                for subject in SUBJECTS
            ),
        ),
    )
