"""What a run holds and does with its time: resources, their samples, and steps, until they are released or it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trailhouse import clock
from trailhouse.allocations import Allocation
from trailhouse.steps import StepTimer
from trailhouse_schemas import events

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from trailhouse.formed import Context
    from trailhouse.run import Status
    from trailhouse.sampler import Sampler

__all__ = ["RunResources"]


class RunResources:
    """The methods of a run that tell of resources and time."""

    context: Context
    sampler: Sampler | None
    #: All that the run has held so far.
    allocations: list[Allocation]
    _timers: list[StepTimer]

    def emit(self, event: type[events.Event] | events.Event, /, **fields: Any) -> bool:
        """Record any event in this run; what is wrong with it is warned about. Return whether it was taken."""
        raise NotImplementedError

    def allocate(
        self,
        resource: str,
        quantity: float | None = None,
        *,
        devices: Sequence[str] = (),
        pool: str = "",
        node: str | None = None,
        model: str = "",
        fraction: float = 1.0,
        partition_profile: str = "",
        capacity_type: str = "on_demand",
        submitted_at: datetime | None = None,
        started_at: datetime | None = None,
        allocation_id: str = "",
        reported_by: str = "producer",
    ) -> Allocation:
        """Record that the run holds a resource from now on, until it is released or the run ends.

        Args:
            resource: gpu, cpu, memory, storage, …
            quantity: devices for a gpu, cores for a cpu, GiB for memory and storage; the number of `devices`, else 1.
            devices: by UUID or index on the node.
            pool: pool, partition or account that it was taken from.
            node: the node that it is on; this host by default.
            model: model of the resource (H100-SXM5-80GB, …).
            fraction: share of each device, above 0 and at most 1.
            partition_profile: profile of a partitioned device.
            capacity_type: on_demand, reserved or spot.
            submitted_at: when it was asked for.
            started_at: when it began to be held, if not now.
            allocation_id: the allocation; a new UUIDv7 by default.
            reported_by: who says so.
        """
        from trailhouse.recorder import new_id  # noqa: PLC0415 - loaded with the run

        names = [str(device) for device in ([devices] if isinstance(devices, str | int) else devices or ())]
        held = Allocation(
            allocation_id or new_id(),
            resource,
            names,
            float(len(names) or 1) if quantity is None else quantity,
            emit=self.emit,
            sample=self._sample,
        )
        self._sample()
        held.released = not self.emit(
            events.ResourcesAllocated,
            allocation_id=held.allocation_id,
            pool=pool,
            node=self.context.host if node is None else node,
            resource=resource,
            model=model,
            devices=names,
            fraction=fraction,
            partition_profile=partition_profile,
            quantity=held.quantity,
            capacity_type=capacity_type,
            submitted_at=submitted_at,
            started_at=started_at or clock.now(),
            reported_by=reported_by,
        )
        self.allocations.append(held)
        return held

    def _sample(self) -> None:
        if self.sampler is not None:
            self.sampler.take()

    def time_steps(self, every: int = 100) -> StepTimer:
        """Return a timer of training steps, in stretches of `every` steps: the same `every` on all ranks.

        `with timer.step(n):` around a step, `with timer.activity("data_wait"):` around a part of it.
        """
        timer = StepTimer(every, self.emit)
        self._timers.append(timer)
        return timer

    def _end_what_is_open(self, status: Status) -> None:
        for timer in self._timers:
            timer.close()
        if self.sampler is not None:
            self.sampler.stop()
        for allocation in self.allocations:
            allocation.release(status)
