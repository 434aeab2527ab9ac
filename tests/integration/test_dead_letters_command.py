"""`trailhouse dead-letters`: what it lists, shows, writes, refuses; and that a locked warehouse is said in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from collected import heartbeat, identities, metrics, new_producer_id, spooled
from trailhouse_cli.main import main
from trailhouse_consumer.service import collect
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.registry import Registry
from trailhouse_schemas.settings import Settings
from trailhouse_schemas.versions import latest
from trailhouse_schemas.wire import with_registry_header

if TYPE_CHECKING:
    from pathlib import Path

    from servers.warehouses import Warehouse
    from trailhouse_cli.servers.registry import RegistryServer

PRODUCER = new_producer_id()
JUNK = b"junk \xff\x00\x1b[31m" + bytes(range(32, 127)) * 8


class Said:
    """What a command has said."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        """Run it in this process, which has the embedded warehouse open."""
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["dead-letters", *arguments])
        self.code = ended.value.code
        self.out, self.error = capsys.readouterr()


def filled(warehouse: Warehouse, home: Path, registry_id: int = 7) -> Warehouse:
    """Collect three kinds of dead letters of two types, and two events that land."""
    values = [
        ("metrics_logged", metrics(PRODUCER, 0)),
        ("metrics_logged", JUNK),
        ("metrics_logged", with_registry_header(metrics(PRODUCER, 2), registry_id)),
        ("metrics_logged", with_registry_header(metrics(PRODUCER, 3), registry_id)),
        ("heartbeat_sent", heartbeat(PRODUCER, 4)),
        ("heartbeat_sent", b""),
    ]
    spooled(home / "spool", values, PRODUCER)
    collect(
        Settings.read(home=str(home), kafka="", warehouse=warehouse.url),
        CollectorSettings.read(flush_seconds=0, idle_seconds=0.1),
        until_idle=True,
    )
    return warehouse


@pytest.fixture
def embedded(warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """The warehouse of the settings."""
    monkeypatch.setenv("TRAILHOUSE_WAREHOUSE", warehouse.url)
    monkeypatch.setenv("TRAILHOUSE_HOME", str(tmp_path))
    return warehouse


@pytest.fixture
def letters(embedded: Warehouse, tmp_path: Path) -> Warehouse:
    """A warehouse with dead letters."""
    return filled(embedded, tmp_path)


def parts(said: Said) -> dict[str, list[dict[str, Any]]]:
    """Return the sections of a report in JSON."""
    found: dict[str, list[dict[str, Any]]] = json.loads(said.out)["sections"]
    return found


def test_they_are_listed_by_topic_and_reason(letters: Warehouse, capsys: pytest.CaptureFixture[str]) -> None:
    """Counts and the times of the first and last; filters leave out; every format has the same."""
    assert letters.count("dead_letters") == 4
    said = Said(capsys, "list")
    assert said.code == 0
    assert "4 open dead letters" in said.out
    groups = parts(Said(capsys, "list", "--format", "json"))["groups"]
    assert [(g["topic"], g["reason"], g["letters"]) for g in groups] == [
        ("trailhouse.heartbeat_sent", "no_header", 1),
        ("trailhouse.metrics_logged", "no_header", 1),
        ("trailhouse.metrics_logged", "unknown_schema", 2),
    ]
    assert groups[2]["first_published_at"] <= groups[2]["last_published_at"]
    for count, *how in (
        (3, "--topic", "metrics_logged"),
        (3, "--topic", "trailhouse.metrics_logged"),
        (2, "--reason", "no_header"),
        (1, "--reason", "no_header", "--topic", "heartbeat_sent"),
        (4, "--producer", PRODUCER),
        (0, "--producer", new_producer_id()),
        (4, "--project", "project"),
        (0, "--project", "other"),
        (4, "--since", "1h"),
        (0, "--until", "1h"),
        (0, "--standing", "dropped"),
    ):
        found = parts(Said(capsys, "list", "--each", "--format", "json", *how))["letters"]
        assert len(found) == count, how


def test_one_is_shown_with_all_that_is_known(
    letters: Warehouse, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the beginning of its id; nothing in it reaches the terminal raw; --out has every byte."""
    each = parts(Said(capsys, "list", "--each", "--format", "json", "--topic", "metrics_logged"))["letters"]
    junk, of_registry = each[0]["letter"], each[1]["letter"]
    said = Said(capsys, "show", junk[:10], "--bytes", "32", "--out", str(tmp_path / "raw"))
    assert said.code == 0
    assert "\x1b" not in said.out
    assert "6a 75 6e 6b 20 ff 00" in said.out
    assert f"{len(JUNK) - 32} more bytes" in said.out
    assert (tmp_path / "raw").read_bytes() == JUNK
    shown = parts(Said(capsys, "show", of_registry, "--format", "json"))["letters"]
    assert [(s["schema"], s["producer_id"], s["sequence"], s["offset"]) for s in shown] == [
        ("registry id 7", PRODUCER, 2, 2)
    ]
    assert parts(Said(capsys, "show", "--limit", "2", "--format", "json"))["value"]
    assert letters.count("dead_letters_settled") == 0


