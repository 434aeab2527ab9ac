"""A fitted pipeline as a list of steps: classes, settings, columns in and out, and a digest of what each learnt.

Walks scikit-learn's containers (Pipeline, ColumnTransformer, FeatureUnion, nested as deep as they are) and everything
that follows their conventions, by the names of methods and attributes; imports none of them. Each step has a dotted
path of names; the container at the root has the path ".". A container's settings name its children by `{"$step": path}`
and the estimator at the end of it all by `{"$model": {}}`, so that the tree can be built again from the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from trailhouse.capture.fitted_state import fitted_digest
from trailhouse.capture.json_values import as_json_text, clean_text, constructor_arguments, qualified_name

__all__ = ["ROOT", "Lineage", "Step", "Walk", "input_names", "walk"]

ROOT = "."
#: Parameters that hold a container's children, by the container's class name.
_CHILDREN = {"Pipeline": "steps", "ColumnTransformer": "transformers", "FeatureUnion": "transformer_list"}
#: Attributes that hold a fitted pipeline inside a search or a wrapper.
_WRAPPED = ("best_estimator_", "regressor_", "estimator_")


@dataclass(frozen=True)
class Lineage:
    """Columns at one point of the way, each with the input column that it was made of (empty where several were)."""

    names: tuple[str, ...]
    sources: tuple[str, ...]
    known: bool = True
    """False where a step does not say which columns come out of it."""


UNKNOWN = Lineage((), (), known=False)
NOTHING = Lineage((), ())


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
    """The estimator at the end: the last step of a pipeline, or the object itself."""
    lineage: Lineage
    """The columns that go into the model."""
    steps: list[Step] = field(default_factory=list)
    """The containers and transformers, each container before its parts."""


def walk(estimator: Any, columns: Sequence[str] | None = None) -> Walk:
    """Return the steps of `estimator`, given the names of the columns that go in (found by itself where it knows)."""
    start = _start(estimator, columns)
    if type(estimator).__name__ == "Pipeline" and _pairs(estimator, "steps"):
        found = Walk(_pairs(estimator, "steps")[-1][1], start)
        found.lineage = _walk_pipeline(estimator, ROOT, start, found, holds_model=True)
        return found
    for name in _WRAPPED:
        inner = getattr(estimator, name, None)
        if type(inner).__name__ == "Pipeline" and _pairs(inner, "steps"):
            found = Walk(estimator, _start(inner, start.names if start.known else None))
            found.lineage = _walk_pipeline(inner, name, found.lineage, found, holds_model=True)
            return found
    found = Walk(estimator, start)
    if _kind(estimator) is not None:
        _walk_children(estimator, ROOT, start, found)
    return found


def input_names(estimator: Any) -> tuple[str, ...] | None:
    """Return the names of the columns that a fitted estimator takes: its own, or x0, x1, … for as many as it counted."""
    try:
        names = getattr(estimator, "feature_names_in_", None)
        if names is not None:
            return tuple(clean_text(str(name)) for name in names)
        count = getattr(estimator, "n_features_in_", None)
        return tuple(f"x{position}" for position in range(int(count))) if count is not None else None
    except Exception:  # noqa: BLE001  a property that raises is a property that is not there
        return None


def _start(estimator: Any, columns: Sequence[str] | None) -> Lineage:
    names = input_names(estimator)
    if columns is not None and (names is None or not hasattr(estimator, "feature_names_in_")):
        names = tuple(clean_text(str(column)) for column in columns)
    return Lineage(names, names) if names is not None else UNKNOWN


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
        is_model = holds_model and position == len(parts) - 1
        if is_model:
            described.append([name, {"$model": {}}])
        elif part is None or isinstance(part, str):
            described.append([name, part])
        else:
            described.append([name, {"$step": _below(path, name)}])
            lineage = _walk_step(part, _below(path, name), lineage, found)
    digest = "" if holds_model else fitted_digest(pipeline)
    found.steps.insert(place, _step(pipeline, path, start, lineage, {"steps": described}, digest))
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
    after = _after(part, known)
    found.steps.append(_step(part, path, known, after, {}, fitted_digest(part)))
    return after


def _walk_children(container: Any, path: str, start: Lineage, found: Walk) -> Lineage:
    """Add a ColumnTransformer or FeatureUnion and its blocks; return the columns that come out of it."""
    place = len(found.steps)
    children = _kind(container) or ""
    fitted = {part[0]: part[1:] for part in _pairs(container, "transformers_") or _pairs(container, children)}
    described: list[Any] = []
    outcomes: list[Lineage] = []
    declared = _pairs(container, children)
    for name, part, *columns in declared:
        path_below = _below(path, name)
        leaf = part is None or isinstance(part, str)
        described.append([name, part if leaf else {"$step": path_below}, *columns])
        actual, *chosen = fitted.get(name, (part, *columns))
        into = _chosen(start, chosen[0]) if columns else start
        if leaf:  # "drop" or "passthrough", which is fitted as a transformer of scikit-learn's own
            outcomes.append(NOTHING if part == "drop" else _prefixed(container, name, into))
        elif isinstance(actual, str):  # no column was chosen, so that it was not fitted
            _walk_step(part, path_below, NOTHING, found)
            outcomes.append(NOTHING)
        else:
            after = _walk_step(actual, path_below, into, found)
            outcomes.append(_prefixed(container, name, after if after.known else _made_up(container, name, into)))
    settings: dict[str, Any] = {children: described}
    remainder = getattr(container, "remainder", "drop")
    if not isinstance(remainder, str):
        settings["remainder"] = {"$step": _below(path, "remainder")}
    rest, *chosen = fitted.get("remainder", ("drop", []))
    if "remainder" not in {name for name, *_ in declared} and chosen:
        into = _chosen(start, chosen[0])
        if isinstance(remainder, str):
            outcomes.append(NOTHING if remainder == "drop" else _prefixed(container, "remainder", into))
        elif isinstance(rest, str):  # nothing was left for it, so that it was not fitted
            _walk_step(remainder, _below(path, "remainder"), NOTHING, found)
        else:
            after = _walk_step(rest, _below(path, "remainder"), into, found)
            after = after if after.known else _made_up(container, "remainder", into)
            outcomes.append(_prefixed(container, "remainder", after))
    after = _joined(container, start, outcomes)
    found.steps.insert(place, _step(container, path, start, after, settings, fitted_digest(container)))
    return after


def _step(part: Any, path: str, start: Lineage, after: Lineage, special: dict[str, Any], digest: str) -> Step:
    settings = {name: value for name, value in (constructor_arguments(part) or {}).items() if name not in special}
    texts = {clean_text(name): as_json_text(value, exact=True) for name, value in settings.items()}
    for name, value in special.items():
        texts[name] = _children_text(value)
    return Step(path, qualified_name(type(part)), texts, start.names, after.names, digest)


def _children_text(value: Any) -> str:
    """Return children as exact JSON, where the references to steps are not dicts of the user's but marks."""
    import json  # noqa: PLC0415  beside its only use

    from trailhouse.capture.json_values import as_json_value  # noqa: PLC0415

    def mark(part: Any) -> Any:
        if isinstance(part, dict) and len(part) == 1 and next(iter(part)) in {"$step", "$model"}:
            return part
        if isinstance(part, list):
            return [mark(item) for item in part]
        return as_json_value(part, exact=True)

    return json.dumps(mark(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _chosen(start: Lineage, columns: Any) -> Lineage:
    """Return the columns that a ColumnTransformer gave to a block: by name, position, slice or mask."""
    if not start.known:
        listed = [columns] if isinstance(columns, str) else list(columns) if isinstance(columns, list) else []
        names = tuple(str(column) for column in listed if isinstance(column, str))
        return Lineage(names, names) if names and len(names) == len(listed) else UNKNOWN
    places = {name: place for place, name in enumerate(start.names)}
    try:
        if isinstance(columns, slice):
            bounds = [places[b] if isinstance(b, str) else b for b in (columns.start, columns.stop)]
            stop = bounds[1] + 1 if isinstance(columns.stop, str) else bounds[1]  # labels include their end
            chosen = list(range(len(start.names)))[slice(bounds[0], stop, columns.step)]
        else:
            listed = [columns] if isinstance(columns, str | int) else list(columns)
            if listed and all(type(column).__name__ in {"bool", "bool_"} for column in listed):
                chosen = [place for place, taken in enumerate(listed) if taken]
            else:
                chosen = [places[str(column)] if isinstance(column, str) else int(column) for column in listed]
        return Lineage(tuple(start.names[c] for c in chosen), tuple(start.sources[c] for c in chosen))
    except (KeyError, IndexError, TypeError, ValueError):
        return UNKNOWN


def _joined(container: Any, start: Lineage, outcomes: Sequence[Lineage]) -> Lineage:
    """Return the columns that come out of a container: its own names, with the sources of its blocks, in their order."""
    names = _names_out(container, start)
    sources = [source for outcome in outcomes for source in outcome.sources]
    known = all(outcome.known for outcome in outcomes)
    if names is None:
        joined = tuple(name for outcome in outcomes for name in outcome.names)
        return Lineage(joined, tuple(sources)) if known else UNKNOWN
    return Lineage(names, tuple(sources) if known and len(sources) == len(names) else ("",) * len(names))


def _made_up(container: Any, name: Any, into: Lineage) -> Lineage:
    """Return made-up names for a block that does not say what comes out of it, where the container counted them."""
    place = getattr(container, "output_indices_", {}).get(name)
    if place is None:
        return UNKNOWN
    width = place.stop - place.start
    source = into.sources[0] if len(set(into.sources)) == 1 else ""
    return Lineage(tuple(map(str, range(width))), (source,) * width)


def _prefixed(container: Any, name: Any, lineage: Lineage) -> Lineage:
    """Return the columns as the container names them by default: after the block that they come out of."""
    if getattr(container, "verbose_feature_names_out", True) is False:
        return lineage
    return Lineage(tuple(f"{clean_text(str(name))}__{n}" for n in lineage.names), lineage.sources, lineage.known)


def _names_out(part: Any, start: Lineage) -> tuple[str, ...] | None:
    ask = getattr(part, "get_feature_names_out", None)
    if not callable(ask):
        return None
    for arguments in ((list(start.names),), ()) if start.known else ((),):
        try:
            return tuple(clean_text(str(name)) for name in ask(*arguments))
        except Exception:  # noqa: BLE001, S112  not fitted, other names than it was fitted with, or unable to say
            continue
    return None


def _after(part: Any, start: Lineage) -> Lineage:
    """Return the columns that come out of a transformer, each traced to the column that it was made of."""
    names = _names_out(part, start)
    if names is None and type(getattr(part, "func", None)).__name__ == "ufunc":
        return start  # a FunctionTransformer of a NumPy function goes element by element
    if names is None:
        return UNKNOWN
    if names == start.names:
        return start
    source = dict(zip(start.names, start.sources, strict=True))
    widths = getattr(part, "_n_features_outs", None)  # OneHotEncoder: how many columns came of each
    if widths is not None and len(widths) == len(start.names) and sum(widths) == len(names):
        sources = [s for s, width in zip(start.sources, widths, strict=True) for _ in range(width)]
    elif len(set(start.sources)) == 1 and start.sources:
        sources = [start.sources[0]] * len(names)
    else:
        sources = [source.get(name) or _by_prefix(name, source) for name in names]
    return Lineage(names, tuple(sources))


def _by_prefix(name: str, source: dict[str, str]) -> str:
    """Return the source of the longest input name that an output name is made of (`age_2.0`, `missingindicator_age`)."""
    fitting = [n for n in source if n and (name.startswith(f"{n}_") or name == f"missingindicator_{n}")]
    return source[max(fitting, key=len)] if fitting else ""
