"""Runs the servers by hand: `python -m trailhouse_cli.servers run`, or only fetches what they are made of."""

from __future__ import annotations

import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from trailhouse_cli.errors import ServerMissingError
from trailhouse_cli.servers.cache import fetched, is_fetched
from trailhouse_cli.servers.discovery import find_kafka, find_registry
from trailhouse_cli.servers.process import free_port
from trailhouse_cli.servers.waiting import wait_until
from trailhouse_schemas.errors import TrailhouseError
from trailhouse_schemas.settings import Settings

if TYPE_CHECKING:
    from types import FrameType

_KAFKA_PORT = 9092
_REGISTRY_PORT = 8081
_FOR_EVER_SECONDS = 10.0**9


@click.group()
def servers() -> None:
    """A real broker and a real schema registry for tests and development."""


@servers.command()
def fetch() -> None:
    """Fetch the jars of the servers that would be started from jars, so that no test waits for the network."""
    settings = Settings.read()
    for name, setting in (("kafka", settings.kafka), ("registry", settings.registry)):
        if setting or is_fetched(name) or _engine_answers():
            continue
        click.echo(f"Fetching the jars of the {name} server through Maven; once only")
        try:
            fetched(name)
        except ServerMissingError as error:
            click.echo(f"{error}; tests that need it are skipped, or fail where CI is set", err=True)


@servers.command()
def run() -> None:
    """Run a broker and a schema registry until Ctrl-C, and say how to use them."""
    settings = Settings.read()
    signal.signal(signal.SIGTERM, _interrupt)
    click.echo("Starting Kafka and a schema registry", err=True)
    with ExitStack() as running, ThreadPoolExecutor() as pool:
        starting_registry = pool.submit(find_registry, settings, port=free_port(_REGISTRY_PORT))
        broker = find_kafka(settings, port=free_port(_KAFKA_PORT))
        running.callback(broker.close)
        registry = starting_registry.result()
        running.callback(registry.close)
        click.echo(f"export TRAILHOUSE_KAFKA={broker.bootstrap_servers}")
        click.echo(f"export TRAILHOUSE_REGISTRY={registry.url}")
        click.echo("Both run until Ctrl-C; their data go with them", err=True)
        try:
            wait_until(lambda: not (broker.running and registry.running), seconds=_FOR_EVER_SECONDS)
        except KeyboardInterrupt:
            click.echo("Stopped", err=True)
            return
    click.echo("A server has ended by itself", err=True)
    sys.exit(1)


def _engine_answers() -> bool:
    """Return whether a Docker engine does, in which case no jars are needed."""
    from trailhouse_cli.servers.containers import require_engine  # noqa: PLC0415 - heavy

    try:
        require_engine()
    except ServerMissingError:
        return False
    return True


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """End on SIGTERM as on Ctrl-C."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        servers(prog_name="python -m trailhouse_cli.servers")
    except TrailhouseError as error:
        click.echo(error, err=True)
        sys.exit(2)
