"""Runs: what was started, with what settings, how it ended, and which of its processes are still heard of."""

from typing import Literal

from pydantic import Field

from trailhouse_schemas.events.base import Event, Timestamp

__all__ = ["HeartbeatSent", "ParametersLogged", "RunFinished", "RunStarted"]


class RunStarted(Event):
    """A run began. Sent by rank 0 of each attempt, with all that is needed to know what ran."""

    name: str = Field(default="", description="The run's name, for people.")
    group: str = Field(default="", description="The group that the run belongs to, such as a sweep.")
    kind: Literal["train", "sweep", "serve", "transform", "evaluate"] = Field(
        default="train", description="What the run does: train, sweep, serve, transform or evaluate."
    )
    parent_run_id: str = Field(default="", description="The run that started this one, or empty.")
    resumed_from: str = Field(default="", description="The run whose checkpoint this one goes on from, or empty.")
    entry_point: str = Field(default="", description="The script or module that was started.")
    command: list[str] = Field(default_factory=list, description="The command line, one argument an element.")
    git_remote: str = Field(default="", description="URL of the repository, without credentials.")
    git_commit: str = Field(default="", description="The commit that was checked out (40 hexadecimal digits).")
    git_branch: str = Field(default="", description="The branch that was checked out.")
    git_dirty: bool | None = Field(
        default=None, description="Whether the work tree differed from the commit; null where there is no repository."
    )
    git_diff_digest: str = Field(default="", description="Digest of the difference to the commit (sha256:…).")
    git_diff_uri: str = Field(default="", description="Where the difference to the commit is kept.")
    python_version: str = Field(default="", description="Version of Python.")
    platform: str = Field(default="", description="Operating system, its version and the machine's architecture.")
    packages: dict[str, str] = Field(
        default_factory=dict, description="Version of each installed distribution, by name."
    )
    container_image_digest: str = Field(default="", description="Digest of the container image (sha256:…).")
    drivers: dict[str, str] = Field(
        default_factory=dict, description="Version of each driver and runtime (cuda, nccl)."
    )
    seeds: dict[str, int] = Field(default_factory=dict, description="Random seeds by what they seed.")
    determinism: dict[str, str] = Field(default_factory=dict, description="Flags that make results repeatable.")
    parallelism: dict[str, int] = Field(
        default_factory=dict, description="Degree of each kind of parallelism (data, tensor, pipeline, …)."
    )


class RunFinished(Event):
    """A run's attempt ended, in Slurm's terms."""

    status: Literal["completed", "failed", "cancelled", "timeout", "preempted", "node_fail", "out_of_memory"] = Field(
        description="completed, failed, cancelled, timeout, preempted, node_fail or out_of_memory."
    )
    exit_code: int | None = Field(default=None, description="Exit code of the process, where there was one.")
    error_type: str = Field(default="", description="Class of the error that ended the run.")
    error_message: str = Field(default="", description="Message of the error that ended the run.")
    reported_by: str = Field(
        default="producer", description="Who says so: producer (the run itself), launcher, scheduler."
    )
    log_calls_by_duration: list[int] = Field(
        default=[],
        description="Calls of log in this process by the time that they took: the number at n, from 0, counts those of "
        "less than 2^n nanoseconds and no less than half of that. Empty where none was made.",
    )


class ParametersLogged(Event):
    """Hyper-parameters of a run; a later event restates or adds to the earlier ones."""

    parameters: dict[str, str] = Field(description="JSON value of each hyper-parameter, by dotted name.")


class HeartbeatSent(Event):
    """A sign of life of a producer, with its own count of what it has emitted."""

    phase: Literal["started", "alive", "finished", "found_dead"] = Field(
        description="started, alive, finished (the producer's last event), or found_dead (said by another)."
    )
    subject_producer_id: str = Field(description="The producer that this is about: the sender, unless found_dead.")
    parent_producer_id: str = Field(default="", description="The producer of the process that forked this one.")
    process_id: int = Field(default=0, description="Process id on its host.")
    next_due_at: Timestamp | None = Field(
        default=None, description="When the next sign of life is due; null when none will come."
    )
    events_emitted: int = Field(
        default=0, description="Sequence numbers used so far, this event's and those of dropped events included."
    )
    events_dropped: int = Field(default=0, description="Events dropped so far; each left a hole in the sequence.")
    points_dropped: int = Field(default=0, description="Metric points dropped so far, with or without an event.")
    spool_backlog: int = Field(default=0, description="Events in the spool that were not yet published.")
    clock_offset_us: int | None = Field(
        default=None, description="Wall clock minus the clock that stamps events, in microseconds."
    )
    flush_interval_seconds: float = Field(
        default=0.2, description="How long an event may wait in memory: what a killed process can lose at most."
    )
