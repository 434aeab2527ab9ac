"""The errors of the command line's own."""

from __future__ import annotations

from trailhouse_schemas.errors import TrailhouseError

__all__ = ["BadInputError", "ServerError", "ServerMissingError", "ServerNotOwnedError", "ServerStartError"]


class BadInputError(TrailhouseError, ValueError):
    """Something on the command line is not what it should be; the text says what and how to write it."""


class ServerError(TrailhouseError):
    """Something is wrong with a server for tests, demo or development."""


class ServerMissingError(ServerError):
    """No way to have this server led anywhere."""


class ServerStartError(ServerError):
    """The server was there and did not come up."""

    def __init__(self, name: str, what: str, said: str) -> None:
        """Name the server, what happened, and the last that it said."""
        super().__init__(f"The {name} server did not start: {what}" + (f"; it said: {said}" if said else ""))


class ServerNotOwnedError(ServerError):
    """A server that somebody else runs is not ours to stop."""

    def __init__(self, name: str, address: str) -> None:
        """Name the server and where it is."""
        super().__init__(
            f"The {name} server at {address} is not ours to stop; unset its setting to start one of our own"
        )
