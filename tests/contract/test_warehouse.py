"""The warehouse's tables are what the schemas say, and migrations are applied once, in order, and never altered."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from servers.warehouses import new_warehouse
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.errors import (
    WarehouseAheadError,
    WarehouseAlteredError,
    WarehouseBehindError,
    WarehouseError,
    WarehouseUnavailableError,
)
from trailhouse_schemas.versions import latest
from trailhouse_schemas.warehouse import (
    TRANSPORT_COLUMNS,
    check,
    connect,
    migrate,
    migrations,
    parse_url,
    row_columns,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.warehouses import Warehouse
    from trailhouse_schemas.settings import Settings

TABLES = [*sorted(CATALOGUE), "dead_letters"]

#: Which column types an Avro type may have: those that lose nothing of it.
FITTING: dict[str, str] = {
    "string": r"(LowCardinality\(String\)|String|Decimal\(38, 12\))",
    "long": r"(Int64|Int32)",
    "double": r"Float64",
    "boolean": r"Bool",
}


@pytest.fixture(scope="module", params=["chdb_directory", "clickhouse"], ids=["embedded", "server"])
def read_only(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Warehouse]:
    """A database that no test changes, in the process and over HTTP."""
    made = new_warehouse(request.getfixturevalue(request.param), settings.warehouse_password.get_secret_value())
    yield made
    made.client.command("DROP DATABASE {d:Identifier}", {"d": made.database})
    made.client.close()


def fitting(avro: Any, named: dict[str, Any]) -> str:  # noqa: PLR0911 - one line a type
    """Return a pattern of the column types that an Avro type fits into."""
    if isinstance(avro, list):
        (inner,) = (branch for branch in avro if branch != "null")
        return rf"Nullable\({fitting(inner, named)}\)"
    if isinstance(avro, str):
        return FITTING[avro] if avro in FITTING else fitting(named[avro], named)
    if avro.get("logicalType") == "timestamp-micros":
        return r"DateTime64\(6, 'UTC'\)"
    if avro["type"] == "array":
        return rf"Array\({fitting(avro['items'], named)}\)"
    if avro["type"] == "map":
        return rf"Map\(LowCardinality\(String\), {fitting(avro['values'], named)}\)"
    if avro["type"] == "record":
        named["trailhouse." + avro["name"]] = avro
        return r"Tuple\(" + ", ".join(rf"{f['name']} {fitting(f['type'], named)}" for f in avro["fields"]) + r"\)"
    return fitting(avro["type"], named)


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_a_table_has_the_columns_of_its_schema(read_only: Warehouse, name: str) -> None:
    """Column by column: name, order, type, null."""
    event_type = CATALOGUE[name]
    described = read_only.client.query(f"DESCRIBE TABLE {name}").result_rows
    columns = {row[0]: " ".join(row[1].split()) for row in described}
    assert list(columns) == [*row_columns(event_type), *TRANSPORT_COLUMNS]
    named: dict[str, Any] = {}
    for field in latest(name).schema["fields"]:
        if field["name"] == event_type.rows_from:
            for inner in field["type"]["items"]["fields"]:
                assert re.fullmatch(fitting(inner["type"], named), columns[inner["name"]]), inner["name"]
        else:
            pattern = fitting(field["type"], named)
            assert re.fullmatch(pattern, columns[field["name"]].replace("( ", "(")), (field["name"], pattern)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_what_landing_once_rests_on(read_only: Warehouse, name: str) -> None:
    """A window for tokens, an insert that is on disk when it returns, and the place of every message."""
    (ddl,) = read_only.client.query(f"SHOW CREATE TABLE {name}").result_rows[0]
    assert re.search(r"non_replicated_deduplication_window = [1-9]\d{4,}", ddl)
    assert "fsync_after_insert = 1" in ddl
    assert "occurred_at)" not in ddl.partition("PARTITION BY")[2].partition("\n")[0]
    described = read_only.client.query(f"DESCRIBE TABLE {name}").result_rows
    columns = {row[0]: " ".join(row[1].split()) for row in described}
    assert {c: columns[c] for c in TRANSPORT_COLUMNS} == TRANSPORT_COLUMNS


def test_migrating_twice_applies_nothing_twice(any_warehouse: Warehouse) -> None:
    """The database knows what it has."""
    assert migrate(any_warehouse.client) == []
    check(any_warehouse.client)
    assert [m.number for m in migrations()] == list(range(1, len(migrations()) + 1))


def test_a_database_that_is_behind_is_refused_with_the_way_out(any_warehouse: Warehouse) -> None:
    """No table is read that may not be there."""
    last = migrations()[-1]
    any_warehouse.client.command("ALTER TABLE schema_migrations DELETE WHERE number = {n:UInt32}", {"n": last.number},
                             settings={"mutations_sync": 1})  # fmt: skip
    with pytest.raises(WarehouseBehindError, match=rf"lacks migration {last.number} .*run 'trailhouse migrate'"):
        check(any_warehouse.client)
    assert [m.number for m in migrate(any_warehouse.client)] == [last.number]
    check(any_warehouse.client)


def test_a_database_that_is_ahead_is_refused(any_warehouse: Warehouse) -> None:
    """An old program must not write into new tables."""
    any_warehouse.client.insert(
        "schema_migrations", [[999, "future", "00"]], column_names=["number", "name", "checksum"]
    )
    with pytest.raises(WarehouseAheadError, match="has migration 999"):
        check(any_warehouse.client)
    with pytest.raises(WarehouseAheadError):
        migrate(any_warehouse.client)


def test_an_altered_migration_is_refused(any_warehouse: Warehouse) -> None:
    """What was applied is what this version has under the number, or nothing is sure."""
    any_warehouse.client.insert(
        "schema_migrations", [[2, "metrics", "ff" * 32]], column_names=["number", "name", "checksum"]
    )
    with pytest.raises(WarehouseAlteredError, match=r"Migration 2 \(metrics\)"):
        check(any_warehouse.client)


def test_a_repeated_token_lands_once_and_a_null_is_not_made_a_zero(any_warehouse: Warehouse) -> None:
    """Two traps of the engine that every table must be safe from."""
    client = any_warehouse.client
    for _ in range(2):
        client.command(
            "INSERT INTO dead_letters (reason, _offset, _published_at) SELECT 'r', 7, now64(6)",
            settings={"insert_deduplication_token": "t"},
        )
    assert client.query("SELECT count() FROM dead_letters").first_row == (1,)
    assert client.query("SELECT sequence FROM dead_letters").first_row == (None,)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "of no known kind"),
        ("postgres://x", "of no known kind"),
        ("chdb://", "names no directory"),
        ("clickhouse://", "names no host"),
        ("clickhouse://h:port/db", "no number"),
        ("clickhouse://h/a-b;drop", "is no name"),
    ],
)
def test_a_url_that_is_none_is_refused(url: str, said: str) -> None:
    """Each with the way to write it."""
    with pytest.raises(WarehouseError, match=said):
        parse_url(url)


def test_a_url_never_shows_its_password() -> None:
    """It is printed in errors and logs."""
    url = parse_url("clickhouses://me:s3cret@host/db")
    assert (url.password, url.port, url.database) == ("s3cret", 8443, "db")
    assert str(url) == "clickhouses://me@host:8443/db"


def test_a_warehouse_that_is_not_there_or_does_not_answer_says_so(tmp_path: Path) -> None:
    """In one line, before any engine starts."""
    with pytest.raises(WarehouseUnavailableError, match="run 'trailhouse migrate' to make it"):
        connect(f"chdb://{tmp_path / 'none'}")
    with pytest.raises(WarehouseUnavailableError, match="does not answer"):
        connect("clickhouse://me@127.0.0.1:1/x")


def test_a_directory_that_another_process_has_open_is_refused(warehouse: Warehouse) -> None:
    """The engine would only say that it cannot initialise."""
    code = (
        "import sys; from trailhouse_schemas.warehouse import connect\n"
        "try: connect(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, warehouse.url], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.startswith("WarehouseLockedError")
    assert "open in another process" in result.stdout
