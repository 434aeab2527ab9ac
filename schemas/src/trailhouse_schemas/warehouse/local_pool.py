"""Connections of clickhouse-connect to a server of this machine: never through a proxy, and over unix sockets too."""

from __future__ import annotations

import socket
from functools import cache
from typing import Any

from clickhouse_connect.driver.httputil import get_pool_manager
from urllib3 import HTTPConnectionPool, PoolManager
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NewConnectionError

__all__ = ["local_pool"]


@cache
def local_pool(path: str) -> PoolManager:
    """Return the connections to the unix socket at that path; with an empty one, to ports of this machine."""
    return _UnixPoolManager(path) if path else get_pool_manager()


class _UnixConnection(HTTPConnection):
    """A connection to a unix socket."""

    def __init__(self, path: str, **how: Any) -> None:
        super().__init__("localhost", **how)
        self._path = path

    def _new_conn(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        timeout = self.timeout
        connection.settimeout(timeout if isinstance(timeout, (int, float)) else None)
        try:
            connection.connect(self._path)
        except OSError as error:
            connection.close()
            raise NewConnectionError(self, f"Failed to establish a new connection: {error}") from error
        return connection


class _UnixPool(HTTPConnectionPool):
    """Connections to one unix socket."""

    def __init__(self, path: str, **how: Any) -> None:
        super().__init__("localhost", **how)
        self._path = path

    def _new_conn(self) -> _UnixConnection:
        self.num_connections += 1
        return _UnixConnection(self._path, timeout=self.timeout.connect_timeout)


class _UnixPoolManager(PoolManager):
    """Every host is behind one unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def _new_pool(self, *_: Any, **__: Any) -> HTTPConnectionPool:
        return _UnixPool(self._path)
