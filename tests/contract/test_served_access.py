"""Who may what of a served warehouse: nothing without a token, to read with one, to write with the other."""

from __future__ import annotations

import json
import shutil
import socket
import stat
from typing import TYPE_CHECKING

import clickhouse_connect
import pytest
import urllib3

from servers.served import Client, basic
from servers.warehouses import ServedWarehouse
from trailhouse_consumer.serving import Serving
from trailhouse_schemas.errors import WarehouseError
from trailhouse_schemas.warehouse import connect
from trailhouse_schemas.warehouse.local_pool import local_pool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.warehouses import Warehouse


@pytest.fixture(scope="module")
def served() -> Iterator[ServedWarehouse]:
    """A served warehouse of these tests alone."""
    server = ServedWarehouse()
    yield server
    server.close()


@pytest.fixture
def writer(served: ServedWarehouse) -> Client:
    """A client that may write."""
    return Client(served.address, served.tokens.write)


@pytest.fixture
def reader(served: ServedWarehouse) -> Client:
    """A client that may only read."""
    return Client(served.address, served.tokens.read)


@pytest.fixture
def stranger(served: ServedWarehouse) -> Client:
    """A client that shows nothing by itself."""
    return Client(served.address, "")


def test_without_a_token_a_client_gets_nothing(stranger: Client) -> None:
    """Neither rows, nor whether a table is there; only that somebody answers."""
    for answer in (
        stranger.get(query="SELECT 1"),
        stranger.get(),
        stranger.get("/play"),
        stranger.get("/replicas_status"),
        stranger.post(b"SELECT 1"),
        stranger.post(b"INSERT INTO runs FORMAT TSV\n1"),
        stranger.post(b"SELECT 1", user="default"),
    ):
        assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (401, "516")
        assert "Basic" in answer.headers["WWW-Authenticate"]
        assert b"AUTHENTICATION_FAILED" in answer.data
    assert stranger.get("/ping").data == b"Ok.\n"


@pytest.mark.parametrize("wrong", ["x", "é", "a" * 10_000])
def test_a_wrong_token_is_as_good_as_none(stranger: Client, wrong: str) -> None:
    """In whichever way it is shown."""
    ways = [{"Authorization": basic("default", wrong)}]
    if wrong.isascii():
        ways += [{"X-ClickHouse-Key": wrong}, {"Authorization": f"Bearer {wrong}"}]
    for headers in ways:
        answer = stranger.post(b"SELECT 1", headers=headers)
        assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (403, "516")
    for header in ("Basic %%%", "Basic", "Bearer", "Digest x"):
        assert stranger.post(b"SELECT 1", headers={"Authorization": header}).status == 401


def test_the_token_is_shown_in_any_of_the_servers_ways(stranger: Client, served: ServedWarehouse) -> None:
    """The user's name does not matter."""
    token = served.tokens.read
    for headers in (
        {"X-ClickHouse-User": "grafana", "X-ClickHouse-Key": token},
        {"Authorization": basic("default", token)},
        {"Authorization": f"Bearer {token}"},
    ):
        assert stranger.post(b"SELECT 1", headers=headers).data == b"1\n"
    assert stranger.get(query="SELECT 1", user="me", password=token).data == b"1\n"


def test_who_may_read_changes_nothing(reader: Client, writer: Client) -> None:
    """Not even what they may."""
    writer.ok("CREATE TABLE IF NOT EXISTS kept (n UInt64) ENGINE = MergeTree ORDER BY n")
    writer.ok("INSERT INTO kept VALUES (1)")
    for sql in (
        "INSERT INTO kept VALUES (2)",
        "INSERT INTO kept SELECT 2",
        "CREATE TABLE other (n UInt64) ENGINE = MergeTree ORDER BY n",
        "CREATE DATABASE other",
        "DROP TABLE kept",
        "TRUNCATE TABLE kept",
        "ALTER TABLE kept DELETE WHERE 1",
        "ALTER TABLE kept ADD COLUMN x UInt8",
        "RENAME TABLE kept TO lost",
        "OPTIMIZE TABLE kept FINAL",
        "SET readonly = 0",
        "SELECT 1 SETTINGS readonly = 0",
        "KILL QUERY WHERE 1",
    ):
        answer = reader.post(sql.encode())
        assert answer.headers["X-ClickHouse-Exception-Code"] in {"164", "497"}, (sql, answer.data)
    assert reader.post(b"INSERT INTO kept VALUES (2)", readonly="0").status != 200
    reader.post(b"SET readonly = 0", session_id="one")
    assert reader.post(b"INSERT INTO kept VALUES (2)", session_id="one").status != 200
    assert reader.ok("SELECT n FROM kept", max_threads="1") == b"1\n"


