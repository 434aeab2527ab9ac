"""How programs find an embedded warehouse that another program serves, and what lets them in.

Two files in the warehouse's directory, both readable by their owner alone:

    served.json     the address; whoever serves holds a lock on it, so that the file of a killed server says nothing
    tokens.json     two secrets: with one a client may write, with the other only read
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Self

from trailhouse_schemas.errors import WarehouseError, WarehouseLockedError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Announcement", "Served", "Tokens", "find_served"]

_SERVED: Final = "served.json"
_TOKENS: Final = "tokens.json"
_TOKEN_BYTES: Final = 32
#: How long a server may be between taking the lock and writing the address.
_ANNOUNCING_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Served:
    """Where a directory is served: a host and a port, or a socket."""

    host: str
    port: int
    #: Path of a unix socket; empty where there is a port.
    socket: str = ""
    #: The process that serves, for people.
    process: int = 0

    def __str__(self) -> str:
        """Return the address, for people."""
        return self.socket or f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Tokens:
    """The two secrets of a directory."""

    write: str
    read: str

    @classmethod
    def of(cls, directory: Path) -> Self:
        """Read them; raises `WarehouseError` when they cannot be read."""
        path = directory / _TOKENS
        try:
            found = json.loads(path.read_text("ascii"))
            return cls(str(found["write"]), str(found["read"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            said = error.strerror if isinstance(error, OSError) else "it is damaged"
            raise WarehouseError(
                f"Tokens {path} cannot be read ({said}); ask its owner for a token, and use clickhouse://host:port"
            ) from error

    @classmethod
    def made(cls, directory: Path) -> Self:
        """Read them, or make them where there are none yet; the file is its owner's alone from the beginning."""
        path = directory / _TOKENS
        fresh = cls(secrets.token_urlsafe(_TOKEN_BYTES), secrets.token_urlsafe(_TOKEN_BYTES))
        half = directory / f"{_TOKENS}.{os.getpid()}"
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            os.write(descriptor, json.dumps(asdict(fresh)).encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            os.link(half, path)  # fails where there are some: no two servers may differ in them
        except FileExistsError:
            path.chmod(0o600)
        finally:
            half.unlink()
        return cls.of(directory)


class Announcement:
    """The file that says that a directory is served, as long as its lock is held."""

    def __init__(self, directory: Path, served: Served) -> None:
        """Take the lock and say it; raises `WarehouseLockedError` when somebody else serves the directory."""
        self._descriptor = os.open(directory / _SERVED, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise WarehouseLockedError(f"Warehouse chdb://{directory} is served already; use that") from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(asdict(served)).encode(), 0)

    def withdraw(self) -> None:
        """Say it no more."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def find_served(directory: Path) -> Served | None:
    """Return where a directory is served; None when nobody serves it, whatever a dead server's file says.

    Raises:
        WarehouseError: it is served by another user, and the file cannot be read.
    """
    path = directory / _SERVED
    deadline = time.monotonic() + _ANNOUNCING_SECONDS
    while True:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise WarehouseError(
                f"Warehouse chdb://{directory} may be served: {path} cannot be read ({error.strerror}); ask its owner"
            ) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                said = os.pread(descriptor, 65536, 0)
            else:
                return None
        finally:
            os.close(descriptor)
        if said:
            return Served(**json.loads(said))
        if time.monotonic() > deadline:
            return None
        time.sleep(0.01)
