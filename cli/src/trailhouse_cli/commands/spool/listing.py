"""`trailhouse spool list`: one row a spool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from trailhouse_cli.commands.spool.choosing import directories, moment, process_state, spool_option, who_holds
from trailhouse_cli.reporting import Column, Report, Section, format_options, print_report

if TYPE_CHECKING:
    from pathlib import Path

    from trailhouse_schemas.spool import Spool

__all__ = ["list_spools"]


@click.command("list")
@spool_option
@format_options
def list_spools(spools: tuple[Path, ...], format_: str, output: Path | None, section: str | None) -> None:
    """List the spools: who writes them, who empties them, and how much is left in each."""
    import pyarrow as pa  # noqa: PLC0415 - slow to import

    from trailhouse_schemas.errors import SpoolError  # noqa: PLC0415
    from trailhouse_schemas.spool import Spool, spool_files  # noqa: PLC0415

    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    where = directories(spools)
    for path in (file for directory in where for file in spool_files(directory)):
        try:
            with Spool.open(path, read_only=True) as spool:
                rows.append(_summary(spool))
        except SpoolError as error:
            if path.exists():
                notes.append(str(error))
    schema = pa.schema(
        [
            ("producer_id", pa.string()),
            ("process", pa.string()),
            ("writer", pa.string()),
            ("writer_process_id", pa.int64()),
            ("drainer", pa.string()),
            ("drainer_process_id", pa.int64()),
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
    drainers = {row["drainer_process_id"] for row in rows} - {None}
    shown = [
        Column("producer_id", "producer"),
        Column("process", "process"),
        Column("writer_process_id", "process id", show=str),
        Column("drainer", "emptied by"),
        *([Column("drainer_process_id", "its process id", show=str)] if drainers else []),
        Column("waiting", "waiting"),
        Column("refused", "refused"),
        Column("plans", "open plans"),
        Column("size_bytes", "bytes"),
        Column("oldest_at", "oldest event (UTC)"),
        Column("retained", "kept"),
    ]
    title = f"Spools in {', '.join(map(str, where))}"
    totals: dict[str, Any] = {name: sum(row[name] for row in rows) for name in ("waiting", "refused", "size_bytes")}
    totals["producer_id"] = f"{len(rows):,} {'spool' if len(rows) == 1 else 'spools'}"
    report = Report(title, [Section("spools", "", table, shown, totals=totals, empty="no spools")], notes=notes)
    print_report(report, format_=format_, output=output, section=section)


def _summary(spool: Spool) -> dict[str, Any]:
    first = spool.undone_ranges()[:1]
    oldest = spool.read(after=first[0][0] - 1, limit_events=1) if first else []
    files = [spool.path.with_name(spool.path.name + end) for end in ("", "-wal", "-shm")]
    writer, writer_process_id = who_holds(spool.process_lock)
    drainer, drainer_process_id = who_holds(spool.drainer_lock)
    return {
        "producer_id": spool.producer_id,
        "process": process_state(spool),
        "writer": "alive" if writer else "gone",
        "writer_process_id": writer_process_id,
        "drainer": "busy" if drainer else "nobody",
        "drainer_process_id": drainer_process_id,
        "waiting": spool.backlog(),
        "refused": len(spool.refused()),
        "plans": len(spool.plans()),
        "size_bytes": sum(file.stat().st_size for file in files if file.exists()),
        "oldest_at": moment(oldest[0].appended_us) if oldest else None,
        "retained": spool.retained,
        "path": str(spool.path),
    }
