"""A real schema registry that speaks Confluent's API: Apicurio from Maven's archive, or one that somebody else runs."""

from __future__ import annotations

import urllib.request
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol

from trailhouse_cli.errors import ServerMissingError, ServerNotOwnedError
from trailhouse_cli.servers.cache import fetched
from trailhouse_cli.servers.java import find_java
from trailhouse_cli.servers.process import HOST, OwnedProcess, free_port, new_directory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["CONFLUENT_API", "ForeignRegistry", "JarRegistry", "RegistryServer", "answers"]

#: Where Apicurio serves Confluent's API.
CONFLUENT_API: Final = "/apis/ccompat/v7"

_JAVA: Final = 21
_HEAP: Final = "-Xmx384M"
_ANSWER_SECONDS: Final = 5.0


class RegistryServer(Protocol):
    """A registry that answers. Only one of our own can be stopped, killed and started again, on the same port.

    One of our own keeps its schemas in memory: after a restart it is empty.
    """

    @property
    def url(self) -> str:
        """URL of Confluent's API."""

    @property
    def origin(self) -> str:
        """Where it comes from: settings, docker or jars."""

    @property
    def running(self) -> bool:
        """Whether it is up."""

    def start(self) -> None:
        """Start it again; returns when it serves; raises `ServerStartError`."""

    def stop(self) -> None:
        """Stop it in order; raises `ServerNotOwnedError` where it is not ours."""

    def kill(self) -> None:
        """Kill it as a power cut would; raises `ServerNotOwnedError` where it is not ours."""

    def close(self) -> None:
        """Have done with it: one of our own is gone with its data."""


def answers(url: str, timeout_seconds: float = _ANSWER_SECONDS) -> bool:
    """Return whether a registry at that URL lists its subjects."""
    # Without a proxy: it is this machine or the own network that is asked.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url.rstrip('/')}/subjects", timeout=timeout_seconds) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except (OSError, ValueError):  # HTTP errors are OSErrors
        return False


class ForeignRegistry:
    """A registry that somebody else runs."""

    origin = "settings"
    running = True

    def __init__(self, url: str) -> None:
        """Take its address; raises `ServerMissingError` when it does not answer."""
        if not answers(url):
            raise ServerMissingError(
                f"The registry at {url} does not answer; start it, or unset TRAILHOUSE_REGISTRY to start one here"
            )
        self.url = url

    def start(self) -> None:
        """Nothing to do."""

    def stop(self) -> None:
        """Refuse."""
        raise ServerNotOwnedError("registry", self.url)

    def kill(self) -> None:
        """Refuse."""
        raise ServerNotOwnedError("registry", self.url)

    def close(self) -> None:
        """Nothing to do."""


class JarRegistry:
    """An Apicurio registry of our own, from Maven's archive, with its schemas in memory unless it is told otherwise."""

    origin = "jars"

    def __init__(self, *, port: int = 0, environment: Mapping[str, str] | None = None) -> None:
        """Fetch what it needs, start it, and return when it serves; any free port when none is given.

        `environment` are settings of Apicurio's, such as another storage.

        Raises `ServerMissingError` where Java or Maven lacks, `ServerStartError` where it does not come up.
        """
        java = find_java(_JAVA)
        app = fetched("registry")
        port = port or free_port()
        self.url = f"http://{HOST}:{port}{CONFLUENT_API}"
        self._process = OwnedProcess(
            "registry",
            [
                java,
                _HEAP,
                f"-Dquarkus.http.host={HOST}",
                f"-Dquarkus.http.port={port}",
                # Its health and metrics, by default on port 9000 of all interfaces.
                f"-Dquarkus.management.host={HOST}",
                f"-Dquarkus.management.port={free_port()}",
                "-Dquarkus.log.level=WARN",
                '-Dquarkus.log.category."io.apicurio".level=WARN',
                "-Dquarkus.http.access-log.enabled=false",
                "-Dquarkus.banner.enabled=false",
                "-jar",
                str(app / "quarkus-run.jar"),
            ],
            directory=new_directory("registry"),
            is_ready=lambda: answers(self.url, timeout_seconds=2),
            environment=environment,
        )
        try:
            self._process.start()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Process id of the registry."""
        return self._process.pid

    @property
    def log(self) -> Path:
        """File with what the registry says."""
        return self._process.log

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.running

    def start(self) -> None:
        """Start it again, empty; returns when it serves; raises `ServerStartError`."""
        self._process.start()

    def stop(self) -> None:
        """Stop it in order."""
        self._process.stop()

    def kill(self) -> None:
        """Kill it as a power cut would."""
        self._process.kill()

    def close(self) -> None:
        """Kill it for good and remove its data."""
        self._process.close()
