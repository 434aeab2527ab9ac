"""`trailhouse runs`: list, show, compare and plot runs, a module each."""

from __future__ import annotations

import click

from trailhouse_cli.commands.runs.compare import compare
from trailhouse_cli.commands.runs.listing import list_
from trailhouse_cli.commands.runs.plot import plot
from trailhouse_cli.commands.runs.show import show

__all__ = ["command"]


@click.group(invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, show and compare runs; plot their metrics. Alone it lists the latest ones."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


command.add_command(list_)
command.add_command(show)
command.add_command(compare)
command.add_command(plot)
