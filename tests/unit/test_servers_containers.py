"""Promises of the servers in containers, up to the engine: what it is asked for. No engine is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient

from trailhouse_cli.errors import ServerStartError
from trailhouse_cli.servers import clickhouse, containers, kafka, registry
from trailhouse_cli.servers.discovery import find_clickhouse, find_kafka, find_registry
from trailhouse_schemas.settings import Settings
from trailhouse_schemas.warehouse import parse_url

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOTHING = Settings(kafka="", registry="", warehouse="")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Containers that were asked for, of an engine that is always there and whose servers always answer."""
    started: list[Any] = []

    def start(self: Any) -> None:
        started.append(self)

    def stop(self: Any) -> None:
        started.remove(self)

    monkeypatch.setattr(containers, "require_engine", lambda: None)
    monkeypatch.setattr(DockerClient, "__init__", lambda self: None)
    monkeypatch.setattr(DockerClient, "host", lambda self: "localhost")
    monkeypatch.setattr(DockerContainer, "__init__", _without_engine)
    monkeypatch.setattr(DockerContainer, "start", start)
    monkeypatch.setattr(DockerContainer, "stop", stop)
    for module in (kafka, registry, clickhouse):
        monkeypatch.setattr(module, "answers", lambda *_args, **_more: True)
    yield started
    assert started == []


def _without_engine(self: Any, image: str) -> None:
    self.image, self.env, self.ports = image, {}, {}


def test_a_container_is_what_is_taken_where_an_engine_answers(asked: list[Any]) -> None:
    """Before jars, programs and the embedded engine; each on this machine's own interface alone."""
    servers = find_kafka(_NOTHING), find_registry(_NOTHING), find_clickhouse(_NOTHING, None)
    assert [server.origin for server in servers] == ["docker"] * 3
    assert [c.image for c in asked] == [
        containers.KAFKA_IMAGE,
        containers.REGISTRY_IMAGE,
        containers.CLICKHOUSE_IMAGE,
    ]
    bound = [next(iter(c.ports.items())) for c in asked]
    assert [inner for inner, _ in bound] == ["9092/tcp", "8080/tcp", "8123/tcp"]
    assert {address for _, (address, _) in bound} == {"127.0.0.1"}
    ports = [port for _, (_, port) in bound]
    assert servers[0].bootstrap_servers == f"127.0.0.1:{ports[0]}"
    assert servers[1].url == f"http://127.0.0.1:{ports[1]}/apis/ccompat/v7"
    where = parse_url(servers[2].url("some"))
    assert (where.host, where.port, where.database) == ("127.0.0.1", ports[2], "some")
    for server in servers:
        server.close()


def test_a_broker_in_a_container_has_the_properties_of_one_from_jars(asked: list[Any]) -> None:
    """And tells its clients the port that they reach it by."""
    server = find_kafka(_NOTHING, port=19_999)
    environment = asked[0].env
    expected = {containers.broker_variable(name): value for name, value in kafka.BROKER_PROPERTIES.items()}
    assert expected.items() <= environment.items()
    assert environment["KAFKA_ADVERTISED_LISTENERS"] == "PLAINTEXT://127.0.0.1:19999"
    server.close()


def test_a_clickhouse_container_has_a_password_that_nobody_else_knows(asked: list[Any]) -> None:
    """Another one every time."""
    servers = [find_clickhouse(_NOTHING, None) for _ in range(2)]
    passwords = [parse_url(server.url("some")).password for server in servers]
    assert passwords == [container.env["CLICKHOUSE_PASSWORD"] for container in asked]
    assert len({*passwords, ""}) == 3
    for server in servers:
        server.close()


def test_a_container_that_does_not_answer_is_removed(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """With an error that says how long it was waited for."""
    monkeypatch.setattr(containers, "_STARTUP_SECONDS", 0.1)
    monkeypatch.setattr(kafka, "answers", lambda *_args, **_more: False)
    with pytest.raises(ServerStartError, match=r"container did not answer in 0\.1 s"):
        find_kafka(_NOTHING)
