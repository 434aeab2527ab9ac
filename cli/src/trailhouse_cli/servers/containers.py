"""Servers through testcontainers, where a Docker engine answers; a docker client alone is not an engine."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING, Any, Final

from trailhouse_cli.errors import ServerMissingError, ServerStartError
from trailhouse_cli.servers import clickhouse, kafka, registry
from trailhouse_cli.servers.process import HOST, free_port
from trailhouse_cli.servers.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "CLICKHOUSE_IMAGE",
    "KAFKA_IMAGE",
    "REGISTRY_IMAGE",
    "ContainerClickHouse",
    "ContainerKafka",
    "ContainerRegistry",
    "broker_variable",
    "engine_host",
    "require_engine",
]

#: The same versions as in docker-compose.yml, which a test sees to.
KAFKA_IMAGE: Final = "apache/kafka:4.1.1"
REGISTRY_IMAGE: Final = "apicurio/apicurio-registry:3.3.3"
CLICKHOUSE_IMAGE: Final = "clickhouse/clickhouse-server:26.9"

_ENGINE_SECONDS: Final = 2
_USER: Final = "trailhouse"
_STARTUP_SECONDS: Final = 90.0


def require_engine() -> None:
    """Return when a Docker engine answers; raises `ServerMissingError`, at once where there is none."""
    try:
        import docker  # noqa: PLC0415 - heavy, and only here
        import testcontainers.core.container  # noqa: F401, PLC0415 - heavy, and only here
    except ImportError:
        raise ServerMissingError(
            "testcontainers is not installed; install trailhouse-cli[servers] to start servers through Docker"
        ) from None
    try:
        with contextlib.closing(docker.from_env(timeout=_ENGINE_SECONDS)) as client:
            client.ping()
    except (docker.errors.DockerException, OSError) as error:
        raise ServerMissingError(f"no Docker engine answers ({_first_line(error)})") from None


def engine_host() -> str:
    """Return where the ports of containers are: this machine, unless the engine is somewhere else."""
    from testcontainers.core.docker_client import DockerClient  # noqa: PLC0415 - heavy, and only here

    host = str(DockerClient().host())
    return HOST if host == "localhost" else host


def broker_variable(prop: str) -> str:
    """Return the environment variable by which the image apache/kafka takes that property of the broker."""
    return "KAFKA_" + prop.replace("_", "__").replace("-", "___").replace(".", "_").upper()


class ContainerServer:
    """A server in a container of our own; testcontainers removes it, when this process is killed too."""

    origin = "docker"

    def __init__(
        self,
        name: str,
        image: str,
        *,
        inner_port: int,
        port: int,
        environment: Mapping[str, str],
        is_ready: Callable[[], bool],
    ) -> None:
        """Start it on that port of the engine's machine and return when it serves; raises `ServerStartError`."""
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - heavy, and only here

        self._name = name
        self._is_ready = is_ready
        container: Any = DockerContainer(image)
        self._container = container
        # Not through `with_bind_ports`, which binds to every interface of the machine.
        container.ports[f"{inner_port}/tcp"] = (HOST if engine_host() == HOST else "0.0.0.0", port)  # noqa: S104
        for variable, value in environment.items():
            container.with_env(variable, value)
        try:
            self._container.start()
            self._wait()
        except BaseException:
            self.close()
            raise

    @property
    def running(self) -> bool:
        """Whether the container runs."""
        wrapped = self._container.get_wrapped_container()
        wrapped.reload()
        return bool(wrapped.status == "running")

    def start(self) -> None:
        """Start it again with its data; returns when it serves; raises `ServerStartError`."""
        self._container.get_wrapped_container().start()
        self._wait()

    def stop(self) -> None:
        """Stop it in order; its data stay."""
        self._container.get_wrapped_container().stop()

    def kill(self) -> None:
        """Kill it as a power cut would; its data stay."""
        self._container.get_wrapped_container().kill()

    def close(self) -> None:
        """Remove it with its data."""
        self._container.stop()

    def _wait(self) -> None:
        if not wait_until(self._is_ready, seconds=_STARTUP_SECONDS):
            raise ServerStartError(self._name, f"its container did not answer in {_STARTUP_SECONDS:g} s", "")


class ContainerKafka(ContainerServer):
    """A broker in a container."""

    def __init__(self, *, port: int = 0) -> None:
        """Start it; returns when it serves; raises `ServerMissingError` without an engine."""
        require_engine()
        port = port or free_port()
        self.bootstrap_servers = f"{engine_host()}:{port}"
        properties = kafka.BROKER_PROPERTIES | {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": "1@localhost:9093",
            "controller.listener.names": "CONTROLLER",
            # Clients reach the broker by the port that this machine lends it.
            "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap_servers}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        }
        super().__init__(
            "kafka",
            KAFKA_IMAGE,
            inner_port=9092,
            port=port,
            environment={broker_variable(name): value for name, value in properties.items()},
            is_ready=lambda: kafka.answers(self.bootstrap_servers, timeout_seconds=1),
        )


class ContainerRegistry(ContainerServer):
    """A schema registry in a container."""

    def __init__(self, *, port: int = 0) -> None:
        """Start it; returns when it serves; raises `ServerMissingError` without an engine."""
        require_engine()
        port = port or free_port()
        self.url = f"http://{engine_host()}:{port}{registry.CONFLUENT_API}"
        super().__init__(
            "registry",
            REGISTRY_IMAGE,
            inner_port=8080,
            port=port,
            environment={},
            is_ready=lambda: registry.answers(self.url, timeout_seconds=2),
        )


class ContainerClickHouse(ContainerServer):
    """A ClickHouse server in a container, with a password that nobody else knows."""

    def __init__(self) -> None:
        """Start it; returns when it serves; raises `ServerMissingError` without an engine."""
        require_engine()
        self._port = free_port()
        self._password = secrets.token_urlsafe()
        super().__init__(
            "clickhouse",
            CLICKHOUSE_IMAGE,
            inner_port=8123,
            port=self._port,
            environment={"CLICKHOUSE_USER": _USER, "CLICKHOUSE_PASSWORD": self._password},
            is_ready=lambda: clickhouse.answers(engine_host(), self._port, timeout_seconds=1),
        )

    def url(self, database: str) -> str:
        """Return the URL of that database, with the password."""
        return f"clickhouse://{_USER}:{self._password}@{engine_host()}:{self._port}/{database}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
