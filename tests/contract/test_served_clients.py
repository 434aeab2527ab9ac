"""Programs that know nothing of Trailhouse ask a served warehouse as they ask any ClickHouse server."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from typing import TYPE_CHECKING

import clickhouse_connect
import pyarrow as pa
import pytest
import urllib3
from clickhouse_connect.driver.exceptions import DatabaseError

from servers.served import Client, basic
from servers.warehouses import ServedWarehouse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client as Connected


@pytest.fixture(scope="module")
def served() -> Iterator[ServedWarehouse]:
    """A served warehouse of these tests alone."""
    server = ServedWarehouse()
    yield server
    server.close()


@pytest.fixture
def notebook(served: ServedWarehouse) -> Iterator[Connected]:
    """What `get_client` gives with nothing but the address and the token: sessions and compression as it likes them."""
    address = urllib3.util.parse_url(served.address)
    client = clickhouse_connect.get_client(
        host=address.host, port=address.port, password=served.tokens.write, database="trailhouse"
    )
    client.command("CREATE TABLE IF NOT EXISTS t (n UInt64, s LowCardinality(String)) ENGINE = MergeTree ORDER BY n")
    client.command("TRUNCATE TABLE t")
    yield client
    client.close()


def test_a_notebook_asks_and_inserts(notebook: Connected) -> None:
    """Rows, tables of Arrow, streams, settings, a session's temporary table."""
    notebook.insert("t", [[1, "a"], [2, "b"]], column_names=["n", "s"])
    notebook.insert_arrow("t", pa.table({"n": pa.array([3], pa.uint64()), "s": ["c"]}))
    assert notebook.query("SELECT n, s FROM t ORDER BY n").result_rows == [(1, "a"), (2, "b"), (3, "c")]
    assert notebook.query_arrow("SELECT sum(n) AS n FROM t").column("n").to_pylist() == [6]
    assert notebook.query("SELECT {x:String}, {y:DateTime64(6)}", {"x": "it's", "y": "2026-01-02 03:04:05"}).row_count
    with notebook.query_row_block_stream("SELECT number FROM numbers(500000)") as blocks:
        assert sum(len(block) for block in blocks) == 500_000
    assert notebook.command("SELECT getSetting('max_threads')", settings={"max_threads": 3}) == 3
    notebook.command("CREATE TEMPORARY TABLE mine (n UInt8)")
    notebook.command("INSERT INTO mine VALUES (7)")
    assert notebook.command("SELECT n FROM mine") == 7
    assert notebook.ping()


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip"])
def test_a_notebook_compresses_as_it_likes(served: ServedWarehouse, notebook: Connected, compress: str) -> None:
    """Both ways."""
    address = urllib3.util.parse_url(served.address)
    client = clickhouse_connect.get_client(
        host=address.host, port=address.port, password=served.tokens.write, database="trailhouse", compress=compress
    )
    client.insert("t", [[n, str(n % 9)] for n in range(50_000)], column_names=["n", "s"])
    assert client.query("SELECT sum(n) FROM t").first_row == (sum(range(50_000)),)
    assert len(client.query("SELECT n, s FROM t").result_rows) == 50_000
    client.close()
    assert notebook.command("SELECT count() FROM t") == 50_000


def test_a_notebook_is_told_what_is_wrong(notebook: Connected, served: ServedWarehouse) -> None:
    """With the server's code."""
    with pytest.raises(DatabaseError, match="UNKNOWN_IDENTIFIER") as told:
        notebook.query("SELECT nope FROM t")
    assert told.value.code == 47
    address = urllib3.util.parse_url(served.address)
    with pytest.raises(DatabaseError, match="AUTHENTICATION_FAILED"):
        clickhouse_connect.get_client(host=address.host, port=address.port)


