"""`trailhouse warehouse serve`: an embedded warehouse that several programs can use."""

from __future__ import annotations

import signal
import threading

import click

from trailhouse_cli.reporting import warehouse_option
from trailhouse_schemas.errors import WarehouseError
from trailhouse_schemas.settings import Settings

__all__ = ["serve"]


@click.command()
@warehouse_option
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port [default: one that is free].")
@click.option(
    "--address",
    default="127.0.0.1",
    show_default=True,
    help="Address, or path of a unix socket. Any but this machine's lets others in, by token, without encryption.",
)
def serve(warehouse: str | None, port: int, address: str) -> None:
    """Serve an embedded warehouse over ClickHouse's HTTP interface, until SIGTERM or Ctrl-C.

    Programs of this user that open chdb://DIRECTORY find it by themselves. Others need the address and a token, which
    are in served.json and tokens.json in the directory: with the token `read` they may read, with `write` write too.
    """
    from trailhouse_consumer.serving import Serving  # noqa: PLC0415 - heavy, and help must be quick
    from trailhouse_schemas.warehouse import connect, migrate, parse_url  # noqa: PLC0415
    from trailhouse_schemas.warehouse.served import find_served  # noqa: PLC0415

    where = parse_url(Settings.read(warehouse=warehouse).warehouse_url)
    if where.directory is None:
        raise WarehouseError(f"Warehouse {where} is a server already; only chdb://DIRECTORY needs to be served")
    if served := find_served(where.directory):
        raise WarehouseError(f"Warehouse {where} is served already, at {served} by process {served.process}; use that")
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    client = connect(where, create=True)
    try:
        migrate(client)
        with Serving(where.directory, database=where.database, address=address, port=port) as serving:
            click.echo(f"serving {where} at {serving.served}")
            ending.wait()
    finally:
        client.close()
