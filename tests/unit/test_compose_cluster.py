"""Promises of docker-compose.cluster.yml and deploy/clickhouse, as far as they can be held without a Docker engine."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree as ET

import click
import pytest
import yaml

from trailhouse_cli.main import COMMANDS
from trailhouse_cli.servers.containers import CLICKHOUSE_IMAGE, KAFKA_IMAGE, REGISTRY_IMAGE
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_schemas.settings import Settings
from trailhouse_schemas.warehouse import parse_url

_ROOT = Path(__file__).parents[2]
_COMPOSE: dict[str, Any] = yaml.safe_load((_ROOT / "docker-compose.cluster.yml").read_text())
_SERVICES: dict[str, dict[str, Any]] = _COMPOSE["services"]
_ALONE: dict[str, dict[str, Any]] = yaml.safe_load((_ROOT / "docker-compose.yml").read_text())["services"]
_CLUSTER = _ROOT / "deploy" / "clickhouse" / "cluster.xml"
_KEEPER = _ROOT / "deploy" / "clickhouse" / "keeper.xml"
_BROKERS = ["kafka-1", "kafka-2", "kafka-3"]
_KEEPERS = ["keeper-1", "keeper-2", "keeper-3"]
_SERVERS = ["clickhouse-1-1", "clickhouse-1-2", "clickhouse-2-1", "clickhouse-2-2"]
_COLLECTORS = ["collector-1", "collector-2"]
_OURS = [*_COLLECTORS, "migrate", "schemas", "topics"]
_ENDING = {"schemas", "topics", "migrate"}

#: Asks the engine what it made of the file that the servers get.
_READ = """
import json, sys, clickhouse_connect
engine = clickhouse_connect.get_client(interface="chdb", path=sys.argv[1], chdb_options={"config-file": sys.argv[2]})
print(json.dumps({
    "clusters": engine.query("SELECT cluster, shard_num, replica_num, host_name, port, internal_replication "
                             "FROM system.clusters ORDER BY ALL").result_rows,
    "macros": dict(engine.query("SELECT macro, substitution FROM system.macros").result_rows),
}))
"""


def _environment(service: str) -> dict[str, str]:
    return dict(_SERVICES[service].get("environment", {}))


def test_the_services_are_those_of_the_design() -> None:
    """Three brokers, a registry, three Keepers, two shards of two replicas, two collectors after what must be first."""
    assert set(_SERVICES) == {*_BROKERS, "registry", *_KEEPERS, *_SERVERS, *_OURS}


def test_every_image_is_pinned_and_that_of_the_tests() -> None:
    """One version of a server here, in the compose file of one machine, and in the tests."""
    images = {name: service["image"] for name, service in _SERVICES.items()}
    assert {images[name] for name in _BROKERS} == {KAFKA_IMAGE}
    assert {images[name] for name in [*_SERVERS, *_KEEPERS]} == {CLICKHOUSE_IMAGE}
    assert images["registry"] == REGISTRY_IMAGE
    assert {images[name] for name in _OURS} == {"trailhouse-collector"}
    assert all(_SERVICES[name]["build"] == _ALONE["collector"]["build"] for name in _OURS)


def test_every_service_waits_for_services_that_are_there() -> None:
    """And for the health only of one that has a check, for the end only of one that ends."""
    for name, service in _SERVICES.items():
        for other, condition in service.get("depends_on", {}).items():
            assert other in _SERVICES, name
            ends = condition["condition"] == "service_completed_successfully"
            assert ends == (other in _ENDING), f"{name} waits for {other}"
            assert ends or "healthcheck" in _SERVICES[other], f"{name} waits for {other}"


def test_every_service_that_stays_has_a_health_check_with_bounds() -> None:
    """None runs for ever, and none gives up while a server starts."""
    for name in set(_SERVICES) - _ENDING:
        check = _SERVICES[name]["healthcheck"]
        assert {"test", "interval", "timeout", "retries", "start_period"} == set(check)
        assert check["test"][0] == "CMD"
        assert _SERVICES[name]["restart"] == "unless-stopped"


def test_every_volume_is_declared_and_every_file_is_there() -> None:
    """What must last is in a named volume of its own service; files come from the repository, read-only."""
    used = []
    for name, service in _SERVICES.items():
        for volume in service.get("volumes", []):
            source, _, rest = volume.partition(":")
            if source.startswith("./"):
                assert (_ROOT / source).is_file(), name
                assert rest.endswith(".xml:ro")
            else:
                assert source == name
                used.append(source)
    assert sorted(used) == sorted(_COMPOSE["volumes"]) == sorted([*_BROKERS, *_KEEPERS, *_SERVERS])


def test_nothing_listens_to_the_world_and_no_port_twice() -> None:
    """Every port is bound to this machine's own interface."""
    ports = [port.rpartition(":")[0] for service in _SERVICES.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert len(ports) == len(set(ports)) == 3 + 1 + 4 + 2


def test_no_password_and_no_secret_has_a_default() -> None:
    """They come from the caller's environment or compose refuses, with the reason."""
    secrets = [
        value
        for name in _SERVICES
        for variable, value in _environment(name).items()
        if "PASSWORD" in variable or "SECRET" in variable
    ]
    assert len(secrets) == 2 * len(_SERVERS) + len(_COLLECTORS) + 1
    assert all(re.fullmatch(r"\$\{TRAILHOUSE_(WAREHOUSE_PASSWORD|CLUSTER_SECRET):\?[^}]+\}", each) for each in secrets)
    for file in (_CLUSTER, _KEEPER):
        for element in ET.parse(file).iter():  # noqa: S314 - the repository's own file
            if element.tag in {"secret", "password"}:
                assert element.get("from_env")
                assert not element.text


def test_the_brokers_are_one_cluster_that_loses_nothing_with_one_of_them() -> None:
    """Each has its own number and address, all the same voters; acknowledged is what two of three have."""
    names = {_environment(name)["KAFKA_NODE_ID"]: name for name in _BROKERS}
    voters = ",".join(f"{number}@{name}:9093" for number, name in names.items())
    hosts = set()
    for number, name in names.items():
        told = _environment(name)
        assert told["KAFKA_CONTROLLER_QUORUM_VOTERS"] == voters
        inside, host = told.pop("KAFKA_ADVERTISED_LISTENERS").split(",")
        assert inside == f"INSIDE://{name}:19092"
        (port,) = _SERVICES[name]["ports"]
        assert host == f"HOST://{port.removesuffix(':9092')}"
        hosts.add(host)
        assert told.pop("KAFKA_NODE_ID") == number
        assert told == {k: v for k, v in _environment("kafka-1").items() if k in told}
    assert len(hosts) == len(names) == 3
    told = _environment("kafka-1")
    factors = {variable: value for variable, value in told.items() if variable.endswith("REPLICATION_FACTOR")}
    assert set(factors.values()) == {"3"}
    assert {told["KAFKA_MIN_INSYNC_REPLICAS"], told["KAFKA_TRANSACTION_STATE_LOG_MIN_ISR"]} == {"2"}
    assert told["KAFKA_UNCLEAN_LEADER_ELECTION_ENABLE"] == "false"
    # Each variable is one that the single broker has too, where a real broker is asked whether it knows it.
    more = {"CLUSTER_ID", "KAFKA_UNCLEAN_LEADER_ELECTION_ENABLE"}
    assert set(told) - more == set(_ALONE["kafka"]["environment"]) - {"KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS"}


def test_the_keepers_are_one_quorum() -> None:
    """The file names the services, each has its number, and the servers know all of them."""
    root = ET.parse(_KEEPER).getroot()  # noqa: S314 - the repository's own file
    found = {each.findtext("id"): each.findtext("hostname") for each in root.iter("server")}
    assert found == {_environment(name)["KEEPER_ID"]: name for name in _KEEPERS}
    assert root.find("keeper_server/server_id").get("from_env") == "KEEPER_ID"  # type: ignore[union-attr]
    port = root.findtext("keeper_server/tcp_port")
    cluster = ET.parse(_CLUSTER).getroot()  # noqa: S314 - the repository's own file
    nodes = [(node.findtext("host"), node.findtext("port")) for node in cluster.findall("zookeeper/node")]
    assert nodes == [(name, port) for name in _KEEPERS]
    for name in _KEEPERS:
        assert port in _SERVICES[name]["healthcheck"]["test"]
        config = _SERVICES[name]["entrypoint"][-1].removeprefix("--config-file=")
        assert f"./deploy/clickhouse/keeper.xml:{config}:ro" in _SERVICES[name]["volumes"]


@pytest.mark.parametrize("name", _SERVERS)
def test_the_engine_reads_the_file_of_a_server(name: str, tmp_path: Path) -> None:
    """With the service's environment: the macros are its place, and the cluster is of the services."""
    environment = {key: value for key, value in _environment(name).items() if key.startswith("CLICKHOUSE_")}
    asked = subprocess.run(
        [sys.executable, "-c", _READ, str(tmp_path / "engine"), str(_CLUSTER)],
        env=environment | {"CLICKHOUSE_CLUSTER_SECRET": "secret", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found = json.loads(asked.stdout)
    _, shard, replica = name.split("-")
    assert found["macros"] == {"shard": shard, "replica": replica}
    assert found["clusters"] == [
        ["trailhouse", int(server.split("-")[1]), int(server.split("-")[2]), server, 9000, 1] for server in _SERVERS
    ]
    assert _SERVICES[name]["hostname"] == name
    assert any(volume.startswith("./deploy/clickhouse/cluster.xml:/etc/") for volume in _SERVICES[name]["volumes"])


def test_every_setting_of_ours_exists_and_points_at_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each TRAILHOUSE_ variable is a field of the settings; read as the collector reads them."""
    known = {f"TRAILHOUSE_{name.upper()}" for name in Settings.model_fields}
    known |= {f"TRAILHOUSE_COLLECT_{name.upper()}" for name in CollectorSettings.model_fields}
    (cluster,) = ET.parse(_CLUSTER).getroot().findall("remote_servers/*")  # noqa: S314 - as above
    databases, servers = set(), set()
    for name in _OURS:
        environment = _environment(name)
        assert set(environment) <= known
        with monkeypatch.context() as set_up:
            for variable, value in environment.items():
                set_up.setenv(variable, value)
            settings = Settings()
        if name in {*_COLLECTORS, "topics"}:
            assert settings.kafka == ",".join(f"{broker}:19092" for broker in _BROKERS)
            assert settings.kafka == _environment("registry")["APICURIO_KAFKASQL_BOOTSTRAP_SERVERS"]
        if name not in {"migrate", "topics"}:
            assert settings.registry == _ALONE["collector"]["environment"]["TRAILHOUSE_REGISTRY"]
        if name not in {"schemas", "topics"}:
            warehouse = parse_url(settings.warehouse)
            assert warehouse.host in _SERVERS
            assert warehouse.cluster == cluster.tag
            assert warehouse.user == _environment(warehouse.host)["CLICKHOUSE_USER"]
            databases.add(warehouse.database)
            servers.add(warehouse.host)
    assert len(databases) == 1
    assert len(servers) == 2


@pytest.mark.parametrize("name", _OURS)
def test_what_the_image_is_told_to_run_is_a_command(name: str) -> None:
    """The words after `trailhouse` are a command with options that it has."""
    command, *rest = _SERVICES[name]["command"]
    assert command in COMMANDS
    found = cast("click.Command", importlib.import_module(f"trailhouse_cli.commands.{command}").command)
    while isinstance(found, click.Group):
        found = found.commands[rest.pop(0)]
    found.make_context(command, rest)