def curl(*arguments: str, stdin: bytes = b"") -> bytes:
    """Return what curl prints."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed")
    return subprocess.run(
        [program, "--silent", "--noproxy", "*", *arguments], input=stdin, capture_output=True, check=True, timeout=60
    ).stdout


def test_curl_asks_and_inserts(served: ServedWarehouse, notebook: Connected) -> None:
    """As ClickHouse's manual does it."""
    who = ("--user", f"default:{served.tokens.write}")
    at = served.address
    assert notebook.command("SELECT count() FROM t") == 0
    assert curl(*who, f"{at}/?query=SELECT%201") == b"1\n"
    assert curl(*who, at, "--data-binary", "@-", stdin=b"SELECT 1 FORMAT JSONEachRow") == b'{"1":1}\n'
    csv = curl(*who, "--data-binary", "@-", f"{at}/?query=INSERT%20INTO%20t%20FORMAT%20CSV", stdin=b'1,"a"\n2,"b"\n')
    assert csv == b""
    packed = gzip.compress(b"3\tc\n")
    insert = ("--data-binary", "@-", "-H", "Content-Encoding: gzip", f"{at}/?query=INSERT%20INTO%20t%20FORMAT%20TSV")
    assert curl(*who, *insert, stdin=packed) == b""
    asked = ("-F", "query=SELECT s FROM t WHERE n = {n:UInt64}", "-F", "param_n=3")
    assert curl(*who, *asked, at) == b"c\n"
    chunked = ("-H", "Transfer-Encoding: chunked", "--data-binary", "@-", at)
    assert curl(*who, *chunked, stdin=b"SELECT count() FROM t") == b"3\n"
    assert curl(*who, "--compressed", f"{at}/?query=SELECT%201&enable_http_compression=1") == b"1\n"
    assert b"X-ClickHouse-Format: TabSeparated\r\n".lower() in curl(*who, "--head", f"{at}/?query=SELECT%201").lower()
    assert b"AUTHENTICATION_FAILED" in curl(f"{at}/?query=SELECT%201")


@pytest.fixture
def grafana(served: ServedWarehouse) -> Client:
    """What Grafana's data source shows: ClickHouse's Go client, with the token for reading as the user's password."""
    client = Client(served.address, "")
    client.headers |= {"Authorization": basic("grafana", served.tokens.read), "Accept-Encoding": "gzip"}
    return client


#: What Go's client says with each request, and Grafana's limit of rows.
_GO = {"default_format": "Native", "client_protocol_version": "54460", "database": "trailhouse", "limit": "1000"}


def test_grafanas_client_is_told_which_revision_is_spoken(grafana: Client) -> None:
    """It takes the answer's revision for all that follows, and the one that it names for this answer alone."""
    answer = grafana.post(b"SELECT displayName(), version(), revision(), timezone()", _GO)
    said = answer.data
    assert said[:10] == bytes((1, 0, 2, 255, 255, 255, 255, 0, 4, 1))  # the block: its fields, four columns, one row
    at, values = 10, []
    while at < len(said):
        texts = []
        for _ in range(2):
            texts.append(said[at + 1 : at + 1 + said[at]].decode())
            at += 1 + said[at]
        assert said[at] == 0  # no serialization of its own
        size = 4 if texts[1] == "UInt32" else 1 + said[at + 1]
        values.append((*texts, said[at + 1 : at + 1 + size]))
        at += 1 + size
    assert [name for name, *_ in values] == ["displayName()", "version()", "revision()", "timezone()"]
    assert values[2][1:] == ("UInt32", bytes(4))
    assert values[3][1:] == ("String", b"\x03UTC")
    older = grafana.post(
        b"SELECT displayName(), version(), revision(), timezone()", {**_GO, "client_protocol_version": "54450"}
    )
    assert len(older.data) == len(said) - 4


def test_grafana_asks_in_native_blocks_compressed(grafana: Client) -> None:
    """Of the revision that it was told, with its parameters and its limit."""
    answer = grafana.post(b"SELECT number FROM numbers(5000) WHERE number >= {from:UInt64}", _GO, param_from="1000")
    assert (answer.status, answer.headers["X-ClickHouse-Format"]) == (200, "Native")
    assert answer.data[:2] == bytes((1, 0xE8))  # one column, 1000 rows (e8 07)
    refused = grafana.post(b"INSERT INTO dead_letters (reason) VALUES ('x')", _GO)
    assert refused.headers["X-ClickHouse-Exception-Code"] == "164"
    assert b'"one": 1' in grafana.post(b"SELECT 1 AS one", {**_GO, "default_format": "JSON"}).data
    assert b'"one": 1' in grafana.get(query="SELECT 1 AS one", default_format="JSON").data
