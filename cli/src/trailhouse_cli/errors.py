"""The errors of the command line's own."""

from __future__ import annotations

from trailhouse_schemas.errors import TrailhouseError

__all__ = ["BadInputError"]


class BadInputError(TrailhouseError, ValueError):
    """Something on the command line is not what it should be; the text says what and how to write it."""
