"""The errors that the producer raises, all of them before a training loop begins or outside of it.

Within a run nothing is raised: what cannot be recorded is warned about, once.
"""

from __future__ import annotations

from trailhouse_schemas.errors import TrailhouseError

__all__ = ["ForwarderError", "InvalidEventError", "InvalidRunError", "ProducerError"]


class ProducerError(TrailhouseError):
    """Something that the producer cannot do."""


class InvalidRunError(ProducerError, ValueError):
    """A run cannot be started like this; the text names the argument and what it may be."""


class InvalidEventError(ProducerError, ValueError):
    """The fields given do not make an event of this type; the text names the first field that is wrong."""


class ForwarderError(ProducerError):
    """A spool cannot be forwarded."""
