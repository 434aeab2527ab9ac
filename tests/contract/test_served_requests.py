"""What a ClickHouse server does with a request, the served warehouse does: statements, formats, errors, sessions."""

from __future__ import annotations

import gzip
import importlib
import io
import json
import sys
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lz4.frame  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import urllib3

from servers.served import Client
from servers.warehouses import ServedWarehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: A statement that takes minutes, and answers with one row.
LONG = b"SELECT sum(sipHash64(number)) FROM numbers(100000000000)"
_THREE = "SELECT number AS n, toString(number) AS s FROM numbers(3)"


@pytest.fixture(scope="module")
def served() -> Iterator[ServedWarehouse]:
    """A served warehouse of these tests alone."""
    server = ServedWarehouse()
    yield server
    server.close()


@pytest.fixture
def client(served: ServedWarehouse) -> Client:
    """A client that may write."""
    return Client(served.address, served.tokens.write)


@pytest.fixture
def table(client: Client) -> Iterator[str]:
    """A table of two columns."""
    client.ok("CREATE TABLE t (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    yield "t"
    client.ok("DROP TABLE IF EXISTS t SYNC")


def test_a_statement_is_in_the_address_in_the_body_or_in_both(client: Client) -> None:
    """The body is what comes behind."""
    assert client.get(query="SELECT 1").data == b"1\n"
    assert client.ok("SELECT 2") == b"2\n"
    assert client.ok("+ 1", query="SELECT 2") == b"3\n"
    assert client.ok("SELECT 3; ") == b"3\n"


def test_parameters_are_of_the_statement(client: Client) -> None:
    """Their text is never part of the SQL."""
    said = "it's \\\\ \\'; DROP TABLE x --"
    assert client.ok("SELECT {p:String} FORMAT TSVRaw", param_p=said) == b"it's \\ '; DROP TABLE x --\n"
    assert (
        client.ok("SELECT {a:Array(UInt8)}[2], {n:Nullable(String)} IS NULL", param_a="[1,2]", param_n="\\N")
        == b"2\t1\n"
    )
    assert client.post(b"", fields={"query": "SELECT {x:UInt8}", "param_x": "7"}).data == b"7\n"


def test_the_database_is_of_the_request(client: Client) -> None:
    """Else it is the warehouse's."""
    assert client.ok("SELECT currentDatabase()") == b"trailhouse\n"
    assert client.ok("SELECT currentDatabase()", database="system") == b"system\n"
    assert client.post(b"SELECT currentDatabase()", headers={"X-ClickHouse-Database": "system"}).data == b"system\n"
    refused = client.post(b"SELECT 1", database="none")
    assert (refused.status, refused.headers["X-ClickHouse-Exception-Code"]) == (404, "81")


def test_the_format_is_the_statements_or_the_requests(client: Client) -> None:
    """The answer says which."""
    for answer in (
        client.post(b"SELECT 1 AS a FORMAT JSONEachRow"),
        client.post(b"SELECT 1 AS a", default_format="JSONEachRow"),
        client.post(b"SELECT 1 AS a", headers={"X-ClickHouse-Format": "JSONEachRow"}),
        client.post(b"SELECT 1 AS a FORMAT JSONEachRow SETTINGS max_threads = 1", default_format="CSV"),
        client.post(b"SELECT 1 AS a SETTINGS max_threads = 1 FORMAT JSONEachRow", default_format="CSV"),
    ):
        assert (answer.data, answer.headers["X-ClickHouse-Format"]) == (b'{"a":1}\n', "JSONEachRow")
    assert client.post(b"SELECT 1 WHERE 0").headers["X-ClickHouse-Format"] == "TabSeparated"
    assert client.ok("SELECT 1 AS format") == b"1\n"


READERS: dict[str, Callable[[bytes], Any]] = {
    "JSON": lambda data: [(int(r["n"]), r["s"]) for r in json.loads(data)["data"]],
    "JSONCompact": lambda data: [(int(n), s) for n, s in json.loads(data)["data"]],
    "JSONEachRow": lambda data: [(int(r["n"]), r["s"]) for r in map(json.loads, data.splitlines())],
    "Arrow": lambda data: _rows(pa.ipc.open_file(data).read_all()),
    "ArrowStream": lambda data: _rows(pa.ipc.open_stream(data).read_all()),
    "Parquet": lambda data: _rows(pq.read_table(io.BytesIO(data))),
    "CSV": lambda data: [
        (int(line.split(",")[0]), json.loads(line.split(",")[1])) for line in data.decode().splitlines()
    ],
    "TSVWithNames": lambda data: [
        (int(n), s) for n, s in (line.split("\t") for line in data.decode().splitlines()[1:])
    ],
}


def _rows(table: pa.Table) -> list[tuple[int, str]]:
    return [(row["n"], row["s"]) for row in table.to_pylist()]


@pytest.mark.parametrize("name", READERS)
def test_an_answer_of_many_blocks_is_one_answer_in_its_format(client: Client, name: str) -> None:
    """With one beginning and one end, however many blocks the engine makes it of."""
    data = client.ok("SELECT number AS n, toString(number) AS s FROM numbers(200000)", default_format=name)
    assert READERS[name](data) == [(n, str(n)) for n in range(200_000)]


@pytest.mark.parametrize("name", ["Native", "RowBinary", "RowBinaryWithNamesAndTypes", *READERS])
def test_what_was_read_in_a_format_can_be_inserted_in_it(client: Client, table: str, name: str) -> None:
    """Both ways of saying it: all in the body, or the statement in the address."""
    data = client.ok(f"{_THREE} FORMAT {name}")
    client.ok(f"INSERT INTO t FORMAT {name}\n".encode() + data)
    done = client.post(data, query=f"INSERT INTO t SETTINGS max_threads = 1 FORMAT {name}")
    assert json.loads(done.headers["X-ClickHouse-Summary"])["written_rows"] == "3"
    assert client.ok("SELECT n, s, count() FROM t GROUP BY ALL ORDER BY n") == b"0\t0\t2\n1\t1\t2\n2\t2\t2\n"


def test_values_are_data_too(client: Client, table: str) -> None:
    """In the body, behind the address or as a whole statement; a select's rows as well."""
    client.ok("INSERT INTO t VALUES (1, 'FORMAT CSV'), (2, ';')")
    client.post(b"(3, 'c')", query="INSERT INTO t (n, s) VALUES")
    client.ok("INSERT INTO t SELECT 4, 'd'")
    assert client.ok("SELECT groupArray(s) FROM (SELECT s FROM t ORDER BY n)") == b"['FORMAT CSV',';','c','d']\n"


_ZSTD = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
UNDO: dict[str, Callable[[bytes], bytes]] = {
    "zstd": _ZSTD.decompress,
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "lz4": lz4.frame.decompress,
}
DO: dict[str, Callable[[bytes], bytes]] = {
    "zstd": _ZSTD.compress,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "lz4": lz4.frame.compress,
}


@pytest.mark.parametrize("coding", UNDO)
def test_answers_are_compressed_for_who_asks_and_can(client: Client, coding: str) -> None:
    """Asked by the parameter, known by the header."""
    sql = b"SELECT number FROM numbers(100000)"
    answer = client.post(sql, headers={"Accept-Encoding": f"x, {coding}"}, enable_http_compression="1", raw=True)
    assert answer.headers["Content-Encoding"] == coding
    assert UNDO[coding](answer.data) == b"".join(b"%d\n" % n for n in range(100_000))
    plain = client.post(sql, headers={"Accept-Encoding": coding}, raw=True)
    assert "Content-Encoding" not in plain.headers
    refused = client.post(sql, headers={"Accept-Encoding": f"{coding};q=0"}, enable_http_compression="1", raw=True)
    assert "Content-Encoding" not in refused.headers


@pytest.mark.parametrize("coding", DO)
def test_bodies_may_be_compressed(client: Client, table: str, coding: str) -> None:
    """The statement with its data, or the data alone; one that is cut off inserts nothing."""
    data = b"".join(b"%d\tx\n" % n for n in range(10_000))
    headers = {"Content-Encoding": coding}
    client.ok(DO[coding](b"INSERT INTO t FORMAT TSV\n" + data), headers=headers)
    client.ok(DO[coding](data), headers=headers, query="INSERT INTO t FORMAT TSV")
    cut = client.post(DO[coding](data)[:-20], headers=headers, query="INSERT INTO t FORMAT TSV")
    assert (cut.status, cut.headers["X-ClickHouse-Exception-Code"]) == (500, "271")
    assert client.ok("SELECT count() FROM t") == b"20000\n"


def test_what_is_not_spoken_is_refused_aloud(client: Client) -> None:
    """Never answered as if it had not been asked."""
    for asked in ({"compress": "1"}, {"decompress": "1"}):
        answer = client.post(b"SELECT 1", asked)
        assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (501, "48")
    answer = client.post(b"x", headers={"Content-Encoding": "snappy"})
    assert answer.status == 501
    answer = client.post(b"", fields={"query": "SELECT 1", "x": ("x.csv", b"1")})
    assert (answer.status, b"External table" in answer.data) == (501, True)


@pytest.mark.parametrize(
    ("sql", "status", "code", "name"),
    [
        ("SELECT nope", 404, 47, "UNKNOWN_IDENTIFIER"),
        ("SELECT 1 FROM nope.x", 404, 81, "UNKNOWN_DATABASE"),
        ("SELECT 1 FROM nope", 404, 60, "UNKNOWN_TABLE"),
        ("SELEC 1", 400, 62, "SYNTAX_ERROR"),
        ("", 400, 62, "SYNTAX_ERROR"),
        ("SELECT 'a", 400, 62, "SYNTAX_ERROR"),
        ("SELECT 1; SELECT 2", 400, 62, "SYNTAX_ERROR"),
        ("SELECT 1 FORMAT Nope", 404, 73, "UNKNOWN_FORMAT"),
        ("SELECT throwIf(1)", 500, 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("INSERT INTO nope VALUES (1)", 404, 60, "UNKNOWN_TABLE"),
        ("CREATE TABLE x (a Nope) ENGINE = Memory", 404, 50, "UNKNOWN_TYPE"),
        ("SET nope = 1", 404, 115, "UNKNOWN_SETTING"),
    ],
)
def test_an_error_has_the_servers_code_text_and_status(
    client: Client, sql: str, status: int, code: int, name: str
) -> None:
    """Once, with the version, as clients parse it."""
    answer = client.post(sql.encode(), query_id="mine")
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (status, str(code)), answer.data
    text = answer.data.decode()
    assert text.startswith(f"Code: {code}. DB::Exception: ")
    assert text.count("DB::Exception") == 1
    assert f"({name}) (version " in text
    assert answer.headers["X-ClickHouse-Query-Id"] == "mine"


def test_an_unknown_setting_or_parameter_is_an_error(client: Client) -> None:
    """A typing error in a setting must not be taken for the setting."""
    assert client.post(b"SELECT 1", nope="1").status == 404
    assert client.post(b"SELECT getSetting('max_threads')", max_threads="3").data == b"3\n"
    assert client.post(b"SELECT {x:UInt8}").headers["X-ClickHouse-Exception-Code"] == "456"


def test_an_error_after_the_beginning_of_an_answer_breaks_it_off(client: Client) -> None:
    """Its client cannot take the half for the whole."""
    sql = b"SELECT throwIf(number = 3000000), number FROM numbers(4000000)"
    with pytest.raises((urllib3.exceptions.ProtocolError, urllib3.exceptions.IncompleteRead)):
        client.post(sql)
    held = client.post(sql, wait_end_of_query="1")
    assert (held.status, held.headers["X-ClickHouse-Exception-Code"]) == (500, "395")


def test_an_answer_that_was_waited_for_says_what_was_read(client: Client) -> None:
    """In the header that a server has for it."""
    answer = client.post(b"SELECT sum(number) FROM numbers(1000)", wait_end_of_query="1", query_id="q1")
    assert answer.data == b"499500\n"
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["read_rows"] == "1000"
    assert answer.headers["X-ClickHouse-Query-Id"] == "q1"
    assert answer.headers["X-ClickHouse-Timezone"] == "UTC"


def test_a_session_keeps_tables_settings_and_database(client: Client) -> None:
    """And nothing of what was of one request alone."""
    session = {"session_id": "s1"}
    client.ok("CREATE TEMPORARY TABLE mine (a UInt8)", session)
    client.ok("INSERT INTO mine VALUES (1), (2)", session)
    client.ok("SET max_threads = 5", session, max_threads="2")
    client.ok("USE system", session)
    asked = "SELECT getSetting('max_threads'), currentDatabase(), (SELECT count() FROM mine)"
    assert client.ok(asked, session) == b"5\tsystem\t2\n"
    assert client.ok(asked, session, max_threads="3", database="trailhouse") == b"3\ttrailhouse\t2\n"
    assert client.ok(asked, session) == b"5\tsystem\t2\n"
    assert client.post(b"SELECT * FROM mine", session_id="s2").status == 404
    assert client.post(b"SELECT * FROM mine").status == 404


def test_a_session_that_is_not_there_can_be_asked_for(client: Client) -> None:
    """It ends by itself, too."""
    refused = client.post(b"SELECT 1", session_id="none", session_check="1")
    assert refused.headers["X-ClickHouse-Exception-Code"] == "372"
    client.ok("SELECT 1", session_id="short", session_timeout="0")
    assert client.post(b"SELECT 1", session_id="short", session_check="1").status == 500
    assert (
        client.post(b"SELECT 1", session_id="x", session_timeout="9999").headers["X-ClickHouse-Exception-Code"] == "374"
    )


def test_a_session_has_one_statement_at_a_time(client: Client) -> None:
    """A second one is told so, while other sessions go on."""
    sql = b"/* busy */" + LONG
    long = threading.Thread(target=lambda: client.post(sql, session_id="busy", query_id="busy-1"))
    long.start()
    try:
        client.until_running("/* busy */")
        locked = client.post(b"SELECT 1", session_id="busy")
        assert (locked.status, locked.headers["X-ClickHouse-Exception-Code"]) == (500, "373")
        assert client.ok("SELECT 1", session_id="free") == b"1\n"
        again = client.post(b"SELECT 1", query_id="busy-1")
        assert again.headers["X-ClickHouse-Exception-Code"] == "216"
    finally:
        client.ok("KILL QUERY WHERE query_id = 'busy-1'")
        long.join()
    assert client.ok("SELECT 1", session_id="busy") == b"1\n"


def test_a_statement_can_be_ended_by_its_id(client: Client) -> None:
    """It answers with the server's code for that."""
    answers: list[Any] = []
    long = threading.Thread(target=lambda: answers.append(client.post(b"/* long */" + LONG, query_id="long-1")))
    long.start()
    client.until_running("/* long */")
    client.ok("KILL QUERY WHERE query_id = 'long-1' SYNC")
    long.join()
    assert (answers[0].status, answers[0].headers["X-ClickHouse-Exception-Code"]) == (500, "394")


@pytest.mark.parametrize("sql", [LONG, b"SELECT number, randomPrintableASCII(100) FROM numbers(100000000000)"])
def test_a_statement_ends_when_its_client_hangs_up(client: Client, sql: bytes) -> None:
    """Before it has answered, and while it answers."""
    connection = client.begun(b"/* hung */" + sql, more=0)
    client.until_running("/* hung */")
    connection.close()
    client.until(lambda: not client.running("/* hung */"))


def test_an_insert_whose_client_hangs_up_inserts_nothing(client: Client, table: str) -> None:
    """However much of it had come."""
    connection = client.begun(b"INSERT INTO t FORMAT TSV\n" + b"1\ta\n" * 100_000, more=1000)
    connection.close()
    client.ok("INSERT INTO t VALUES (7, 'whole')")
    assert client.ok("SELECT n, s FROM t") == b"7\twhole\n"


def test_health_checks_answer(client: Client) -> None:
    """As of a server."""
    for path in ("/", "/ping", "/replicas_status"):
        assert (client.get(path).status, client.get(path).data) == (200, b"Ok.\n")
    assert client.get("/play").status == 404


def test_an_answer_is_never_in_memory_as_a_whole(client: Client, served: ServedWarehouse) -> None:
    """However long it is: the client holds the engine back."""

    def peak() -> int:
        said = Path(f"/proc/{served.process}/status").read_text("ascii")
        return int(said.partition("VmHWM:")[2].split()[0]) * 1024

    sql = b"SELECT number, repeat('x', 1000) FROM numbers({n:UInt64})"
    client.ok(sql, param_n="1000", default_format="RowBinary")
    before = peak()
    size = 0
    answer = client.post(sql, raw=True, param_n="1000000", default_format="RowBinary", whole=False)
    for piece in answer.stream(1024 * 1024):
        size += len(piece)
    assert size == 1_000_000 * 1010
    assert peak() - before < size // 4
