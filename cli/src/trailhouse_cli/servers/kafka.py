"""A real Kafka broker of our own: one node, KRaft, from Maven's jars; and one that somebody else runs."""

from __future__ import annotations

import base64
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from trailhouse_cli.errors import ServerMissingError, ServerNotOwnedError, ServerStartError
from trailhouse_cli.servers.cache import fetched
from trailhouse_cli.servers.java import find_java
from trailhouse_cli.servers.process import HOST, OwnedProcess, free_port, new_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BROKER_PROPERTIES", "ForeignKafka", "JarKafka", "KafkaServer", "answers"]

#: What every broker that we start is told, however it is started.
BROKER_PROPERTIES: Final = {
    "auto.create.topics.enable": "false",
    # A killed broker may come back only when its old session is over. The default is 9 s.
    "broker.heartbeat.interval.ms": "250",
    "broker.session.timeout.ms": "1500",
    # A member that is gone is missed soon, so that tests of lost members take seconds. The defaults are 45 s.
    "group.consumer.heartbeat.interval.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "6000",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # The collector's `_published_at` is the broker's clock, not the client's.
    "log.message.timestamp.type": "LogAppendTime",
    # One node can hold one replica.
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
}

_JAVA: Final = 17
_HEAP: Final = "-Xmx512M"
_LOG_SETTINGS: Final = Path(__file__).with_name("jars") / "log4j2.properties"
_FORMAT_SECONDS: Final = 60.0
_ANSWER_SECONDS: Final = 5.0


class KafkaServer(Protocol):
    """A broker that answers. One of our own can be stopped, killed and started again, on the same port and data."""

    @property
    def bootstrap_servers(self) -> str:
        """Address for clients, HOST:PORT."""

    @property
    def origin(self) -> str:
        """Where it comes from: settings, docker or jars."""

    @property
    def running(self) -> bool:
        """Whether it is up."""

    def start(self) -> None:
        """Start it again; returns when it serves; raises `ServerStartError`."""

    def stop(self) -> None:
        """Stop it in order; its data stay; raises `ServerNotOwnedError` where it is not ours."""

    def kill(self) -> None:
        """Kill it as a power cut would; its data stay; raises `ServerNotOwnedError` where it is not ours."""

    def close(self) -> None:
        """Have done with it: one of our own is gone with its data."""


def answers(
    bootstrap_servers: str, timeout_seconds: float = _ANSWER_SECONDS, client: Mapping[str, str] | None = None
) -> bool:
    """Return whether a broker answers there with its metadata; `client` is what else Kafka's client is made with."""
    from confluent_kafka import KafkaException  # noqa: PLC0415 - heavy
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - heavy

    # Level 0 keeps librdkafka from reporting every refused connection while a broker starts.
    settings: dict[str, str | int] = {"bootstrap.servers": bootstrap_servers, "log_level": 0, "socket.timeout.ms": 3000}
    try:
        return bool(AdminClient({**settings, **(client or {})}).list_topics(timeout=timeout_seconds).brokers)
    except KafkaException:
        return False


class ForeignKafka:
    """A broker that somebody else runs."""

    origin = "settings"
    running = True

    def __init__(self, bootstrap_servers: str, client: Mapping[str, str] | None = None) -> None:
        """Take its address; raises `ServerMissingError` when it does not answer."""
        if not answers(bootstrap_servers, client=client):
            raise ServerMissingError(
                f"Kafka at {bootstrap_servers} does not answer; start it, or unset TRAILHOUSE_KAFKA to start one here"
            )
        self.bootstrap_servers = bootstrap_servers

    def start(self) -> None:
        """Nothing to do."""

    def stop(self) -> None:
        """Refuse."""
        raise ServerNotOwnedError("kafka", self.bootstrap_servers)

    def kill(self) -> None:
        """Refuse."""
        raise ServerNotOwnedError("kafka", self.bootstrap_servers)

    def close(self) -> None:
        """Nothing to do."""


class JarKafka:
    """A broker of our own, from Maven's jars."""

    origin = "jars"

    def __init__(self, *, port: int = 0, properties: Mapping[str, str] | None = None) -> None:
        """Fetch what it needs, start it, and return when it serves; any free port when none is given.

        `properties` are the broker's, over all that it is told otherwise.

        Raises `ServerMissingError` where Java or Maven lacks, `ServerStartError` where it does not come up.
        """
        java = find_java(_JAVA)
        jars = fetched("kafka")
        port = port or free_port()
        directory = new_directory("kafka")
        file = directory / "server.properties"
        file.write_text(_properties(port, free_port(), directory, properties or {}))
        run_java = [java, _HEAP, f"-Dlog4j2.configurationFile={_LOG_SETTINGS}", "-cp", f"{jars}/*"]
        self.bootstrap_servers = f"{HOST}:{port}"
        self._process = OwnedProcess(
            "kafka",
            [*run_java, "kafka.Kafka", str(file)],
            directory=directory,
            is_ready=lambda: answers(self.bootstrap_servers, timeout_seconds=1),
        )
        try:
            _format_storage(run_java, file)
            self._process.start()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Process id of the broker."""
        return self._process.pid

    @property
    def log(self) -> Path:
        """File with what the broker says."""
        return self._process.log

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.running

    def start(self) -> None:
        """Start it again; returns when it serves; raises `ServerStartError`."""
        self._process.start()

    def stop(self) -> None:
        """Stop it in order; its data stay."""
        self._process.stop()

    def kill(self) -> None:
        """Kill it as a power cut would; its data stay."""
        self._process.kill()

    def close(self) -> None:
        """Kill it for good and remove its data."""
        self._process.close()


def _properties(port: int, controller_port: int, directory: Path, more: Mapping[str, str]) -> str:
    """Return the text of server.properties for one node that is broker and controller; `more` wins."""
    places = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.bootstrap.servers": f"{HOST}:{controller_port}",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(directory / "data"),
    }
    properties = BROKER_PROPERTIES | places | dict(more)
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def _format_storage(run_java: list[str], properties: Path) -> None:
    """Make the data directory of a new cluster."""
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    # Kafka's tools take an argument that starts with a dash for an option.
    cluster_id = cluster_id.replace("-", "_", 1) if cluster_id.startswith("-") else cluster_id
    command = [*run_java, "kafka.tools.StorageTool", "format", "--standalone", "-t", cluster_id, "-c", str(properties)]
    answer = subprocess.run(  # noqa: S603 - our own arguments
        command, capture_output=True, text=True, timeout=_FORMAT_SECONDS, check=False, stdin=subprocess.DEVNULL
    )
    if answer.returncode:
        raise ServerStartError("kafka", "its storage could not be formatted", (answer.stdout + answer.stderr).strip())
