"""`trailhouse emit`: events from any program that can write JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import IO, Any

import click

__all__ = ["command"]


@click.command()
@click.argument("type_", metavar="TYPE")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--project", help="The project of events that name none [default: TRAILHOUSE_PROJECT].")
@click.option("--run-id", help="The run of events that name none [default: TRAILHOUSE_RUN_ID].")
def command(type_: str, file: IO[bytes], project: str | None, run_id: str | None) -> int:
    """Record events of a TYPE, such as metrics_logged: a JSON object a line, from FILE or the standard input.

    \b
        echo '{"points": [{"name": "loss", "step": 1, "value": 0.5}]}' | trailhouse emit metrics_logged --run-id ...

    An object has the fields of its type, and may have those of the envelope (occurred_at, project, run_id, rank, ...)
    where they are other than this process's. A line that makes no event is told on the standard error and left out, and
    the exit code is then 2. 'trailhouse schemas list' lists the types.
    """  # noqa: D301 - click's \b keeps the example on lines of its own
    import trailhouse  # noqa: PLC0415 - slow to import
    from trailhouse.errors import InvalidEventError  # noqa: PLC0415
    from trailhouse.settings import ProducerSettings  # noqa: PLC0415
    from trailhouse_schemas.catalogue import by_name  # noqa: PLC0415

    event = by_name(type_).model
    settings = ProducerSettings.read(project=project, run_id=run_id)
    of_all = {name: value for name in ("project", "run_id") if (value := getattr(settings, name))}
    recorded = refused = 0
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            trailhouse.emit(event, **of_all | _fields(line))
            recorded += 1
        except InvalidEventError as error:
            refused += 1
            click.echo(f"trailhouse: line {number}: {error}", err=True)
    trailhouse.finish_all()
    click.echo(f"{recorded:,} events recorded" + (f", {refused:,} lines refused" if refused else ""))
    return 2 if refused else 0


def _fields(line: bytes) -> dict[str, Any]:
    """Return the object of a line; a point that says no time is of now. Raises `InvalidEventError`."""
    from trailhouse.errors import InvalidEventError  # noqa: PLC0415 - slow to import

    try:
        found = json.loads(line)
    except ValueError as error:
        raise InvalidEventError(f"it is no JSON ({error}); write one object a line") from error
    if not isinstance(found, dict):
        raise InvalidEventError(f"it is no object but {found!r:.100}; write one object a line")
    points = found.get("points")
    if isinstance(points, list):
        now = datetime.now(UTC)
        found["points"] = [{"logged_at": now} | point if isinstance(point, dict) else point for point in points]
    return found
