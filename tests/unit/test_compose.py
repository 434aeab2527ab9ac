"""Promises of docker-compose.yml and of the collector's image, as far as they can be held without an engine."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import click
import pytest
import yaml

from trailhouse_cli.main import COMMANDS
from trailhouse_cli.servers.containers import CLICKHOUSE_IMAGE, KAFKA_IMAGE, REGISTRY_IMAGE
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_schemas.settings import Settings
from trailhouse_schemas.warehouse import parse_url

_ROOT = Path(__file__).parents[2]
_COMPOSE: dict[str, Any] = yaml.safe_load((_ROOT / "docker-compose.yml").read_text())
_SERVICES: dict[str, dict[str, Any]] = _COMPOSE["services"]
_OURS = ["schemas", "topics", "collector"]
_DOCKERFILE = (_ROOT / "consumer" / "Dockerfile").read_text()


def _ports(service: str) -> set[str]:
    """Return the ports that a service has inside, as its own settings and its image say."""
    listeners = re.findall(r"://:(\d+)", _SERVICES[service].get("environment", {}).get("KAFKA_LISTENERS", ""))
    return set(listeners) | {port.split(":")[-1] for port in _SERVICES[service].get("ports", [])}


def test_the_services_are_those_of_the_design() -> None:
    """A broker, a registry, a warehouse, and the collector after the schemas and the topics."""
    assert set(_SERVICES) == {"kafka", "registry", "clickhouse", *_OURS}


def test_every_service_waits_for_services_that_are_there() -> None:
    """And for a health check only of one that has it."""
    for name, service in _SERVICES.items():
        for other, condition in service.get("depends_on", {}).items():
            assert other in _SERVICES, name
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in _SERVICES[other], f"{name} waits for {other}"


def test_every_service_has_a_health_check_with_bounds() -> None:
    """No health check runs for ever, and none gives up while a server starts; only what ends by itself has none."""
    ending = {other for service in _SERVICES.values() for other, how in service.get("depends_on", {}).items()
              if how["condition"] == "service_completed_successfully"}  # fmt: skip
    assert ending == {"schemas", "topics"}
    for name in set(_SERVICES) - ending:
        check = _SERVICES[name]["healthcheck"]
        assert {"test", "interval", "timeout", "retries", "start_period"} == set(check)
        assert check["test"][0] == "CMD"


def test_every_volume_is_declared_and_used() -> None:
    """What must last is in named volumes."""
    used = {volume.split(":")[0] for service in _SERVICES.values() for volume in service.get("volumes", [])}
    assert used == set(_COMPOSE["volumes"])


def test_nothing_listens_to_the_world() -> None:
    """Every port is bound to this machine's own interface."""
    ports = [port for service in _SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_password_has_a_default() -> None:
    """A password comes from the caller's environment or compose refuses, with the reason."""
    passwords = {
        f"{name}.{variable}": value
        for name, service in _SERVICES.items()
        for variable, value in service.get("environment", {}).items()
        if "PASSWORD" in variable
    }
    assert set(passwords) == {
        "clickhouse.CLICKHOUSE_PASSWORD",
        "collector.TRAILHOUSE_WAREHOUSE_PASSWORD",
    }
    assert all(re.fullmatch(r"\$\{TRAILHOUSE_WAREHOUSE_PASSWORD:\?[^}]+\}", value) for value in passwords.values())


def test_every_setting_of_ours_exists() -> None:
    """Each TRAILHOUSE_ variable is a field of the settings: a misspelt one would be silently nothing."""
    known = {f"TRAILHOUSE_{name.upper()}" for name in Settings.model_fields}
    known |= {f"TRAILHOUSE_COLLECT_{name.upper()}" for name in CollectorSettings.model_fields}
    for name in _OURS:
        assert set(_SERVICES[name]["environment"]) <= known


def test_the_settings_point_at_services_and_ports_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read as the collector reads them."""
    for variable, value in _SERVICES["collector"]["environment"].items():
        monkeypatch.setenv(variable, value)
    settings = Settings()
    host, port = settings.kafka.split(":")
    assert port in _ports(host)
    host, port = re.fullmatch(r"http://(\w+):(\d+)/apis/ccompat/v7", settings.registry).groups()  # type: ignore[union-attr]
    assert port in _ports(host)
    warehouse = parse_url(settings.warehouse)
    assert str(warehouse.port) in _ports(warehouse.host)
    assert warehouse.user == _SERVICES[warehouse.host]["environment"]["CLICKHOUSE_USER"]
    assert str(CollectorSettings().metrics_port) in _ports("collector")
    assert _SERVICES["registry"]["environment"]["APICURIO_KAFKASQL_BOOTSTRAP_SERVERS"] == settings.kafka


@pytest.mark.parametrize("name", _OURS)
def test_what_the_image_is_told_to_run_is_a_command(name: str) -> None:
    """The words after `trailhouse` are a command with options that it has."""
    command, *rest = _SERVICES[name]["command"]
    assert command in COMMANDS
    found = cast("click.Command", importlib.import_module(f"trailhouse_cli.commands.{command}").command)
    while isinstance(found, click.Group):
        found = found.commands[rest.pop(0)]
    found.make_context(command, rest)
    assert 'ENTRYPOINT ["trailhouse"]' in _DOCKERFILE


def test_the_images_are_those_of_the_tests() -> None:
    """Tests through testcontainers and compose run the same versions."""
    assert _SERVICES["kafka"]["image"] == KAFKA_IMAGE
    assert _SERVICES["registry"]["image"] == REGISTRY_IMAGE
    assert _SERVICES["clickhouse"]["image"] == CLICKHOUSE_IMAGE


def test_the_versions_are_those_of_the_jars() -> None:
    """A container and a jar of one server are of one version."""
    poms = _ROOT / "cli" / "src" / "trailhouse_cli" / "servers" / "jars"
    for pom, image in (("kafka", KAFKA_IMAGE), ("registry", REGISTRY_IMAGE)):
        assert f"<version>{image.split(':')[1]}</version>" in (poms / f"{pom}.pom.xml").read_text()


def test_the_image_is_built_from_files_that_the_context_has() -> None:
    """Each COPY names something that is there and that .dockerignore lets through."""
    let_through = {line[1:] for line in (_ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(\S+) ", _DOCKERFILE, re.MULTILINE)
    assert set(copied) == let_through
    assert all((_ROOT / name).exists() for name in copied)
    for name in _OURS:
        assert _SERVICES[name]["build"] == {"context": ".", "dockerfile": "consumer/Dockerfile"}


def test_the_image_does_not_run_as_root() -> None:
    """The last stage changes to a user of its own."""
    last_stage = _DOCKERFILE[_DOCKERFILE.rindex("\nFROM") :]
    assert re.search(r"^USER trailhouse$", last_stage, re.MULTILINE)


def test_the_image_installs_every_member() -> None:
    """From the tree, at the versions of the constraints file."""
    (command,) = re.findall(r"^RUN \S+pip install (.*?)\n\n", _DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert "--constraint constraints.txt" in command
    assert set(re.findall(r"\./(\w+)", command)) == {"schemas", "producer", "consumer", "analytics", "cli"}


def test_compose_itself_takes_the_file(tmp_path: Path) -> None:
    """Where the docker client has compose: it parses the file, and refuses to without a password."""
    if shutil.which("docker") is None:
        pytest.skip("no docker client is here")
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("the docker client has no compose")
    command = ["docker", "compose", "--file", str(_ROOT / "docker-compose.yml"), "config", "--quiet"]
    without = subprocess.run(command, env={"PATH": "/usr/bin:/bin:/usr/local/bin"}, capture_output=True, check=False)
    assert b"TRAILHOUSE_WAREHOUSE_PASSWORD" in without.stderr
    environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "TRAILHOUSE_WAREHOUSE_PASSWORD": "secret"}
    assert subprocess.run(command, env=environment, check=False).returncode == 0
