"""Passwords: every client of Kafka works with them, from files; and none is in anything that is printed or kept."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from producing import clean_environment, run_script
from servers.missing import cannot_have
from servers.sasl_kafka import SaslKafka
from trailhouse_cli.errors import ServerMissingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = [pytest.mark.kafka, pytest.mark.long]

#: The passwords that are right, and those that are wrong; in nothing that is said.
CANARY: Final = uuid.uuid4().hex  # of no file: runs keep what is not committed here
RIGHT: Final = f"{CANARY}-that-opens"
WRONG: Final = f"{CANARY}-that-does-not"
_NOWHERE: Final = "127.0.0.1:9"

_TRAIN: Final = """
    import logging, trailhouse
    logging.basicConfig(level=logging.DEBUG)
    with trailhouse.start_run(project="locked", name="run") as run:
        for step in range(50):
            run.log({"loss": 1 / (step + 1)}, step=step)
    print(repr(run), trailhouse.authorize("me", "read", "dataset:x"))
"""


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SaslKafka]:
    """A broker that asks for a password over TLS."""
    try:
        server = SaslKafka(tmp_path_factory.mktemp("locked"), RIGHT)
    except ServerMissingError as error:
        cannot_have(error)
    yield server
    server.close()


def secret_file(directory: Path, name: str, text: str) -> str:
    """Write a file that its owner alone may read; return its path."""
    path = directory / name
    path.write_text(text + "\n")
    path.chmod(0o600)
    return str(path)


def command(spool: Path, environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `trailhouse`, on the spools in `spool` and the home beside them."""
    return subprocess.run(
        [Path(sys.executable).with_name("trailhouse"), *arguments],
        env=clean_environment(spool, environment),
        cwd=spool.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_every_client_speaks_sasl_over_tls_with_a_password_from_a_file(locked: SaslKafka, tmp_path: Path) -> None:
    """Topics, producer, grants, collector, doctor; the password is in no output, no spool and no table."""
    spool = tmp_path / "spool"
    secret = secret_file(tmp_path, "kafka.json", json.dumps({"sasl.password": RIGHT}))
    environment = {
        "TRAILHOUSE_KAFKA": locked.bootstrap_servers,
        "TRAILHOUSE_KAFKA_CLIENT": json.dumps(dict(locked.client())),
        "TRAILHOUSE_KAFKA_CLIENT_FILE": secret,
        "TRAILHOUSE_CREATE_TOPICS": "false",
        "TRAILHOUSE_SAMPLE_INTERVAL_SECONDS": "0",
    }
    said: list[str] = []

    def run(*commands: tuple[str, ...]) -> None:
        for arguments in commands:
            done = command(spool, environment, *arguments)
            assert done.returncode == 0, (arguments, done.stdout, done.stderr)
            said.extend((done.stdout, done.stderr))

    run(("topics", "create"), ("topics", "check"), ("migrate",), ("doctor",))
    run(
        ("grant", "me", "-a", "read", "-r", "dataset:x"),
        ("price", "set", "h100", "1", "EUR", "-r", "gpu"),
        ("run", "--project", "locked", "--", "true", "--password", RIGHT, f"--api-key={RIGHT}", f"http://m:{RIGHT}@h"),
        ("forward", "--until-empty", "--timeout", "60"),
    )
    trained = run_script(_TRAIN, spool, environment)
    assert trained.returncode == 0, trained.stderr
    assert "allowed=True" in trained.stdout
    said += [trained.stdout, trained.stderr]
    run(("collect", "--until-idle"), ("verify",), ("audit",), ("runs", "list"), ("runs", "show", "run"))
    assert "0 lost, 0 doubled" in "".join(said)
    tables = _all_rows(tmp_path / "home" / "warehouse")
    assert "locked" in tables
    assert CANARY not in tables
    assert CANARY not in "".join(said)
    assert _holding_canary(tmp_path) == [Path(secret)]


def test_no_wrong_password_is_in_anything_that_is_said_of_it(locked: SaslKafka, tmp_path: Path) -> None:
    """Of any setting, of any command, with Kafka's client as talkative as it can be."""
    spool = tmp_path / "spool"
    talkative = dict(locked.client()) | {"debug": "all", "log_level": "7", "sasl.password": WRONG}
    environment = {
        "TRAILHOUSE_KAFKA": locked.bootstrap_servers,
        "TRAILHOUSE_KAFKA_CLIENT": json.dumps(talkative),
        "TRAILHOUSE_COLLECT_KAFKA_CLIENT": json.dumps({"sasl.password": WRONG}),
        "TRAILHOUSE_REGISTRY": f"http://me:{WRONG}@{_NOWHERE}",
        "TRAILHOUSE_WAREHOUSE": f"clickhouse://me:{WRONG}@{_NOWHERE}/db",
        "TRAILHOUSE_WAREHOUSE_PASSWORD": WRONG,
        "TRAILHOUSE_PERMISSION_TIMEOUT_SECONDS": "3",
        "TRAILHOUSE_FINISH_TIMEOUT_SECONDS": "2",
        "TRAILHOUSE_SAMPLE_INTERVAL_SECONDS": "0",
    }
    logged_in = environment | {
        "TRAILHOUSE_REGISTRY": f"http://{_NOWHERE}",
        "TRAILHOUSE_REGISTRY_USER_INFO": f"me:{WRONG}",
        "TRAILHOUSE_WAREHOUSE": "",
        "TRAILHOUSE_WAREHOUSE_PASSWORD": "",
    }
    trained = run_script(_TRAIN, spool, environment)
    assert trained.returncode == 0, trained.stderr
    said = {"training": trained.stdout + trained.stderr}
    for code, given, arguments in (
        (1, environment, ("doctor",)),
        (1, environment, ("doctor", "--format", "json")),
        (1, logged_in, ("doctor", "--format", "html")),
        (2, environment, ("collect", "--until-idle")),
        (2, logged_in, ("collect", "--until-idle")),
        (1, logged_in, ("forward", "--timeout", "3")),
        (2, logged_in, ("forward", "--once")),
        (2, logged_in, ("topics", "create")),
        (2, logged_in, ("topics", "check")),
        (2, environment, ("schemas", "register")),
        (2, logged_in, ("schemas", "register")),
        (2, environment, ("migrate",)),
        (2, environment, ("verify",)),
        (2, logged_in, ("grant", "me", "-a", "read", "-r", "dataset:x")),
        (2, environment | {"TRAILHOUSE_KAFKA_CLIENT": f'{{"sasl.password": {WRONG}'}, ("doctor",)),
        (
            2,
            environment | {"TRAILHOUSE_KAFKA_CLIENT": f'{{"sasl.password": "{WRONG}", "no.such": "x"}}'},
            ("topics", "check"),
        ),
        (0, environment, ("topics", "create", "--help")),
    ):
        done = command(spool, given, *arguments)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        said[" ".join(arguments)] = done.stdout + done.stderr
    assert "SASL authentication error" in said["topics check"] or "Authentication failed" in said["topics create"]
    assert [name for name, text in said.items() if CANARY in text] == []
    assert _holding_canary(tmp_path) == []


def _all_rows(directory: Path) -> str:
    """Return all rows of all tables of an embedded warehouse, as text, read by a process of its own."""
    program = """
        import sys
        from trailhouse_schemas.warehouse import connect
        client = connect("chdb://" + sys.argv[1])
        for (table,) in client.query("SELECT name FROM system.tables WHERE database = currentDatabase()").result_rows:
            print(table, client.raw_query(f"SELECT * FROM `{table}` FORMAT JSONEachRow").decode())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(directory)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def _holding_canary(directory: Path) -> list[Path]:
    """Return the files with a canary in their bytes."""
    return [path for path in directory.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