def test_replay_and_drop_settle_them_for_good(
    embedded: Warehouse, tmp_path: Path, registry: RegistryServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the registry that knows the schema; what fails stays, is dropped, and is not tried again."""
    known = Registry(registry.url)
    known.register(CATALOGUE["metrics_logged"])
    letters = filled(embedded, tmp_path, known.id_of(latest("metrics_logged")))
    said = Said(capsys, "replay", "--registry", registry.url)
    assert (said.code, said.error) == (1, "")
    assert said.out == "2 landed, 2 still cannot be landed (2 no_header)\n"
    assert identities(letters.client, "metrics_logged") == [(PRODUCER, 0), (PRODUCER, 2), (PRODUCER, 3)]
    said = Said(capsys, "drop", "--reason", "no_header", "--why", "sent by a fuzzer", "--yes")
    assert (said.code, said.out) == (0, "2 dropped\n")
    said = Said(capsys, "replay", "--registry", registry.url)
    assert (said.code, said.out) == (0, "0 landed, 0 still cannot be landed\n")
    (group,) = parts(Said(capsys, "list", "--format", "json", "--standing", "replayed"))["groups"]
    assert group["letters"] == 2


@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        ("Nothing says which", ("drop", "--why", "w", "--yes")),
        ("--why is empty", ("drop", "--reason", "no_header", "--why", " ", "--yes")),
        ("add --yes", ("drop", "--reason", "no_header", "--why", "w")),
        ("Missing option '--why'", ("drop", "--reason", "no_header")),
        ("Reason 'nope' is none", ("list", "--reason", "nope")),
        ("nope", ("list", "--topic", "nope")),
        ("Dead letter 'zz' is not known", ("show", "zz")),
        ("write more of its id", ("replay", "")),
        ("--out writes one letter's value, and 3 are chosen", ("show", "--out", "x")),
        ("is empty", ("list", "--since", "1h", "--until", "2h")),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    letters: Warehouse, capsys: pytest.CaptureFixture[str], said: str, arguments: tuple[str, ...]
) -> None:
    """Exit code 2, and nothing is settled."""
    found = Said(capsys, *arguments)
    assert (found.code, found.out, found.error.count("\n")) == (2, "", 1), found.error
    assert said in found.error
    assert letters.count("dead_letters_settled") == 0


@pytest.mark.parametrize(
    "arguments", [("list",), ("show",), ("replay",), ("drop", "--reason", "rejected", "--why", "w")]
)
def test_a_warehouse_that_a_collector_has_open_is_said(warehouse: Warehouse, arguments: tuple[str, ...]) -> None:
    """As this process has: another gets one line and exit code 2."""
    done = subprocess.run(
        [sys.executable, "-m", "trailhouse_cli", "dead-letters", *arguments, "--warehouse", warehouse.url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert "open" in done.stderr or "lock" in done.stderr
