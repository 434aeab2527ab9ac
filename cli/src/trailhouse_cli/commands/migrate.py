"""`trailhouse migrate`: bring the warehouse to the tables of this version."""

from __future__ import annotations

import click

from trailhouse_cli.reporting import warehouse_option
from trailhouse_schemas.settings import Settings
from trailhouse_schemas.warehouse import connect, migrate, parse_url

__all__ = ["command"]


@click.command()
@warehouse_option
def command(warehouse: str | None) -> None:
    """Bring the warehouse to the tables of this version; make it if it is not there.

    Refused when the warehouse is ahead of this version, or when a migration in it was altered.
    """
    settings = Settings.read(warehouse=warehouse)
    client = connect(settings.warehouse_url, password=settings.warehouse_password.get_secret_value(), create=True)
    try:
        done = migrate(client)
    finally:
        client.close()
    for migration in done:
        click.echo(f"applied {migration.number:04d} {migration.name}")
    click.echo(f"{parse_url(settings.warehouse_url)} is up to date ({len(done)} migrations applied)")
