"""Warehouses for tests: a fresh, migrated database in the one chDB directory that this process has open."""

from __future__ import annotations

import sys
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trailhouse_cli.servers.clickhouse import answers
from trailhouse_cli.servers.process import HOST, OwnedProcess, free_port, new_directory
from trailhouse_schemas.warehouse import connect, migrate, migrations
from trailhouse_schemas.warehouse.served import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trailhouse_cli.servers.clickhouse import ClickHouseServer

__all__ = ["ServedWarehouse", "Warehouse", "emptied", "fresh", "new_warehouse"]

#: Databases that no test has now, by where they are.
_idle: dict[str, list[Warehouse]] = {}


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


def new_warehouse(where: Path | ClickHouseServer, password: str = "") -> Warehouse:
    """Make a database in that chDB directory or server, and bring it to the tables of this version."""
    database = f"test_{uuid.uuid4().hex[:12]}"
    url = f"chdb://{where}?database={database}" if isinstance(where, Path) else where.url(database)
    client = connect(url, password=password, create=True)
    migrate(client)
    return Warehouse(url, database, client)


@contextmanager
def fresh(where: Path | ClickHouseServer, password: str = "") -> Iterator[Warehouse]:
    """Lend such a database, as good as new.

    Making the tables takes longer than most tests, so a database is lent again after its tables were emptied, which
    forgets deduplication tokens too. One whose migrations a test has changed is dropped.
    """
    idle = _idle.setdefault(str(where), [])
    made = idle.pop() if idle else new_warehouse(where, password)
    tables = _tables(made.client)
    client = connect(made.url, password=password)
    yield Warehouse(made.url, made.database, client)
    client.close()
    for table in _tables(made.client) - tables:
        made.client.command("DROP TABLE {t:Identifier} SYNC", {"t": table})
    if emptied(made.client) and _tables(made.client) == tables:
        idle.append(made)
    else:
        made.client.command("DROP DATABASE {d:Identifier}", {"d": made.database})
        made.client.close()


def emptied(client: Any) -> bool:
    """Empty all tables of a database; return whether its migrations are as they should be."""
    ledger = client.query("SELECT number, checksum FROM schema_migrations ORDER BY number").result_rows
    if [tuple(row) for row in ledger] != [(m.number, m.checksum) for m in migrations()]:
        return False
    # Parts that are no longer active count too: their rows are gone, their tokens are not.
    used = "SELECT DISTINCT table FROM system.parts WHERE database = currentDatabase()"
    for (table,) in client.query(f"{used} AND table != 'schema_migrations'").result_rows:
        client.command("TRUNCATE TABLE {t:Identifier}", {"t": table})
    return True


def _tables(client: Any) -> set[str]:
    """Return the names of all tables and views of a database."""
    return {
        row[0] for row in client.query("SELECT name FROM system.tables WHERE database = currentDatabase()").result_rows
    }


class ServedWarehouse:
    """`trailhouse warehouse serve`: the embedded engine behind ClickHouse's HTTP interface, in a process of its own."""

    origin = "embedded engine, served"

    def __init__(self) -> None:
        """Start it; returns when it serves."""
        self._port = free_port()
        directory = new_directory("clickhouse")
        self.directory = directory / "data"
        self._process = OwnedProcess(
            "clickhouse",
            [
                *(sys.executable, "-m", "trailhouse_cli", "warehouse", "serve"),
                *("--warehouse", f"chdb://{self.directory}", "--port", str(self._port)),
            ],
            directory=directory,
            is_ready=lambda: answers(HOST, self._port, timeout_seconds=1),
        )
        try:
            self._process.start()
        except BaseException:
            self.close()
            raise

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.running

    @property
    def process(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def tokens(self) -> Tokens:
        """What lets clients in."""
        return Tokens.of(self.directory)

    @property
    def address(self) -> str:
        """The base of its addresses."""
        return f"http://{HOST}:{self._port}"

    def url(self, database: str) -> str:
        """Return the URL of that database."""
        return f"clickhouse://default:{self.tokens.write}@{HOST}:{self._port}/{database}"

    def start(self) -> None:
        """Start it again; returns when it serves."""
        self._process.start()

    def stop(self) -> None:
        """Stop it in order; its data stay."""
        self._process.stop()

    def kill(self) -> None:
        """Kill it as a power cut would; its data stay."""
        self._process.kill()

    def close(self) -> None:
        """Kill it for good and remove its data."""
        self._process.close()
