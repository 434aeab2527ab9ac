"""`trailhouse spool forward`: publish some spools now, once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click

from trailhouse_cli.broker import require_answer
from trailhouse_cli.commands.spool.choosing import choose, spool_option, who_holds

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["forward_spools"]

_EXIT_LEFT: Final = 1


@click.command("forward")
@click.argument("which", nargs=-1)
@spool_option
@click.option("--kafka", help="Bootstrap servers [default: TRAILHOUSE_KAFKA].")
@click.option("--registry", help="URL of the schema registry [default: TRAILHOUSE_REGISTRY].")
@click.option(
    "--timeout", type=click.FloatRange(min=0), default=60.0, show_default=True, help="Seconds that it may take."
)
def forward_spools(
    *, which: tuple[str, ...], spools: tuple[Path, ...], kafka: str | None, registry: str | None, timeout: float
) -> int:
    """Publish the spools WHICH (id of a producer, the begin of it, or path; all by default) to Kafka, once.

    A spool that is finished and empty is removed. One that another process empties is left to it, and named. Exit code
    1 when events are left. The service that does so all the time is 'trailhouse forward'.
    """
    from trailhouse.errors import ForwarderError  # noqa: PLC0415 - only who forwards
    from trailhouse.forwarder import Forwarder  # noqa: PLC0415
    from trailhouse.forwarding import forward_paths, registry_of  # noqa: PLC0415
    from trailhouse.publisher import publisher_of  # noqa: PLC0415
    from trailhouse_schemas.settings import Settings  # noqa: PLC0415

    settings = Settings.read(kafka=kafka, registry=registry)
    if not settings.kafka:
        raise ForwarderError("There is no Kafka to forward to; give --kafka HOST:PORT or set TRAILHOUSE_KAFKA")
    chosen = choose(which, spools)
    require_answer(settings)
    deadline = time.monotonic() + timeout
    left = forward_paths(
        chosen,
        Forwarder(publisher_of(settings), registry_of(settings)),
        should_stop=lambda: time.monotonic() >= deadline,
        on_forwarded=lambda path, count: click.echo(f"{count:,} events of {path.name} published"),
    )
    for path in chosen:
        _tell_who_empties(path)
    if left:
        click.echo(f"{left:,} events are left in the spools")
    return _EXIT_LEFT if left else 0


def _tell_who_empties(path: Path) -> None:
    from trailhouse_schemas.spool import FileLock  # noqa: PLC0415

    held, process_id = who_holds(FileLock(path.with_name(f"{path.name}.drainer")))
    if held:
        who = "another process" if process_id is None else f"process {process_id}"
        click.echo(f"{path.name} is emptied by {who}; it is left to that one")
