"""`trailhouse runs`: list, show, compare and plot runs, a module each."""

from __future__ import annotations

import click

from trailhouse_cli.commands.runs.compare import compare
from trailhouse_cli.commands.runs.listing import list_
from trailhouse_cli.commands.runs.plot import plot
from trailhouse_cli.commands.runs.show import show

__all__ = ["command"]


@click.group()
def command() -> None:
    """List, show and compare runs; plot their metrics."""


command.add_command(list_)
command.add_command(show)
command.add_command(compare)
command.add_command(plot)
