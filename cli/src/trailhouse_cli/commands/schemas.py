"""`trailhouse schemas`: generate, check and register the Avro schemas."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trailhouse_cli.errors import BadInputError
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.errors import CompatibilityError
from trailhouse_schemas.secrets import without_password
from trailhouse_schemas.settings import Settings

if TYPE_CHECKING:
    from trailhouse_schemas.catalogue import EventType

__all__ = ["command"]


@click.group()
def command() -> None:
    """Generate, check and register the Avro schemas of the events."""


@command.command("list")
def list_() -> None:
    """List all event types with their newest version and its fingerprint."""
    from trailhouse_schemas.versions import latest  # noqa: PLC0415 - reads all schemas

    for event_type in CATALOGUE.values():
        version = latest(event_type.name)
        click.echo(f"{version.fingerprint.hex()}  v{version.version}  {event_type.record}")


@command.command()
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("schemas/src/trailhouse_schemas/avro"),
    show_default=True,
    help="Folder of the checked-in schemas.",
)
def generate(into: Path) -> None:
    """Write the next version of every schema whose model has changed."""
    from trailhouse_schemas.generate import write_new_versions  # noqa: PLC0415 - needs the extra `generate`

    if not into.is_dir():
        raise BadInputError(f"Folder {into} is not there; run this in a checkout, or name it with --into")
    written = write_new_versions(into)
    for file in written:
        click.echo(f"wrote {file}")
    click.echo(f"{len(written)} of {len(CATALOGUE)} schemas have a new version")


@command.command()
@click.option("--candidate", type=click.Path(dir_okay=False, path_type=Path), help="Check this .avsc file instead.")
@click.option("--type", "name", help="Event type that --candidate is a version of.")
def check(candidate: Path | None, name: str | None) -> None:
    """Check that the models are what is checked in, and that no version breaks an earlier one.

    Exit code 1 when a schema must not be, with the field and the reason.
    """
    if candidate is not None:
        problems = _problems_of_file(candidate, name)
        checked = 1
    else:
        problems = [problem for event_type in CATALOGUE.values() for problem in _problems(event_type)]
        checked = len(CATALOGUE)
    for problem in problems:
        click.echo(problem)
    click.echo(f"{checked} checked, {len(problems)} with problems")
    click.get_current_context().exit(1 if problems else 0)


@command.command()
@click.option("--registry", help="URL of the registry [default: TRAILHOUSE_REGISTRY].")
def register(registry: str | None) -> None:
    """Register what the registry lacks, after testing here that it breaks nothing registered before."""
    from trailhouse_schemas.registry import Registry  # noqa: PLC0415 - needs the extra `registry`

    settings = Settings.read(registry=registry)
    if not settings.registry:
        raise BadInputError("No registry is set; name one with --registry or TRAILHOUSE_REGISTRY")
    there = Registry.of(settings)
    count = 0
    for event_type in CATALOGUE.values():
        for version, registry_id in there.register(event_type):
            click.echo(f"registered {event_type.record} v{version.version} as id {registry_id}")
            count += 1
    click.echo(
        f"{without_password(settings.registry)} has all {len(CATALOGUE)} event types ({count} versions registered now)"
    )


def _problems(event_type: EventType) -> list[str]:
    from trailhouse_schemas.compatibility import refuse_breaks  # noqa: PLC0415 - needs the extra `generate`
    from trailhouse_schemas.generate import generate as generate_schema  # noqa: PLC0415
    from trailhouse_schemas.generate import is_current  # noqa: PLC0415
    from trailhouse_schemas.versions import versions  # noqa: PLC0415

    known = [version.schema for version in versions(event_type.name)]
    found = []
    for number in range(1, len(known)):
        try:
            refuse_breaks(event_type.name, known[:number], known[number])
        except CompatibilityError as error:
            found.append(f"version {number + 1}: {error}")
    if is_current(event_type):
        return found
    try:
        refuse_breaks(event_type.name, known, generate_schema(event_type))
    except CompatibilityError as error:
        return [*found, f"the model: {error}"]
    return [*found, f"Schema {event_type.name} differs from its model; run 'trailhouse schemas generate' and commit it"]


def _problems_of_file(candidate: Path, name: str | None) -> list[str]:
    import json  # noqa: PLC0415

    from trailhouse_schemas.catalogue import by_name  # noqa: PLC0415
    from trailhouse_schemas.compatibility import refuse_breaks  # noqa: PLC0415
    from trailhouse_schemas.versions import versions  # noqa: PLC0415

    if name is None:
        raise BadInputError("--candidate needs --type, the event type that it is a version of")
    event_type = by_name(name)
    try:
        schema = json.loads(candidate.read_text("utf-8"))
    except OSError as error:
        raise BadInputError(f"File {candidate} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise BadInputError(f"File {candidate} is no JSON ({error}); expected an Avro schema") from error
    if not isinstance(schema, dict) or schema.get("type") != "record" or not isinstance(schema.get("fields"), list):
        raise BadInputError(f"File {candidate} is no Avro record; expected a version of {event_type.record}")
    try:
        refuse_breaks(event_type.name, [version.schema for version in versions(event_type.name)], schema)
    except CompatibilityError as error:
        return [str(error)]
    return []
