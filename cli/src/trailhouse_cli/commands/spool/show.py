"""`trailhouse spool show`: the events in one spool, and what was refused."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import click

from trailhouse_cli.commands.spool.choosing import directories, find, moment, spool_option
from trailhouse_cli.reporting import Column, Report, Section, format_options, print_report

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["show_spool"]


@click.command("show")
@click.argument("producer")
@spool_option
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

    with Spool.open(find(producer, directories(spools)), read_only=True) as spool:
        waiting = [
            {
                "sequence": e.sequence,
                "event_type": e.event_type,
                "message_key": e.message_key,
                "appended_at": moment(e.appended_us),
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
                "refused_at": moment(e.refused_us),
                "reason": e.reason,
            }
            for e in spool.refused()
        ]
        facts = {"producer": spool.producer_id, "waiting": spool.backlog(), "retained": spool.retained}
    at = pa.timestamp("us", "UTC")
    events = pa.Table.from_pylist(
        waiting,
        schema=pa.schema(
            [
                ("sequence", pa.int64()),
                ("event_type", pa.string()),
                ("message_key", pa.string()),
                ("appended_at", at),
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
                ("refused_at", at),
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
