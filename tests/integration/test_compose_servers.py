"""Promises of docker-compose.yml that real servers can be asked about: they know what it tells them, and do it."""

from __future__ import annotations

import json
import re
import zipfile
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
from trailhouse_cli.servers.registry import JarRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trailhouse_cli.servers.kafka import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.registry]

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
