"""`trailhouse warehouse`: what an embedded warehouse needs that a server does by itself."""

from __future__ import annotations

import click

from trailhouse_cli.backups import backup, restore
from trailhouse_cli.serve import serve

__all__ = ["command"]


@click.group()
def command() -> None:
    """Serve an embedded warehouse to several programs; back it up, and make it again."""


command.add_command(serve)
command.add_command(backup)
command.add_command(restore)
