"""Warehouses for tests: a fresh, migrated database in the one chDB directory that this process has open."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trailhouse_schemas.warehouse import connect, migrate

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Warehouse", "new_warehouse"]


@dataclass(frozen=True, slots=True)
class Warehouse:
    """One migrated database of a test's own."""

    #: What to give to `connect`, or as TRAILHOUSE_WAREHOUSE; an embedded one serves within this process alone.
    url: str
    database: str
    #: A client of the database, open as long as the test runs.
    client: Any

    def __str__(self) -> str:
        """Return the URL."""
        return self.url

    def count(self, table: str) -> int:
        """Return the number of rows of a table."""
        return int(self.client.query("SELECT count() FROM {t:Identifier}", {"t": table}).first_row[0])


def new_warehouse(directory: Path) -> Warehouse:
    """Make a database and bring it to the tables of this version."""
    database = f"test_{uuid.uuid4().hex[:12]}"
    url = f"chdb://{directory}?database={database}"
    client = connect(url, create=True)
    migrate(client)
    return Warehouse(url, database, client)
