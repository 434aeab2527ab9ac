"""Reads the body of a request: a statement, or the beginning of an insert and its data, which go to a file.

An insert reaches the engine when all of its data are here.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from trailhouse_consumer.serving.refusals import Refused
from trailhouse_consumer.serving.statements import MAX_HEAD_BYTES, Insert, Statement, read, read_insert
from trailhouse_consumer.serving.tokens import Incomplete

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable
    from pathlib import Path

__all__ = ["Upload", "receive"]

#: A statement without data is not longer; its lists of values go as parameters.
_MAX_STATEMENT_BYTES: Final = 16 * 1024 * 1024


class _Decoder(Protocol):
    @property
    def eof(self) -> bool:
        """Whether the end of what was compressed has come."""

    def decompress(self, data: bytes, /) -> bytes: ...


class _Plain:
    """No compression."""

    @property
    def eof(self) -> bool:
        return True

    def decompress(self, data: bytes, /) -> bytes:
        return data


@dataclass(frozen=True, slots=True)
class Upload:
    """What a request wants done: a statement, or an insert with the file of its data."""

    statement: Statement | None
    insert: Insert | None
    data: Path | None


async def receive(query: str, body: AsyncIterable[bytes], coding: str, new_file: Callable[[], Path]) -> Upload:
    """Read a request's statement, from its address and its body, and the data behind it.

    Args:
        query: What the address says.
        body: The body's pieces.
        coding: Its Content-Encoding.
        new_file: Returns the path of a file that is not there yet.

    Raises:
        Refused: it is no statement, or is compressed in a way that is not known.
    """
    pieces = _pieces(body, _decoder(coding))
    head, insert = await _beginning(query.encode() + b"\n" if query else b"", pieces)
    if insert is None:
        return Upload(read(head), None, None)
    data = new_file()
    try:
        with data.open("xb") as file:
            file.write(head[insert.data_at :])
            async for piece in pieces:
                file.write(piece)
    except BaseException:
        data.unlink(missing_ok=True)
        raise
    return Upload(None, insert, data)


async def _beginning(head: bytes, pieces: AsyncIterator[bytes]) -> tuple[bytes, Insert | None]:
    """Return what has been read when it was an insert whose data begin in it, and that; else all there is, and None."""
    undecided = True
    limit = len(head) + MAX_HEAD_BYTES
    async for piece in pieces:
        head += piece
        if undecided:
            try:
                insert = read_insert(head)
            except Incomplete:
                if len(head) > limit:
                    raise Refused(62, "SYNTAX_ERROR", "Max query size exceeded before the data of the insert") from None
                continue
            undecided = False
            if insert is not None:
                return head, insert
        if len(head) > _MAX_STATEMENT_BYTES:
            raise Refused(
                77, "QUERY_IS_TOO_LARGE", f"The statement has more than {_MAX_STATEMENT_BYTES} bytes; send parameters"
            )
    if undecided:
        with contextlib.suppress(Incomplete):
            head = head.rstrip() + b"\n"
            return head, read_insert(head)
    return head, None


async def _pieces(body: AsyncIterable[bytes], decoder: _Decoder) -> AsyncIterator[bytes]:
    empty = True
    try:
        async for piece in body:
            if piece:
                empty = False
                yield decoder.decompress(piece)
    except (zlib.error, RuntimeError, EOFError, ValueError) as error:
        raise Refused(271, "CANNOT_DECOMPRESS", f"The body is not what its Content-Encoding says ({error})") from error
    if not (decoder.eof or empty):
        raise Refused(271, "CANNOT_DECOMPRESS", "The compressed body has no end")


def _decoder(coding: str) -> _Decoder:
    """Return what undoes a Content-Encoding, piece by piece; raises `Refused` for one that is not known."""
    decoder: _Decoder
    match coding.lower():
        case "" | "identity":
            return _Plain()
        case "gzip" | "x-gzip":
            decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
        case "deflate":
            decoder = zlib.decompressobj()
        case "lz4":
            import lz4.frame  # type: ignore[import-untyped]  # noqa: PLC0415 - clickhouse-connect brings it

            decoder = lz4.frame.LZ4FrameDecompressor()
        case "zstd":
            decoder = _zstd()
        case _:
            raise Refused(
                48, "NOT_IMPLEMENTED", f"Content-Encoding {coding[:40]} is not known; use gzip, deflate, lz4 or zstd"
            )
    return decoder


def _zstd() -> _Decoder:
    """Return a decoder of zstd, from the library that clickhouse-connect brings where Python has none."""
    zstd = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    decoder: _Decoder = zstd.ZstdDecompressor()
    return decoder
