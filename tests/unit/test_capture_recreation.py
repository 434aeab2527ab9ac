"""What is recorded of a pipeline is enough to build the same unfitted pipeline again."""

from __future__ import annotations

import functools
import importlib
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.feature_selection import SelectFromModel, SelectKBest
from sklearn.gaussian_process import GaussianProcessClassifier, kernels
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from xgboost import XGBClassifier

from trailhouse.capture.models import describe_model

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ROWS = 60


def built(fields: Mapping[str, Any]) -> Any:  # noqa: C901  three small functions that call each other
    """Build the object of a ModelLogged event again, unfitted, from classes and arguments alone."""
    steps = {step["path"]: step for step in fields["preprocessing"]}

    def model() -> Any:
        arguments = {name: decoded(json.loads(text)) for name, text in fields["arguments"].items()}
        return named(fields["class_name"])(**arguments)

    def step(path: str) -> Any:
        settings = {name: decoded(json.loads(text)) for name, text in steps[path]["settings"].items()}
        for name in {"steps", "transformers", "transformer_list"} & set(settings):
            settings[name] = [tuple(part) for part in settings[name]]
        return named(steps[path]["class_name"])(**settings)

    def decoded(value: Any) -> Any:  # noqa: C901, PLR0911, PLR0912  one line a tag
        if isinstance(value, list):
            return [decoded(member) for member in value]
        if not isinstance(value, dict):
            return value
        tag = next((name for name in value if name.startswith("$")), "")
        content: Any = value.get(tag)
        match tag:
            case "":
                return {name: decoded(member) for name, member in value.items()}
            case "$step":
                return step(content)
            case "$model":
                return model()
            case "$object":
                return named(content)(**{name: decoded(member) for name, member in value["arguments"].items()})
            case "$ref":
                return named(content)
            case "$float":
                return float(content)
            case "$tuple":
                return tuple(decoded(member) for member in content)
            case "$set":
                return {decoded(member) for member in content}
            case "$map":
                return {decoded(key): decoded(member) for key, member in content}
            case "$slice":
                return slice(*(decoded(member) for member in content))
            case "$range":
                return range(*content)
            case "$dtype":
                return np.dtype(content)
            case "$array":
                return np.array(decoded(content["values"]), dtype=content["dtype"]).reshape(content["shape"])
            case "$partial":
                function, arguments, keywords = map(decoded, content)
                return functools.partial(function, *arguments, **keywords)
        raise AssertionError(f"{tag} cannot be built")

    return step(".") if "." in steps else model()


def named(name: str) -> Any:
    """Return what a qualified name stands for."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    return getattr(importlib.import_module("builtins"), name)


def shape(value: Any) -> Any:
    """Return an estimator as plain values that can be compared."""
    if isinstance(value, BaseEstimator) or hasattr(value, "get_params"):
        return type(value), {name: shape(argument) for name, argument in value.get_params(deep=False).items()}
    if isinstance(value, make_column_selector | functools.partial | KFold):
        return type(value), shape(value.__reduce__()[1:] if isinstance(value, functools.partial) else vars(value))
    if isinstance(value, dict):
        return {key: shape(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [shape(member) for member in value]
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, shape(value.tolist())
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def frame() -> tuple[pd.DataFrame, Any]:
    """Return features of several kinds and a target."""
    dice = np.random.default_rng(0)
    features = pd.DataFrame(
        {
            "age": dice.integers(18, 90, ROWS).astype(float),
            "income": dice.lognormal(10, 1, ROWS),
            "city": dice.choice(["Bern", "Basel", "Zug"], ROWS),
            "plan": dice.choice(["a", "b"], ROWS),
            "visits": dice.integers(0, 9, ROWS),
        }
    )
    features.loc[3, "age"] = None
    return features, dice.integers(0, 2, ROWS)


def columns(**settings: Any) -> ColumnTransformer:
    """Return a ColumnTransformer with a nested pipeline, a selector, positions, a slice and a remainder."""
    return ColumnTransformer(
        [
            ("num", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["age", "income"]),
            (
                "cat",
                OneHotEncoder(drop="first", dtype=np.float32),
                make_column_selector(dtype_include=["object", "string"]),
            ),
            ("ord", OrdinalEncoder(categories=[["a", "b"]]), [3]),
            ("log", FunctionTransformer(np.log1p, feature_names_out="one-to-one"), slice(1, 2)),
            ("none", StandardScaler(), []),
            ("out", "drop", ["plan"]),
        ],
        **{"remainder": "passthrough", "transformer_weights": {"num": 0.5}} | settings,
    )


CASES: dict[str, Any] = {
    "pipeline": Pipeline([("pre", columns()), ("model", LogisticRegression(C=0.3, class_weight={0: 1.0, 1: 2.0}))]),
    "remainder": Pipeline(
        [
            ("pre", columns(remainder=SimpleImputer(missing_values=-1))),
            ("model", LogisticRegression(max_iter=np.int64(50))),
        ]
    ),
    "union": Pipeline(
        [
            ("pre", columns()),
            ("off", "passthrough"),
            ("both", FeatureUnion([("pca", PCA(2, random_state=0)), ("best", SelectKBest(k=3))])),
            ("select", SelectFromModel(RandomForestClassifier(n_estimators=5, random_state=1))),
            ("model", RandomForestClassifier(n_estimators=5, max_features=0.5)),
        ]
    ),
    "stack": Pipeline(
        [
            ("pre", columns()),
            (
                "model",
                StackingClassifier(
                    [
                        ("lr", LogisticRegression()),
                        ("nested", make_pipeline(StandardScaler(), LogisticRegression(C=2))),
                    ],
                    cv=KFold(3, shuffle=True, random_state=5),
                ),
            ),
        ]
    ),
    "search": GridSearchCV(
        Pipeline([("pre", columns()), ("model", LogisticRegression())]),
        {"model__C": np.logspace(-1, 1, 3), "pre__num__simpleimputer__strategy": ["mean", "median"]},
        cv=2,
    ),
    "wrapped": TransformedTargetRegressor(
        Pipeline([("pre", columns()), ("model", Ridge(alpha=0.5))]), func=np.log1p, inverse_func=np.expm1
    ),
    "kernel": Pipeline(
        [("pre", columns()), ("model", GaussianProcessClassifier(kernels.ConstantKernel(2.0) * kernels.RBF([1.0] * 8)))]
    ),
    "xgboost": Pipeline([("pre", columns()), ("model", XGBClassifier(n_estimators=3, max_depth=2, learning_rate=0.3))]),
    "partial": Pipeline(
        [
            ("pre", columns()),
            ("clip", FunctionTransformer(functools.partial(np.clip, a_min=-1, a_max=(1.0)))),
            ("model", LogisticRegression()),
        ]
    ),
    "plain": LogisticRegression(C=7),
    "transformer": columns(),
    "preprocessing": Pipeline([("pre", columns()), ("scale", StandardScaler(with_mean=False))]),
    "ends in passthrough": Pipeline([("pre", columns()), ("end", "passthrough")]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("fitted", [False, True])
def test_the_record_is_enough_to_build_the_same_object_again(case: str, fitted: bool) -> None:
    """Classes and arguments, all the way down, whether the object was fitted or not."""
    estimator = CASES[case]
    features, target = frame()
    if case == "plain":
        features = features[["income", "visits"]]
    if fitted:
        estimator.fit(features, target)
    again = built(json.loads(json.dumps(describe_model(estimator, model_id="m"))))
    assert shape(estimator) == shape(again)
    if case not in {"search", "stack", "kernel", "union"}:
        again.fit(features, target)
