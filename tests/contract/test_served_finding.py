"""Programs that open `chdb://DIRECTORY` find whoever serves it, and nobody who does no longer."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from collected import metrics, new_producer_id, spooled
from servers.served import Client
from servers.warehouses import ServedWarehouse
from trailhouse_cli.servers.waiting import wait_until
from trailhouse_schemas.errors import WarehouseLockedError, WarehouseUnavailableError
from trailhouse_schemas.warehouse import check, connect
from trailhouse_schemas.warehouse.served import Announcement, Served, Tokens, find_served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Says how a process of its own has opened a warehouse: through whom, and what it found there.
_OPENS = """
import json, sys
from trailhouse_schemas.warehouse import connect
client = connect(sys.argv[1])
client.command("CREATE TABLE IF NOT EXISTS t (n UInt64) ENGINE = MergeTree ORDER BY n")
client.command("INSERT INTO t VALUES ({n:UInt64})", {"n": int(sys.argv[2])})
found = client.query("SELECT count() FROM t").first_row[0]
print(json.dumps({"kind": type(client).__name__, "found": found, "engine": "chdb" in sys.modules}))
client.close()
"""


@pytest.fixture
def served() -> Iterator[ServedWarehouse]:
    """A served warehouse of one test alone."""
    server = ServedWarehouse()
    yield server
    server.close()


#: Opens a warehouse, and serves it when it is told to.
_SERVES_LATER = """
import sys
from pathlib import Path
from trailhouse_consumer.serving import Serving
from trailhouse_schemas.warehouse import connect, parse_url
client = connect(sys.argv[1], create=True)
print("open", flush=True)
sys.stdin.readline()
with Serving(parse_url(sys.argv[1]).directory, database="trailhouse"):
    sys.stdin.readline()
"""


def started(server: ServedWarehouse, number: int) -> subprocess.Popen[str]:
    """Let another process open the warehouse by its directory, and add a row."""
    return subprocess.Popen(
        [sys.executable, "-c", _OPENS, f"chdb://{server.directory}", str(number)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def opened(server: ServedWarehouse) -> dict[str, object]:
    """Return what such a process says."""
    out, err = started(server, 1).communicate(timeout=60)
    assert out, err
    said: dict[str, object] = json.loads(out)
    return said


def test_what_opens_a_served_directory_is_served(served: ServedWarehouse) -> None:
    """Several at once, by the URL that they have, and without an engine of their own."""
    programs = [started(served, n) for n in range(4)]
    said = [json.loads(program.communicate(timeout=60)[0]) for program in programs]
    assert {(each["kind"], each["engine"]) for each in said} == {("HttpClient", False)}
    client = connect(f"chdb://{served.directory}")
    check(client)
    assert client.query("SELECT n FROM t ORDER BY n").result_rows == [(0,), (1,), (2,), (3,)]
    assert client.database == "trailhouse"
    client.close()
    with pytest.raises(WarehouseUnavailableError, match="no database 'nowhere'"):
        connect(f"chdb://{served.directory}?database=nowhere")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_who_opens_a_directory_that_is_served_no_more_opens_it_itself(served: ServedWarehouse, end: str) -> None:
    """Also after a kill, which leaves the file with the address there; and is served again by the next server."""
    assert opened(served) == {"kind": "HttpClient", "found": 1, "engine": False}
    getattr(served, end)()
    written = (served.directory / "served.json").read_text()
    assert bool(written) == (end == "kill")
    assert find_served(served.directory) is None
    assert opened(served) == {"kind": "ChdbClient", "found": 2, "engine": True}
    served.start()
    assert opened(served) == {"kind": "HttpClient", "found": 3, "engine": False}


def test_who_opens_a_directory_that_is_about_to_be_served_waits_for_it(tmp_path: Path) -> None:
    """A collector that starts has it open a moment before it serves."""
    url = f"chdb://{tmp_path / 'warehouse'}"
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVES_LATER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    telling = threading.Timer(0.3, lambda: print(file=process.stdin, flush=True))
    telling.start()
    client = connect(url)
    assert client.query("SELECT 1").first_row == (1,)
    client.close()
    telling.join()
    process.communicate("\n", timeout=60)
    assert process.returncode == 0


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)",
        "SELECT number, randomPrintableASCII(100) FROM numbers(1000000000000)",
    ],
)
def test_a_server_that_is_to_end_waits_for_no_statement(tmp_path: Path, sql: str) -> None:
    """Not for one that takes forever, nor for a client that does not take its answer."""
    url = f"chdb://{tmp_path / 'warehouse'}"
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVES_LATER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert wait_until(lambda: tmp_path.joinpath("warehouse").exists(), seconds=60)
    assert wait_until(lambda: find_served(tmp_path / "warehouse") is not None, seconds=60)
    found = find_served(tmp_path / "warehouse")
    client = Client(f"http://{found}", Tokens.of(tmp_path / "warehouse").write)
    with client.begun(b"/* endless */" + sql.encode(), more=0):
        client.until_running("/* endless */")
        process.communicate("\n", timeout=60)
        assert process.returncode == 0


def test_what_a_killed_server_was_doing_is_cleared_away(served: ServedWarehouse) -> None:
    """Data on their way that nobody will insert."""
    served.kill()
    left = served.directory / "serving" / "left.data"
    left.write_bytes(b"x")
    served.start()
    assert not left.exists()
    served.stop()
    assert not left.parent.exists()


def test_tokens_outlive_their_server(served: ServedWarehouse) -> None:
    """Who has one need not be told a new one."""
    before = served.tokens
    served.stop()
    served.start()
    assert served.tokens == before
    assert len({before.read, before.write}) == 2
    assert min(len(before.read), len(before.write)) >= 32


def test_one_directory_has_one_server(served: ServedWarehouse) -> None:
    """The second is told where the first is."""
    command = [sys.executable, "-m", "trailhouse_cli", "warehouse", "serve"]
    done = subprocess.run(
        [*command, "--warehouse", f"chdb://{served.directory}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert f"is served already, at {served.address.removeprefix('http://')} by process" in done.stderr


def test_a_collector_goes_through_whoever_serves(served: ServedWarehouse, tmp_path: Path) -> None:
    """It serves nothing itself then, and says so."""
    producer_id = new_producer_id()
    spooled(tmp_path / "spool", [("metrics_logged", metrics(producer_id, i)) for i in range(10)], producer_id)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "trailhouse_cli", "collect", "--until-idle", "--kafka", ""),
            *("--warehouse", f"chdb://{served.directory}", "--spool", str(tmp_path / "spool")),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, "landed 10 messages" in done.stdout) == (0, True), done.stderr
    assert "is served already" in done.stderr
    client = connect(f"chdb://{served.directory}")
    assert client.query("SELECT count() FROM metrics_logged").first_row == (20,)
    client.close()


def test_an_announcement_is_found_as_long_as_its_lock_is_held(tmp_path: Path) -> None:
    """And no second one is made meanwhile."""
    assert find_served(tmp_path) is None
    said = Served("127.0.0.1", 1234, "", 7)
    announcement = Announcement(tmp_path, said)
    assert find_served(tmp_path) == said
    with pytest.raises(WarehouseLockedError, match="is served already"):
        Announcement(tmp_path, said)
    announcement.withdraw()
    assert find_served(tmp_path) is None


def test_tokens_are_made_once(tmp_path: Path) -> None:
    """Whoever comes second has the same, and a file that others could read is closed to them."""
    made = Tokens.made(tmp_path)
    path = tmp_path / "tokens.json"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    assert Tokens.made(tmp_path) == Tokens.of(tmp_path) == made
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["tokens.json"]
