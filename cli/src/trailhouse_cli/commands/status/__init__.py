"""`trailhouse status`: what a collector does, now or as it goes on; without one, what lies in warehouse and spools."""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import click

from trailhouse_cli.reporting import console, format_options, print_report, show_tables, warehouse_option

if TYPE_CHECKING:
    from pathlib import Path

    from rich.text import Text

    from trailhouse_cli.reporting import Report
    from trailhouse_consumer.monitoring.reading import Look

__all__ = ["command"]

_EXIT_NOT_READY: Final = 1
#: Where a collector's metrics are by custom.
_USUAL_PORT: Final = 9464
#: Rates are over so long at most.
_RATE_SECONDS: Final = 10.0
#: Without --watch, the time between the two looks that rates are reckoned from.
_BETWEEN_SECONDS: Final = 1.0


@click.command()
@click.option("--watch", "-w", is_flag=True, help="Go on showing it, until Ctrl-C.")
@click.option("--url", help=f"Address of a collector's metrics [default: its settings', else port {_USUAL_PORT} here].")
@click.option("--every", type=click.FloatRange(min=0.2), default=2.0, show_default=True, help="Seconds, with --watch.")
@warehouse_option
@format_options
def command(
    *,
    watch: bool,
    url: str | None,
    every: float,
    warehouse: str | None,
    format_: str,
    output: Path | None,
    section: str | None,
) -> int:
    """Show how far a collector is behind, what it lands, and whether it is ready.

    Where no collector answers and no --url was given: what has landed last, and what waits in the spools of this
    machine. Exit code 1 where the collector is not ready.
    """
    from trailhouse_cli.commands.status.collector import report  # noqa: PLC0415 - slow to import
    from trailhouse_consumer.errors import MonitoringError  # noqa: PLC0415
    from trailhouse_consumer.monitoring.reading import look  # noqa: PLC0415

    address = url or _usual_url()
    live = watch and sys.stdout.isatty() and format_ == "table" and output is None
    try:
        looks = deque([look(address)])
    except MonitoringError as error:
        if url is not None:
            raise
        from trailhouse_cli.commands.status.local import report as local_report  # noqa: PLC0415

        print_report(local_report(warehouse, str(error)), format_=format_, output=output, section=section)
        return 0
    if live:
        _watch(address, looks, every)
    time.sleep(_BETWEEN_SECONDS)
    looks.append(look(address))
    shown = report(address, looks[0], looks[-1], people=format_ in {"table", "html"})
    print_report(shown, format_=format_, output=output, section=section)
    return 0 if looks[-1].ready else _EXIT_NOT_READY


def _usual_url() -> str:
    from trailhouse_consumer.settings import CollectorSettings  # noqa: PLC0415

    how = CollectorSettings.read()
    here = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(how.metrics_address, how.metrics_address)  # noqa: S104
    return f"http://{here}:{how.metrics_port or _USUAL_PORT}"


def _watch(url: str, looks: deque[Look], every: float) -> None:
    """Show it until interrupted; a collector that goes away is said to be, and looked for again."""
    from rich.live import Live  # noqa: PLC0415 - slow to import

    from trailhouse_cli.commands.status.collector import report  # noqa: PLC0415
    from trailhouse_consumer.errors import MonitoringError  # noqa: PLC0415
    from trailhouse_consumer.monitoring.reading import look  # noqa: PLC0415

    with Live(console=console(), auto_refresh=False, screen=True, vertical_overflow="crop") as shown:
        gone = ""
        while True:
            shown.update(_drawn(report(url, looks[0], looks[-1], people=True), gone), refresh=True)
            time.sleep(every)
            try:
                looks.append(look(url))
                gone = ""
            except MonitoringError as error:
                gone = str(error)
            while len(looks) > 2 and looks[-1].at - looks[1].at >= _RATE_SECONDS:  # noqa: PLR2004 - two make a rate
                looks.popleft()


def _drawn(report: Report, gone: str) -> Text:
    """Return what the report looks like, with what is wrong now above it."""
    from rich.text import Text  # noqa: PLC0415 - slow to import

    to = console()
    with to.capture() as captured:
        if gone:
            to.print(Text(gone, style="bold red"))
        show_tables(report, to)
    return Text.from_ansi(captured.get())
