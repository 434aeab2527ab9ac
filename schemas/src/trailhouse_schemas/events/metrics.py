"""Metrics: the numbers that a run produces while it goes on."""

from pydantic import Field

from trailhouse_schemas.events.base import Event, Fields, Timestamp

__all__ = ["MetricPoint", "MetricsLogged"]


class MetricPoint(Fields):
    """One value of one metric."""

    name: str = Field(description="Name of the metric, dotted where it is nested.")
    step: int | None = Field(default=None, description="Step of the training loop; null where there is none.")
    value: float = Field(description="The value; NaN and infinities are values.")
    logged_at: Timestamp = Field(description="When it was logged (UTC).")


class MetricsLogged(Event):
    """Metric points of one producer, one or more. The warehouse has a row a point."""

    split: str = Field(default="", description="Split of the data that was measured on: train, validation, test, …")
    dataset_digest: str = Field(default="", description="Digest of the dataset that was measured on.")
    model_id: str = Field(default="", description="The model that was measured.")
    segment: dict[str, str] = Field(default_factory=dict, description="Part of the data that was measured on.")
    points: list[MetricPoint] = Field(description="The points, in the order in which they were logged.")
