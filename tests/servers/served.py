"""A plain HTTP client of a served warehouse, for tests that look at what goes over the wire."""

from __future__ import annotations

import base64
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import urllib3

from trailhouse_cli.servers.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Client"]

_WAIT_SECONDS = 60.0


class Client:
    """Sends requests as curl would."""

    def __init__(self, address: str, token: str) -> None:
        """Take the address, and what lets in; nothing where that is empty."""
        self._address = address
        #: Of every request.
        self.headers = {"X-ClickHouse-Key": token} if token else {}
        self._pool = urllib3.PoolManager(retries=False, timeout=120)

    def post(
        self,
        body: bytes,
        asked: Mapping[str, str] | None = None,
        /,
        *,
        fields: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        raw: bool = False,
        whole: bool = True,
        **more: str,
    ) -> Any:
        """Return the answer to a POST, `whole` or to be read; parameters are named, or given as they are."""
        return self._pool.request(
            "POST",
            f"{self._address}/?{urlencode({**(asked or {}), **more})}",
            body=None if fields else body,
            fields=fields,
            headers=self.headers | (headers or {}),
            decode_content=not raw,
            preload_content=whole,
        )

    def get(self, path: str = "/", headers: dict[str, str] | None = None, **asked: str) -> Any:
        """Return the answer to a GET."""
        return self._pool.request(
            "GET", f"{self._address}{path}?{urlencode(asked)}", headers=self.headers | (headers or {})
        )

    def ok(
        self,
        sql: str | bytes,
        asked: Mapping[str, str] | None = None,
        /,
        headers: dict[str, str] | None = None,
        **more: str,
    ) -> bytes:
        """Return what a statement answers that must succeed."""
        answer = self.post(sql if isinstance(sql, bytes) else sql.encode(), {**(asked or {}), **more}, headers=headers)
        assert answer.status == 200, answer.data
        return bytes(answer.data)

    def begun(self, body: bytes, *, more: int, **asked: str) -> socket.socket:
        """Send a body that is said to be longer by `more` bytes; return the connection."""
        parts = urlsplit(self._address)
        connection = socket.create_connection((parts.hostname, parts.port))
        head = f"POST /?{urlencode(asked)} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(body) + more}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        connection.sendall(head.encode() + b"\r\n" + body)
        return connection

    def running(self, mark: str) -> bool:
        """Return whether a statement with that mark in it runs in the engine."""
        sql = "SELECT count() FROM system.processes WHERE position(query, {mark:String}) > 0 AND query_id != queryID()"
        return self.ok(sql, param_mark=mark) != b"0\n"

    def until_running(self, mark: str) -> None:
        """Wait until such a statement runs."""
        self.until(lambda: self.running(mark))

    @staticmethod
    def until(condition: Callable[[], bool]) -> None:
        """Wait for it, and fail when it does not come."""
        assert wait_until(condition, seconds=_WAIT_SECONDS)


def basic(user: str, password: str) -> str:
    """Return the header of HTTP's basic authentication."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
