"""One of the four processes that train: `python -m trailhouse_cli.demo.worker PLAN`.

The launcher sets RANK and WORLD_SIZE as torchrun does, and the plan (JSON) says what to train and where XGBoost's
tracker is. All that is said to Trailhouse here is what a training script would say.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xgboost as xgb
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import ShuffleSplit
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from xgboost import collective

import trailhouse
from trailhouse_cli.demo import data

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from trailhouse.run import Run
    from trailhouse.steps import StepTimer

__all__ = ["main"]

_ROUNDS: Final = 60


class Rounds(xgb.callback.TrainingCallback):
    """Times every boosting round, and logs what XGBoost has evaluated, as a training loop would."""

    def __init__(self, run: Run, timer: StepTimer) -> None:
        """Take the run to log to."""
        self._run = run
        self._timer = timer

    def before_iteration(self, _model: Any, epoch: int, _evals_log: Any) -> bool:
        """Tell the timer that a round begins; never stop the training."""
        with self._timer.step(epoch):
            return False

    def after_iteration(self, _model: Any, epoch: int, evals_log: Any) -> bool:
        """Log the metrics, which are the same on all ranks, from rank 0; never stop the training."""
        if self._run.rank == 0:
            for split, metrics in evals_log.items():
                self._run.log({name: values[-1] for name, values in metrics.items()}, step=epoch, split=split)
        return False


def preprocessing() -> ColumnTransformer:
    """Return the steps between the study's columns and the model's features."""
    numeric = Pipeline([("impute", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
    return ColumnTransformer(
        [("numeric", numeric, data.NUMERIC), ("sex", OneHotEncoder(drop="if_binary"), data.CATEGORICAL)],
        verbose_feature_names_out=False,
    )


def main(plan: dict[str, Any]) -> None:
    """Train every setting of the plan, with the other ranks."""
    frame = data.training_slice()
    splitter = ShuffleSplit(n_splits=1, test_size=0.25, random_state=7)
    train_index, validation_index = next(splitter.split(frame))
    steps = preprocessing().fit(frame.iloc[train_index])
    features = np.asarray(steps.transform(frame))
    target = frame[data.TARGET].to_numpy()
    with collective.CommunicatorContext(**plan["tracker"], dmlc_task_id=os.environ["RANK"]):
        for setting in plan["settings"]:
            with trailhouse.start_run(
                project=data.PROJECT,
                name=setting["name"],
                group="sweep",
                kind="sweep",
                run_id=setting["run_id"],
                params={**setting["params"], "rounds": _ROUNDS},
                seeds={"split": 7, "xgboost": plan["seed"]},
            ) as run:
                _train(run, setting, (frame, train_index, validation_index), (steps, features, target))


def _train(
    run: Run,
    setting: dict[str, Any],
    split: tuple[pd.DataFrame, NDArray[np.int64], NDArray[np.int64]],
    prepared: tuple[ColumnTransformer, NDArray[np.float64], NDArray[np.float64]],
) -> None:
    frame, train_index, validation_index = split
    steps, features, target = prepared
    rank, world_size = run.rank, run.world_size
    with run.allocate(resource="cpu", quantity=1, pool="laptop", devices=[f"core-{rank}"], model="demo-core"):
        if rank == 0:
            _log_data(run, frame, train_index, validation_index)
        mine, mine_to_check = train_index[rank::world_size], validation_index[rank::world_size]
        train = xgb.DMatrix(features[mine], target[mine])
        validation = xgb.DMatrix(features[mine_to_check], target[mine_to_check])
        with run.time_steps(every=20) as timer, timer.activity("compute"):
            booster = xgb.train(
                {"objective": "reg:squarederror", "eval_metric": ["mae", "rmse"], "nthread": 1, **setting["params"]},
                train,
                num_boost_round=_ROUNDS,
                evals=[(train, "train"), (validation, "validation")],
                callbacks=[Rounds(run, timer)],
                verbose_eval=False,
            )
        if rank == 0:
            _keep(run, booster, steps, frame.iloc[train_index])


def _log_data(run: Run, frame: pd.DataFrame, train_index: Any, validation_index: Any) -> None:
    splitter = ShuffleSplit(n_splits=1, test_size=0.25, random_state=7)
    for name, index in (("train", train_index), ("validation", validation_index)):
        run.log_dataset(
            frame.iloc[index],
            dataset_id=data.DATASET_ID,
            version="under-55",
            uri="sklearn.datasets:load_diabetes",
            split=name,
            splitter=splitter,
            members=index,
            roles={data.TARGET: "target"},
        )


def _keep(run: Run, booster: Any, steps: ColumnTransformer, frame: pd.DataFrame) -> None:
    folder = Path(os.environ["TRAILHOUSE_HOME"]) / "models"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{run.run_id}.json"
    booster.feature_names = list(steps.get_feature_names_out())
    booster.save_model(file)
    regressor = xgb.XGBRegressor()
    regressor.load_model(file)
    model = Pipeline([("prepare", steps), ("boost", regressor)])
    run.log_model(model, name="progression", path=file, example=frame, dataset_id=data.DATASET_ID)
    run.log_artifact(file, name="booster", kind="model")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
