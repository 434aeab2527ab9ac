"""A proxy between one collector and the warehouse: it fails requests, and strikes when an insert comes by.

The collector's plan is stored by then, so what is struck at that moment leaves a range to its successor; and whoever
is struck does not know whether the insert took effect.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import sys
import threading
from dataclasses import dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from trailhouse_cli.servers.process import HOST

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CALM", "Deed", "Moment", "Proxy", "Weather"]

_UPSTREAM_SECONDS = 60.0
_HOP_BY_HOP = {"connection", "content-length", "date", "server", "transfer-encoding", "keep-alive"}


class Deed(StrEnum):
    """What becomes of a request."""

    PASSED = "passed"
    #: The warehouse refuses it, before any effect.
    REFUSED = "refused"
    #: It has its effect, and the answer is an error all the same.
    BELIED = "belied"
    CUT_BEFORE = "cut before"
    CUT_AFTER = "cut after"
    #: It has its effect, and then there is no answer for longer than the client would wait.
    TIMED_OUT = "timed out"


class Moment(StrEnum):
    """When the collector is struck, seen from its insert."""

    #: The insert is lost with the collector.
    BEFORE = "before its insert"
    #: The insert is on its way, and takes effect when a successor may be at work already.
    DURING = "with its insert on the way"
    AFTER = "after its insert"


@dataclass(frozen=True, slots=True)
class Weather:
    """What the warehouse does to requests for a while."""

    name: str
    deed: Deed
    #: ClickHouse's own code and words of the error.
    code: int = 0
    text: str = ""
    #: Share of the requests that it befalls.
    share: float = 1.0
    inserts_alone: bool = True


CALM = Weather("calm", Deed.PASSED)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Proxy:
    """Listens on a port of its own and passes requests on to the warehouse's."""

    def __init__(self, upstream_port: int, seed: int) -> None:
        """Begin to serve, in fair weather; `seed` is that of its own chances."""
        self._upstream_port = upstream_port
        self._chance = random.Random(seed)  # noqa: S311 - chances, not secrets
        self._lock = threading.Lock()
        self._weather = CALM
        self._armed: tuple[Moment, float, Callable[[], None], threading.Event] | None = None
        self._closing = threading.Event()
        #: How many requests have met which weather.
        self.befallen: dict[str, int] = {}
        self.inserts = 0
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = _Server((HOST, 0), handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def change(self, weather: Weather) -> None:
        """Do this to requests from now on."""
        with self._lock:
            self._weather = weather

    def arm(self, moment: Moment, late_seconds: float, strike: Callable[[], None]) -> threading.Event:
        """Strike when the next insert comes by; the event says that it has happened."""
        done = threading.Event()
        with self._lock:
            self._armed = (moment, late_seconds, strike, done)
        return done

    def disarm(self) -> bool:
        """Let the next insert pass; return False where one has been struck."""
        with self._lock:
            armed, self._armed = self._armed, None
        return armed is not None

    def close(self) -> None:
        """Serve no more."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def treat(self, insert: bool, upstream: Callable[[], _Answer]) -> _Answer | None:
        """Return the answer to a request; None: the connection is cut."""
        with self._lock:
            weather, armed = self._weather, self._armed
            self.inserts += insert
            if insert:
                self._armed = None
            befalls = (insert or not weather.inserts_alone) and self._chance.random() < weather.share
            if befalls and weather is not CALM:
                self.befallen[weather.name] = self.befallen.get(weather.name, 0) + 1
        if insert and armed is not None:
            return self._struck(*armed, upstream)
        return self._weathered(weather if befalls else CALM, upstream)

    def _struck(
        self,
        moment: Moment,
        late_seconds: float,
        strike: Callable[[], None],
        done: threading.Event,
        upstream: Callable[[], _Answer],
    ) -> _Answer | None:
        if moment is Moment.AFTER:
            try:
                return upstream()
            finally:
                strike()
                done.set()
        strike()
        done.set()
        if moment is Moment.BEFORE:
            return None
        self._closing.wait(late_seconds)
        return upstream()

    def _weathered(self, weather: Weather, upstream: Callable[[], _Answer]) -> _Answer | None:
        if weather.deed is Deed.CUT_BEFORE:
            return None
        if weather.deed is Deed.REFUSED:
            return _error(weather)
        answer = upstream()
        if weather.deed is Deed.PASSED:
            return answer
        if weather.deed is Deed.TIMED_OUT:
            self._closing.wait(self._chance.uniform(0.5, 2.5))
        return _error(weather) if weather.deed is Deed.BELIED else None


def _error(weather: Weather) -> _Answer:
    said = f"Code: {weather.code}. DB::Exception: {weather.text}".encode()
    return _Answer(500, [("X-ClickHouse-Exception-Code", str(weather.code))], said)


class _Server(ThreadingHTTPServer):
    """Serves connections whose other ends die at any moment."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of who is gone; all else is said."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def do_GET(self) -> None:
        """Pass it on."""
        self._pass_on(b"")

    def do_POST(self) -> None:
        """Pass it on, when all of it is here."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            size = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(size)
            if len(body) < size:
                self.close_connection = True
                return
        self._pass_on(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing of requests."""

    def _pass_on(self, body: bytes) -> None:
        insert = "insert_deduplication_token" in parse_qs(urlsplit(self.path).query)
        try:
            answer = self.proxy.treat(insert, lambda: self._upstream(body))
        except (OSError, http.client.HTTPException):  # the warehouse is down, or went down
            answer = None
        if answer is None:
            self.close_connection = True
            return
        with contextlib.suppress(OSError):  # whoever asked may be dead
            self.send_response(answer.status)
            for name, value in [*answer.headers, ("Content-Length", str(len(answer.body)))]:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

    def _upstream(self, body: bytes) -> _Answer:
        connection = http.client.HTTPConnection(HOST, self.proxy._upstream_port, timeout=_UPSTREAM_SECONDS)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            connection.request(self.command, self.path, body or None, headers)
            response = connection.getresponse()
            kept = [(name, value) for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP]
            return _Answer(response.status, kept, response.read())
        finally:
            connection.close()
