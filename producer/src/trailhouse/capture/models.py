"""What a model is made of: its class, what re-creates it, the way from columns to features, and which of them matter.

A scikit-learn pipeline tells all of it by itself, XGBoost and LightGBM models most of it, any other object its class;
what the user says is recorded too, and wins.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from trailhouse.capture.artifacts import content_of, local_path, uri_of
from trailhouse.capture.estimators import Step, Walk, walk, walk_before
from trailhouse.capture.feature_lineage import UNKNOWN
from trailhouse.capture.importances import booster_of, importances_of
from trailhouse.capture.json_values import as_json_text, clean_text, constructor_arguments, qualified_name
from trailhouse.capture.requirements import framework_of, requirements_of
from trailhouse.capture.signatures import describe_input, describe_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["describe_model"]

#: An event has to stay well below what a broker takes: of more features, or columns of a step, the first are named.
MOST_FEATURES = 4096
MOST_COLUMNS = 1024

Found = TypeVar("Found")

_log = logging.getLogger(__name__)


def describe_model(
    model: Any,
    *,
    model_id: str,
    name: str = "",
    version: str = "",
    path: str | os.PathLike[str] | None = None,
    uri: str = "",
    step: int | None = None,
    example: Any = None,
    preprocessing: Any = None,
    dataset_id: str = "",
    arguments: Mapping[str, Any] | None = None,
    features: Sequence[str] | None = None,
    importances: Mapping[str, float] | None = None,
    requirements: Iterable[str] | None = None,
    framework: str = "",
    framework_version: str = "",
    class_name: str = "",
) -> dict[str, Any]:
    """Return the fields of `ModelLogged`.

    Args:
        model: any object; a fitted pipeline or estimator says most about itself.
        model_id: the model (UUIDv7).
        name: its name, the same for all versions.
        version: its version.
        path: the file or directory that it was stored in: digest, bytes and URI are taken from there. Or a URI.
        uri: where it is kept, if not at `path`.
        step: of the training loop.
        example: some rows of what goes in, for the signatures (a few are predicted).
        preprocessing: what makes the model's features of the columns, where it is fitted apart from the model: a
            transformer, a ColumnTransformer, a pipeline of them.
        dataset_id: the dataset that the features come from.
        arguments: what re-creates the object, where it does not say so itself.
        features: names of the features, in the model's order, where it does not know them.
        importances: importance by feature, where the model does not know them.
        requirements: distributions that it needs, as name==version, besides those found.
        framework: where the object's own package is not it.
        framework_version: of the framework.
        class_name: where the object's own is not it.

    Raises:
        TrailhouseError: `path` is a local path that is not there.
    """
    stored = _stored(path)
    columns = _columns_of(example)
    nothing = Walk(model, model, UNKNOWN)
    if preprocessing is None:
        found = _looked(lambda: walk(model, columns), nothing)
    else:
        found = _looked(lambda: walk_before(model, preprocessing, columns), nothing)
    first = model if preprocessing is None else preprocessing
    own_framework, own_version = _looked(lambda: framework_of(found.model), ("", ""))
    own_arguments = arguments if arguments is not None else _looked(lambda: _arguments_of(found.model), {})
    classes = [part.class_name for part in found.steps]
    needed = _looked(lambda: requirements_of([model, found.model], classes), [])
    return {
        "model_id": clean_text(model_id),
        "name": clean_text(name),
        "version": clean_text(version),
        "framework": clean_text(framework or own_framework),
        "framework_version": clean_text(framework_version or own_version),
        "class_name": clean_text(class_name or qualified_name(type(found.model))),
        "arguments": {clean_text(str(n)): as_json_text(value, exact=True) for n, value in own_arguments.items()},
        "uri": clean_text(uri or stored["uri"]),
        "digest": stored["digest"],
        "size_bytes": stored["size_bytes"],
        "requirements": sorted({*needed, *(clean_text(str(requirement)) for requirement in requirements or ())}),
        "input_signature": _looked(lambda: describe_input(first, example), []),
        "output_signature": _looked(lambda: describe_output(model, example), []),
        "preprocessing": [_step_fields(part) for part in found.steps],
        "features": _features(found, features, importances, dataset_id),
        "step": step,
    }


def _looked(look: Callable[[], Found], otherwise: Any) -> Found:
    """Return what a look at the model finds; a model that raises then is recorded as far as it goes."""
    try:
        return look()
    except Exception as error:  # noqa: BLE001  whatever the user's object does, the run goes on
        _log.warning("The model cannot be looked into all the way (%s); the rest is recorded", type(error).__name__)
        return otherwise  # type: ignore[no-any-return]


def _stored(path: str | os.PathLike[str] | None) -> dict[str, Any]:
    if path is None:
        return {"uri": "", "digest": "", "size_bytes": None}
    local = local_path(path)
    if local is None:
        return {"uri": os.fspath(path), "digest": "", "size_bytes": None}
    content = content_of(local)
    return {"uri": uri_of(local), "digest": content.digest, "size_bytes": content.size_bytes}


def _columns_of(example: Any) -> list[str] | None:
    columns = getattr(example, "columns", None)
    if columns is None and hasattr(example, "column_names"):
        columns = example.column_names
    return [str(column) for column in columns] if columns is not None else None


def _arguments_of(model: Any) -> dict[str, Any]:
    config = getattr(model, "save_config", None)  # xgboost.Booster: its configuration is what re-creates it
    if callable(config):
        return {"config": config()}
    params = getattr(model, "params", None)
    if callable(getattr(model, "model_to_string", None)) and isinstance(params, Mapping):  # lightgbm.Booster
        return {"params": dict(params)}
    found = constructor_arguments(model) if hasattr(model, "get_params") else None
    return found or {}


def _step_fields(part: Step) -> dict[str, Any]:
    return {
        "path": part.path,
        "class_name": part.class_name,
        "settings": part.settings,
        "input_columns": list(part.input_columns[:MOST_COLUMNS]),
        "output_columns": list(part.output_columns[:MOST_COLUMNS]),
        "fitted_digest": part.fitted_digest,
    }


def _features(
    found: Walk, said: Sequence[str] | None, importances: Mapping[str, float] | None, dataset_id: str
) -> list[dict[str, Any]]:
    names, sources = found.lineage.names, found.lineage.sources
    booster = booster_of(found.fitted)
    if not found.lineage.known and booster is not None and booster.names:
        names = booster.names
        sources = ("",) * len(names) if found.steps else names
    if said is not None:
        said = [clean_text(str(feature)) for feature in said]
        sources = sources if len(sources) == len(said) else tuple("" for _ in said)
        names = tuple(said)
    values, method = importances_of(found.fitted, names)
    if importances is not None:
        values, method = {clean_text(str(n)): float(value) for n, value in importances.items()}, "given"
    if len(names) > MOST_FEATURES:
        _log.warning("Model has %d features; the first %d are named", len(names), MOST_FEATURES)
    return [
        {
            "name": feature,
            "source_dataset_id": clean_text(dataset_id) if source else "",
            "source_column": source,
            "importance": values.get(feature),
            "importance_method": method if feature in values else "",
        }
        for feature, source in zip(names[:MOST_FEATURES], sources, strict=False)
    ]
