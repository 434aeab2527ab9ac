"""A pipe into which the engine writes an answer, and from which the event loop reads it.

It holds the engine back: memory holds no more of an answer than the pipe does, however slowly the client takes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

__all__ = ["AnswerPipe"]

_PIECE_BYTES: Final = 1024 * 1024
#: Linux's F_SETPIPE_SZ, which the module has since Python 3.10, where the system has it.
_SET_SIZE: Final = getattr(fcntl, "F_SETPIPE_SZ", None)


class AnswerPipe:
    """A named pipe, open for reading; the writing end that it holds lets the writer come and go."""

    def __init__(self, path: Path) -> None:
        """Make it at that path."""
        self.path = path
        os.mkfifo(path, 0o600)
        self._reads = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        # Without a writer the pipe would be at its end before the engine opens it.
        self._writes: int | None = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        if _SET_SIZE is not None:
            with contextlib.suppress(OSError):  # the user has many pipes: smaller ones do
                fcntl.fcntl(self._reads, _SET_SIZE, _PIECE_BYTES)

    def written(self) -> None:
        """Say that the writer has ended: what is in the pipe is all that there is."""
        if self._writes is not None:
            os.close(self._writes)
            self._writes = None

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield what is written, piece by piece, until the writer has ended."""
        while piece := await self._read():
            yield piece

    def close(self) -> None:
        """Close it; the writer's next write fails."""
        self.written()
        os.close(self._reads)
        self.path.unlink(missing_ok=True)

    async def _read(self) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            try:
                return os.read(self._reads, _PIECE_BYTES)
            except BlockingIOError:
                pass
            ready = loop.create_future()
            loop.add_reader(self._reads, _set, ready)
            try:
                await ready
            finally:
                loop.remove_reader(self._reads)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
