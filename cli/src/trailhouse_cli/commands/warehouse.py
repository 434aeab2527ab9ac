"""`trailhouse warehouse`: what an embedded warehouse needs that a server does by itself."""

from __future__ import annotations

import click

from trailhouse_cli.backups import backup, restore

__all__ = ["command"]


@click.group()
def command() -> None:
    """Back up an embedded warehouse, and make it again."""


command.add_command(backup)
command.add_command(restore)
