"""A fitted pipeline as a list of steps: classes, settings, columns in and out, and a digest of what each learnt.

Walks scikit-learn's containers (Pipeline, ColumnTransformer, FeatureUnion, nested as deep as they are) and everything
that follows their conventions, by the names of methods and attributes; imports none of them. Each step has a dotted
path of names; the container at the root has the path ".". A container's settings name its children by `{"$step": path}`
and the estimator at the end of it all by `{"$model": {}}`, so that the tree can be built again from the record.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trailhouse.capture.feature_lineage import (
    NOTHING,
    Lineage,
    after_transformer,
    chosen_columns,
    columns_into,
    input_names,
    joined,
    made_up,
    prefixed,
)
from trailhouse.capture.fitted_state import fitted_digest
from trailhouse.capture.json_values import (
    as_json_text,
    as_json_value,
    clean_text,
    constructor_arguments,
    qualified_name,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ROOT", "Step", "Walk", "walk", "walk_before"]

ROOT = "."
#: Parameters that hold a container's children, by the container's class name.
_CHILDREN = {"Pipeline": "steps", "ColumnTransformer": "transformers", "FeatureUnion": "transformer_list"}
#: Attributes that hold what a search or a wrapper fitted in the end.
_WRAPPED = ("best_estimator_", "regressor_")


@dataclass(frozen=True)
class Step:
    """One step of the preprocessing."""

    path: str
    class_name: str
    settings: dict[str, str]
    input_columns: tuple[str, ...]
    output_columns: tuple[str, ...]
    fitted_digest: str


@dataclass
class Walk:
    """What a walk found."""

    model: Any
    """What is recorded as the model: the last step of a pipeline, or the object itself."""
    fitted: Any
    """What was fitted in the end: the model, or the best or inner one that a search or a wrapper holds."""
    lineage: Lineage
    """The columns that go into the model."""
    steps: list[Step] = field(default_factory=list)
    """The containers and transformers, each container before its parts."""


def walk(estimator: Any, columns: Sequence[str] | None = None) -> Walk:
    """Return the steps of `estimator`, given the names of the columns that go in (found by itself where it knows)."""
    start = columns_into(estimator, columns)
    model = _last_of(estimator)
    if model is not None:
        found = Walk(model, model, start)
        found.lineage = _walk_pipeline(estimator, ROOT, start, found, holds_model=True)
        return found
    for name in _WRAPPED:
        inner = getattr(estimator, name, None)
        last = _last_of(inner)
        if last is not None:
            start = columns_into(inner, start.names if start.known else None)
            found = Walk(estimator, last, start)
            found.lineage = _walk_pipeline(inner, name, start, found, holds_model=True)
            return found
        if inner is not None:
            return Walk(estimator, inner, start)
    found = Walk(estimator, estimator, start)
    if _kind(estimator) == "steps":
        _walk_pipeline(estimator, ROOT, start, found, holds_model=False)
    elif _kind(estimator) is not None:
        _walk_children(estimator, ROOT, start, found)
    return found


def walk_before(model: Any, preprocessing: Any, columns: Sequence[str] | None = None) -> Walk:
    """Return the steps of `preprocessing`, which is fitted apart from the model that takes what comes out of it."""
    start = columns_into(preprocessing, columns)
    found = Walk(model, model, start)
    found.lineage = _walk_step(preprocessing, ROOT, start, found)
    return found


def _last_of(estimator: Any) -> Any:
    """Return the last step of a pipeline where it is an estimator, else None."""
    parts = _pairs(estimator, "steps") if _kind(estimator) == "steps" else []
    return None if not parts or isinstance(parts[-1][1], str) else parts[-1][1]


def _kind(estimator: Any) -> str | None:
    """Return the name of the parameter that holds the children of a container, or None."""
    for base in type(estimator).__mro__:
        if base.__name__ in _CHILDREN and hasattr(estimator, _CHILDREN[base.__name__]):
            return _CHILDREN[base.__name__]
    return None


def _pairs(estimator: Any, name: str) -> list[tuple[Any, ...]]:
    try:
        return [tuple(part) for part in getattr(estimator, name)]
    except (AttributeError, TypeError):
        return []


def _below(path: str, name: Any) -> str:
    return clean_text(str(name)) if path == ROOT else f"{path}.{clean_text(str(name))}"


def _walk_pipeline(pipeline: Any, path: str, start: Lineage, found: Walk, *, holds_model: bool) -> Lineage:
    """Add a pipeline and its steps; return the columns that go into the model, or come out of the last step."""
    place = len(found.steps)
    parts = _pairs(pipeline, "steps")
    described = []
    lineage = start
    for position, (name, part) in enumerate(parts):
        if holds_model and position == len(parts) - 1:
            described.append([name, {"$model": {}}])
            continue
        described.append([name, _reference(part, _below(path, name))])
        if part is not None and not isinstance(part, str):
            lineage = _walk_step(part, _below(path, name), lineage, found)
    digest = "" if holds_model else fitted_digest(pipeline)
    found.steps.insert(place, _step(pipeline, path, (start, lineage), {"steps": described}, digest))
    return lineage


def _walk_step(part: Any, path: str, start: Lineage, found: Walk) -> Lineage:
    """Add a transformer or a container; return the columns that come out of it."""
    known = start
    counted = input_names(part)
    if counted is not None and (not start.known or len(counted) != len(start.names)):
        known = Lineage(counted, ("",) * len(counted))  # names of its own making, of which no column is known
    if _kind(part) == "steps":
        return _walk_pipeline(part, path, known, found, holds_model=False)
    if _kind(part) is not None:
        return _walk_children(part, path, known, found)
    after = after_transformer(part, known)
    found.steps.append(_step(part, path, (known, after), {}, fitted_digest(part)))
    return after


def _walk_children(container: Any, path: str, start: Lineage, found: Walk) -> Lineage:
    """Add a ColumnTransformer or FeatureUnion and its blocks; return the columns that come out of it."""
    place = len(found.steps)
    children = _kind(container) or ""
    declared = _pairs(container, children)
    remainder = getattr(container, "remainder", "drop")
    fitted = {part[0]: part[1:] for part in _pairs(container, "transformers_")}
    outcomes: list[Lineage] = []
    for name, part, *columns in [*declared, ("remainder", remainder, [])]:
        actual, *chosen = fitted.get(name, (part, *columns))
        into = chosen_columns(start, chosen[0]) if chosen else start
        block = NOTHING
        if isinstance(part, str) or part is None:  # "drop", or "passthrough": fitted as a transformer of its own
            block = NOTHING if part == "drop" else into
        elif isinstance(actual, str):  # no column was there for it, so that it was not fitted
            _walk_step(part, _below(path, name), NOTHING, found)
        else:
            block = _walk_step(actual, _below(path, name), into, found)
            block = block if block.known else made_up(container, name, into)
        outcomes.append(prefixed(container, name, block))
    described = [[name, _reference(part, _below(path, name)), *columns] for name, part, *columns in declared]
    settings: dict[str, Any] = {children: described}
    if hasattr(container, "remainder"):
        settings["remainder"] = _reference(remainder, _below(path, "remainder"))
    after = joined(container, start, outcomes)
    step = _step(container, path, (start, after), settings, fitted_digest(container))
    found.steps.insert(place, step)
    return after


def _reference(part: Any, path: str) -> Any:
    return part if part is None or isinstance(part, str) else {"$step": path}


def _step(part: Any, path: str, columns: tuple[Lineage, Lineage], special: dict[str, Any], digest: str) -> Step:
    """Return the record of a part; `columns` go in and come out, `special` settings are given as they are."""
    start, after = columns
    settings = {name: value for name, value in (constructor_arguments(part) or {}).items() if name not in special}
    texts = {clean_text(name): as_json_text(value, exact=True) for name, value in settings.items()}
    for name, value in special.items():
        texts[name] = _children_text(value)
    return Step(path, qualified_name(type(part)), texts, start.names, after.names, digest)


def _children_text(value: Any) -> str:
    """Return children as exact JSON, where the references to steps are not dicts of the user's but marks."""

    def mark(part: Any) -> Any:
        if isinstance(part, dict) and len(part) == 1 and next(iter(part)) in {"$step", "$model"}:
            return part
        if isinstance(part, list):
            return [mark(item) for item in part]
        return as_json_value(part, exact=True)

    return json.dumps(mark(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
