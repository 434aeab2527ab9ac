"""A digest of what an estimator learnt from data: the same after the same training, in every process, without pickle.

Covers the attributes that scikit-learn's convention marks as learnt (their names end with one underscore), in the order
of their names: arrays by dtype, shape and bytes, values by their exact JSON, estimators inside by their own learnt
attributes. Of objects that show no state only the class counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trailhouse.capture.json_values import as_json_text, constructor_arguments, is_array, qualified_name

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["fitted_digest"]

DEEPEST = 24
#: Learnt attributes that differ from one training to the next for other reasons than the data.
_ACCIDENTAL = ("_time_", "_times_")


def fitted_digest(estimator: Any) -> str:
    """Return sha256:… of what `estimator` learnt, or nothing where it learnt nothing or cannot be looked at."""
    try:
        learnt = _learnt(estimator)
        if not learnt:
            return ""
        digest = hashlib.sha256()
        _add_estimator(digest, estimator, learnt, 0, [])
    except Exception:  # noqa: BLE001  state that cannot be read has no digest
        return ""
    return f"sha256:{digest.hexdigest()}"


def _learnt(estimator: Any) -> dict[str, Any]:
    held = getattr(estimator, "__dict__", {})
    return {
        name: value
        for name, value in held.items()
        if name.endswith("_") and not name.startswith("_") and not name.endswith(("__", *_ACCIDENTAL))
    }


def _add_estimator(digest: _Hash, estimator: Any, learnt: Mapping[str, Any], depth: int, inside: list[int]) -> None:
    digest.update(f"{qualified_name(type(estimator))}\n".encode())
    for name in sorted(learnt):
        digest.update(f"{name}\n".encode())
        _add(digest, learnt[name], depth + 1, [*inside, id(estimator)])


def _add(digest: _Hash, value: Any, depth: int, inside: list[int]) -> None:
    if depth > DEEPEST or id(value) in inside:
        digest.update(b"recursive\n")
    elif is_array(value) and hasattr(value, "tobytes") and value.dtype.kind != "O":
        dtype = value.dtype.descr if value.dtype.names else value.dtype.str
        digest.update(f"array {dtype} {value.shape}\n".encode())
        digest.update(value.tobytes())
    elif hasattr(value, "tocsr") and hasattr(value, "nnz"):
        rows = value.tocsr()
        digest.update(f"sparse {rows.shape}\n".encode())
        for part in (rows.indptr, rows.indices, rows.data):
            _add(digest, part, depth + 1, inside)
    elif isinstance(value, Mapping):
        digest.update(f"mapping {len(value)}\n".encode())
        for key in sorted(value, key=lambda key: as_json_text(key, exact=True)):
            digest.update(f"{as_json_text(key, exact=True)}\n".encode())
            _add(digest, value[key], depth + 1, [*inside, id(value)])
    elif isinstance(value, list | tuple) or (is_array(value) and getattr(value.dtype, "kind", "") == "O"):
        members = value.ravel().tolist() if is_array(value) else list(value)
        digest.update(f"list {len(members)}\n".encode())
        for member in members:
            _add(digest, member, depth + 1, [*inside, id(value)])
    elif hasattr(value, "get_params") and not isinstance(value, type):
        _add_estimator(digest, value, _learnt(value), depth, inside)
        arguments = (constructor_arguments(value) or {}).items()
        plain = {name: argument for name, argument in arguments if not hasattr(argument, "get_params")}
        _add(digest, plain, depth + 1, [*inside, id(value)])
    else:
        _add_other(digest, value, depth, inside)


def _add_other(digest: _Hash, value: Any, depth: int, inside: list[int]) -> None:
    """Add a plain value, or an object of compiled code that shows its state (a tree) or its model (a booster)."""
    if callable(getattr(value, "save_raw", None)):  # xgboost.Booster
        digest.update(bytes(value.save_raw("ubj")))
    elif callable(getattr(value, "model_to_string", None)):  # lightgbm.Booster
        digest.update(str(value.model_to_string()).encode())
    elif type(value).__module__.startswith("sklearn.") and callable(getattr(value, "__getstate__", None)):
        digest.update(f"{qualified_name(type(value))}\n".encode())
        _add(digest, value.__getstate__(), depth + 1, [*inside, id(value)])
    else:
        digest.update(f"{as_json_text(value, exact=True)}\n".encode())
