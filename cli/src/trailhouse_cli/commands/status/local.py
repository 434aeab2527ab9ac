"""What can be said without a collector: what the warehouse has of each topic, and what waits in spools."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from trailhouse_cli.commands.status.spans import ago
from trailhouse_cli.errors import BadInputError
from trailhouse_cli.reporting import Column, Report, Section, open_warehouse
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.errors import SpoolError, WarehouseError
from trailhouse_schemas.settings import Settings
from trailhouse_schemas.spool import Spool, spool_files

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["report"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LANDED: Final = pa.schema([("topic", pa.string()), ("rows", pa.int64()), ("newest_at", pa.timestamp("us", "UTC"))])
_LETTERS: Final = pa.schema([("topic", pa.string()), ("reason", pa.string()), ("letters", pa.int64())])
_SPOOLS: Final = pa.schema(
    [
        ("directory", pa.string()),
        ("spools", pa.int64()),
        ("waiting", pa.int64()),
        ("refused", pa.int64()),
        ("oldest_at", pa.timestamp("us", "UTC")),
    ]
)


def report(warehouse: str | None, why: str) -> Report:
    """Return what lies in the warehouse and in the spools; `why` says that no collector answers.

    Raises:
        BadInputError: there is neither a warehouse that answers nor a spool.
    """
    settings = Settings.read(warehouse=warehouse)
    notes = [why]
    landed, letters, wrong = _landed(warehouse)
    spools = []
    for directory in (settings.spool_directory, settings.control_directory):
        try:
            spools.append(_spools(directory, notes))
        except SpoolError as error:
            notes.append(str(error))
    if wrong and not any(row["spools"] for row in spools):
        raise BadInputError(f"{why.rstrip('.')}; and nothing waits in {settings.spool_directory}; and {wrong}")
    now = datetime.now(UTC)
    return Report(
        title="No collector answers: what the warehouse and the spools say",
        facts={"collector": None},
        sections=[
            Section(
                "landed",
                "Landed",
                pa.Table.from_pylist([row for row in landed if row["rows"]], schema=_LANDED),
                [
                    Column("topic", "topic"),
                    Column("rows", "rows"),
                    Column("newest_at", "newest published", lambda at: ago((now - at).total_seconds())),
                ],
                empty="nothing" if not wrong else f"not known: {wrong}",
            ),
            Section("dead_letters", "Dead letters, open", pa.Table.from_pylist(letters, schema=_LETTERS)),
            Section(
                "spools",
                "Spools of this machine",
                pa.Table.from_pylist(spools, schema=_SPOOLS),
                [
                    Column("directory", "directory"),
                    Column("spools", "spools"),
                    Column("waiting", "events waiting"),
                    *([Column("refused", "refused")] if any(row["refused"] for row in spools) else []),
                    Column("oldest_at", "oldest", lambda at: ago((now - at).total_seconds())),
                ],
            ),
        ],
        notes=notes,
    )


def _landed(url: str | None) -> tuple[list[dict[str, Any]], list[dict[str, Any]], str]:
    """Return what the tables hold, the open dead letters, and what is wrong with the warehouse, empty for nothing."""
    from trailhouse_consumer.letters import Choice, grouped_letters  # noqa: PLC0415 - not without a warehouse
    from trailhouse_consumer.warehouse import Warehouse  # noqa: PLC0415

    try:
        client = open_warehouse(url)
        try:
            opened = Warehouse(client)
            landed = [
                {"topic": event_type.topic} | opened.ask("newest_landed", {"table": event_type.table}).to_pylist()[0]
                for event_type in CATALOGUE.values()
            ]
            letters = grouped_letters(opened, Choice()).select(["topic", "reason", "letters"]).to_pylist()
        finally:
            client.close()
    except WarehouseError as error:
        return [], [], str(error)
    return landed, letters, ""


def _spools(directory: Path, notes: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"directory": str(directory), "spools": 0, "waiting": 0, "refused": 0, "oldest_at": None}
    oldest = []
    for path in spool_files(directory):
        try:
            with Spool.open(path, read_only=True) as spool:
                each = [spool.waiting(name) for name in spool.event_types()]
                found["refused"] += len(spool.refused())
        except SpoolError as error:
            if path.exists():
                notes.append(str(error))
            continue
        found["spools"] += 1
        found["waiting"] += sum(count for count, _ in each)
        oldest += [at for _, at in each if at is not None]
    if oldest:
        found["oldest_at"] = _EPOCH + timedelta(microseconds=min(oldest))
    return found
