"""`trailhouse grant`, `revoke` and `audit` as they are typed, from a grant to a finding; and bad input."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from trailhouse_cli.commands.grant import parse_expiry
from trailhouse_cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 1, tzinfo=UTC)

#: Runs commands, one after the other in one process, as `main` would be run by each; prints what became of them.
RUNNER = """
import contextlib, io, json, sys
import trailhouse
from trailhouse_cli.main import main
from trailhouse_schemas.events import DatasetLogged

def run(*arguments):
    out, err = io.StringIO(), io.StringIO()
    code = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(arguments))
        except SystemExit as ended:
            code = ended.code
    results.append((list(arguments[:2]), code, out.getvalue(), err.getvalue()))
    return out.getvalue().strip()

results = []
run("grant", "alice", "--action", "member", "--resource", "group:analysts")
run("grant", "analysts", "--group", "-a", "read", "-a", "train", "-r", "dataset:emea/*")
bob = run("grant", "bob", "-a", "*", "-r", "*", "--approved-by", "dora")
run("grant", "analysts", "--group", "--deny", "-a", "*", "-r", "dataset:emea/pii")
run("revoke", bob, "--reason", "left the team")
run("revoke", bob, "--reason", "again")
for who in ("alice", "bob", "eve"):
    trailhouse.authorize(who, "read", "dataset:emea/sales")
    with trailhouse.start_run(project="sales", principal=who) as started:
        started.emit(DatasetLogged, dataset_id="emea/sales", direction="input")
trailhouse.finish_all()
run("migrate")
run("collect", "--until-idle")
run("audit", "--format", "json", "--fail-on-findings")
run("audit", "--project", "sales")
run("audit", "--project", "nope")
run("audit", "permissions", "--format", "csv")
run("audit", "who-can", "read", "dataset:emea/sales", "-f", "json")
run("audit", "who-can", "read", "dataset:*")
run("audit", "what-can", "alice", "-f", "html")
run("audit", "activity", "--principal", "bob", "-f", "json")
json.dump([bob, results], sys.stdout)
"""


def test_from_a_grant_to_a_finding(tmp_path: Path) -> None:
    """Alice may through a group, Bob might until it was taken back, Eve never could: all three read."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRAILHOUSE_")}
    environment |= {"TRAILHOUSE_HOME": str(tmp_path), "TRAILHOUSE_FLUSH_INTERVAL_SECONDS": "0.05"}
    process = subprocess.run(
        [sys.executable, "-c", RUNNER], capture_output=True, text=True, timeout=200, check=False, env=environment
    )
    assert process.returncode == 0, process.stderr
    bob, results = json.loads(process.stdout)
    said = iter(results)

    def expect(*command: str, code: int = 0) -> str:
        begin, found, out, error = next(said)
        assert begin[: len(command)] == list(command)
        assert found == code, error
        if code == 2:
            assert error.startswith("trailhouse: ")
            assert len(error.splitlines()) == 1
            return str(error)
        return str(out)

    for _ in range(4):
        assert len(expect("grant").strip()) == 36
    assert expect("revoke", bob) == f"revoked {bob}\n"
    assert "was revoked on" in expect("revoke", bob, code=2)
    expect("migrate")
    expect("collect")
    found = json.loads(expect("audit", "--format", code=1))
    assert [(row["principal"], row["times"]) for row in found["sections"]["unauthorised"]] == [("eve", 1)]
    assert [(row["principal"], row["how"], row["grant_ids"]) for row in found["sections"]["after_end"]] == [
        ("bob", "revoked", [bob])
    ]
    assert {row["principal"] for row in found["sections"]["denials"]} == {"bob", "eve"}
    assert (found["grants_in_force"], found["done_without_permission"], found["denied"]) == (3, 1, 2)
    assert "eve" in expect("audit", "--project")
    assert "Project 'nope' is not known" in expect("audit", "--project", code=2)
    rows = list(csv.DictReader(io.StringIO(expect("audit", "permissions"))))
    assert [(row["principal"], row["resource"], row["effect"]) for row in rows] == [
        ("alice", "group:analysts", "allow"),
        ("alice", "dataset:emea/*", "allow"),
        ("alice", "dataset:emea/pii", "deny"),
    ]
    who = json.loads(expect("audit", "who-can"))
    assert [row["principal"] for row in who["sections"]["who_can"]] == ["alice"]
    assert "is not one" in expect("audit", "who-can", code=2)
    assert "<table>" in expect("audit", "what-can")
    activity = json.loads(expect("audit", "activity"))
    assert sum(row["not_permitted"] for row in activity["sections"]["activity"]) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("grant", "alice", "-a", "read"), "Missing option '--resource'"),
        (("grant", "alice", "-r", "dataset:x"), "Missing option '--action'"),
        (("grant", "alice", "-a", "read", "-r", "x"), "Resource 'x' is none"),
        (("grant", "alice", "-a", "member", "-r", "group:*"), "Nobody can be a member of 'group:*'"),
        (("grant", "alice", "-a", "read", "-r", "a:b", "--group", "--service"), "cannot be a group and a service"),
        (("grant", "alice", "-a", "read", "-r", "a:b", "--expires", "soon"), "'soon' is no moment"),
        (("grant", "alice", "-a", "read", "-r", "a:b", "--expires", "2020-01-01"), "is past"),
        (("revoke", "nope", "--reason", "x"), "Grants are not known"),
        (("revoke", "nope"), "Missing option '--reason'"),
        (("audit", "--since", "x"), "'x' is no moment"),
        (("audit", "--until", "now", "permissions"), "Option --until goes behind permissions"),
        (("audit", "--unused-days", "0"), "0 is not in the range"),
        (("audit",), "is not there; run 'trailhouse migrate'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It names the thing and the way out."""
    for name in [name for name in os.environ if name.startswith("TRAILHOUSE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRAILHOUSE_HOME", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_an_expiry_is_a_moment_or_a_stretch_of_time_from_now_on() -> None:
    """Unlike in a report, where 30d is 30 days ago."""
    assert parse_expiry("30d", NOW) == NOW + timedelta(days=30)
    assert parse_expiry(" 12h ", NOW) == NOW + timedelta(hours=12)
    assert parse_expiry("2026-12-31", NOW) == datetime(2026, 12, 31, tzinfo=UTC)
    assert parse_expiry("2026-12-31T12:00:00+01:00", NOW) == datetime(2026, 12, 31, 11, tzinfo=UTC)
    for text in ("soon", "", "99999999w"):
        with pytest.raises(ValueError, match="moment"):
            parse_expiry(text, NOW)
