"""`trailhouse runs show`: all that is known of one run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from trailhouse_cli.commands.runs.words import digest, in_words, pairs, some
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
    from trailhouse_analytics.runs import RunDetails

__all__ = ["show"]


@click.command("show")
@click.argument("run")
@click.option("--project", help="The project that the run is in.")
@warehouse_option
@format_options
def show(run: str, project: str | None, warehouse: str | None, **how: Any) -> None:
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
        facts={name: in_words(name, value) if for_people else value for name, value in run.facts.items()},
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
                    Column("digest", "digest", show=digest),
                    Column("split_scheme", "scheme"),
                    Column("split_settings", "settings", show=pairs),
                    Column("split_membership_digest", "membership", show=digest),
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
                    Column("arguments", "arguments", show=pairs),
                    Column("features", "features", show=lambda features: str(len(features))),
                    Column("size_bytes", "bytes"),
                    Column("digest", "digest", show=digest),
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
                    Column("settings", "settings", show=pairs),
                    Column("input_columns", "from", show=some),
                    Column("output_columns", "to", show=some),
                    Column("fitted_digest", "fitted", show=digest),
                ),
                empty="none logged",
            ),
            Section(
                "resources",
                "Resources",
                run.resources,
                columns=tuple(
                    Column(name, name.replace("_", " ").removesuffix(" at"))
                    for name in (
                        "rank",
                        "node",
                        "pool",
                        "resource",
                        "model",
                        "quantity",
                        "started_at",
                        "ended_at",
                        "reason",
                    )
                ),
                empty="none logged",
            ),
            Section(
                "processes",
                "Processes, by their heartbeats",
                run.processes,
                columns=tuple(
                    Column(name, name.replace("_", " ").removesuffix(" at"))
                    for name in (
                        "attempt",
                        "rank",
                        "host",
                        "process_id",
                        "state",
                        "last_heard_at",
                        "emitted",
                        "dropped",
                    )
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
                    Column("digest", "digest", show=digest),
                ),
                empty="none logged",
            ),
            Section("packages", f"Packages ({run.packages.num_rows:,})", run.packages, empty="none logged"),
        ),
    )
