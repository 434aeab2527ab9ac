"""Ranks that are told inside of a process, not by its environment: a worker of Ray Train, an XGBoost communicator.

A framework is looked at only where the process has imported it already, and never imported to look. What it does not
tell, or tells with an error, is not known.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from trailhouse.launchers import Launch

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["find_ray", "find_xgboost"]


def find_ray(modules: Mapping[str, Any] | None = None) -> Launch | None:
    """Return what Ray Train says of the worker that this is; None where this is none.

    Its id of the run is the same in all workers and for all restarts of them; which restart this is it does not say.
    """
    loaded = sys.modules if modules is None else modules
    for find in (_ray_train, _ray_train_before_2):
        try:
            launch = find(loaded)
        except Exception:  # noqa: BLE001, S112 - another version of Ray's insides than those known here
            continue
        if launch is not None:
            return launch
    return None


def find_xgboost(modules: Mapping[str, Any] | None = None) -> Launch | None:
    """Return what XGBoost's communicator says, where one is open: its worker of Dask, of Spark, or of a tracker.

    It has no name of the job, and asking the others for one would be to wait for them.
    """
    collective = (sys.modules if modules is None else modules).get("xgboost.collective")
    try:
        if collective is None or not collective.is_distributed():
            return None
        rank, world_size = int(collective.get_rank()), int(collective.get_world_size())
    except Exception:  # noqa: BLE001 - another version of XGBoost than those known here
        return None
    return Launch(launcher="xgboost", rank=rank, world_size=world_size) if 0 <= rank < world_size else None


def _ray_train(loaded: Mapping[str, Any]) -> Launch | None:
    """Ray Train V2: one context a worker process, which is an error to ask for outside of one."""
    module = loaded.get("ray.train.v2._internal.execution.context")
    context = None if module is None else module.get_train_context()
    if context is None:
        return None
    run = context.train_run_context
    return _launch(
        context.get_world_rank(), context.get_world_size(), getattr(run, "run_id", "") or run.run_config.name or ""
    )


def _ray_train_before_2(loaded: Mapping[str, Any]) -> Launch | None:
    """Ray Train before V2: a session, whose trial is the run; in one of Tune there are no ranks."""
    module = loaded.get("ray.train._internal.session")
    session = None if module is None else module.get_session()
    if session is None or session.world_rank is None:
        return None
    trial = session.trial_info
    job = "" if trial is None else f"{getattr(trial, 'experiment_name', '') or ''}|{trial.id}"
    return _launch(session.world_rank, session.world_size, job)


def _launch(rank: int, world_size: int, job: str) -> Launch:
    return Launch(
        launcher="ray", rank=rank, world_size=max(world_size, rank + 1), job=f"ray|{job}" if job.strip("|") else ""
    )
