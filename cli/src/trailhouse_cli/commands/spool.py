"""`trailhouse spool`: what is in the spools of this machine, and what was refused."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trailhouse_cli.errors import BadInputError
from trailhouse_cli.reporting import Column, Report, Section, format_options, print_report

if TYPE_CHECKING:
    from trailhouse_schemas.spool import FileLock, Spool

__all__ = ["command"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_directory = click.option(
    "--spool",
    "spools",
    multiple=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of spools, may be given again [default: TRAILHOUSE_SPOOL and HOME/control].",
)


@click.group()
def command() -> None:
    """Show what is in the spools of this machine."""


@command.command("list")
@_directory
@format_options
def list_spools(spools: tuple[Path, ...], format_: str, output: Path | None, section: str | None) -> None:
    """List the spools: who writes them, who empties them, and how much is left in each."""
    import pyarrow as pa  # noqa: PLC0415 - slow to import

    from trailhouse_schemas.errors import SpoolError  # noqa: PLC0415
    from trailhouse_schemas.spool import Spool, spool_files  # noqa: PLC0415

    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    directories = _directories(spools)
    for path in (file for directory in directories for file in spool_files(directory)):
        try:
            with Spool.open(path) as spool:
                rows.append(_summary(spool))
        except SpoolError as error:
            notes.append(str(error))
    schema = pa.schema(
        [
            ("producer_id", pa.string()),
            ("writer", pa.string()),
            ("drainer", pa.string()),
            ("waiting", pa.int64()),
            ("refused", pa.int64()),
            ("plans", pa.int64()),
            ("size_bytes", pa.int64()),
            ("oldest_at", pa.timestamp("us", "UTC")),
            ("retained", pa.bool_()),
            ("path", pa.string()),
        ]
    )
    table = pa.Table.from_pylist(rows, schema=schema)
    shown = [
        Column("producer_id", "producer"),
        Column("writer", "writer"),
        Column("drainer", "drainer"),
        Column("waiting", "waiting"),
        Column("refused", "refused"),
        Column("plans", "open plans"),
        Column("size_bytes", "bytes"),
        Column("oldest_at", "oldest event (UTC)"),
        Column("retained", "kept"),
    ]
    title = f"Spools in {', '.join(map(str, directories))}"
    totals: dict[str, Any] = {name: sum(row[name] for row in rows) for name in ("waiting", "refused", "size_bytes")}
    totals["producer_id"] = f"{len(rows):,} {'spool' if len(rows) == 1 else 'spools'}"
    report = Report(title, [Section("spools", "", table, shown, totals=totals, empty="no spools")], notes=notes)
    print_report(report, format_=format_, output=output, section=section)


@command.command("show")
@click.argument("producer")
@_directory
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many events to show.")
@click.option("--after", type=int, default=-1, help="Show events after this sequence.")
@format_options
def show_spool(
    *,
    producer: str,
    spools: tuple[Path, ...],
    limit: int,
    after: int,
    format_: str,
    output: Path | None,
    section: str | None,
) -> None:
    """Show the events in the spool of PRODUCER (its id, the begin of it, or the path of a spool)."""
    import pyarrow as pa  # noqa: PLC0415 - slow to import

    from trailhouse_schemas.spool import Spool  # noqa: PLC0415

    with Spool.open(_find(producer, _directories(spools))) as spool:
        waiting = [
            {
                "sequence": e.sequence,
                "event_type": e.event_type,
                "message_key": e.message_key,
                "appended_at": _moment(e.appended_us),
                "size_bytes": len(e.value),
                "event": _decoded(e.value),
            }
            for e in spool.read(after=after, limit_events=limit)
        ]
        refused = [
            {
                "sequence": e.sequence,
                "event_type": e.event_type,
                "size_bytes": len(e.value),
                "refused_at": _moment(e.refused_us),
                "reason": e.reason,
            }
            for e in spool.refused()
        ]
        facts = {"producer": spool.producer_id, "waiting": spool.backlog(), "retained": spool.retained}
    moment = pa.timestamp("us", "UTC")
    events = pa.Table.from_pylist(
        waiting,
        schema=pa.schema(
            [
                ("sequence", pa.int64()),
                ("event_type", pa.string()),
                ("message_key", pa.string()),
                ("appended_at", moment),
                ("size_bytes", pa.int64()),
                ("event", pa.string()),
            ]
        ),
    )
    refusals = pa.Table.from_pylist(
        refused,
        schema=pa.schema(
            [
                ("sequence", pa.int64()),
                ("event_type", pa.string()),
                ("size_bytes", pa.int64()),
                ("refused_at", moment),
                ("reason", pa.string()),
            ]
        ),
    )
    shown = [Column(name, name.replace("_", " ")) for name in ("sequence", "event_type", "appended_at", "size_bytes")]
    shown.append(Column("event", "event", show=lambda text: text if len(text) <= 200 else f"{text[:200]}…"))  # noqa: PLR2004
    report = Report(
        f"Spool {producer}",
        [
            Section("events", "Events", events, shown, empty="none"),
            Section("refused", "Refused by the broker", refusals, empty="none"),
        ],
        facts=facts,
    )
    print_report(report, format_=format_, output=output, section=section)


def _directories(spools: tuple[Path, ...]) -> list[Path]:
    from trailhouse_schemas.settings import Settings  # noqa: PLC0415 - slow to import

    for directory in spools:
        if not directory.is_dir():
            raise BadInputError(f"Spool directory {directory} is not there; give another --spool")
    if spools:
        return list(spools)
    settings = Settings.read()
    return [settings.spool_directory, settings.control_directory]


def _find(producer: str, directories: list[Path]) -> Path:
    from trailhouse_schemas.spool import spool_files  # noqa: PLC0415

    if Path(producer).is_file():
        return Path(producer)
    found = [f for directory in directories for f in spool_files(directory) if f.name.startswith(producer)]
    if not found:
        raise BadInputError(f"Producer {producer!r} has no spool here; 'trailhouse spool list' names those that have")
    if len(found) > 1:
        raise BadInputError(f"Producer {producer!r} may be {len(found)} of the spools; give more of the id")
    return found[0]


def _summary(spool: Spool) -> dict[str, Any]:
    first = spool.read(limit_events=1)
    files = [spool.path.with_name(spool.path.name + end) for end in ("", "-wal", "-shm")]
    return {
        "producer_id": spool.producer_id,
        "writer": "alive" if _is_held(spool.writer_lock) else "gone",
        "drainer": "busy" if _is_held(spool.drainer_lock) else "nobody",
        "waiting": spool.backlog(),
        "refused": len(spool.refused()),
        "plans": len(spool.plans()),
        "size_bytes": sum(file.stat().st_size for file in files if file.exists()),
        "oldest_at": _moment(first[0].appended_us) if first else None,
        "retained": spool.retained,
        "path": str(spool.path),
    }


def _is_held(lock: FileLock) -> bool:
    """Say whether somebody holds a lock, by trying to take it for a moment."""
    if lock.acquire():
        lock.release()
        return False
    return True


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _decoded(value: bytes) -> str:
    """Return an event's own fields as text, or why they cannot be read."""
    from fastavro import schemaless_reader  # noqa: PLC0415 - only who shows events

    from trailhouse_schemas import wire  # noqa: PLC0415
    from trailhouse_schemas.events.base import Event  # noqa: PLC0415
    from trailhouse_schemas.versions import by_fingerprint  # noqa: PLC0415

    try:
        header = wire.read_header(value)
        version = by_fingerprint(header.fingerprint or b"")
        record: Any = schemaless_reader(io.BytesIO(value[header.body_at :]), version.parsed, None)
    except Exception as error:  # noqa: BLE001 - whatever the bytes are, the others are shown
        return f"cannot be decoded: {error}"
    return ", ".join(
        f"{name}={content}"
        for name, content in record.items()
        if name not in Event.ENVELOPE and content not in ("", None, [], {})
    )
