"""Models tell their class, arguments, steps, features and importances by themselves."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import sklearn
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PolynomialFeatures, StandardScaler

from envelopes import in_envelope
from trailhouse.capture.fitted_state import fitted_digest
from trailhouse.capture.models import describe_model
from trailhouse_schemas.errors import TrailhouseError
from trailhouse_schemas.events import ModelLogged

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ROWS = 80


def described(model: Any, **said: Any) -> dict[str, Any]:
    """Return the fields of a model; they fit the event."""
    fields = describe_model(model, model_id="m", **said)
    in_envelope(ModelLogged, fields)
    return fields


def frame() -> tuple[pd.DataFrame, Any]:
    """Return features of several kinds and a target."""
    dice = np.random.default_rng(0)
    features = pd.DataFrame(
        {
            "age": dice.integers(18, 90, ROWS).astype(float),
            "income": dice.lognormal(10, 1, ROWS),
            "city": dice.choice(["Bern", "Basel", "Zug"], ROWS),
            "city_size": dice.choice(["big", "small"], ROWS),
            "visits": dice.integers(0, 9, ROWS),
        }
    )
    features.loc[3, "age"] = None
    return features, dice.integers(0, 2, ROWS)


def pipeline(model: Any) -> Pipeline:
    """Return a pipeline as a data scientist writes it."""
    columns = ColumnTransformer(
        [
            (
                "num",
                Pipeline([("fill", SimpleImputer(add_indicator=True)), ("scale", StandardScaler())]),
                ["age", "income"],
            ),
            ("cat", OneHotEncoder(handle_unknown="ignore"), ["city", "city_size"]),
        ],
        remainder="passthrough",
    )
    return Pipeline([("columns", columns), ("model", model)])


def test_a_fitted_pipeline_tells_everything() -> None:
    """Class and arguments of the last step, and every step before it, by dotted path."""
    features, target = frame()
    fields = described(pipeline(LogisticRegression(C=0.5)).fit(features, target), dataset_id="tests/customers")
    assert fields["class_name"] == "sklearn.linear_model._logistic.LogisticRegression"
    assert (fields["framework"], fields["framework_version"]) == ("sklearn", sklearn.__version__)
    assert fields["arguments"]["C"] == "0.5"
    assert f"scikit-learn=={sklearn.__version__}" in fields["requirements"]
    assert f"numpy=={np.__version__}" in fields["requirements"]
    steps = {step["path"]: step for step in fields["preprocessing"]}
    assert list(steps) == [".", "columns", "columns.num", "columns.num.fill", "columns.num.scale", "columns.cat"]
    assert steps["columns.num.fill"]["class_name"] == "sklearn.impute._base.SimpleImputer"
    assert steps["columns.num.fill"]["settings"]["strategy"] == '"mean"'
    assert steps["columns.num.fill"]["input_columns"] == ["age", "income"]
    assert steps["columns.num.fill"]["output_columns"] == ["age", "income", "missingindicator_age"]
    assert steps["columns.cat"]["input_columns"] == ["city", "city_size"]
    assert all(step["fitted_digest"].startswith("sha256:") for path, step in steps.items() if path.count(".") == 2)
    assert [field["name"] for field in fields["input_signature"]] == list(features.columns)
    assert [field["name"] for field in fields["output_signature"]] == ["prediction", "probability"]


def test_every_feature_is_traced_to_its_column() -> None:
    """Through imputation, scaling and one-hot encoding, even where one column's name begins with another's."""
    features, target = frame()
    fields = described(pipeline(LogisticRegression()).fit(features, target), dataset_id="tests/customers")
    assert {feature["name"]: feature["source_column"] for feature in fields["features"]} == {
        "num__age": "age",
        "num__income": "income",
        "num__missingindicator_age": "age",
        "cat__city_Basel": "city",
        "cat__city_Bern": "city",
        "cat__city_Zug": "city",
        "cat__city_size_big": "city_size",
        "cat__city_size_small": "city_size",
        "remainder__visits": "visits",
    }
    assert {feature["source_dataset_id"] for feature in fields["features"]} == {"tests/customers"}
    assert {feature["importance_method"] for feature in fields["features"]} == {"coefficient"}


def test_features_made_of_several_columns_have_no_single_source() -> None:
    """A principal component is of all of them, a polynomial term of two."""
    features, target = frame()
    numbers = features[["income", "visits"]]
    union = FeatureUnion([("same", "passthrough"), ("pca", PCA(1)), ("poly", PolynomialFeatures(include_bias=False))])
    fields = described(make_pipeline(union, LogisticRegression(max_iter=10)).fit(numbers, target))
    assert [(feature["name"], feature["source_column"]) for feature in fields["features"]] == [
        ("same__income", "income"),
        ("same__visits", "visits"),
        ("pca__pca0", ""),
        ("poly__income", "income"),
        ("poly__visits", "visits"),
        ("poly__income^2", ""),
        ("poly__income visits", ""),
        ("poly__visits^2", ""),
    ]


def test_a_step_that_does_not_name_its_columns_leaves_the_rest_traced() -> None:
    """A function may return anything: its block gets made-up names, the others keep theirs."""
    features, target = frame()
    columns = ColumnTransformer(
        [
            ("twice", FunctionTransformer(lambda x: np.hstack([x, x])), ["income"]),
            ("log", FunctionTransformer(np.log1p), ["visits"]),
            ("scale", StandardScaler(), ["visits"]),
        ]
    )
    fields = described(make_pipeline(columns, LogisticRegression(max_iter=10)).fit(features, target))
    assert [(feature["name"], feature["source_column"]) for feature in fields["features"]] == [
        ("twice__0", "income"),
        ("twice__1", "income"),
        ("log__visits", "visits"),
        ("scale__visits", "visits"),
    ]
    assert all(feature["importance"] is not None for feature in fields["features"])


def test_a_model_of_arrays_counts_its_columns() -> None:
    """Without names, the input is one array; an example with names tells them."""
    features, target = frame()
    numbers = features[["income", "visits"]]
    fields = described(LogisticRegression(max_iter=10).fit(numbers.to_numpy(), target))
    assert fields["input_signature"] == [{"name": "input", "type": "", "shape": [2]}]
    assert [feature["name"] for feature in fields["features"]] == ["x0", "x1"]
    fields = described(LogisticRegression(max_iter=10).fit(numbers.to_numpy(), target), example=numbers.to_numpy()[:5])
    assert fields["input_signature"] == [{"name": "input", "type": "double", "shape": [2]}]
    assert fields["output_signature"] == [
        {"name": "prediction", "type": "int64", "shape": []},
        {"name": "probability", "type": "double", "shape": [2]},
    ]


def test_importances_of_trees_and_linear_models() -> None:
    """Each says how it was measured."""
    features, target = frame()
    numbers = features[["income", "visits"]]
    forest = RandomForestRegressor(5, random_state=0).fit(numbers, target)
    found = described(forest)["features"]
    assert [feature["importance"] for feature in found] == pytest.approx(forest.feature_importances_.tolist())
    assert {feature["importance_method"] for feature in found} == {"impurity"}
    linear = LinearRegression().fit(numbers, np.stack([target, -3 * target], axis=1))
    found = described(linear)["features"]
    assert [feature["importance"] for feature in found] == pytest.approx(np.abs(linear.coef_).mean(axis=0).tolist())
    assert {feature["importance_method"] for feature in found} == {"mean_absolute_coefficient"}


def test_xgboost_behind_a_pipeline_tells_gains_by_feature() -> None:
    """The booster sees arrays and calls them f0, f1, …; the pipeline knows their names."""
    features, target = frame()
    model = xgboost.XGBClassifier(n_estimators=5, max_depth=2)
    fields = described(pipeline(model).fit(features, target))
    assert (fields["framework"], fields["framework_version"]) == ("xgboost", xgboost.__version__)
    assert f"xgboost-cpu=={xgboost.__version__}" in fields["requirements"]
    gains = model.get_booster().get_score(importance_type="gain")
    expected = [gains.get(f"f{position}", 0.0) for position in range(9)]
    assert [feature["importance"] for feature in fields["features"]] == pytest.approx(expected)
    assert {feature["importance_method"] for feature in fields["features"]} == {"gain"}
    assert fields["features"][0]["name"] == "num__age"
    assert fields["arguments"]["max_depth"] == "2"


def test_a_native_booster_tells_features_and_configuration() -> None:
    """With the names of its matrix."""
    features, target = frame()
    matrix = xgboost.DMatrix(features[["income", "visits"]], target)
    booster = xgboost.train({"max_depth": 2, "objective": "binary:logistic"}, matrix, 4)
    fields = described(booster)
    assert [feature["name"] for feature in fields["features"]] == ["income", "visits"]
    assert all(feature["importance"] is not None for feature in fields["features"])
    assert fields["class_name"] == "xgboost.core.Booster"
    assert "binary:logistic" in json.loads(fields["arguments"]["config"])


def test_preprocessing_that_is_fitted_apart_is_recorded_with_the_model() -> None:
    """A booster that was trained on what a column transformer made."""
    features, target = frame()
    columns = pipeline(None)[0].fit(features)
    matrix = xgboost.DMatrix(columns.transform(features), target)
    booster = xgboost.train({"max_depth": 2}, matrix, 4)
    fields = described(booster, preprocessing=columns, dataset_id="tests/customers")
    assert fields["class_name"] == "xgboost.core.Booster"
    assert [step["path"] for step in fields["preprocessing"]][:2] == [".", "num"]
    assert [field["name"] for field in fields["input_signature"]] == list(features.columns)
    gains = booster.get_score(importance_type="gain")
    found = {feature["name"]: (feature["source_column"], feature["importance"]) for feature in fields["features"]}
    assert found["num__income"] == ("income", pytest.approx(gains["f1"]))
    assert found["cat__city_size_big"][0] == "city_size"
    assert f"scikit-learn=={sklearn.__version__}" in fields["requirements"]


def test_a_search_tells_the_steps_of_its_best_pipeline() -> None:
    """Under the attribute that holds it."""
    features, target = frame()
    search = GridSearchCV(pipeline(LogisticRegression(max_iter=20)), {"model__C": [0.1, 1.0]}, cv=2)
    fields = described(search.fit(features, target))
    assert fields["class_name"] == "sklearn.model_selection._search.GridSearchCV"
    paths = [step["path"] for step in fields["preprocessing"]]
    assert paths[:2] == ["best_estimator_", "best_estimator_.columns"]
    assert fields["features"][0] == {
        "name": "num__age",
        "source_dataset_id": "",
        "source_column": "age",
        "importance": pytest.approx(search.best_estimator_[-1].coef_[0][0]),
        "importance_method": "coefficient",
    }


def test_the_fitted_digest_covers_what_was_learnt() -> None:
    """The same training gives the same digest, other data another, in this process or the next."""
    features, target = frame()
    one = pipeline(LogisticRegression()).fit(features, target)[0]
    two = pipeline(LogisticRegression(C=3)).fit(features, target)[0]
    other = pipeline(LogisticRegression()).fit(features.assign(age=features["age"] + 1), target)[0]
    assert fitted_digest(one) == fitted_digest(two) != fitted_digest(other)
    assert fitted_digest(StandardScaler()) == ""
    code = (
        "import numpy as np\nfrom sklearn.ensemble import RandomForestClassifier\n"
        "from trailhouse.capture.fitted_state import fitted_digest\nd = np.random.default_rng(0)\n"
        "m = RandomForestClassifier(3, random_state=0).fit(d.normal(size=(50, 3)), d.choice(['a', 'b'], 50))\n"
        "print(fitted_digest(m))"
    )
    runs = {
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    }
    assert len(runs) == 1
    assert runs.pop().startswith("sha256:")


class Network:
    """A model of one's own, of no framework."""

    def __init__(self, layers: int) -> None:
        """Hold the settings."""
        self.layers = layers


