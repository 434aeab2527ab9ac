"""`trailhouse migrate`: bring the warehouse to the tables of this version."""

from __future__ import annotations

import click

from trailhouse_cli.reporting import warehouse_option
from trailhouse_schemas.settings import Settings
from trailhouse_schemas.warehouse import apply_retention, connect, migrate, parse_url, retention_days

__all__ = ["command"]


@click.command()
@warehouse_option
def command(warehouse: str | None) -> None:
    """Bring the warehouse to the tables of this version; make it if it is not there.

    From then on tables keep their rows for as long as the setting `retention` says, those that it does not name for
    ever.
    Refused when the warehouse is ahead of this version, or when a migration in it was altered.
    """
    settings = Settings.read(warehouse=warehouse)
    days = retention_days(settings.retention)
    client = connect(settings.warehouse_url, password=settings.warehouse_password.get_secret_value(), create=True)
    try:
        done = migrate(client)
        changes = apply_retention(client, days)
    finally:
        client.close()
    for migration in done:
        click.echo(f"applied {migration.number:04d} {migration.name}")
    for change in changes:
        click.echo(f"{change.table} keeps rows {_time(change.days)} ({_time(change.before)} before)")
    click.echo(f"{parse_url(settings.warehouse_url)} is up to date ({len(done)} migrations applied)")


def _time(days: int | None) -> str:
    return "for ever" if days is None else f"for {days:,} days"
