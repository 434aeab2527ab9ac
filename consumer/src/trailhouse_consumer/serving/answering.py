"""Runs the statement of a request and sends its answer: while it is made, as far as that goes."""

from __future__ import annotations

import asyncio
import re
import secrets
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import PlainTextResponse, Response

from trailhouse_consumer.serving.answers import (
    common_headers,
    format_headers,
    send_body,
    start,
    summary_headers,
    without_coding,
)
from trailhouse_consumer.serving.guard import refuse_settings, refuse_what_leaves_the_engine
from trailhouse_consumer.serving.hello import hello
from trailhouse_consumer.serving.pipes import AnswerPipe
from trailhouse_consumer.serving.refusals import Refused
from trailhouse_consumer.serving.running import Running, named_to_kill
from trailhouse_consumer.serving.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import Send

    from trailhouse_consumer.serving.asked import Asked
    from trailhouse_consumer.serving.engine import Engine, Handle, Outcome
    from trailhouse_consumer.serving.statements import Statement
    from trailhouse_consumer.serving.uploads import Upload

__all__ = ["Answering"]

#: Statements that run at the same time; further ones wait.
_THREADS: Final = 32
_FORMAT_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
#: As much of an answer as is kept in memory when its client wants to know first how it ended.
_HELD_BYTES: Final = 8 * 1024 * 1024
_PIECE_BYTES: Final = 1024 * 1024


