"""What launchers put into the environment of the processes that they start: ranks, world size, the job and its restart.

Each function knows one launcher and returns None where it has not started this process. They read the mapping that they
are given and nothing else; a number that is none is warned about. docs/producer.md lists the variables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trailhouse.once import warn_once

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Launch", "find_launch", "find_local_rank"]


@dataclass(frozen=True, slots=True)
class Launch:
    """What a launcher says of one process."""

    #: ray, torchrun, horovod, openmpi, mpi, slurm, kubernetes, xgboost, or empty where none was seen.
    launcher: str = ""
    rank: int = 0
    world_size: int = 1
    #: Restart of the job, from 0.
    attempt: int = 0
    #: What is the same in all processes and all restarts of the job, and in no other job; empty where there is no such.
    job: str = ""
    #: A variable that the launcher gives to all ranks, and has not itself, where all of them are on this node: then the
    #: launcher's process names the job better than `job` does. Empty otherwise.
    on_one_node: str = ""


def find_launch(environment: Mapping[str, str], *, world_size: int | None = None) -> Launch:
    """Return what the innermost launcher says: torchrun, Horovod, Open MPI, PMI, Slurm, Kubernetes, or nobody.

    torchrun, horovodrun and mpirun may run inside a Slurm job or a pod, and torchrun inside a task of mpirun, where the
    outer numbers are those of the launchers: the inner ones win.

    Args:
        environment: `os.environ`.
        world_size: what the process was told by its user; a pod cannot know it otherwise.
    """
    for find in (_torchrun, _horovod, _open_mpi, _pmi, _slurm):
        launch = find(environment)
        if launch is not None:
            return launch
    return _kubernetes(environment, world_size) or Launch()


#: The rank among the processes of one node, in the order of `find_launch`.
_LOCAL_RANKS: Final = (
    "LOCAL_RANK",
    "HOROVOD_LOCAL_RANK",
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",
    "PMI_LOCAL_RANK",
    "SLURM_LOCALID",
)


def find_local_rank(environment: Mapping[str, str]) -> int:
    """Return the rank of this process among those of its node; 0 where no launcher says so."""
    return next((int(t) for name in _LOCAL_RANKS if (t := environment.get(name, "").strip()).isdecimal()), 0)


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
    alone = bool(run) and not slurm and not named and _number(environment, "LOCAL_WORLD_SIZE") == world_size
    return Launch(
        launcher="torchrun",
        rank=rank,
        world_size=max(world_size, rank + 1),
        attempt=(_number(environment, "TORCHELASTIC_RESTART_COUNT") or 0) + _requeued(environment),
        job=f"torchrun|{job}" if job else "",
        on_one_node="TORCHELASTIC_RUN_ID" if alone else "",
    )


def _horovod(environment: Mapping[str, str]) -> Launch | None:
    """Horovod over Gloo, from horovodrun, Ray or Spark; over MPI the ranks are those of mpirun.

    The rendezvous server lives as long as the job: an elastic reset changes ranks, and neither address nor port.
    """
    rank, world_size = _number(environment, "HOROVOD_RANK"), _number(environment, "HOROVOD_SIZE")
    if rank is None or world_size is None:
        return None
    address = environment.get("HOROVOD_GLOO_RENDEZVOUS_ADDR", "")
    port = environment.get("HOROVOD_GLOO_RENDEZVOUS_PORT", "")
    slurm = _slurm_job(environment)
    job = "|".join(filter(None, (slurm, f"{address}:{port}" if port else "")))
    return Launch(
        launcher="horovod",
        rank=rank,
        world_size=max(world_size, rank + 1),
        attempt=_requeued(environment),
        job=f"horovod|{job}" if job else "",
        on_one_node="HOROVOD_RANK" if not slurm and _number(environment, "HOROVOD_LOCAL_SIZE") == world_size else "",
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
    alone = not slurm and _number(environment, "OMPI_COMM_WORLD_LOCAL_SIZE") == world_size
    return Launch(
        launcher="openmpi",
        rank=rank,
        world_size=max(world_size, rank + 1),
        attempt=_requeued(environment),
        job=f"openmpi|{job}" if name else "",
        on_one_node="OMPI_COMM_WORLD_RANK" if alone else "",  # the namespace is made of a process id, and these return
    )


def _pmi(environment: Mapping[str, str]) -> Launch | None:
    """MPICH and what is made of it (Intel MPI, MVAPICH, Cray's), by the process manager's interface.

    MPICH's own Hydra gives its processes no name of the job; Intel's gives a UUID, Cray's and Slurm's an id.
    """
    rank, world_size = _number(environment, "PMI_RANK"), _number(environment, "PMI_SIZE")
    if rank is None or world_size is None:
        return None
    slurm = _slurm_job(environment)
    name = environment.get("I_MPI_HYDRA_UUID") or environment.get("PMI_JOBID", "")
    job = "|".join(filter(None, (slurm, name)))
    alone = not job and _number(environment, "MPI_LOCALNRANKS") == world_size
    return Launch(
        launcher="mpi",
        rank=rank,
        world_size=max(world_size, rank + 1),
        attempt=_requeued(environment),
        job=f"mpi|{job}" if job else "",
        on_one_node="PMI_RANK" if alone else "",
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
        attempt=_requeued(environment),
        job=f"slurm|{job}" if job else "",
    )


def _kubernetes(environment: Mapping[str, str], world_size: int | None) -> Launch | None:
    """The pods of an indexed job, where they are told how many they are: a pod is not.

    Without that an index is as often one of many runs of their own as a rank. The job's name comes back with the next
    job of that name, and so names no run.
    """
    index = _number(environment, "JOB_COMPLETION_INDEX")
    if index is None or world_size is None:
        return None
    return Launch(launcher="kubernetes", rank=index, world_size=max(world_size, index + 1))


def _slurm_job(environment: Mapping[str, str]) -> str:
    job = environment.get("SLURM_JOB_ID") or environment.get("SLURM_JOBID", "")
    if not job:
        return ""
    step = environment.get("SLURM_STEP_ID") or environment.get("SLURM_STEPID", "")
    return f"{environment.get('SLURM_CLUSTER_NAME', '')}|{job}|{step}"


def _requeued(environment: Mapping[str, str]) -> int:
    return _number(environment, "SLURM_RESTART_COUNT") or 0


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "").strip()
    if text.isascii() and text.isdecimal():
        return int(text)
    if text:
        warn_once(f"{name} is {text!r:.100}, which is no whole number from 0 on; going on as if it were not set")
    return None
