"""The errors that the producer raises, all of them before a training loop begins or outside of it.

Within a run nothing is raised: what cannot be recorded is warned about, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trailhouse_schemas.errors import TrailhouseError

if TYPE_CHECKING:
    from trailhouse_schemas.policy import Decision

__all__ = [
    "ControlUnavailableError",
    "ForwarderError",
    "GrantError",
    "InvalidEventError",
    "InvalidRunError",
    "PermissionDeniedError",
    "PolicyUnavailableError",
    "PolicyUnknownError",
    "ProducerError",
]


class ProducerError(TrailhouseError):
    """Something that the producer cannot do."""


class InvalidRunError(ProducerError, ValueError):
    """A run cannot be started like this; the text names the argument and what it may be."""


class InvalidEventError(ProducerError, ValueError):
    """The fields given do not make an event of this type; the text names the first field that is wrong."""


class ControlUnavailableError(ProducerError):
    """Control facts (prices, permissions, …) cannot be written from here."""


class ForwarderError(ProducerError):
    """A spool cannot be forwarded."""


class PermissionDeniedError(ProducerError, PermissionError):
    """Somebody may not do what they asked for; `decision` has the reason."""

    def __init__(self, decision: Decision) -> None:
        """Say who may not do what, and why."""
        super().__init__(f"{decision.principal} may not {decision.action} {decision.resource}. {decision.reason}")
        self.decision = decision


class PolicyUnknownError(ProducerError):
    """The current grants cannot be known, so nothing can be allowed."""


class PolicyUnavailableError(PolicyUnknownError):
    """The current grants cannot be read at the moment; what was read not long ago may still count."""


class GrantError(ProducerError, ValueError):
    """A grant cannot be given or taken back like this; the text names what is wrong with it."""
