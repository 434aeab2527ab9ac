"""Ranks that a framework tells inside of the process: looked at where it is loaded, never imported to look.

Ray is 100 MB and more, so its modules are made here, of the names and attributes that Ray 2.9 (the session) and 2.50
(Ray Train V2) have. XGBoost's communicator is the real one in tests/integration/test_launchers.py.
"""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from trailhouse import identity
from trailhouse.launchers import Launch
from trailhouse.sessions import find_ray, find_xgboost

V1, V2 = "ray.train._internal.session", "ray.train.v2._internal.execution.context"


def ray_train(rank: int, *, run_id: str = "4f1c", world_size: int = 4) -> dict[str, Any]:
    """What a worker of Ray Train V2 has loaded."""
    context = SimpleNamespace(
        get_world_rank=lambda: rank,
        get_world_size=lambda: world_size,
        train_run_context=SimpleNamespace(run_id=run_id, run_config=SimpleNamespace(name="mnist")),
    )
    return {V2: SimpleNamespace(get_train_context=lambda: context)}


def ray_session(rank: int | None) -> dict[str, Any]:
    """What a worker of Ray Train before V2 has loaded; without a rank a function of Ray Tune."""
    trial = SimpleNamespace(name="T_a1", id="a1_00000", experiment_name="mnist")
    return {V1: SimpleNamespace(get_session=lambda: SimpleNamespace(world_rank=rank, world_size=4, trial_info=trial))}


def ray_driver() -> dict[str, Any]:
    """What a process has loaded that is no worker: V2's context is an error to ask for."""

    def none_yet() -> Any:
        raise RuntimeError("TrainContext has not been initialized.")

    return {V2: SimpleNamespace(get_train_context=none_yet), V1: SimpleNamespace(get_session=lambda: None)}


@pytest.mark.parametrize("worker", [ray_train, ray_session])
def test_the_workers_of_ray_train_are_ranks_of_one_run(worker: Any) -> None:
    """The run's id, or the trial's, is the same in all of them, restarted ones too."""
    found = [find_ray(worker(rank)) for rank in range(4)]
    assert [(launch.launcher, launch.rank, launch.world_size) for launch in found if launch] == [
        ("ray", rank, 4) for rank in range(4)
    ]
    (job,) = {launch.job for launch in found if launch}
    assert job in {"ray|4f1c", "ray|mnist|a1_00000"}


def test_two_runs_of_ray_train_under_one_name_are_two_runs() -> None:
    """The name of an experiment comes back every day."""
    first, second = find_ray(ray_train(0)), find_ray(ray_train(0, run_id="9be0"))
    assert first is not None
    assert second is not None
    assert first.job != second.job


@pytest.mark.parametrize("modules", [{}, ray_driver(), ray_session(None), {V2: SimpleNamespace()}, {V1: object()}])
def test_what_is_no_worker_of_ray_train_has_no_rank_of_it(modules: dict[str, Any]) -> None:
    """A driver, a function of Ray Tune, a Ray whose insides are others: all without an error."""
    assert find_ray(modules) is None


@pytest.mark.parametrize(
    ("collective", "expected"),
    [
        (None, None),
        (SimpleNamespace(is_distributed=lambda: False), None),
        (SimpleNamespace(), None),
        (
            SimpleNamespace(is_distributed=lambda: True, get_rank=lambda: 2, get_world_size=lambda: 3),
            Launch(launcher="xgboost", rank=2, world_size=3),
        ),
    ],
)
def test_xgboost_tells_ranks_where_a_communicator_is_open(collective: Any, expected: Launch | None) -> None:
    """And nothing where it is another XGBoost than those known, or none."""
    assert find_xgboost({"xgboost.collective": collective}) == expected


def test_a_session_in_the_process_is_further_in_than_any_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's torch workers have RANK and WORLD_SIZE too, and a master's port that changes with every restart."""
    torch = {"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "10.0.0.2"}
    for name, module in ray_train(1).items():
        monkeypatch.setitem(sys.modules, name, module)
    before, after = (
        identity.find_place(torch | {"MASTER_PORT": port}, new_run_id="new") for port in ("40111", "40222")
    )
    assert before == after
    assert (before.launcher, before.rank, before.world_size, before.agreed) == ("ray", 1, 4, True)
    told = identity.find_place(torch, new_run_id="new", rank=3, run_id="mine")
    assert (told.run_id, told.rank) == ("mine", 3)


def test_a_communicator_tells_where_the_environment_knows_of_one_process_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers of a Dask cluster in a batch script are each the only task of it."""
    collective = SimpleNamespace(is_distributed=lambda: True, get_rank=lambda: 2, get_world_size=lambda: 3)
    monkeypatch.setitem(sys.modules, "xgboost.collective", collective)
    batch = {"SLURM_PROCID": "0", "SLURM_NTASKS": "3", "SLURM_JOB_ID": "811", "SLURM_RESTART_COUNT": "1"}
    found = identity.find_place(batch, new_run_id="new")
    assert (found.launcher, found.rank, found.world_size, found.attempt) == ("xgboost", 2, 3, 1)
    assert not found.agreed
    assert identity.find_place(batch, new_run_id="new", run_id="told").agreed
    step = batch | {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "3"}
    assert identity.find_place(step, new_run_id="new").launcher == "slurm"


def test_nothing_is_imported_to_look() -> None:
    """Where XGBoost and Ray can be imported and are not, they stay so."""
    code = (
        "import sys, os; from trailhouse.identity import find_place; find_place(os.environ, new_run_id='new');"
        "print([m for m in sys.modules if m.split('.')[0] in {'ray', 'xgboost', 'torch', 'horovod', 'lightgbm'}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
