"""`trailhouse spool`: list, show, verify and forward the spools of this machine, a module each."""

from __future__ import annotations

import click

from trailhouse_cli.commands.spool.forward import forward_spools
from trailhouse_cli.commands.spool.listing import list_spools
from trailhouse_cli.commands.spool.show import show_spool
from trailhouse_cli.commands.spool.verify import verify_spools

__all__ = ["command"]


@click.group()
def command() -> None:
    """Show, check and publish what is in the spools of this machine."""


command.add_command(list_spools)
command.add_command(show_spool)
command.add_command(verify_spools)
command.add_command(forward_spools)
