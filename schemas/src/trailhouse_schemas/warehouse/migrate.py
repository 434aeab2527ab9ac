"""Brings a warehouse to the tables of this version: numbered SQL files, each applied once, each with its checksum.

A database that has a migration that this version does not know is ahead and is refused; so is one in which the text
of an applied migration differs from this version's. Every statement can be repeated, so that a migration that was
interrupted is simply applied again.

Where the client is of a cluster, the same statements are rendered for it: see cluster_tables.py. Two who migrate at the
same time repeat each other's statements, which the servers take one after the other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from trailhouse_schemas.errors import (
    WarehouseAheadError,
    WarehouseAlteredError,
    WarehouseBehindError,
    WarehouseError,
)
from trailhouse_schemas.warehouse.cluster import cluster_of
from trailhouse_schemas.warehouse.cluster_tables import render, render_ledger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clickhouse_connect.driver.client import Client

__all__ = ["LEDGER", "Migration", "applied", "check", "define", "migrate", "migrations"]

LEDGER: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number UInt32, name String, checksum String, applied_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')
) ENGINE = ReplacingMergeTree ORDER BY number SETTINGS fsync_after_insert = 1
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered step: a file such as `0001_runs.sql`."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, as 64 hexadecimal digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        """The statements of the file; each ends with a semicolon at the end of a line."""
        return [statement.strip() for statement in (self.text + "\n").split(";\n") if statement.strip()]


@cache
def migrations() -> tuple[Migration, ...]:
    """Return the migrations of this version, in order."""
    found = []
    for file in (resources.files("trailhouse_schemas.warehouse") / "migrations").iterdir():
        if file.name.endswith(".sql"):
            number, _, name = file.name.removesuffix(".sql").partition("_")
            found.append(Migration(int(number), name, file.read_text("utf-8")))
    return tuple(sorted(found, key=lambda migration: migration.number))


def applied(client: Client) -> dict[int, str]:
    """Return the checksum of each migration that the database has, by number."""
    there = client.query(
        "SELECT 1 FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'"
    )
    if not there.row_count:
        return {}
    rows = client.query("SELECT number, checksum FROM schema_migrations ORDER BY number, applied_at").result_rows
    return {int(number): str(checksum) for number, checksum in rows}


def migrate(client: Client) -> list[Migration]:
    """Apply what the database lacks; return what was applied.

    Raises:
        WarehouseAheadError: the database has migrations that this version does not know.
        WarehouseAlteredError: an applied migration is not this version's.
        WarehouseError: the database is one server's and the URL names a cluster, or the other way round.
    """
    cluster = cluster_of(client)
    _refuse_another_kind(client)
    client.command(render_ledger(LEDGER, cluster, str(client.database)) if cluster else LEDGER)
    if cluster:
        client.command("SYSTEM SYNC REPLICA schema_migrations")
    have = _refuse_strangers(client)
    done = []
    for migration in migrations():
        if migration.number in have:
            continue
        for statement in migration.statements:
            define(client, statement)
        client.insert(
            "schema_migrations",
            [[migration.number, migration.name, migration.checksum]],
            column_names=["number", "name", "checksum"],
        )
        done.append(migration)
    return done


def define(client: Client, statement: str, parameters: Mapping[str, Any] | None = None) -> None:
    """Make or change a table by a statement of the forms of migrations, on every server of the client's cluster.

    Raises:
        WarehouseError: the statement has no known form on a cluster.
    """
    cluster = cluster_of(client)
    for rendered in render(statement, cluster, str(client.database)) if cluster else [statement]:
        client.command(rendered, dict(parameters or {}))


def check(client: Client) -> None:
    """Raise unless the database is exactly what this version expects.

    Raises:
        WarehouseBehindError: migrations are lacking.
        WarehouseAheadError: the database has migrations that this version does not know.
        WarehouseAlteredError: an applied migration is not this version's.
        WarehouseError: the database is one server's and the URL names a cluster, or the other way round.
    """
    _refuse_another_kind(client)
    have = _refuse_strangers(client)
    lacking = [m for m in migrations() if m.number not in have]
    if lacking:
        raise WarehouseBehindError(
            f"Database {client.database} lacks migration {lacking[0].number} ({lacking[0].name}); "
            "run 'trailhouse migrate'"
        )


def _refuse_another_kind(client: Client) -> None:
    """Raise where tables of a cluster would be read and filled as one server's, or the other way round."""
    cluster = cluster_of(client)
    engines = client.query(
        "SELECT engine FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'"
    ).result_rows
    for (engine,) in engines:
        if engine.startswith("Replicated") and not cluster:
            raise WarehouseError(f"Database {client.database} is a cluster's; add ?cluster=NAME to the warehouse's URL")
        if cluster and not engine.startswith("Replicated"):
            raise WarehouseError(
                f"Database {client.database} is one server's, not cluster {cluster}'s; "
                "name a new database and move the rows, as docs/deploy.md says"
            )


def _refuse_strangers(client: Client) -> dict[int, str]:
    have = applied(client)
    known = {m.number: m for m in migrations()}
    ahead = sorted(set(have) - set(known))
    if ahead:
        raise WarehouseAheadError(
            f"Database {client.database} has migration {ahead[-1]}, this version knows {max(known)}: upgrade Trailhouse"
        )
    for number, checksum in have.items():
        if checksum != known[number].checksum:
            raise WarehouseAlteredError(
                f"Migration {number} ({known[number].name}) of database {client.database} has checksum "
                f"{checksum[:12]}…, this version's has {known[number].checksum[:12]}…: "
                "install the version that made the database"
            )
    return have
