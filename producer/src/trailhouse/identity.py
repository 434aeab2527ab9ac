"""Who a process is among the processes of its run: rank, world size, attempt, and the run's id.

All ranks of a job must name the same run, and no rank may wait for another one to find out its name. So the id is, in
this order: the argument, TRAILHOUSE_RUN_ID, the UUIDv5 of what the launcher calls the job (the same in all ranks, and
in all restarts of an elastic job), or, where no launcher is seen, a new UUIDv7.

The functions take the environment as a mapping and read nothing else; what they cannot read in it they warn about.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trailhouse.errors import InvalidRunError
from trailhouse.once import warn_once

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Launch", "Place", "find_launch", "find_place"]

#: Namespace of the run ids that are made of a launcher's job: fixed for ever, or restarts would not find their run.
_RUNS: Final = uuid.UUID("6f0c8f2e-6c0b-5f0e-9f43-3d0a7c1f5a10")


@dataclass(frozen=True, slots=True)
class Launch:
    """What a launcher has put into the environment of one process."""

    #: torchrun, slurm, openmpi, mpi, or empty where none was seen.
    launcher: str = ""
    rank: int = 0
    world_size: int = 1
    #: Restart of the job, from 0.
    attempt: int = 0
    #: What is the same in all processes and all restarts of the job, and in no other job; empty where there is no such.
    job: str = ""


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


def find_launch(environment: Mapping[str, str]) -> Launch:
    """Return what the launcher says: torchrun, else Open MPI, another MPI (PMI), Slurm, or nobody.

    torchrun and mpirun may run inside a Slurm job, where Slurm's own task numbers are those of the launchers: they win.
    """
    for find in (_torchrun, _open_mpi, _pmi, _slurm):
        launch = find(environment)
        if launch is not None:
            return launch
    return Launch()


def find_place(
    environment: Mapping[str, str],
    *,
    new_run_id: str,
    ordinal: int = 0,
    run_id: str | None = None,
    rank: int | None = None,
    world_size: int | None = None,
    attempt: int | None = None,
) -> Place:
    """Return the place of this process; arguments that are not None win over what the launcher says.

    Args:
        environment: `os.environ`.
        new_run_id: the id of the run when nothing else names it.
        ordinal: how many runs this process has started before without naming them; all ranks start theirs in the same
            order, so the second run of a job is another one than the first, and the same in all ranks.
        run_id: the run, from the argument or TRAILHOUSE_RUN_ID.
        rank: rank of this process, from 0.
        world_size: number of processes of the run.
        attempt: restart of the run, from 0.

    Raises:
        InvalidRunError: rank, world size or attempt are not numbers that fit together.
    """
    for name, value, least in (("rank", rank, 0), ("world_size", world_size, 1), ("attempt", attempt, 0)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise InvalidRunError(f"Argument {name} is {value!r}; give a whole number from {least} on")
    launch = find_launch(environment)
    job = launch.job if not ordinal else launch.job and f"{launch.job}|{ordinal}"
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


def _torchrun(environment: Mapping[str, str]) -> Launch | None:
    rank, world_size = _number(environment, "RANK"), _number(environment, "WORLD_SIZE")
    if rank is None or world_size is None:
        return None
    run = environment.get("TORCHELASTIC_RUN_ID", "")
    master = f"{environment.get('MASTER_ADDR', '')}:{environment.get('MASTER_PORT', '')}"
    slurm = _slurm_job(environment)
    # `--rdzv-id` is "none" where nobody gave one, and the master's port changes with every restart of an elastic job.
    named = run if run and run != "none" else ""
    job = "|".join(filter(None, (slurm, named))) or (f"{run}|{master}" if run or master != ":" else "")
    return Launch(
        launcher="torchrun",
        rank=rank,
        world_size=max(world_size, rank + 1),
        attempt=(_number(environment, "TORCHELASTIC_RESTART_COUNT") or 0)
        + (_number(environment, "SLURM_RESTART_COUNT") or 0),
        job=f"torchrun|{job}" if job else "",
    )


def _open_mpi(environment: Mapping[str, str]) -> Launch | None:
    rank, world_size = _number(environment, "OMPI_COMM_WORLD_RANK"), _number(environment, "OMPI_COMM_WORLD_SIZE")
    if rank is None or world_size is None:
        return None
    # PMIX_NAMESPACE is the job's name in Open MPI 4 and 5; OMPI_MCA_ess_base_jobid in the older ones.
    name = environment.get("PMIX_NAMESPACE") or environment.get("OMPI_MCA_ess_base_jobid", "")
    # Numbers of jobs come back in Open MPI 4; the head node's address and port are the same in all ranks.
    host = environment.get("OMPI_MCA_orte_hnp_uri", "")
    slurm = _slurm_job(environment)
    job = "|".join(filter(None, (slurm, name, "" if slurm else host.split(";")[0])))
    return Launch(
        launcher="openmpi",
        rank=rank,
        world_size=max(world_size, rank + 1),
        attempt=_number(environment, "SLURM_RESTART_COUNT") or 0,
        job=f"openmpi|{job}" if name else "",
    )


def _pmi(environment: Mapping[str, str]) -> Launch | None:
    rank, world_size = _number(environment, "PMI_RANK"), _number(environment, "PMI_SIZE")
    if rank is None or world_size is None:
        return None
    slurm = _slurm_job(environment)
    name = environment.get("PMI_JOBID") or environment.get("HYDI_JOBID") or environment.get("PMI_ID_JOB", "")
    job = "|".join(filter(None, (slurm, name)))
    return Launch(
        launcher="mpi",
        rank=rank,
        world_size=max(world_size, rank + 1),
        attempt=_number(environment, "SLURM_RESTART_COUNT") or 0,
        job=f"mpi|{job}" if job else "",
    )


def _slurm(environment: Mapping[str, str]) -> Launch | None:
    rank, world_size = _number(environment, "SLURM_PROCID"), _number(environment, "SLURM_NTASKS")
    if rank is None or world_size is None:
        return None
    step_size = _number(environment, "SLURM_STEP_NUM_TASKS")
    if step_size is not None:
        world_size = step_size
    elif not (environment.get("SLURM_STEP_ID") or environment.get("SLURM_STEPID")):
        world_size = 1  # the batch script itself, which runs once, however many tasks its job may start
    job = _slurm_job(environment)
    return Launch(
        launcher="slurm",
        rank=rank,
        world_size=max(world_size, rank + 1),
        attempt=_number(environment, "SLURM_RESTART_COUNT") or 0,
        job=f"slurm|{job}" if job else "",
    )


def _slurm_job(environment: Mapping[str, str]) -> str:
    job = environment.get("SLURM_JOB_ID") or environment.get("SLURM_JOBID", "")
    if not job:
        return ""
    step = environment.get("SLURM_STEP_ID") or environment.get("SLURM_STEPID", "")
    return f"{environment.get('SLURM_CLUSTER_NAME', '')}|{job}|{step}"


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "").strip()
    if text.isascii() and text.isdecimal():
        return int(text)
    if text:
        warn_once(f"{name} is {text!r:.100}, which is no whole number from 0 on; going on as if it were not set")
    return None
