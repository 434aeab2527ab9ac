"""`trailhouse spool verify`: is what lies in the spools whole? No warehouse is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from trailhouse_cli.commands.spool.choosing import choose, process_state, spool_option
from trailhouse_cli.reporting import Column, Report, Section, format_options, print_report

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["verify_spools"]

_EXIT_UNSOUND: Final = 1
_EXIT_UNKNOWN: Final = 2


@click.command("verify")
@click.argument("which", nargs=-1)
@spool_option
@format_options
def verify_spools(
    *, which: tuple[str, ...], spools: tuple[Path, ...], format_: str, output: Path | None, section: str | None
) -> int:
    """Read every event of the spools WHICH (id of a producer, the begin of it, or path; all by default).

    Names the sequences that are missing, the events that cannot be read, and those that the broker refused for good.
    What has left a spool is taken to have arrived; 'trailhouse verify' holds that against the warehouse.

    Exit code 0 when all is in order, 1 when something is missing, unreadable or refused, 2 when a spool cannot be read.
    """
    import pyarrow as pa  # noqa: PLC0415 - slow to import

    from trailhouse_analytics.loss import Finding, check_spool, findings_table  # noqa: PLC0415
    from trailhouse_schemas.errors import SpoolError  # noqa: PLC0415
    from trailhouse_schemas.spool import Spool  # noqa: PLC0415

    rows: list[dict[str, Any]] = []
    findings: list[Finding] = []
    notes: list[str] = []
    for path in choose(which, spools):
        try:
            with Spool.open(path, read_only=True) as spool:
                found = check_spool(spool)
                process = process_state(spool)
        except SpoolError as error:
            if path.exists():  # else somebody has just emptied and removed it
                notes.append(str(error))
            continue
        findings += found.findings
        rows.append(
            {name: getattr(found, name) for name in _NUMBERS}
            | {
                "producer_id": found.producer_id,
                "process": process,
                "verdict": "in order" if found.sound else "not in order",
                "path": str(path),
            }
        )
    unread = len(notes)
    if any(row["process"] in {"gone", "found dead"} for row in rows):
        notes.append("the end of a process that died is not known: what it formed last may not be in its spool")
    schema = pa.schema(
        [
            ("producer_id", pa.string()),
            ("process", pa.string()),
            *((name, pa.int64()) for name in _NUMBERS),
            ("verdict", pa.string()),
            ("path", pa.string()),
        ]
    )
    bad = sum(row["verdict"] != "in order" for row in rows)
    report = Report(
        title=f"{bad:,} of {len(rows):,} {'spool' if len(rows) == 1 else 'spools'} not in order",
        facts={"unreadable_spools": unread or None},
        sections=(
            Section(
                "spools",
                "Spools",
                pa.Table.from_pylist(rows, schema=schema),
                [
                    Column("producer_id", "producer"),
                    Column("process", "process"),
                    Column("since", "from sequence"),
                    *(Column(name, name) for name in _NUMBERS[1:]),
                    Column("verdict", "verdict"),
                ],
                empty="no spools",
            ),
            Section("findings", "Sequences that are not simply there", findings_table(findings), empty="none"),
        ),
        notes=notes,
    )
    print_report(report, format_=format_, output=output, section=section)
    if bad:
        return _EXIT_UNSOUND
    return _EXIT_UNKNOWN if unread else 0


_NUMBERS: Final = ("since", "events", "waiting", "refused", "dropped", "lost", "unreadable")
