"""Serves what a collector tells of itself: /metrics to Prometheus, /live and /ready to who starts and stops it."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from trailhouse_consumer.errors import MonitoringError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from trailhouse_consumer.monitoring.health import Verdict
    from trailhouse_consumer.monitoring.metrics import Metrics

__all__ = ["served"]

_PATHS: Final = "/metrics, /live and /ready"


class _Quiet(WSGIRequestHandler):
    """Logs no requests: there are several a minute, for ever."""

    #: Who connects and says nothing is let go.
    timeout = 30

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name for it
        """Log nothing."""


@contextmanager
def served(metrics: Metrics, address: str, port: int) -> Iterator[int]:
    """Serve them from threads of their own as long as the context lasts; yield the port.

    Raises:
        MonitoringError: nobody may listen there, or somebody does.
    """
    kind = type("_Server", (ThreadingWSGIServer,), {"address_family": _family(address)})
    try:
        server: WSGIServer = make_server(address, port, _app(metrics), kind, handler_class=_Quiet)
    except OSError as error:
        raise MonitoringError(
            f"Metrics cannot be served at {address}:{port} ({error.strerror or error}); choose another --metrics-port, "
            "or TRAILHOUSE_COLLECT_METRICS_ADDRESS"
        ) from error
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="monitoring", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _app(metrics: Metrics) -> WSGIApplication:
    prometheus: WSGIApplication = make_wsgi_app(metrics.registry)
    verdicts: dict[str, Callable[[], Verdict]] = {"/live": metrics.health.live, "/ready": metrics.health.ready}

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            return prometheus(environ, start_response)
        if path not in verdicts:
            start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
            return [f"There is nothing at this path; there are {_PATHS}\n".encode()]
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            start_response("405 Method Not Allowed", [("Allow", "GET, HEAD")])
            return [b""]
        verdict = verdicts[path]()
        status = "200 OK" if verdict.fine else "503 Service Unavailable"
        start_response(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
        body = json.dumps({path[1:]: verdict.fine, "checks": dict(verdict.checks)}, ensure_ascii=False)
        return [f"{body}\n".encode() if environ["REQUEST_METHOD"] == "GET" else b""]

    return app
