"""Every rank of a job names the same run, without asking another one."""

from __future__ import annotations

import pytest

from trailhouse.errors import InvalidRunError
from trailhouse.identity import Place, find_place
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
LAUNCHERS = [
    pytest.param(TORCHRUN, "RANK", "torchrun", id="torchrun"),
    pytest.param(SLURM, "SLURM_PROCID", "slurm", id="slurm"),
    pytest.param(OPEN_MPI, "OMPI_COMM_WORLD_RANK", "openmpi", id="openmpi"),
    pytest.param(PMI, "PMI_RANK", "mpi", id="mpi"),
]


def place(environment: dict[str, str], **arguments: object) -> Place:
    """Find the place of a process with that environment."""
    return find_place(environment, new_run_id=NEW, **arguments)  # type: ignore[arg-type]


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
def test_ranks_that_cannot_be_are_refused_by_name(arguments: dict[str, object]) -> None:
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
