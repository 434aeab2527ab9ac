"""Promises of docker-compose.yml that real servers can be asked about: they know what it tells them, and do it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType  # type: ignore[attr-defined]
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from servers.missing import cannot_have
from trailhouse_cli.errors import ServerMissingError
from trailhouse_cli.servers.cache import fetched
from trailhouse_cli.servers.containers import broker_variable
from trailhouse_cli.servers.kafka import BROKER_PROPERTIES, JarKafka
from trailhouse_cli.servers.process import free_port
from trailhouse_cli.servers.registry import JarRegistry
from trailhouse_cli.servers.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.topics import Topics
    from servers.warehouses import Warehouse
    from trailhouse_cli.servers.kafka import KafkaServer
    from trailhouse_cli.servers.registry import RegistryServer
    from trailhouse_schemas.settings import Settings

pytestmark = [pytest.mark.kafka, pytest.mark.registry]

#: A training script.
_RUN = """
import trailhouse
with trailhouse.start_run(project="compose", name="run") as run:
    for step in range(10):
        run.log({"loss": 1 / (step + 1)}, step=step)
"""
_COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"
_SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(_COMPOSE.read_text())["services"]
#: Where the container's own addresses and directories are; the starter has others.
_PLACES = re.compile(r"(.*listener.*|log\.dirs|controller\.quorum\..*)")


def _environment(service: str) -> dict[str, str]:
    return dict(_SERVICES[service]["environment"])


@pytest.fixture(scope="module")
def broker(kafka: KafkaServer) -> Iterator[JarKafka]:
    """A broker that was told what docker-compose.yml tells it, but for its places."""
    names = {broker_variable(name): name for name in _known_properties(kafka)}
    told = {names.get(variable, variable): value for variable, value in _environment("kafka").items()}
    try:
        server = JarKafka(properties={name: value for name, value in told.items() if not _PLACES.fullmatch(name)})
    except ServerMissingError as error:
        cannot_have(error)
    yield server
    server.close()


def _known_properties(server: KafkaServer) -> dict[str, str | None]:
    """Return every property that the broker knows, with its value."""
    admin = AdminClient({"bootstrap.servers": server.bootstrap_servers})
    resource = ConfigResource(ResourceType.BROKER, "1")
    entries = admin.describe_configs([resource])[resource].result(30)
    return {name: entry.value for name, entry in entries.items()}


def test_kafka_knows_every_property_and_takes_every_value(broker: JarKafka) -> None:
    """A misspelt property would be ignored without a word."""
    known = _known_properties(broker)
    names = {broker_variable(name): name for name in known}
    told = _environment("kafka")
    assert set(told) <= set(names)
    taken = {variable: known[names[variable]] for variable in told if not _PLACES.fullmatch(names[variable])}
    assert taken == {variable: told[variable] for variable in taken}
    assert set(BROKER_PROPERTIES) <= set(known)


def test_the_registry_knows_every_setting() -> None:
    """Each variable is a property of Apicurio's own defaults."""
    try:
        (jar,) = (fetched("registry") / "app").glob("*.jar")
    except ServerMissingError as error:
        cannot_have(error)
    with zipfile.ZipFile(jar) as packed:
        defaults = packed.read("application.properties").decode()
    known = {re.sub(r"[^A-Z0-9]", "_", name.upper()) for name in re.findall(r"^([\w.-]+)=", defaults, re.MULTILINE)}
    assert set(_environment("registry")) <= known
    # The health check asks the management port, at the root that the image has.
    assert "quarkus.management.enabled=true\nquarkus.management.root-path=/\n" in defaults


def test_schemas_outlive_a_killed_registry(broker: JarKafka) -> None:
    """With its schemas in Kafka, a registry that was killed has them again under the same ids."""
    environment = _environment("registry") | {
        "APICURIO_KAFKASQL_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        # It waits this long for its journal before it serves, twice; the default of 5 s only makes tests slow.
        "APICURIO_KAFKASQL_CONSUMER_POLL_TIMEOUT": "100",
    }
    try:
        registry = JarRegistry(environment=environment)
    except ServerMissingError as error:
        cannot_have(error)
    try:
        text = json.dumps({"type": "record", "name": "Kept", "namespace": "some", "fields": []})
        schema_id = SchemaRegistryClient({"url": registry.url}).register_schema("kept", Schema(text, "AVRO"))
        registry.kill()
        registry.start()
        kept = SchemaRegistryClient({"url": registry.url}).get_schema(schema_id)
        assert json.loads(kept.schema_str or "")["name"] == "Kept"
    finally:
        registry.close()


def test_the_collector_as_compose_starts_it_lands_what_a_run_logs(
    kafka: KafkaServer,
    registry: RegistryServer,
    server_warehouse: Warehouse,
    topics: Topics,
    settings: Settings,
    tmp_path: Path,
) -> None:
    """With its command, its settings and its health check; asked to end, it ends in order."""
    topics.create_catalogue()
    port = str(free_port())
    places = {
        "TRAILHOUSE_KAFKA": kafka.bootstrap_servers,
        "TRAILHOUSE_REGISTRY": registry.url,
        "TRAILHOUSE_WAREHOUSE": server_warehouse.url,
        "TRAILHOUSE_WAREHOUSE_PASSWORD": settings.warehouse_password.get_secret_value(),
        "TRAILHOUSE_COLLECT_METRICS_PORT": port,
    }
    environment = os.environ | _environment("collector") | places | {"TRAILHOUSE_HOME": str(tmp_path)}
    program = Path(sys.executable).with_name("trailhouse")
    subprocess.run([program, *_SERVICES["schemas"]["command"]], env=environment, check=True, timeout=120)
    subprocess.run([sys.executable, "-c", _RUN], env=environment, check=True, timeout=120)
    with ExitStack() as ending:
        collector = subprocess.Popen([program, *_SERVICES["collector"]["command"]], env=environment)
        ending.callback(collector.wait)
        ending.callback(collector.kill)
        assert wait_until(lambda: server_warehouse.count("run_finished") == 1, seconds=60)
        assert wait_until(lambda: server_warehouse.count("metrics_logged") == 10, seconds=60)
        _, python, *arguments = _SERVICES["collector"]["healthcheck"]["test"]
        assert python == "python"
        check = [sys.executable, *(argument.replace("9464", port) for argument in arguments)]
        assert subprocess.run(check, check=False, timeout=30).returncode == 0
        collector.terminate()
        assert collector.wait(60) == 0
    assert server_warehouse.count("dead_letters") == 0