def test_a_get_changes_nothing(writer: Client) -> None:
    """Whatever the token: an address may be fetched by what only wants to show it."""
    writer.ok("CREATE TABLE IF NOT EXISTS fetched (n UInt64) ENGINE = MergeTree ORDER BY n")
    for session in ("", "get"):
        answer = writer.get(query="INSERT INTO fetched VALUES (1)", session_id=session)
        assert answer.headers["X-ClickHouse-Exception-Code"] == "164"
    assert writer.ok("SELECT count() FROM fetched") == b"0\n"


def test_a_readers_session_is_not_a_writers(reader: Client, writer: Client) -> None:
    """Though it has the same name: neither its tables nor its rights pass over."""
    writer.ok("CREATE TEMPORARY TABLE mine (n UInt8)", session_id="same")
    assert reader.post(b"SELECT * FROM mine", session_id="same").status == 404
    assert reader.post(b"CREATE TABLE x (n UInt8) ENGINE = Memory", session_id="same").status != 200


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM `file`('/etc/passwd', 'LineAsString')",
        "SELECT * FROM FiLe /* x */ ('/etc/passwd', 'LineAsString')",
        "SELECT file('/etc/passwd')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM remote('127.0.0.1:1', system.one)",
        "SELECT * FROM s3('http://127.0.0.1:1/x')",
        "SELECT * FROM executable('id', 'TSV', 'x String')",
        "SELECT * FROM sqlite('/tmp/x', 'y')",
        "SELECT * FROM (SELECT * FROM file('/etc/passwd', 'LineAsString'))",
        "INSERT INTO FUNCTION file('/tmp/x.csv') SELECT 1",
        "DESCRIBE file('/etc/passwd')",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "SELECT 1 INTO/**/OUTFILE '/tmp/x'",
        "INSERT INTO t FROM INFILE '/etc/passwd' FORMAT LineAsString",
        "CREATE TABLE x (a String) ENGINE = File(LineAsString, '/etc/passwd')",
        "CREATE TABLE x (a String) ENGINE File(LineAsString, '/etc/passwd')",
        "CREATE TABLE x AS file('/etc/passwd')",
        "CREATE TABLE x (a UInt8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local, path = '/tmp/')",
        "CREATE DATABASE x ENGINE = Filesystem('/')",
        "CREATE DICTIONARY x (a UInt64) PRIMARY KEY a SOURCE(FILE(path '/etc/passwd' format 'TSV')) LAYOUT(FLAT())",
        "CREATE FUNCTION x AS () -> 1",
        "SYSTEM SHUTDOWN",
        "BACKUP DATABASE trailhouse TO File('/tmp/x')",
        "BACKUP DATABASE trailhouse TO File('../0123456789abcdef0123456789abcdef')",
        "BACKUP DATABASE trailhouse TO File('0123456789abcdef0123456789abcdef') SETTINGS async = 1",
        "BACKUP DATABASE trailhouse TO Disk('0123456789abcdef0123456789abcdef')",
        "RESTORE DATABASE trailhouse FROM File('0123456789abcdef0123456789abcdef')",
        "ATTACH TABLE x FROM '/etc' (a UInt8) ENGINE = MergeTree ORDER BY a",
        "DROP DATABASE default",
        "SELECT 1 SETTINGS format_avro_schema_registry_url = 'http://127.0.0.1:1'",
        "SET max_threads = 1, `format_schema_source` = 'file'",
        "SET dialect = 'prql'",
        "SELECT 1 SETTINGS max_threads = 1, filter = 'file(1) = 2'",
    ],
)
def test_nobody_reaches_outside_of_the_warehouse(writer: Client, sql: str) -> None:
    """Neither files, nor the network, nor the process: the one who serves could."""
    answer = writer.post(sql.encode())
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (403, "497"), answer.data


