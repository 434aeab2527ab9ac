"""`trailhouse forward`: publish the spools of this node to Kafka, also those that dead processes left."""

from __future__ import annotations

import logging
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from trailhouse_cli.broker import require_answer

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["command"]

_PAUSE_SECONDS: Final = 0.5


@click.command()
@click.option(
    "--spool",
    "spools",
    multiple=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of spools, may be given again [default: TRAILHOUSE_SPOOL and HOME/control].",
)
@click.option("--kafka", help="Bootstrap servers [default: TRAILHOUSE_KAFKA].")
@click.option("--registry", help="URL of the schema registry [default: TRAILHOUSE_REGISTRY].")
@click.option("--once", is_flag=True, help="Look at every spool once, then end.")
@click.option("--until-empty", is_flag=True, help="End when nothing is left in any spool.")
@click.option("--timeout", type=click.FloatRange(min=0), help="End after as many seconds; code 1 if events are left.")
def command(
    spools: tuple[Path, ...],
    kafka: str | None,
    registry: str | None,
    *,
    once: bool,
    until_empty: bool,
    timeout: float | None,
) -> None:
    """Publish the spools of this node to Kafka, strictly in order; runs until it is told to end.

    A spool that is finished and empty is removed. What the broker refuses for good stays in the spool, where
    'trailhouse spool show' has it.
    """
    from trailhouse.errors import ForwarderError  # noqa: PLC0415 - only who forwards
    from trailhouse.forwarder import Forwarder  # noqa: PLC0415
    from trailhouse.forwarding import forward_all, registry_of  # noqa: PLC0415
    from trailhouse.publisher import publisher_of  # noqa: PLC0415
    from trailhouse_schemas.settings import Settings  # noqa: PLC0415

    settings = Settings.read(kafka=kafka, registry=registry)
    if not settings.kafka:
        raise ForwarderError("There is no Kafka to forward to; give --kafka HOST:PORT or set TRAILHOUSE_KAFKA")
    for directory in spools:
        if not directory.is_dir():
            raise ForwarderError(f"Spool directory {directory} is not there; give another --spool")
    directories = spools or (settings.spool_directory, settings.control_directory)
    if once or until_empty:
        require_answer(settings)
    _show_own_log()
    deadline = None if timeout is None else time.monotonic() + timeout
    should_stop = _stop_on_signals(deadline)
    forwarder = Forwarder(publisher_of(settings), registry_of(settings))

    def tell(path: Path, count: int) -> None:
        click.echo(f"{count:,} events of {path.name} published")

    while True:
        left = forward_all(directories, forwarder, should_stop=should_stop, on_forwarded=tell)
        if should_stop() or once or (until_empty and not left):
            break
        _pause(should_stop)
    if left:
        click.echo(f"{left:,} events are left in the spools")
    if left and (until_empty or timeout is not None):
        raise SystemExit(1)


def _show_own_log() -> None:
    """Show what the forwarder says, on the standard error; what libraries say of every request is not for people."""
    log = logging.getLogger("trailhouse")
    log.setLevel(logging.INFO)
    if not log.handlers:
        log.addHandler(logging.StreamHandler())


def _stop_on_signals(deadline: float | None) -> Callable[[], bool]:
    told: list[int] = []

    def remember(number: int, _frame: Any) -> None:
        told.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, remember)
    return lambda: bool(told) or (deadline is not None and time.monotonic() >= deadline)


def _pause(should_stop: Callable[[], bool]) -> None:
    until = time.monotonic() + _PAUSE_SECONDS
    while time.monotonic() < until and not should_stop():
        time.sleep(0.05)
