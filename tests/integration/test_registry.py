"""Schemas in a real registry: registered after a check of our own, found again by id."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from trailhouse_schemas.catalogue import CATALOGUE, EventType
from trailhouse_schemas.errors import CompatibilityError, RegistryUnavailableError, UnknownSchemaError
from trailhouse_schemas.registry import Registry, subject_of
from trailhouse_schemas.versions import latest

if TYPE_CHECKING:
    from trailhouse_cli.servers.registry import RegistryServer

pytestmark = pytest.mark.registry


class NotFound(BaseHTTPRequestHandler):
    """Answers as a proxy does that knows no such path."""

    def do_GET(self) -> None:
        """Say so, in HTML."""
        self.send_error(404)


def event_type(name: str) -> EventType:
    """Return an event type."""
    return CATALOGUE[name]


def test_a_registered_schema_is_found_by_its_id_and_its_id_by_the_schema(registry: RegistryServer) -> None:
    """The forwarder asks the one way, the collector the other."""
    there = Registry(registry.url)
    for one in CATALOGUE.values():
        there.register(one)
    fresh = Registry(registry.url)
    for one in CATALOGUE.values():
        version = latest(one.name)
        registry_id = fresh.id_of(version)
        assert fresh.version_of(registry_id) == version
        assert fresh.schema_of(registry_id)["name"] == one.model.__name__
    assert there.register(event_type("run_started")) == []


def test_what_the_registry_does_not_know_is_unknown_and_not_unavailable(registry: RegistryServer) -> None:
    """The one never decodes, the other later."""
    there = Registry(registry.url)
    with pytest.raises(UnknownSchemaError, match="Schema id 987654 is not known"):
        there.schema_of(987_654)


def test_a_proxy_that_knows_no_registry_yet_is_unavailable() -> None:
    """What it answers, 404, must not make a dead letter of every message meanwhile."""
    server = HTTPServer(("127.0.0.1", 0), NotFound)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(RegistryUnavailableError, match="answers 404"):
            Registry(f"http://127.0.0.1:{server.server_port}/elsewhere").schema_of(1)
    finally:
        server.shutdown()
        server.server_close()


def test_a_registry_that_does_not_answer_is_unavailable() -> None:
    """With the address and the way out."""
    with pytest.raises(RegistryUnavailableError, match=r"127\.0\.0\.1:9 does not answer"):
        Registry("http://127.0.0.1:9").schema_of(1)


def test_an_incompatible_schema_is_refused_before_it_is_registered(registry: RegistryServer) -> None:
    """Some registries take what they should refuse: here somebody else's subject already has another type."""
    one = event_type("steps_timed")
    other = json.loads(
        json.dumps(latest(one.name).schema).replace('"first_step", "type": "long"', '"first_step", "type": "string"')
    )
    client = SchemaRegistryClient({"url": registry.url})
    subject = subject_of(one)
    client.delete_subject(subject) if subject in client.get_subjects() else None
    client.register_schema(subject, Schema(json.dumps(other), "AVRO"))
    try:
        with pytest.raises(CompatibilityError, match="first_step: was"):
            Registry(registry.url).register(one)
        assert len(client.get_versions(subject)) == 1
    finally:
        client.delete_subject(subject)


def test_a_schema_that_is_not_ours_is_no_version(registry: RegistryServer) -> None:
    """It is known to the registry, yet not to the catalogue."""
    client = SchemaRegistryClient({"url": registry.url})
    foreign = {"type": "record", "name": "Order", "namespace": "shop", "fields": [{"name": "id", "type": "long"}]}
    registry_id = client.register_schema("orders-value", Schema(json.dumps(foreign), "AVRO"))
    assert Registry(registry.url).version_of(registry_id) is None
