"""`trailhouse warehouse backup` and `restore`: an embedded warehouse, copied while it is in use, and made again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trailhouse_cli.errors import BadInputError
from trailhouse_cli.reporting import warehouse_option
from trailhouse_schemas.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from clickhouse_connect.driver.client import Client

    from trailhouse_schemas.warehouse import WarehouseUrl

__all__ = ["backup", "restore"]


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@warehouse_option
def backup(directory: Path, warehouse: str | None) -> None:
    """Write a backup of an embedded warehouse to DIRECTORY, which must not be there; also while it is in use."""
    from trailhouse_schemas.warehouse import back_up, check, connect, parse_url  # noqa: PLC0415 - heavy

    where = parse_url(Settings.read(warehouse=warehouse).warehouse_url)
    began = datetime.now(UTC)
    client = connect(where)
    try:
        check(client)
        _done(back_up, client, where, directory.absolute())
    finally:
        client.close()
    click.echo(f"{where} is in {directory}; after a restore: trailhouse rewind --since {began:%Y-%m-%dT%H:%M:%SZ}")


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@warehouse_option
def restore(directory: Path, warehouse: str | None) -> None:
    """Make an embedded warehouse, which must not be there, from the backup in DIRECTORY; bring it to this version."""
    from trailhouse_schemas.warehouse import connect, migrate, parse_url  # noqa: PLC0415 - heavy
    from trailhouse_schemas.warehouse import restore as from_backup  # noqa: PLC0415

    settings = Settings.read(warehouse=warehouse)
    where = parse_url(settings.warehouse_url)
    client = connect(where, create=True)
    try:
        _done(from_backup, client, where, directory.absolute())
        done = migrate(client)
    finally:
        client.close()
    click.echo(f"{where} is as in {directory} ({len(done)} migrations applied)")
    if events := _control_facts_again(settings.control_directory):
        click.echo(f"{events:,} events of this machine's control facts (grants, prices, …) wait to be landed again")
    click.echo("Where it was filled from Kafka: run 'trailhouse rewind' before the collectors")


def _control_facts_again(directory: Path) -> int:
    """Have a collector read again what stays in spools; a spool that is drained now is of another warehouse."""
    from trailhouse_schemas.spool import Spool, spool_files  # noqa: PLC0415 - heavy

    count = 0
    for path in spool_files(directory):
        with Spool.open(path) as spool:
            count += spool.drain_again()
    return count


def _done(
    what: Callable[[Client, WarehouseUrl, Path], None], client: Client, where: WarehouseUrl, directory: Path
) -> None:
    from clickhouse_connect.driver.exceptions import Error  # noqa: PLC0415 - heavy

    try:
        what(client, where, directory)
    except Error as error:
        raise BadInputError(f"The engine cannot do that with {directory}: {str(error).splitlines()[0]}") from error