def test_only_who_may_write_writes_a_backup(served: ServedWarehouse, writer: Client, reader: Client) -> None:
    """Into the warehouse's own directory, from where its owner takes it."""
    name = "0123456789abcdef" * 2
    sql = f"BACKUP DATABASE default TO File('{name}')"
    answer = reader.post(sql.encode())
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (403, "497"), answer.data
    assert not (served.directory / "backups").exists()
    assert writer.ok(sql).endswith(b"BACKUP_CREATED\n")
    assert (served.directory / "backups" / name).is_dir()
    shutil.rmtree(served.directory / "backups")


def test_a_setting_that_reaches_outside_is_refused_in_the_address_too(writer: Client) -> None:
    """As in a statement."""
    answer = writer.post(b"SELECT 1", format_avro_schema_registry_url="http://127.0.0.1:1")
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (403, "497")


def test_a_name_of_a_file_is_no_table(writer: Client, tmp_path: Path) -> None:
    """In the engine's own database it would be."""
    path = tmp_path / "rows.csv"
    path.write_text("a\n1\n")
    for database in ("default", "trailhouse"):
        answer = writer.post(b"SELECT * FROM {t:Identifier}", param_t=str(path), database=database)
        assert (answer.status, b"UNKNOWN_TABLE" in answer.data) == (404, True), answer.data
    assert writer.post(b"SELECT * FROM default.{t:Identifier}", param_t=str(path)).status == 404


def test_words_in_strings_and_names_are_no_statements(writer: Client) -> None:
    """What is refused is refused by what it is."""
    assert writer.ok("SELECT 'file(''x'')', '/* INTO OUTFILE */' AS `file`") == b"file(\\'x\\')\t/* INTO OUTFILE */\n"
    assert writer.ok("SELECT count() FROM (SELECT 1 AS url)") == b"1\n"


def test_the_files_of_a_served_directory_are_its_owners_alone(served: ServedWarehouse) -> None:
    """Secrets, and data on their way."""
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in served.directory.iterdir()
        if path.name in {"served.json", "tokens.json", "serving"}
    }
    assert modes == {"served.json": 0o600, "tokens.json": 0o600, "serving": 0o700}


def test_only_this_machine_is_served(served: ServedWarehouse, stranger: Client) -> None:
    """By its address, and by the name that a browser has been told of it."""
    port = urllib3.util.parse_url(served.address).port
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", port), timeout=5)
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example"):
        headers = {"Host": host, "X-ClickHouse-Key": served.tokens.write}
        assert stranger.post(b"SELECT 1", headers=headers).status == 403
    headers = {"Host": "localhost", "X-ClickHouse-Key": served.tokens.write}
    assert stranger.post(b"SELECT 1", headers=headers).data == b"1\n"


def test_a_socket_serves_its_owner_alone(warehouse: Warehouse, chdb_directory: Path, tmp_path: Path) -> None:
    """With the same token."""
    path = tmp_path / "socket"
    with Serving(chdb_directory, database=warehouse.database, address=str(path)) as serving:
        assert serving.served.socket == str(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        token = json.loads((chdb_directory / "tokens.json").read_text())["read"]
        client = clickhouse_connect.get_client(
            host="localhost", port=80, password=token, database=warehouse.database, pool_mgr=local_pool(str(path))
        )
        assert client.query("SELECT count() FROM dead_letters").first_row == (0,)
        client.close()
    assert not path.exists()


def test_the_engines_own_database_cannot_be_the_served_one(chdb_directory: Path, warehouse: Warehouse) -> None:
    """In it, names of tables are names of files."""
    assert warehouse.count("dead_letters") == 0
    with pytest.raises(WarehouseError, match="names of tables are names of files"):
        Serving(chdb_directory, database="default")


def test_an_address_that_is_taken_is_an_error_with_the_way_out(chdb_directory: Path, warehouse: Warehouse) -> None:
    """And serving there leaves nothing behind."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(WarehouseError, match=r"cannot be served on .*choose another"):
            Serving(chdb_directory, database=warehouse.database, port=taken.getsockname()[1])
    connect(warehouse.url).close()