class Torn:
    """A model that raises whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        """Raise."""
        raise RuntimeError(name)


def test_any_other_object_is_its_class_and_what_the_user_says(tmp_path: Path) -> None:
    """Arguments, features, importances, framework and the stored file."""
    path = tmp_path / "model.bin"
    path.write_bytes(b"weights")
    fields = described(
        Network(3),
        name="net",
        version="2",
        path=path,
        step=7,
        arguments={"layers": 3},
        features=["a", "b"],
        importances={"b": 0.5},
        framework="own",
        requirements=["own==1"],
    )
    assert fields["class_name"].endswith("Network")
    assert (fields["arguments"], fields["framework"]) == ({"layers": "3"}, "own")
    assert [
        (feature["name"], feature["importance"], feature["importance_method"]) for feature in fields["features"]
    ] == [
        ("a", None, ""),
        ("b", 0.5, "given"),
    ]
    assert (fields["size_bytes"], fields["uri"], fields["step"]) == (7, path.as_uri(), 7)
    assert "own==1" in fields["requirements"]
    assert fields["digest"].startswith("sha256:")


@pytest.mark.parametrize("model", [None, 3, "model", dict, LogisticRegression(), pipeline(LogisticRegression())])
def test_odd_and_unfitted_models_are_recorded_as_far_as_they_go(model: Any) -> None:
    """Nothing raises."""
    assert described(model)["class_name"]


def test_a_model_that_raises_is_recorded_by_its_class() -> None:
    """Whatever it does when it is looked at."""
    assert described(Torn())["class_name"].endswith("Torn")


def test_a_stored_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A wrong argument is the caller's to know."""
    with pytest.raises(TrailhouseError, match="is not there"):
        described(Network(1), path=tmp_path / "gone.bin")
