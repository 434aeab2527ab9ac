"""Every rank of a job names the same run, without asking another one."""

from __future__ import annotations

from typing import Any

import pytest

from trailhouse.errors import InvalidRunError
from trailhouse.identity import Place, find_place
from trailhouse.launchers import find_local_rank
from trailhouse.once import forget_warnings

NEW = "00000000-0000-7000-8000-000000000000"

TORCHRUN = {
    "WORLD_SIZE": "4",
    "MASTER_ADDR": "node1",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_RUN_ID": "job-7",
    "TORCHELASTIC_RESTART_COUNT": "0",
}
SLURM = {
    "SLURM_NTASKS": "4",
    "SLURM_JOB_ID": "811",
    "SLURM_STEP_ID": "0",
    "SLURM_CLUSTER_NAME": "alps",
    "SLURM_STEP_NUM_TASKS": "4",
}
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "4", "PMIX_NAMESPACE": "prterun-node1-77@1"}
PMI = {"PMI_SIZE": "4", "PMI_JOBID": "kvs_77_0"}
INTEL_MPI = {"PMI_SIZE": "4", "I_MPI_HYDRA_UUID": "d1a60000-6a5b-0a5b-7e05-060001007f00"}
HOROVOD = {
    "HOROVOD_SIZE": "4",
    "HOROVOD_LOCAL_SIZE": "2",
    "HOROVOD_GLOO_RENDEZVOUS_ADDR": "10.0.0.1",
    "HOROVOD_GLOO_RENDEZVOUS_PORT": "38211",
    "HOROVOD_CONTROLLER": "gloo",
}
LAUNCHERS = [
    pytest.param(TORCHRUN, "RANK", "torchrun", id="torchrun"),
    pytest.param(SLURM, "SLURM_PROCID", "slurm", id="slurm"),
    pytest.param(OPEN_MPI, "OMPI_COMM_WORLD_RANK", "openmpi", id="openmpi"),
    pytest.param(PMI, "PMI_RANK", "mpi", id="mpi"),
    pytest.param(INTEL_MPI, "PMI_RANK", "mpi", id="intel mpi"),
    pytest.param(HOROVOD, "HOROVOD_RANK", "horovod", id="horovod"),
]


