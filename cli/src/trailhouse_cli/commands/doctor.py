"""`trailhouse doctor`: the settings in force, where each value came from, and what does not answer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import click
import pyarrow as pa

from trailhouse_cli.reporting import Column, Report, Section, format_options, print_report
from trailhouse_cli.settings_files import sources_of, unknown_keys
from trailhouse_schemas.errors import TrailhouseError
from trailhouse_schemas.secrets import open_to_others, shown, without_password
from trailhouse_schemas.settings import PathsThatAreSet, Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["command"]

_KAFKA_TIMEOUT_SECONDS: Final = 5


@click.command()
@format_options
def command(format_: str, output: Path | None, section: str | None) -> None:
    """Show the settings in force, where each comes from, and what does not answer.

    Exit code 1 when something that is configured does not answer, or a file has a key that is no setting.
    """
    checks = _checks(Settings.read())
    broken = [row["what"] for row in checks if row["state"] == "broken"]
    report = Report(
        "Trailhouse on this machine",
        facts={"verdict": "all that is configured answers" if not broken else f"look at {', '.join(broken)}"},
        sections=[
            Section(
                "checks",
                "Checks",
                pa.Table.from_pylist(checks),
                columns=[Column("what", "what"), Column("state", "state"), Column("detail", "detail")],
            ),
            Section("settings", "Settings in force", pa.Table.from_pylist(_settings())),
        ],
    )
    print_report(report, format_=format_, output=output, section=section)
    click.get_current_context().exit(1 if broken else 0)


def _settings() -> list[dict[str, str]]:
    from trailhouse.settings import ProducerSettings  # noqa: PLC0415 - only this command wants all of them
    from trailhouse_consumer.settings import CollectorSettings  # noqa: PLC0415

    in_file = sources_of()
    rows: dict[str, dict[str, str]] = {}
    for settings in (Settings.read(), ProducerSettings.read(), CollectorSettings.read()):
        prefix = settings.model_config.get("env_prefix", "")
        for name in type(settings).model_fields:
            variable = f"{prefix}{name}".upper()
            said = os.environ.get(variable)
            in_environment = said is not None and (said != "" or name not in PathsThatAreSet.PATHS)
            source = "environment" if in_environment else in_file.get(variable, "default")
            if getattr(settings, f"{name}_file", None) is not None:
                source = f"{source} and {variable}_FILE" if source != "default" else f"{variable}_FILE"
            rows.setdefault(variable, {"setting": variable, "value": shown(getattr(settings, name)), "from": source})
    return [rows[variable] for variable in sorted(rows)]


def _checks(settings: Settings) -> list[dict[str, str]]:
    warehouse = _check("warehouse", _warehouse, settings)
    return [
        _check("settings", _files, settings),
        _check("spools", _spools, settings),
        warehouse,
        *([_check("retention", _retention, settings)] if warehouse["state"] == "fine" else []),
        _check("kafka", _kafka, settings) if settings.kafka else _absent("kafka", "events stay in spools"),
        _check("registry", _registry, settings) if settings.registry else _absent("registry", "single-object encoding"),
    ]


def _absent(what: str, consequence: str) -> dict[str, str]:
    return {"what": what, "state": "not set", "detail": f"TRAILHOUSE_{what.upper()} is not set: {consequence}"}


def _check(what: str, look: Callable[[Settings], str], settings: Settings) -> dict[str, str]:
    try:
        return {"what": what, "state": "fine", "detail": look(settings)}
    except TrailhouseError as error:
        return {"what": what, "state": "broken", "detail": str(error)}


def _files(_settings: Settings) -> str:
    from trailhouse.settings import ProducerSettings  # noqa: PLC0415
    from trailhouse_cli.errors import BadInputError  # noqa: PLC0415
    from trailhouse_consumer.settings import CollectorSettings  # noqa: PLC0415

    unknown = unknown_keys({"": ProducerSettings.model_fields, "collect": CollectorSettings.model_fields})
    if unknown:
        raise BadInputError("\n".join(unknown))
    open_ = [
        str(path)
        for settings in (Settings.read(), CollectorSettings.read())
        for name in type(settings).model_fields
        if name.endswith("_file") and (path := getattr(settings, name)) is not None and open_to_others(path)
    ]
    if open_:
        raise BadInputError(f"Everybody on this machine may read {', '.join(open_)}; take that right away (chmod o-r)")
    files = sorted(set(sources_of().values()))
    return f"{', '.join(files)}: every key is a setting" if files else "no file sets any"


def _spools(settings: Settings) -> str:
    from trailhouse_schemas.spool import Spool, spool_files  # noqa: PLC0415

    found = [*spool_files(settings.spool_directory), *spool_files(settings.control_directory)]
    waiting = 0
    for path in found:
        with Spool.open(path) as spool:
            waiting += spool.backlog()
    return f"{settings.spool_directory}: {len(found)} spools, {waiting:,} events waiting"


def _warehouse(settings: Settings) -> str:
    from trailhouse_schemas.warehouse import check, connect, parse_url  # noqa: PLC0415

    client = connect(settings.warehouse_url, password=settings.warehouse_password.get_secret_value())
    try:
        check(client)
        return f"{parse_url(settings.warehouse_url)}: ClickHouse {client.server_version}, up to date"
    finally:
        client.close()


def _retention(settings: Settings) -> str:
    from trailhouse_cli.errors import BadInputError  # noqa: PLC0415
    from trailhouse_schemas.warehouse import connect, retention_days, retention_in_force  # noqa: PLC0415

    wanted = retention_days(settings.retention)
    client = connect(settings.warehouse_url, password=settings.warehouse_password.get_secret_value())
    try:
        there = retention_in_force(client)
    finally:
        client.close()
    lines = []
    for table in sorted({*wanted, *there}):
        have, want = there.get(table), wanted.get(table)
        if isinstance(have, str) and want is None:
            lines.append(f"{table}: a TTL that is none of Trailhouse's: {have}")
        elif have == want:
            lines.append(f"{table}: {want:,} days")
        else:
            raise BadInputError(
                f"Rows of {table} are kept {_days(have)}, not {_days(want)} as set; run 'trailhouse migrate'"
            )
    return "\n".join(lines) or "every row is kept for ever"


def _days(time: int | str | None) -> str:
    if time is None:
        return "for ever"
    return f"for {time:,} days" if isinstance(time, int) else f"by {time}"


def _kafka(settings: Settings) -> str:
    from trailhouse_cli.broker import require_answer  # noqa: PLC0415
    from trailhouse_schemas.catalogue import CATALOGUE  # noqa: PLC0415

    there = require_answer(settings, _KAFKA_TIMEOUT_SECONDS)
    have = sum(event_type.topic in there for event_type in CATALOGUE.values())
    return f"{settings.kafka}: {have} of {len(CATALOGUE)} topics are there"


def _registry(settings: Settings) -> str:
    from trailhouse_schemas.catalogue import CATALOGUE  # noqa: PLC0415
    from trailhouse_schemas.registry import Registry  # noqa: PLC0415

    there = Registry.of(settings)
    have = sum(bool(there.registered(event_type)) for event_type in CATALOGUE.values())
    return f"{without_password(settings.registry)}: {have} of {len(CATALOGUE)} event types are registered"
