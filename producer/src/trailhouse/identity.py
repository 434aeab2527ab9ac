"""Who a process is among the processes of its run: rank, world size, attempt, and the run's id.

All ranks of a job must name the same run, and no rank may wait for another one to find out its name. So the id is, in
this order: the argument, TRAILHOUSE_RUN_ID, the UUIDv5 of what the launcher calls the job (the same in all ranks, and
in all restarts of an elastic job), or, where no launcher is seen, a new UUIDv7.

Each of rank, world size and attempt is the argument, else the setting (TRAILHOUSE_RANK, …), else what the innermost
launcher says: a session in the process itself, then what its environment holds.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trailhouse.ancestry import find_launcher
from trailhouse.errors import InvalidRunError
from trailhouse.launchers import Launch, find_launch
from trailhouse.sessions import find_ray, find_xgboost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Place", "find_place"]

#: Namespace of the run ids that are made of a launcher's job: fixed for ever, or restarts would not find their run.
_RUNS: Final = uuid.UUID("6f0c8f2e-6c0b-5f0e-9f43-3d0a7c1f5a10")


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a process in its run."""

    run_id: str
    rank: int
    world_size: int
    attempt: int
    launcher: str
    #: Whether all ranks come to the same run_id.
    agreed: bool = True


def find_place(
    environment: Mapping[str, str],
    *,
    new_run_id: str,
    ordinal: int = 0,
    run_id: str | None = None,
    rank: int | None = None,
    world_size: int | None = None,
    attempt: int | None = None,
    launcher_process: Callable[[str], str] = find_launcher,
) -> Place:
    """Return the place of this process; arguments that are not None win over what the launcher says.

    Args:
        environment: `os.environ`.
        new_run_id: the id of the run when nothing else names it.
        ordinal: how many runs this process has started before without naming them; all ranks start theirs in the same
            order, so the second run of a job is another one than the first, and the same in all ranks.
        run_id: the run, from the argument or TRAILHOUSE_RUN_ID.
        rank: rank of this process, from 0, from the argument or TRAILHOUSE_RANK.
        world_size: number of processes of the run, from the argument or TRAILHOUSE_WORLD_SIZE.
        attempt: restart of the run, from 0, from the argument or TRAILHOUSE_ATTEMPT.
        launcher_process: see `trailhouse.ancestry.find_launcher`.

    Raises:
        InvalidRunError: rank, world size or attempt are not numbers that fit together.
    """
    for name, value, least in (("rank", rank, 0), ("world_size", world_size, 1), ("attempt", attempt, 0)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise InvalidRunError(f"Argument {name} is {value!r}; give a whole number from {least} on")
    launch = _innermost(environment, world_size)
    job = launch.job
    if launch.on_one_node and not run_id:
        process = launcher_process(launch.on_one_node)
        job = f"{launch.launcher}|{process}" if process else job
    if ordinal and job:
        job = f"{job}|{ordinal}"
    place = Place(
        run_id=run_id or (str(uuid.uuid5(_RUNS, job)) if job else new_run_id),
        rank=launch.rank if rank is None else rank,
        world_size=max(launch.world_size, (rank or 0) + 1) if world_size is None else world_size,
        attempt=launch.attempt if attempt is None else attempt,
        launcher=launch.launcher,
        agreed=bool(run_id or job),
    )
    if place.rank >= place.world_size:
        raise InvalidRunError(f"Argument rank is {place.rank}, of {place.world_size} processes; give one below that")
    return place


def _innermost(environment: Mapping[str, str], world_size: int | None) -> Launch:
    """Ask those who know most: Ray Train of its worker, the environment, XGBoost where that knows of one process."""
    launch = find_ray() or find_launch(environment, world_size=world_size)
    if launch.world_size > 1:
        return launch
    communicator = find_xgboost()
    if communicator is None:
        return launch
    return Launch(
        launcher=communicator.launcher,
        rank=communicator.rank,
        world_size=communicator.world_size,
        attempt=launch.attempt,
    )