def place(environment: dict[str, str], *, process: str = "", **arguments: object) -> Place:
    """Find the place of a process with that environment, which the launcher `process` has started."""
    return find_place(environment, new_run_id=NEW, launcher_process=lambda _: process, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(("job", "rank_name", "launcher"), LAUNCHERS)
def test_all_ranks_of_a_job_name_the_same_run(job: dict[str, str], rank_name: str, launcher: str) -> None:
    """The launcher's job gives the id; ranks and world size are the launcher's too."""
    places = [place(job | {rank_name: str(rank)}) for rank in range(4)]
    assert len({p.run_id for p in places}) == 1
    assert places[0].run_id != NEW
    assert [p.rank for p in places] == [0, 1, 2, 3]
    assert {(p.world_size, p.launcher) for p in places} == {(4, launcher)}


@pytest.mark.parametrize(("job", "rank_name", "launcher"), LAUNCHERS)
def test_the_second_run_of_a_job_is_another_one_in_all_ranks(
    job: dict[str, str], rank_name: str, launcher: str
) -> None:
    """A sweep inside one job has a run for each of its settings."""
    first = place(job | {rank_name: "0"})
    second = {place(job | {rank_name: str(rank)}, ordinal=1).run_id for rank in range(4)}
    assert len(second) == 1
    assert first.run_id not in second


@pytest.mark.parametrize(
    ("job", "rank_name", "name"),
    [
        (TORCHRUN, "RANK", "TORCHELASTIC_RUN_ID"),
        (SLURM, "SLURM_PROCID", "SLURM_JOB_ID"),
        (SLURM, "SLURM_PROCID", "SLURM_STEP_ID"),
        (SLURM, "SLURM_PROCID", "SLURM_CLUSTER_NAME"),
        (OPEN_MPI, "OMPI_COMM_WORLD_RANK", "PMIX_NAMESPACE"),
        (PMI, "PMI_RANK", "PMI_JOBID"),
        (INTEL_MPI, "PMI_RANK", "I_MPI_HYDRA_UUID"),
        (HOROVOD, "HOROVOD_RANK", "HOROVOD_GLOO_RENDEZVOUS_PORT"),
    ],
)
def test_two_jobs_are_two_runs(job: dict[str, str], rank_name: str, name: str) -> None:
    """Whatever names the job tells two of them apart."""
    environment = job | {rank_name: "0"}
    assert place(environment).run_id != place(environment | {name: "9"}).run_id


def test_an_elastic_restart_keeps_the_run_and_raises_the_attempt() -> None:
    """The master's port is another one after a restart; the run is not."""
    before = place(TORCHRUN | {"RANK": "1"})
    after = place(TORCHRUN | {"RANK": "2", "TORCHELASTIC_RESTART_COUNT": "1", "MASTER_PORT": "41234"})
    assert (before.run_id, before.attempt) == (after.run_id, 0)
    assert after.attempt == 1


def test_a_requeued_slurm_job_keeps_the_run_and_raises_the_attempt() -> None:
    """Slurm requeues a preempted job under the same number."""
    before, after = (
        place(SLURM | {"SLURM_PROCID": "0"}),
        place(SLURM | {"SLURM_PROCID": "0", "SLURM_RESTART_COUNT": "2"}),
    )
    assert (before.run_id, before.attempt, after.attempt) == (after.run_id, 0, 2)


#: What says the same of each job that runs on one node one day and the next.
ALONE = [
    pytest.param(
        {**TORCHRUN, "TORCHELASTIC_RUN_ID": "none", "LOCAL_WORLD_SIZE": "4"}, "RANK", "LOCAL_WORLD_SIZE", id="torchrun"
    ),
    pytest.param(
        OPEN_MPI | {"OMPI_COMM_WORLD_LOCAL_SIZE": "4"},
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
        id="openmpi",
    ),
    pytest.param({"PMI_SIZE": "4", "MPI_LOCALNRANKS": "4"}, "PMI_RANK", "MPI_LOCALNRANKS", id="mpich"),
    pytest.param(HOROVOD | {"HOROVOD_LOCAL_SIZE": "4"}, "HOROVOD_RANK", "HOROVOD_LOCAL_SIZE", id="horovod"),
]


@pytest.mark.parametrize(("job", "rank_name", "local_size"), ALONE)
def test_on_one_node_the_launchers_process_tells_two_jobs_apart(
    job: dict[str, str], rank_name: str, local_size: str
) -> None:
    """Addresses, ports and process ids come back: two jobs one after the other were taken for one."""
    first = {place(job | {rank_name: str(rank)}, process="boot|77|1200").run_id for rank in range(4)}
    second = place(job | {rank_name: "0"}, process="boot|77|99000")
    assert len(first) == 1
    assert second.run_id not in first
    assert second.agreed
    over_two = job | {rank_name: "0", local_size: "2"}
    assert place(over_two, process="one").run_id in {place(over_two, process="other").run_id, NEW}


def test_a_job_with_a_name_of_its_own_goes_by_it_wherever_its_launcher_runs() -> None:
    """A restarted agent goes on with the run that its `--rdzv-id`, or its Slurm job, names."""
    for named in (TORCHRUN, {**TORCHRUN, "TORCHELASTIC_RUN_ID": "none", "SLURM_JOB_ID": "811"}):
        environment = named | {"RANK": "0", "LOCAL_WORLD_SIZE": "4"}
        assert place(environment, process="before").run_id == place(environment, process="after").run_id


def test_mpich_on_several_nodes_has_no_name_of_the_job() -> None:
    """Hydra gives none to its processes; the ranks are right all the same."""
    found = place({"PMI_RANK": "3", "PMI_SIZE": "4", "MPI_LOCALNRANKS": "2"}, process="proxy")
    assert (found.rank, found.world_size, found.agreed) == (3, 4, False)


def test_a_pod_of_an_indexed_job_is_a_rank_where_it_is_told_how_many_there_are() -> None:
    """A pod does not know the number of completions, and an index may as well be one of many runs of their own."""
    pod = {"JOB_COMPLETION_INDEX": "3", "HOSTNAME": "train-3"}
    assert place(pod) == Place(NEW, 0, 1, 0, "", agreed=False)
    assert place(pod, run_id="uid-of-the-job") == Place("uid-of-the-job", 0, 1, 0, "")
    assert place(pod, run_id="uid-of-the-job", world_size=8) == Place("uid-of-the-job", 3, 8, 0, "kubernetes")
    assert not place(pod, world_size=8).agreed
    with pytest.raises(InvalidRunError, match="rank is 3, of 2"):
        place(pod, world_size=2)


#: Each runs inside those after it.
NESTED = [
    ("torchrun", TORCHRUN | {"RANK": "1"}),
    ("horovod", HOROVOD | {"HOROVOD_RANK": "1"}),
    ("openmpi", OPEN_MPI | {"OMPI_COMM_WORLD_RANK": "1"}),
    ("mpi", PMI | {"PMI_RANK": "1"}),
    ("slurm", SLURM | {"SLURM_PROCID": "1"}),
    ("kubernetes", {"JOB_COMPLETION_INDEX": "1"}),
]


@pytest.mark.parametrize(("inner", "outer"), [(a, b) for a in range(len(NESTED)) for b in range(a + 1, len(NESTED))])
def test_of_nested_launchers_the_innermost_says_the_rank(inner: int, outer: int) -> None:
    """What it does not set is the outer one's, and no rank is made of both."""
    name, environment = NESTED[inner]
    both = {key: "2" if key.endswith(("RANK", "PROCID", "INDEX")) else value for key, value in NESTED[outer][1].items()}
    found = place(both | environment, world_size=4)
    assert (found.launcher, found.rank, found.world_size) == (name, 1, 4)


@pytest.mark.parametrize(
    ("environment", "rank"),
    [
        ({"LOCAL_RANK": "2", "SLURM_LOCALID": "0"}, 2),
        ({"HOROVOD_LOCAL_RANK": "1"}, 1),
        ({"OMPI_COMM_WORLD_LOCAL_RANK": "3"}, 3),
        ({"MPI_LOCALRANKID": "1"}, 1),
        ({"PMI_LOCAL_RANK": "1", "SLURM_LOCALID": "0"}, 1),
        ({"SLURM_LOCALID": "5"}, 5),
        ({"LOCAL_RANK": ""}, 0),
        ({}, 0),
    ],
)
def test_one_rank_of_a_node_samples_what_is_the_nodes(environment: dict[str, str], rank: int) -> None:
    """Whichever launcher has started it."""
    assert find_local_rank(environment) == rank


def test_torchrun_inside_slurm_has_torchruns_ranks() -> None:
    """Slurm starts one torchrun a node; the ranks are torchrun's."""
    inside = SLURM | {"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2"} | TORCHRUN | {"RANK": "3"}
    assert (place(inside).rank, place(inside).world_size, place(inside).launcher) == (3, 4, "torchrun")


def test_a_batch_script_is_a_single_process() -> None:
    """Slurm sets the number of tasks for the script that starts them, too."""
    script = {"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_JOB_ID": "811"}
    assert (place(script).rank, place(script).world_size) == (0, 1)


def test_a_process_without_a_launcher_is_a_run_of_its_own() -> None:
    """Nothing names a job: a new id, one process."""
    assert place({}) == Place(NEW, 0, 1, 0, "", agreed=False)


def test_arguments_win_over_the_launcher() -> None:
    """Whoever knows better says so."""
    told = place(TORCHRUN | {"RANK": "1"}, run_id="mine", rank=5, world_size=8, attempt=3)
    assert told == Place("mine", 5, 8, 3, "torchrun")


@pytest.mark.parametrize("arguments", [{"rank": 4, "world_size": 4}, {"rank": -1}, {"world_size": 0}, {"rank": "1"}])
def test_ranks_that_cannot_be_are_refused_by_name(arguments: dict[str, Any]) -> None:
    """The error names the argument and what it may be."""
    with pytest.raises(InvalidRunError, match=r"Argument (rank|world_size) is "):
        place({}, **arguments)


def test_numbers_that_are_none_are_not_a_launcher() -> None:
    """A variable that happens to be called RANK does not make a job."""
    assert place({"RANK": "captain", "WORLD_SIZE": "big"}) == Place(NEW, 0, 1, 0, "", agreed=False)


def test_ranks_that_nothing_names_a_job_for_are_known_not_to_agree() -> None:
    """So that the process can say so, once."""
    assert not place({"PMI_RANK": "1", "PMI_SIZE": "2"}).agreed
    assert place({"PMI_RANK": "1", "PMI_SIZE": "2"}, run_id="given").agreed


def test_a_number_that_is_none_is_warned_about_once_by_name_and_value(caplog: pytest.LogCaptureFixture) -> None:
    """A rank that nobody can read would make every rank rank 0 without a word."""
    forget_warnings()
    for _ in range(2):
        assert place({"RANK": "x", "WORLD_SIZE": "4"}) == place({})
    place(SLURM | {"SLURM_PROCID": "-1"})
    place({"RANK": " ", "WORLD_SIZE": ""})
    said = [record.getMessage().removeprefix("trailhouse: ").partition(",")[0] for record in caplog.records]
    assert said == ["RANK is 'x'", "SLURM_PROCID is '-1'"]
