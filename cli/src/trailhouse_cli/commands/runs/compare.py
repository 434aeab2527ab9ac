"""`trailhouse runs compare`: how runs differ, and whether they may be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from trailhouse_cli.commands.runs.words import digest
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
    from trailhouse_analytics.runs import Comparison

__all__ = ["compare"]


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN [RUN]...")
@click.option("--project", help="The project that the runs are in.")
@click.option("--metric", help="The metric that has to be comparable [default: all that the runs have in common].")
@click.option("--all", "show_all", is_flag=True, help="Show what is the same, too.")
@warehouse_option
@format_options
def compare(
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
    labels = [Column(label, label, show=digest) for label in comparison.labels]
    return Report(
        title=f"Runs {', '.join(comparison.labels)}",
        facts={"verdict": comparison.verdict.value},
        sections=(
            Section("comparable", "May their metrics be held against each other?", reasons),
            *(
                Section(
                    subject,
                    f"Differences in {subject}" if differing else subject.capitalize(),
                    comparison.of(subject, differing=differing),
                    columns=(Column("name", "name"), *labels),
                    empty="no difference" if differing else "none logged",
                )
                for subject in SUBJECTS
            ),
        ),
    )
