"""What a run holds: an allocation begins when it is made and ends when it is released, at the latest with the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from trailhouse import clock
from trailhouse_schemas.events import ResourcesReleased

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from types import TracebackType

__all__ = ["Allocation"]


class Allocation:
    """One resource that a run holds; a context manager. Made by `run.allocate`."""

    def __init__(
        self,
        allocation_id: str,
        resource: str,
        devices: Sequence[str],
        quantity: float,
        *,
        emit: Callable[..., bool],
        sample: Callable[[], None],
    ) -> None:
        """Take what is announced elsewhere; `emit` records events in the run, `sample` the use of what it holds."""
        self.allocation_id = allocation_id
        self.resource = resource
        self.devices = tuple(devices)
        self.quantity = quantity
        self._emit = emit
        self._sample = sample
        self.released = False

    def release(self, reason: str = "completed", *, ended_at: datetime | None = None) -> None:
        """Say that the resource is held no longer; calling it again does nothing.

        Args:
            reason: completed, failed, preempted, cancelled, timeout, node_fail or void (it never was).
            ended_at: when, if not now.
        """
        if self.released:
            return
        self._sample()  # what was used up to now was used of this allocation
        self.released = True
        fields: dict[str, Any] = {
            "allocation_id": self.allocation_id,
            "ended_at": ended_at or clock.now(),
            "reason": reason,
        }
        self._emit(ResourcesReleased, **fields)

    def __enter__(self) -> Self:
        """Return the allocation itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the resource."""
        if error is None:
            self.release()
        else:
            self.release("cancelled" if isinstance(error, KeyboardInterrupt) else "failed")
