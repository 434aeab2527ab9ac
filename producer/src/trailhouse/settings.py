"""The settings of the producer: those that all parts share, and how it buffers, beats and waits."""

from __future__ import annotations

from pydantic import Field

from trailhouse_schemas.settings import Settings

__all__ = ["ProducerSettings"]


class ProducerSettings(Settings):
    """Where events go, how long they may wait in memory, and how often there is a sign of life."""

    run_id: str = Field(default="", description="The run that this process belongs to; empty: found out or made up.")
    project: str = Field(default="", description="The project, where start_run is not told one.")
    principal: str = Field(default="", description="Who this process acts for; empty: the user of the process.")
    flush_interval_seconds: float = Field(
        default=0.2, gt=0, le=60, description="How long an event may wait in memory: what a killed process can lose."
    )
    heartbeat_interval_seconds: float = Field(
        default=10.0, gt=0, le=3600, description="Time between two signs of life."
    )
    sample_interval_seconds: float = Field(
        default=10.0,
        ge=0,
        le=3600,
        description="Time between two samples of CPU, memory, disk, network and GPUs; 0: none.",
    )
    buffer_calls: int = Field(
        default=100_000, ge=1, description="Calls of log that may wait in memory; beyond it the newest are dropped."
    )
    finish_timeout_seconds: float = Field(
        default=30.0, ge=0, description="How long the end of a run may wait for events to be published."
    )
    permission_refresh_seconds: float = Field(
        default=5.0, ge=0, description="How old the grants may be before authorize reads them again."
    )
    permission_max_age_seconds: float = Field(
        default=60.0, ge=0, description="How old they may be, when they cannot be read, before authorize denies all."
    )
    permission_timeout_seconds: float = Field(
        default=10.0, gt=0, le=600, description="How long authorize waits for Kafka to tell the grants."
    )
    permission_ignore: str = Field(
        default="",
        description="Statements about permissions that cannot be read and are to be passed over, separated by spaces: "
        "PRODUCER_ID:SEQUENCE of a spool, PARTITION:OFFSET of the topic.",
    )
