"""The interface itself: an ASGI application that takes requests as a ClickHouse server does."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from trailhouse_consumer.serving.answering import Answering
from trailhouse_consumer.serving.answers import common_headers
from trailhouse_consumer.serving.asked import Asked
from trailhouse_consumer.serving.refusals import Refused
from trailhouse_consumer.serving.uploads import receive

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

    from trailhouse_consumer.serving.access import Access
    from trailhouse_consumer.serving.engine import Engine

__all__ = ["Interface"]


class Interface:
    """Answers requests from the engine of this process."""

    def __init__(self, engine: Engine, access: Access, scratch: Path) -> None:
        """Take what runs statements, who decides who may, and a directory for data on their way."""
        self._access = access
        self._version = engine.version
        self._answering = Answering(engine, scratch)

    def end(self) -> None:
        """Tell what runs to end; from any thread."""
        self._answering.end()

    def close(self) -> None:
        """End all sessions; nothing runs any more."""
        self._answering.close()

    async def __call__(self, scope: Scope, receive_message: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive_message)
        try:
            response = await self._answer(request, send)
        except Refused as refused:
            response = self._refusal(refused, {})
        except ClientDisconnect:
            return
        if response is not None:
            await response(scope, receive_message, send)

    async def _answer(self, request: Request, send: Send) -> Response | None:
        """Return the answer, or None when it has been sent already."""
        self._access.check_host(request.headers.get("host", ""))
        if request.url.path == "/ping":
            return PlainTextResponse("Ok.\n")
        given = dict(request.query_params)
        read_only = self._access.is_read_only(request.headers, given)
        if request.method not in {"GET", "HEAD", "POST"}:
            raise Refused(48, "NOT_IMPLEMENTED", f"Method {request.method} is not taken; use GET or POST")
        if request.url.path == "/replicas_status" or (
            request.url.path == "/" and request.method != "POST" and "query" not in given
        ):
            return PlainTextResponse("Ok.\n")
        if request.url.path != "/":
            return PlainTextResponse(
                f"There is no handle {request.url.path}\nUse / or /ping for health checks.\n", HTTPStatus.NOT_FOUND
            )
        body: AsyncIterator[bytes] = request.stream()
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            given |= await _form(request)
            body = _nothing()
        asked = Asked.of(request.method, request.headers, given)
        try:
            upload = await receive(
                asked.query, body, request.headers.get("content-encoding", ""), self._answering.new_file
            )
        except Refused as refused:
            return self._refusal(refused, common_headers(asked))
        try:
            return await self._answering.answer(request, send, asked, upload, read_only=read_only)
        except Refused as refused:
            return self._refusal(refused, common_headers(asked))
        finally:
            if upload.data is not None:
                upload.data.unlink(missing_ok=True)

    def _refusal(self, refused: Refused, headers: dict[str, str]) -> Response:
        headers = headers | {"X-ClickHouse-Exception-Code": str(refused.code)}
        if refused.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        return PlainTextResponse(refused.body(self._version), refused.status, headers)


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form; raises `Refused` for files in it."""
    async with request.form(max_fields=100_000, max_part_size=16 * 1024 * 1024) as form:
        fields = {}
        for name, value in form.multi_items():
            if not isinstance(value, str):
                raise Refused(48, "NOT_IMPLEMENTED", f"External table {name} is not taken; use a temporary table")
            fields[name] = value
        return fields
