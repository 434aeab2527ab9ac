"""A ClickHouse server of our own, from the `clickhouse` program; where there is none, chDB does what it would do."""

from __future__ import annotations

import shutil
import urllib.request
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol

from trailhouse_cli.errors import ServerMissingError, ServerNotOwnedError
from trailhouse_cli.servers.process import HOST, OwnedProcess, free_port, new_directory

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "BinaryClickHouse",
    "ClickHouseServer",
    "EmbeddedClickHouse",
    "ForeignClickHouse",
    "answers",
    "server_arguments",
]

_ANSWER_SECONDS: Final = 5.0


class ClickHouseServer(Protocol):
    """Where a warehouse can be: a server that answers, or the engine in the process that opens the URL."""

    @property
    def origin(self) -> str:
        """Where it comes from: settings, docker, binary or embedded."""

    @property
    def running(self) -> bool:
        """Whether it is up."""

    def url(self, database: str) -> str:
        """Return what to give to `connect` for that database."""

    def start(self) -> None:
        """Start it again; returns when it serves; raises `ServerStartError`."""

    def stop(self) -> None:
        """Stop it in order; its data stay; raises `ServerNotOwnedError` where it is not ours."""

    def kill(self) -> None:
        """Kill it as a power cut would; its data stay; raises `ServerNotOwnedError` where it is not ours."""

    def close(self) -> None:
        """Have done with it: one of our own is gone with its data."""


def answers(host: str, port: int, *, tls: bool = False, timeout_seconds: float = _ANSWER_SECONDS) -> bool:
    """Return whether a ClickHouse server answers there over HTTP."""
    # Without a proxy: it is this machine or the own network that is asked.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{'https' if tls else 'http'}://{host}:{port}/ping", timeout=timeout_seconds) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except (OSError, ValueError):  # HTTP errors are OSErrors
        return False


class ForeignClickHouse:
    """A server that somebody else runs, or an embedded warehouse at a place that the user chose."""

    origin = "settings"
    running = True

    def __init__(self, url: str, password: str = "") -> None:
        """Take the warehouse's URL; raises `WarehouseError` when it is none or does not answer."""
        from trailhouse_schemas.warehouse import connect, parse_url  # noqa: PLC0415 - heavy

        self._where = parse_url(url)
        connect(self._where, password=password, create=True).close()

    def url(self, database: str) -> str:
        """Return the URL of that database of the server."""
        if self._where.directory is not None:
            return f"chdb://{self._where.directory}?database={database}"
        return f"{self._where.scheme}://{self._where.user}@{self._where.host}:{self._where.port}/{database}"

    def start(self) -> None:
        """Nothing to do."""

    def stop(self) -> None:
        """Refuse."""
        raise ServerNotOwnedError("ClickHouse", str(self._where))

    def kill(self) -> None:
        """Refuse."""
        raise ServerNotOwnedError("ClickHouse", str(self._where))

    def close(self) -> None:
        """Nothing to do."""


class BinaryClickHouse:
    """A server of our own, from the program `clickhouse` on the PATH, that listens to this machine alone."""

    origin = "binary"

    def __init__(self) -> None:
        """Start it and return when it serves; raises `ServerMissingError` without the program, `ServerStartError`."""
        program = shutil.which("clickhouse")
        if program is None:
            raise ServerMissingError("no program clickhouse is on the PATH")
        self._port = free_port()
        directory = new_directory("clickhouse")
        self._process = OwnedProcess(
            "clickhouse",
            [program, "server", "--", *server_arguments(directory, self._port, free_port())],
            directory=directory,
            is_ready=lambda: answers(HOST, self._port, timeout_seconds=1),
            # Its own watchdog would outlive a kill of the server.
            environment={"CLICKHOUSE_WATCHDOG_ENABLE": "0"},
        )
        try:
            self._process.start()
        except BaseException:
            self.close()
            raise

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.running

    def url(self, database: str) -> str:
        """Return the URL of that database."""
        return f"clickhouse://default@{HOST}:{self._port}/{database}"

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


class EmbeddedClickHouse:
    """The engine in the process that opens the URL: nothing runs, nothing has to be stopped."""

    origin = "embedded"
    running = True

    def __init__(self, directory: Path) -> None:
        """Take the directory, which stays the caller's."""
        self._directory = directory

    def url(self, database: str) -> str:
        """Return the URL of that database; one process at a time can open it."""
        return f"chdb://{self._directory}?database={database}"

    def start(self) -> None:
        """Nothing to do."""

    def stop(self) -> None:
        """Refuse."""
        raise ServerNotOwnedError("ClickHouse", f"chdb://{self._directory}")

    def kill(self) -> None:
        """Refuse."""
        raise ServerNotOwnedError("ClickHouse", f"chdb://{self._directory}")

    def close(self) -> None:
        """Nothing to do."""


def server_arguments(directory: Path, http_port: int, tcp_port: int) -> list[str]:
    """Return the settings of a server without a configuration file that keeps to one directory and two ports."""
    settings = {
        "listen_host": HOST,
        "http_port": http_port,
        "tcp_port": tcp_port,
        "path": f"{directory / 'data'}/",
        "tmp_path": f"{directory / 'scratch'}/",
        "user_files_path": f"{directory / 'user_files'}/",
        "format_schema_path": f"{directory / 'format_schemas'}/",
        "logger.console": 1,
        "logger.level": "warning",
    }
    return [f"--{name}={value}" for name, value in settings.items()]
