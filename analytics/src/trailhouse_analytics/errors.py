"""All errors that trailhouse-analytics raises. Each says in one line what, which value, and the way out."""

from __future__ import annotations

from trailhouse_schemas.errors import TrailhouseError

__all__ = ["AnalyticsError", "CostInputError", "DriftInputError", "RunsInputError"]


class AnalyticsError(TrailhouseError):
    """A question that cannot be answered as it was put."""


class DriftInputError(AnalyticsError):
    """Data that cannot be compared: no such file or dataset, not what it says, or no column in common."""


class CostInputError(AnalyticsError):
    """A question about cost that has no answer: an unknown project, run or dimension, or a period that is none."""


class RunsInputError(AnalyticsError):
    """A question about runs without an answer: an unknown project, run, metric or parameter, or no condition at all."""
