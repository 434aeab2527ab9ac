"""The ClickHouse engine of chDB behind ClickHouse's HTTP interface, for machines that cannot have the server.

It is the real engine and the real protocol as far as the client uses it: enough to hold everything that goes over a
`clickhouse://` URL. It has no users, no compression of answers and no memory of sessions. Run as a script, with the
directory and the port.
"""

from __future__ import annotations

import gzip
import re
import sys
import tempfile
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb

#: Parameters of the interface that are neither settings nor parameters of the statement.
_OF_THE_INTERFACE = {
    *("buffer_size", "client_protocol_version", "compress", "database", "decompress", "default_format"),
    *("enable_http_compression", "http_headers_progress_interval_ms", "query", "query_id", "quota_key", "role"),
    *("send_progress_in_http_headers", "session_check", "session_id", "session_timeout", "wait_end_of_query"),
}
_INSERT = re.compile(rb"\s*INSERT\s+INTO\s.*?\sFORMAT\s+(\w+)[ \t]*\n?", re.IGNORECASE | re.DOTALL)
_TRAILING_FORMAT = re.compile(rb"\sFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_CODE = re.compile(r"Code: (\d+)")


class Interface(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    protocol_version = "HTTP/1.1"
    directory = ""
    #: The engine runs one statement after another.
    turn = threading.Lock()

    def do_GET(self) -> None:
        """Answer a ping, or run a statement given in the address."""
        if urlsplit(self.path).path == "/ping":
            self._answer(HTTPStatus.OK, b"Ok.\n")
        else:
            self._run(b"")

    def do_POST(self) -> None:
        """Run a statement."""
        body = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._run(_decompressed(body, self.headers.get("Content-Encoding", "")))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Say nothing of requests."""

    def _run(self, body: bytes) -> None:
        asked = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        statement = b"\n".join(part for part in (asked.get("query", "").encode(), body) if part)
        settings = {
            name: value
            for name, value in asked.items()
            if name not in _OF_THE_INTERFACE and not name.startswith("param_")
        }
        params = {name.removeprefix("param_"): value for name, value in asked.items() if name.startswith("param_")}
        database = asked.get("database") or self.headers.get("X-ClickHouse-Database") or ""
        try:
            with self.turn:
                answer, answer_format = self._execute(statement, database, settings, params, asked)
        except RuntimeError as error:
            said = str(error)[max(str(error).find("Code: "), 0) :]
            code = _CODE.search(said)
            headers = {"X-ClickHouse-Exception-Code": code.group(1) if code else "1000"}
            status = HTTPStatus.NOT_FOUND if "UNKNOWN_" in said else HTTPStatus.INTERNAL_SERVER_ERROR
            self._answer(status, said.encode(), headers)
        else:
            self._answer(HTTPStatus.OK, answer, {"X-ClickHouse-Format": answer_format} if answer else {})

    def _execute(
        self, statement: bytes, database: str, settings: dict[str, str], params: dict[str, str], asked: dict[str, str]
    ) -> tuple[bytes, str]:
        """Run a statement on a handle of its own, whose settings end with it; return the answer and its format."""
        handle = chdb.connect(self.directory)
        try:
            if database:
                handle.query(f"USE `{database}`")
            for name, value in settings.items():
                handle.query(f"SET {name} = {_quoted(value)}")
            if insert := _INSERT.match(statement):
                with tempfile.NamedTemporaryFile(dir=self.directory, suffix=".insert") as data:
                    data.write(statement[insert.end() :])
                    data.flush()
                    into = insert.group().decode()
                    into = into[: into.upper().rindex("FORMAT")]
                    handle.query(f"{into} FROM INFILE {_quoted(data.name)} FORMAT {insert.group(1).decode()}")
                return b"", ""
            answer_format = asked.get("default_format", "TabSeparated")
            if trailing := _TRAILING_FORMAT.search(statement):
                statement, answer_format = statement[: trailing.start()], trailing.group(1).decode()
            return handle.query(statement.decode(), answer_format, params=params).bytes() or b"", answer_format
        finally:
            handle.close()

    def _answer(self, status: HTTPStatus, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (
            {"Content-Length": str(len(body)), "X-ClickHouse-Timezone": "UTC"} | (headers or {})
        ).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _quoted(text: str) -> str:
    """Return a literal of SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _decompressed(body: bytes, encoding: str) -> bytes:
    """Return what a client compressed."""
    if encoding == "lz4":
        import lz4.frame  # type: ignore[import-untyped]  # noqa: PLC0415 - the client's own dependency

        return bytes(lz4.frame.decompress(body))
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding:
        raise ValueError(f"Encoding {encoding!r} is not known here; add it")
    return body


def main() -> None:
    """Serve until the process is ended."""
    Interface.directory = sys.argv[1]
    Path(Interface.directory).mkdir(parents=True, exist_ok=True)
    # Kept open: the engine stays as long as a handle does.
    engine = chdb.connect(Interface.directory)
    engine.query("SELECT 1")
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Interface).serve_forever()


if __name__ == "__main__":
    main()
