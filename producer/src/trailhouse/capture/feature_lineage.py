"""Which columns go into a step, which come out of it, and of which column each of those was made.

Works on scikit-learn's conventions alone: `feature_names_in_`, `n_features_in_`, `get_feature_names_out`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trailhouse.capture.json_values import clean_text

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "NOTHING",
    "UNKNOWN",
    "Lineage",
    "after_transformer",
    "chosen_columns",
    "columns_into",
    "input_names",
    "joined",
    "made_up",
    "prefixed",
]


@dataclass(frozen=True)
class Lineage:
    """Columns at one point of the way, each with the input column that it was made of (empty where several were)."""

    names: tuple[str, ...]
    sources: tuple[str, ...]
    known: bool = True
    """False where a step does not say which columns come out of it."""


UNKNOWN = Lineage((), (), known=False)
NOTHING = Lineage((), ())


def input_names(estimator: Any) -> tuple[str, ...] | None:
    """Return the names of the columns that a fitted estimator takes: its own, or x0, x1, … as many as it counted."""
    try:
        names = getattr(estimator, "feature_names_in_", None)
        if names is not None:
            return tuple(clean_text(str(name)) for name in names)
        count = getattr(estimator, "n_features_in_", None)
        return tuple(f"x{position}" for position in range(int(count))) if count is not None else None
    except Exception:  # noqa: BLE001  a property that raises is a property that is not there
        return None


def columns_into(estimator: Any, columns: Sequence[str] | None) -> Lineage:
    """Return the columns that an estimator takes, by its own names, else by those given, else by those made up."""
    names = input_names(estimator)
    if columns is not None and (names is None or not hasattr(estimator, "feature_names_in_")):
        names = tuple(clean_text(str(column)) for column in columns)
    return Lineage(names, names) if names is not None else UNKNOWN


def chosen_columns(start: Lineage, columns: Any) -> Lineage:
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


def joined(container: Any, start: Lineage, outcomes: Sequence[Lineage]) -> Lineage:
    """Return the columns that come out of a container: its own names, and the sources of its blocks in their order."""
    names = _names_out(container, start)
    sources = [source for outcome in outcomes for source in outcome.sources]
    known = all(outcome.known for outcome in outcomes)
    if names is None:
        joined = tuple(name for outcome in outcomes for name in outcome.names)
        return Lineage(joined, tuple(sources)) if known else UNKNOWN
    return Lineage(names, tuple(sources) if known and len(sources) == len(names) else ("",) * len(names))


def made_up(container: Any, name: Any, into: Lineage) -> Lineage:
    """Return made-up names for a block that does not say what comes out of it, where the container counted them."""
    place = getattr(container, "output_indices_", {}).get(name)
    if place is None:
        return UNKNOWN
    width = place.stop - place.start
    source = into.sources[0] if len(set(into.sources)) == 1 else ""
    return Lineage(tuple(map(str, range(width))), (source,) * width)


def prefixed(container: Any, name: Any, lineage: Lineage) -> Lineage:
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


def after_transformer(part: Any, start: Lineage) -> Lineage:
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
    """Return the source of the longest input name that an output is named for (`age_2.0`, `missingindicator_age`)."""
    fitting = [n for n in source if n and (name.startswith(f"{n}_") or name == f"missingindicator_{n}")]
    return source[max(fitting, key=len)] if fitting else ""
