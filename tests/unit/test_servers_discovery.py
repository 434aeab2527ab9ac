"""Promises of how servers are found: in order, quickly, and with a reason for every way that leads nowhere."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trailhouse_cli.errors import ServerMissingError, ServerNotOwnedError
from trailhouse_cli.servers.cache import cache_directory, fetched, is_fetched
from trailhouse_cli.servers.clickhouse import EmbeddedClickHouse, server_arguments
from trailhouse_cli.servers.containers import broker_variable, require_engine
from trailhouse_cli.servers.discovery import find_clickhouse, find_kafka, find_registry
from trailhouse_cli.servers.java import find_java
from trailhouse_cli.servers.process import free_port
from trailhouse_schemas.errors import WarehouseUnavailableError
from trailhouse_schemas.settings import Settings


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without Docker, Maven, ClickHouse and jars; returns a directory that is its whole PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    return programs


def _program(path: Path, script: str) -> Path:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def _settings(*, kafka: str = "", registry: str = "", warehouse: str = "") -> Settings:
    """Return settings that name nothing but what is given."""
    return Settings(kafka=kafka, registry=registry, warehouse=warehouse)


@pytest.mark.parametrize(
    ("version", "major"),
    [('openjdk version "99.0.1" 2035-01-01', 99), ('java version "99"', 99), ('openjdk version "1.99.0_5"', 99)],
)
def test_java_is_asked_for_its_version(
    version: str, major: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """JAVA_HOME wins where it is new enough, whichever way it writes its version."""
    java = _program(tmp_path / "bin" / "java", f"echo '{version}' >&2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert find_java(major) == str(java)


def test_a_java_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error says which were found, and the way out."""
    java = _program(tmp_path / "bin" / "java", "echo 'openjdk version \"11.0.2\"' >&2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ServerMissingError, match=rf"Java 999 or newer .*11 at {java}.*JAVA_HOME"):
        find_java(999)


def test_a_broken_java_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A java that says nothing is of unknown version."""
    _program(tmp_path / "bin" / "java", "exit 1")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ServerMissingError, match="unknown at"):
        find_java(999)


def test_a_missing_engine_is_noticed_at_once(bare_machine: Path) -> None:
    """A docker client without an engine costs no time."""
    started = time.monotonic()
    with pytest.raises(ServerMissingError, match="no Docker engine answers"):
        require_engine()
    assert time.monotonic() - started < 5


def test_an_engine_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that takes connections and says nothing is no engine."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(ServerMissingError, match="no Docker engine answers"):
            require_engine()
        assert time.monotonic() - started < 15


def test_every_way_that_leads_nowhere_gives_its_reason(bare_machine: Path) -> None:
    """One line names the setting, Docker, and what Maven or Java lacks."""
    for find, setting in ((find_kafka, "TRAILHOUSE_KAFKA"), (find_registry, "TRAILHOUSE_REGISTRY")):
        with pytest.raises(
            ServerMissingError, match=f"{setting} is not set; no Docker engine.*; .*(Maven|Java)"
        ) as told:
            find(_settings())
        assert "\n" not in str(told.value)


def test_a_server_that_the_settings_name_and_that_is_silent_is_an_error(bare_machine: Path) -> None:
    """The settings are a promise: no other server is taken in its place."""
    nobody = f"127.0.0.1:{free_port()}"
    with pytest.raises(ServerMissingError, match=f"Kafka at {nobody} does not answer.*TRAILHOUSE_KAFKA"):
        find_kafka(_settings(kafka=nobody))
    with pytest.raises(ServerMissingError, match=f"registry at http://{nobody} does not answer.*TRAILHOUSE_REGISTRY"):
        find_registry(_settings(registry=f"http://{nobody}"))
    with pytest.raises(WarehouseUnavailableError, match=nobody):
        find_clickhouse(_settings(warehouse=f"clickhouse://{nobody}"), None)


def test_without_a_clickhouse_server_the_engine_in_the_process_serves(bare_machine: Path, tmp_path: Path) -> None:
    """The last way to a warehouse is always there, unless a server is asked for."""
    found = find_clickhouse(_settings(), tmp_path)
    assert isinstance(found, EmbeddedClickHouse)
    assert found.url("some") == f"chdb://{tmp_path}?database=some"
    with pytest.raises(ServerNotOwnedError):
        found.stop()
    with pytest.raises(ServerMissingError, match=r"no Docker engine.*no program clickhouse.*chDB is no server"):
        find_clickhouse(_settings(), None)


def test_a_clickhouse_server_keeps_to_its_directory_and_to_this_machine(tmp_path: Path) -> None:
    """Nothing of it lies or listens elsewhere."""
    arguments = dict(argument.removeprefix("--").split("=") for argument in server_arguments(tmp_path, 1, 2))
    assert arguments["listen_host"] == "127.0.0.1"
    assert all(value.startswith(str(tmp_path)) for name, value in arguments.items() if name.endswith("path"))


def test_two_processes_at_once_fetch_the_jars_once(bare_machine: Path, tmp_path: Path) -> None:
    """The second waits for the first, and neither sees half a directory."""
    calls = tmp_path / "calls"
    _program(
        bare_machine / "mvn",
        f"""PATH=/usr/bin:/bin
        echo call >> {calls}
        for argument; do case $argument in -DoutputDirectory=*) out=${{argument#*=}};; esac; done
        mkdir $out; echo first > $out/first.jar; sleep 0.5; echo second > $out/second.jar""",
    )
    code = (
        "from trailhouse_cli.servers.cache import fetched\n"
        "print(*sorted(jar.name for jar in fetched('kafka').iterdir()))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=60)[0].split() for process in both] == [["first.jar", "second.jar"]] * 2
    assert calls.read_text().split() == ["call"]
    assert is_fetched("kafka")


def test_a_failed_fetch_leaves_nothing_and_says_why(bare_machine: Path) -> None:
    """What Maven says is in the error, and the next try starts afresh."""
    _program(bare_machine / "mvn", "echo '[ERROR] Could not resolve org.apache.kafka'; exit 1")
    with pytest.raises(ServerMissingError, match=r"kafka.pom.xml: \[ERROR\] Could not resolve"):
        fetched("kafka")
    assert not is_fetched("kafka")
    assert [entry.name for entry in cache_directory().iterdir()] == [".lock"]


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """XDG_CACHE_HOME, else ~/.cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "trailhouse" / "servers"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_directory() == Path.home() / ".cache" / "trailhouse" / "servers"


def test_a_property_becomes_the_variable_of_the_image() -> None:
    """As the image apache/kafka reads them: dots, dashes and underscores stay apart."""
    assert broker_variable("log.dirs") == "KAFKA_LOG_DIRS"
    assert broker_variable("some-name.of_it") == "KAFKA_SOME___NAME_OF__IT"


@pytest.mark.parametrize(("ci", "word"), [("", "skipped"), ("0", "skipped"), ("true", "error"), ("1", "error")])
def test_a_server_that_cannot_be_had_skips_a_test_but_not_where_ci_is_set(
    ci: str, word: str, bare_machine: Path, tmp_path: Path
) -> None:
    """With its reason, either way."""
    (tmp_path / "test_it.py").write_text("def test_it(kafka): ...\n")
    tests = Path(__file__).parents[1]
    (tmp_path / "conftest.py").write_text((tests / "conftest.py").read_text())
    environment = os.environ | {"CI": ci, "TRAILHOUSE_KAFKA": "", "PYTHONPATH": str(tests)}
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", str(tmp_path / "test_it.py")]
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert f"1 {word}" in answer.stdout
    assert "No Kafka: TRAILHOUSE_KAFKA is not set" in answer.stdout
