"""One suite for `chdb://` and `clickhouse://`: what is behind the URL makes no difference to who uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from servers.warehouses import fresh
from trailhouse_cli.servers.process import free_port
from trailhouse_schemas.errors import WarehouseUnavailableError
from trailhouse_schemas.warehouse import check, connect, migrate

if TYPE_CHECKING:
    from servers.warehouses import Warehouse
    from trailhouse_schemas.settings import Settings

_TABLE = """
CREATE TABLE things (name LowCardinality(String), value Nullable(Float64), at DateTime64(6, 'UTC'))
ENGINE = MergeTree ORDER BY name SETTINGS non_replicated_deduplication_window = 100
"""


@pytest.fixture
def things(any_warehouse: Warehouse) -> Warehouse:
    """A warehouse with a small table that forgets no token."""
    any_warehouse.client.command(_TABLE)
    return any_warehouse


def _batch(*names: str) -> pa.Table:
    """Return rows for that table, as one batch."""
    times = pa.array([1_700_000_000_000_001] * len(names), pa.timestamp("us", "UTC"))
    return pa.table({"name": list(names), "value": pa.array([None] * len(names), pa.float64()), "at": times})


def test_a_migrated_warehouse_is_what_this_version_expects(any_warehouse: Warehouse) -> None:
    """And migrating again does nothing."""
    check(any_warehouse.client)
    assert migrate(any_warehouse.client) == []


def test_arrow_comes_back_as_it_went_in(things: Warehouse) -> None:
    """Nulls stay nulls, microseconds stay microseconds."""
    things.client.insert_arrow("things", _batch("a", "b"))
    rows = things.client.query_arrow("SELECT name, value, toUnixTimestamp64Micro(at) AS at FROM things ORDER BY name")
    assert rows.column("name").cast(pa.string()).to_pylist() == ["a", "b"]
    assert rows.column("value").to_pylist() == [None, None]
    assert rows.column("at").to_pylist() == [1_700_000_000_000_001] * 2


def test_a_token_lands_once(things: Warehouse) -> None:
    """The same batch under the same token is there once; under another token it is new."""
    for token in ("one", "one", "two"):
        things.client.insert_arrow("things", _batch("a", "b"), settings={"insert_deduplication_token": token})
    assert things.count("things") == 4


def test_parameters_reach_the_server_as_values(things: Warehouse) -> None:
    """Whatever is in them: nothing of a value becomes SQL."""
    odd = "it's; \\ {x:String} \t\n DROP TABLE things"
    things.client.insert("things", [[odd, 1.5, 0]], column_names=["name", "value", "at"])
    found = things.client.query("SELECT value FROM things WHERE name = {name:String}", {"name": odd})
    assert found.result_rows == [(1.5,)]


def test_an_error_of_the_engine_has_its_code(things: Warehouse) -> None:
    """The same exception, with ClickHouse's number."""
    with pytest.raises(DatabaseError) as told:
        things.client.query("SELECT missing FROM things")
    assert told.value.code == 47


def test_two_clients_do_not_share_their_database(things: Warehouse) -> None:
    """What one does to its session, the other does not see."""
    other = connect(things.url)
    other.command("CREATE TABLE others (x UInt8) ENGINE = Memory")
    assert things.client.query("SELECT currentDatabase()").first_row == (things.database,)
    assert things.count("others") == 0
    other.close()


def test_a_database_that_is_not_there_is_an_error_with_the_way_out(any_warehouse: Warehouse) -> None:
    """It is made by `trailhouse migrate`, not by whoever comes first."""
    with pytest.raises(WarehouseUnavailableError, match=r"no database 'nowhere'; run 'trailhouse migrate'"):
        connect(any_warehouse.url.replace(any_warehouse.database, "nowhere"))


def test_a_server_that_does_not_answer_is_an_error_with_the_way_out() -> None:
    """In one line, which names it."""
    address = f"clickhouse://someone@127.0.0.1:{free_port()}/trailhouse"
    with pytest.raises(WarehouseUnavailableError, match=rf"{address} does not answer .*TRAILHOUSE_WAREHOUSE") as told:
        connect(address)
    assert "\n" not in str(told.value)


def test_a_database_that_is_lent_again_is_as_good_as_new(
    any_warehouse: Warehouse, request: pytest.FixtureRequest, settings: Settings
) -> None:
    """Neither a table, nor a row, nor a token of the test before is in it."""
    where = request.getfixturevalue("chdb_directory" if any_warehouse.url.startswith("chdb") else "clickhouse")
    batch = pa.table({"_topic": ["some"], "_offset": pa.array([7], pa.int64())})
    seen = []
    for _ in range(3):
        with fresh(where, settings.warehouse_password.get_secret_value()) as lent:
            lent.client.command(_TABLE)
            assert lent.count("dead_letters") == 0
            lent.client.insert_arrow("dead_letters", batch, settings={"insert_deduplication_token": "the same"})
            assert lent.count("dead_letters") == 1
            lent.client.command("ALTER TABLE dead_letters DELETE WHERE 1 SETTINGS mutations_sync = 1")
            seen.append(lent.database)
    assert len(set(seen)) == 1
