"""Growing pauses while something does not answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from trailhouse_consumer.monitoring import Metrics

__all__ = ["Backoff"]

_FIRST_SECONDS: Final = 0.2


class Backoff:
    """Growing pauses while one thing does not answer; says so once."""

    def __init__(self, what: str, longest_seconds: float, metrics: Metrics) -> None:
        """Begin without a pause; `what` is its name in the log and in the metrics."""
        self._what = what
        self._longest = longest_seconds
        self._metrics = metrics
        self._seconds = 0.0
        self._until = 0.0
        self._log = structlog.get_logger("trailhouse.collector")
        metrics.answers(what)

    @property
    def waiting(self) -> bool:
        """Whether it is not to be asked yet."""
        return self.left_seconds > 0

    @property
    def left_seconds(self) -> float:
        """How long it is not to be asked yet."""
        return max(0.0, self._until - time.monotonic())

    def failed(self, error: Exception) -> None:
        """It has not answered."""
        if not self._seconds:
            self._log.warning("waiting", what=self._what, reason=str(error))
        self._metrics.waits_for(self._what, str(error))
        self._seconds = min(self._longest, max(_FIRST_SECONDS, self._seconds * 2))
        self._until = time.monotonic() + self._seconds

    def answered(self) -> None:
        """It has."""
        if self._seconds:
            self._log.info("answers again", what=self._what)
            self._metrics.answers(self._what)
        self._seconds = self._until = 0.0
