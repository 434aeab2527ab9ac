"""The options that choose runs, for the commands that look at many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from trailhouse_cli.reporting import period_options

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["choosing_options"]


def choosing_options(function: Callable[..., Any]) -> Callable[..., Any]:
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
