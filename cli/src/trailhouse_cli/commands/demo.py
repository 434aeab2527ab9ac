"""`trailhouse demo`: a real distributed training job, collected and reported on."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import click

from trailhouse_cli.errors import BadInputError

__all__ = ["command"]


@click.command()
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help="Where everything goes; made anew.",
)
@click.option(
    "--kafka", is_flag=True, help="Over a real broker and schema registry: found, or started from their jars."
)
def command(directory: Path, kafka: bool) -> None:
    """Train for real on four processes, collect what they say, and report: the whole path in one go.

    Without --kafka it needs no server. Exit code 1 when an event is missing or doubled.
    """
    from trailhouse_cli.demo.story import Story  # noqa: PLC0415 - slow

    missing = [name for name in ("xgboost", "sklearn", "pandas") if importlib.util.find_spec(name) is None]
    if missing:
        raise BadInputError(f"The demo needs {', '.join(missing)}; install 'trailhouse-cli[demo]'")
    click.get_current_context().exit(Story(directory, kafka=kafka).tell())
