"""Serves a directory that this process has open, in a thread of its own."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import uvicorn

from trailhouse_consumer.serving.access import Access
from trailhouse_consumer.serving.app import Interface
from trailhouse_consumer.serving.engine import Engine
from trailhouse_schemas.errors import WarehouseError
from trailhouse_schemas.warehouse.served import Announcement, Served, Tokens

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Serving"]

#: A request's line and headers are not longer, as of a ClickHouse server; longer parameters go as a form.
_MAX_HEAD_BYTES: Final = 1024 * 1024
#: How long requests that run may go on when serving is to end.
_GRACE_SECONDS: Final = 5
_ENDING_SECONDS: Final = 0.2
#: Where data are on their way, in the warehouse's directory: there is room for them where there is room for their rows.
_SCRATCH: Final = "serving"
_LOCAL: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Serving:
    """A directory being served, until closed."""

    def __init__(self, directory: Path, *, database: str, address: str = "127.0.0.1", port: int = 0) -> None:
        """Serve it; returns when clients can come.

        Args:
            directory: The warehouse's directory, which this process has open.
            database: The database that clients are in unless they name one; it must be there.
            address: The address to listen on, or the path of a unix socket to make. Any but this machine's own is
                open to whoever has a token, and says the token in clear.
            port: The port; 0 takes one that is free.

        Raises:
            WarehouseLockedError: the directory is served already.
            WarehouseError: it cannot be served at that address, or the database is the engine's own.
        """
        if database == "default":
            raise WarehouseError(
                "Database 'default' of the embedded engine cannot be served: in it, names of tables are names of "
                "files; choose another, such as chdb://DIRECTORY?database=trailhouse"
            )
        tokens = Tokens.made(directory)
        self._listening = _listen(address, port)
        self._scratch = directory / _SCRATCH
        self.served = _served(self._listening)
        try:
            # Before the engine is asked for: of a directory that another process serves it could not be had.
            self._announcement = Announcement(directory, self.served)
        except BaseException:
            self._listening.close()
            raise
        try:
            local = bool(self.served.socket) or address in _LOCAL
            self._engine = Engine(directory, database)
            self._interface = Interface(self._engine, Access(tokens, local=local), self._scratch)
            self._server = uvicorn.Server(
                uvicorn.Config(
                    self._interface,
                    http="h11",
                    loop="asyncio",
                    lifespan="off",
                    access_log=False,
                    log_config=None,
                    server_header=False,
                    proxy_headers=False,
                    h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
                    timeout_graceful_shutdown=_GRACE_SECONDS,
                )
            )
            self._thread = threading.Thread(
                target=self._server.run, args=([self._listening],), name="trailhouse-serve", daemon=True
            )
            _emptied(self._scratch)
            self._thread.start()
        except BaseException:
            self._announcement.withdraw()
            self._listening.close()
            raise

    def close(self) -> None:
        """Serve no more; statements that still run after a few seconds are ended."""
        self._announcement.withdraw()
        self._server.should_exit = True
        self._thread.join(_GRACE_SECONDS)
        while self._thread.is_alive():
            self._interface.end()  # again and again: a statement that waited for its turn may have begun since
            self._thread.join(_ENDING_SECONDS)
        self._interface.close()
        self._engine.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
        if self.served.socket:
            Path(self.served.socket).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Serve no more."""
        self.close()


def _emptied(scratch: Path) -> None:
    """Make that directory, without what a server that was killed has left there."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700)


def _listen(address: str, port: int) -> socket.socket:
    """Return a socket that connections come to already; raises `WarehouseError`."""
    try:
        if "/" in address:
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            before = os.umask(0o177)
            try:
                listening.bind(address)
            finally:
                os.umask(before)
        else:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            listening = socket.socket(family, socket.SOCK_STREAM)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((address, port))
        listening.listen(128)
    except OSError as error:
        raise WarehouseError(
            f"Address {address}:{port} cannot be served on ({error.strerror or error}); choose another"
        ) from error
    return listening


def _served(listening: socket.socket) -> Served:
    if listening.family == socket.AF_UNIX:
        return Served("", 0, str(Path(listening.getsockname()).absolute()), os.getpid())
    host, port = listening.getsockname()[:2]
    return Served({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port, "", os.getpid())  # noqa: S104 - not bound here