class Answering:
    """What runs, and what it runs on."""

    def __init__(self, engine: Engine, scratch: Path) -> None:
        """Take the engine, and a directory for data on their way."""
        self._engine = engine
        self._scratch = scratch
        self._sessions = Sessions()
        self._threads = ThreadPoolExecutor(_THREADS, "trailhouse-serve")
        # Not among the others: it must get through when they are all at work.
        self._killing = ThreadPoolExecutor(1, "trailhouse-serve-kill")
        self._running = Running()

    def end(self) -> None:
        """Tell what runs to end; from any thread."""
        for mark in self._running.marks():
            self._engine.kill(mark, wait=False)

    def close(self) -> None:
        """End all sessions; nothing runs any more."""
        self._threads.shutdown()
        self._killing.shutdown()
        self._sessions.close()

    def new_file(self) -> Path:
        """Return the path of a file that is not there yet."""
        return self._scratch / f"{secrets.token_hex(16)}.data"

    async def answer(
        self, request: Request, send: Send, asked: Asked, upload: Upload, *, read_only: bool
    ) -> Response | None:
        """Return the answer, or None when it has been sent already, or nobody is there to take it; raises `Refused`."""
        found = (upload.statement or upload.insert).tokens  # type: ignore[union-attr]
        refuse_what_leaves_the_engine(found, self._engine.table_functions, asked.params, read_only=read_only)
        refuse_settings(asked.settings)
        said = hello(upload.statement, asked, self._engine.version)
        if said is not None:
            return Response(said, headers=common_headers(asked) | format_headers("Native"))
        if upload.statement is not None and upload.statement.kind == "KILL":
            killed = await self._kill(upload.statement, read_only=read_only)
            if killed is not None:
                return PlainTextResponse(killed, headers=common_headers(asked) | format_headers("TabSeparated"))
        mark = self._running.begin(asked.query_id, read_only=read_only)
        job = asyncio.ensure_future(self._job(send, asked, upload, mark, read_only=read_only))
        job.add_done_callback(lambda _: self._running.end(asked.query_id))
        leaving = asyncio.ensure_future(_left(request))
        try:
            await asyncio.wait({job, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not job.done():
                # The client has hung up: nobody wants the answer any more. An insert goes on, it is all here.
                if upload.insert is None:
                    await self._end(mark)
                await asyncio.wait({job})
                job.exception()
                return None
            return job.result()
        finally:
            leaving.cancel()

    async def _end(self, mark: str) -> None:
        await asyncio.get_running_loop().run_in_executor(self._killing, self._engine.kill, mark)

    async def _kill(self, statement: Statement, *, read_only: bool) -> str | None:
        """End a statement that runs, by the id that its client gave it; None where the engine is to be asked."""
        query_id = named_to_kill(statement)
        if query_id is None or (mark := self._running.mark(query_id, read_only=read_only)) is None:
            if read_only:
                raise Refused(
                    497,
                    "ACCESS_DENIED",
                    "Who may only read may end readers' statements, by KILL QUERY WHERE query_id = 'id'",
                )
            return None
        await self._end(mark)
        return f"finished\t{query_id}\tdefault\t\n"

    async def _job(self, send: Send, asked: Asked, upload: Upload, mark: str, *, read_only: bool) -> Response | None:
        """Run the statement with a handle, and answer."""
        handle = await self._in_thread(self._take, asked, read_only)
        try:
            await self._in_thread(self._prepare, handle, asked, upload.statement)
            if upload.insert is not None and upload.data is not None:
                outcome = await self._in_thread(handle.insert, upload.insert, upload.data, asked.params)
                return Response(b"", headers=common_headers(asked) | summary_headers(outcome))
            assert upload.statement is not None  # noqa: S101 - one of the two
            if upload.statement.streamed:
                return await self._stream(send, handle, asked, upload.statement, mark)
            return await self._plain(handle, asked, upload.statement)
        finally:
            await self._in_thread(self._give_back, handle, asked, read_only)

    async def _plain(self, handle: Handle, asked: Asked, statement: Statement) -> Response:
        answer_format = _format(statement, asked)
        outcome = await self._in_thread(handle.run, statement.text, answer_format, asked.params)
        if statement.kind == "USE":
            await self._in_thread(handle.moved)
        headers = common_headers(asked) | summary_headers(outcome)
        if statement.answering or outcome.body:
            headers |= format_headers(answer_format)
        return Response(outcome.body, headers=headers)

    async def _stream(
        self, send: Send, handle: Handle, asked: Asked, statement: Statement, mark: str
    ) -> Response | None:
        answer_format = _format(statement, asked)
        pipe = AnswerPipe(self._scratch / mark)
        headers = common_headers(asked) | format_headers(answer_format)
        if asked.content_coding:
            headers["Content-Encoding"] = asked.content_coding
        loop = asyncio.get_running_loop()
        ended = loop.run_in_executor(
            self._threads, handle.write, statement, pipe.path, answer_format, asked.compression, asked.params
        )
        ended.add_done_callback(lambda _: pipe.written())
        try:
            pieces = pipe.pieces()
            if asked.wait_end:
                return await self._held(send, headers, pieces, ended)
            first = await anext(pieces, b"")
            if not first:
                outcome = await ended
                return Response(b"", headers=without_coding(headers) | summary_headers(outcome))
            await start(send, headers)
            await send_body(send, first)
            async for piece in pieces:
                await send_body(send, piece)
            try:
                await ended
            except Refused as refused:
                await self._break_off(send, refused, asked)
                return None
            await send_body(send, b"", last=True)
            return None
        finally:
            pipe.close()
            await asyncio.wait({ended})

    async def _held(
        self, send: Send, headers: dict[str, str], pieces: AsyncIterator[bytes], ended: asyncio.Future[Outcome]
    ) -> Response | None:
        """Answer when the statement has ended: what does not fit into memory waits in a file."""
        with tempfile.SpooledTemporaryFile(_HELD_BYTES, dir=str(self._scratch)) as held:
            async for piece in pieces:
                held.write(piece)
            outcome = await ended
            size = held.tell()
            if not size:
                headers = without_coding(headers)
            await start(send, headers | summary_headers(outcome) | {"Content-Length": str(size)})
            held.seek(0)
            while piece := held.read(_PIECE_BYTES):
                await send_body(send, piece)
            await send_body(send, b"", last=True)
        return None

    async def _break_off(self, send: Send, refused: Refused, asked: Asked) -> None:
        """End an answer that has begun as a server does: with the error behind it, and no end of the chunks."""
        if not asked.content_coding:
            await send_body(send, refused.body(self._engine.version).encode())
        raise ConnectionAbortedError(str(refused))

    def _take(self, asked: Asked, read_only: bool) -> Handle:
        limited = read_only or not asked.may_change

        def opened() -> Handle:
            return self._engine.handle(read_only=read_only if asked.session else limited)

        if not asked.session:
            return opened()
        return self._sessions.take(
            asked.session,
            opened,
            read_only=read_only,
            seconds=asked.session_seconds,
            must_exist=asked.session_check,
        )

    def _give_back(self, handle: Handle, asked: Asked, read_only: bool) -> None:
        if asked.session:
            self._sessions.give_back(asked.session, read_only=read_only, end=asked.close_session)
        else:
            handle.close()

    def _prepare(self, handle: Handle, asked: Asked, statement: Statement | None) -> None:
        settings = dict(asked.settings)
        level = settings.get("readonly")
        if level is not None and handle.read_only and level in {"1", "2"}:
            del settings["readonly"]
        elif level is not None and asked.session:
            raise Refused(
                48, "NOT_IMPLEMENTED", "readonly for one request of a session is not to be had; leave the session out"
            )
        if asked.session and not asked.may_change and not (statement and handle.is_read_only(statement.text)):
            raise Refused(
                164,
                "READONLY",
                "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. "
                "You should use method POST for modifying queries",
            )
        handle.prepare(asked.database, settings, lasting=bool(asked.session))
        if statement is not None and statement.kind == "SET":
            handle.restore()

    async def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


async def _left(request: Request) -> None:
    """Return when the client has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _format(statement: Statement, asked: Asked) -> str:
    found = statement.format or asked.default_format
    if not _FORMAT_NAME.fullmatch(found):
        raise Refused(73, "UNKNOWN_FORMAT", f"Unknown format {found[:80]!r}")
    return found
