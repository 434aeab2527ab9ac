"""Resources: what was there, who had it, how it was used, and what it cost."""

from typing import Literal

from pydantic import Field

from trailhouse_schemas.events.base import DecimalText, Event, Timestamp

__all__ = [
    "CapacityReported",
    "PriceSet",
    "ResourcesAllocated",
    "ResourcesReleased",
    "ResourcesSampled",
    "StepsTimed",
]


class ResourcesAllocated(Event):
    """Somebody holds a resource from a moment on. The latest published event of an allocation_id holds."""

    allocation_id: str = Field(description="The allocation.")
    pool: str = Field(default="", description="Pool, partition or account of machines that it was taken from.")
    node: str = Field(default="", description="The node that it is on.")
    resource: str = Field(description="gpu, cpu, memory, storage, …")
    model: str = Field(default="", description="Model of the resource (H100-SXM5-80GB, EPYC-9654, …).")
    devices: list[str] = Field(default_factory=list, description="Devices, by UUID or index on the node.")
    fraction: float = Field(default=1.0, description="Share of each device, from 0 to 1.", gt=0, le=1)
    partition_profile: str = Field(default="", description="Profile of a partitioned device (MIG 1g.10gb).")
    quantity: float = Field(
        description="How much: devices for a gpu, cores for a cpu, GiB for memory and storage.", gt=0
    )
    capacity_type: Literal["on_demand", "reserved", "spot"] = Field(
        default="on_demand", description="on_demand, reserved or spot."
    )
    submitted_at: Timestamp | None = Field(default=None, description="When it was asked for.")
    started_at: Timestamp = Field(description="When it began to be held.")
    reported_by: str = Field(default="producer", description="Who says so: producer, launcher, scheduler.")


class ResourcesReleased(Event):
    """An allocation ended. The latest published event of an allocation_id holds."""

    allocation_id: str = Field(description="The allocation.")
    ended_at: Timestamp = Field(description="When it ceased to be held.")
    reason: str = Field(
        default="completed",
        description="completed, failed, preempted, cancelled, timeout, node_fail, void (never was).",
    )
    reported_by: str = Field(default="producer", description="Who says so: producer, launcher, scheduler.")


class ResourcesSampled(Event):
    """How one device was used over one interval. What was not measured is null, never 0."""

    allocation_id: str = Field(default="", description="The allocation that the device belonged to.")
    resource: str = Field(description="gpu, cpu, memory, disk, network.")
    device: str = Field(default="", description="The device, by UUID or name.")
    model: str = Field(default="", description="Model of the device.")
    interval_start: Timestamp = Field(description="Begin of the interval.")
    interval_seconds: float = Field(description="Length of the interval in seconds.", ge=0)
    utilization: float | None = Field(default=None, description="Share of the interval in use, from 0 to 1.")
    memory_used_bytes: int | None = Field(default=None, description="Memory in use at the end of the interval.")
    memory_total_bytes: int | None = Field(default=None, description="Memory that there is.")
    power_watts: float | None = Field(default=None, description="Mean power over the interval.")
    energy_joules: float | None = Field(default=None, description="Energy used in the interval.")
    temperature_celsius: float | None = Field(default=None, description="Temperature at the end of the interval.")
    read_bytes: int | None = Field(default=None, description="Bytes read (disk) or received (network) in the interval.")
    written_bytes: int | None = Field(
        default=None, description="Bytes written (disk) or sent (network) in the interval."
    )


class CapacityReported(Event):
    """What a node has, allocated or not."""

    node: str = Field(description="The node.")
    pool: str = Field(default="", description="The pool that it belongs to.")
    resource: str = Field(description="gpu, cpu, memory, storage, …")
    model: str = Field(default="", description="Model of the resource.")
    devices: list[str] = Field(default_factory=list, description="Devices, by UUID or index on the node.")
    quantity: float = Field(description="How much there is, in the unit of allocations.", ge=0)
    state: Literal["ready", "drained", "down"] = Field(description="ready, drained or down.")
    capacity_type: Literal["on_demand", "reserved", "spot"] = Field(
        default="on_demand", description="on_demand, reserved or spot."
    )
    next_due_at: Timestamp | None = Field(default=None, description="When the next report is due.")


class StepsTimed(Event):
    """Where the time of a stretch of training steps of one rank went. Stretches are aligned across ranks."""

    first_step: int = Field(description="First step of the stretch.")
    last_step: int = Field(description="Last step of the stretch, included.")
    started_at: Timestamp = Field(description="When the stretch began.")
    duration_ns: int = Field(description="Wall time of the stretch.", ge=0)
    compute_ns: int = Field(default=0, description="Time in computation.", ge=0)
    data_wait_ns: int = Field(default=0, description="Time waiting for data.", ge=0)
    exposed_communication_ns: int = Field(
        default=0, description="Time in communication that no computation overlapped.", ge=0
    )
    checkpoint_ns: int = Field(default=0, description="Time writing checkpoints.", ge=0)
    init_ns: int = Field(default=0, description="Time starting up.", ge=0)
    compile_ns: int = Field(default=0, description="Time compiling.", ge=0)
    restore_ns: int = Field(default=0, description="Time restoring a checkpoint.", ge=0)


class PriceSet(Event):
    """A price from a moment on, until the next one of the same sku_id. Empty pool, model or capacity type: any.

    A correction restates the same (sku_id, valid_from); the latest published holds.
    """

    sku_id: str = Field(description="The price list's item.")
    pool: str = Field(default="", description="Pool that it is for; empty for any.")
    resource: str = Field(description="gpu, cpu, memory, storage, …")
    model: str = Field(default="", description="Model that it is for; empty for any.")
    capacity_type: str = Field(default="", description="on_demand, reserved or spot; empty for any.")
    unit_price: DecimalText | None = Field(
        default=None, description="Price of one pricing unit; null: none from valid_from on."
    )
    currency: str = Field(description="ISO 4217 code.", pattern="^[A-Z]{3}$")
    pricing_unit: Literal["unit_hour", "unit_second"] = Field(
        default="unit_hour", description="unit_hour or unit_second: of a device, a core, a GiB."
    )
    valid_from: Timestamp = Field(description="From when on it holds.")
    voided: bool = Field(
        default=False, description="Takes this (sku_id, valid_from) back, as if it had never been set."
    )
