"""How data was split: the splitter's scheme, settings and seed, and who is in a split.

Splitters are recognised by the names of their classes (scikit-learn's and those that follow them); a hold-out split is
given as the settings of `train_test_split`.
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from collections.abc import Iterable, Mapping
from typing import Any

from trailhouse.capture.json_values import as_json_text, clean_text, constructor_arguments, qualified_name

__all__ = ["describe_splitter", "membership_digest"]

#: Scheme by class name. What is not here gets the class name itself, in small letters with dashes.
SCHEMES = {
    "KFold": "k-fold",
    "RepeatedKFold": "repeated-k-fold",
    "StratifiedKFold": "stratified-k-fold",
    "RepeatedStratifiedKFold": "repeated-stratified-k-fold",
    "GroupKFold": "group-k-fold",
    "StratifiedGroupKFold": "stratified-group-k-fold",
    "TimeSeriesSplit": "time",
    "ShuffleSplit": "shuffle",
    "StratifiedShuffleSplit": "stratified-shuffle",
    "GroupShuffleSplit": "group-shuffle",
    "LeaveOneOut": "leave-one-out",
    "LeavePOut": "leave-p-out",
    "LeaveOneGroupOut": "leave-one-group-out",
    "LeavePGroupsOut": "leave-p-groups-out",
    "PredefinedSplit": "predefined",
}
HOLD_OUT = "hold-out"
SEED_NAMES = ("random_state", "seed")


def describe_splitter(splitter: Any) -> dict[str, Any]:
    """Return split_scheme, split_settings and split_seed of a splitter.

    `splitter` is a scikit-learn splitter; the settings of a `train_test_split` as a mapping (with a key `scheme` where
    it is no hold-out); a number of folds, as scikit-learn's `cv=5`; the name of a scheme; or None for none.
    """
    if splitter is None:
        return {"split_scheme": "", "split_settings": {}, "split_seed": None}
    if isinstance(splitter, str):
        return {"split_scheme": clean_text(splitter), "split_settings": {}, "split_seed": None}
    if isinstance(splitter, int):
        return {"split_scheme": "k-fold", "split_settings": {"n_splits": str(int(splitter))}, "split_seed": None}
    if isinstance(splitter, Mapping):
        settings = dict(splitter)
        scheme = str(settings.pop("scheme", HOLD_OUT))
        return _described(scheme, settings)
    name = type(splitter).__name__
    settings = _settings_of(splitter)
    scheme = SCHEMES.get(name) or "".join(f"-{c.lower()}" if c.isupper() else c for c in name).strip("-_")
    if not type(splitter).__module__.startswith("sklearn."):
        settings["class"] = qualified_name(type(splitter))
    return _described(scheme, settings)


def membership_digest(members: Any) -> str:
    """Return a digest of who is in a split, whatever their order, or nothing where `members` cannot be read.

    `members` are row numbers, identifiers (strings or integers), or a boolean mask over all rows. A member that is
    there twice, as in a bootstrap, counts twice. Row numbers as NumPy, Arrow, pandas or a list give the same digest.
    """
    try:
        members = members.to_numpy() if hasattr(members, "to_numpy") else members
        kind = getattr(getattr(members, "dtype", None), "kind", "")
        if kind in {"b", "i"} and members.ndim == 1:
            rows = members.nonzero()[0] if kind == "b" else members
            ordered = rows.astype("<i8")
            ordered.sort()
            return _digest("integers", len(ordered), ordered.tobytes())
        listed = _listed(members)
        if listed and all(isinstance(member, bool) for member in listed):
            listed = [position for position, chosen in enumerate(listed) if chosen]
        if all(isinstance(member, int) and -(2**63) <= member < 2**63 for member in listed):
            numbers = array("q", sorted(listed))
            if sys.byteorder == "big":
                numbers.byteswap()
            return _digest("integers", len(numbers), numbers.tobytes())
        texts = sorted(as_json_text(member, exact=True) for member in listed)
        return _digest("values", len(texts), "\n".join(texts).encode())
    except Exception:  # noqa: BLE001  members that cannot be listed have no digest
        return ""


def _digest(kind: str, count: int, encoded: bytes) -> str:
    return f"sha256:{hashlib.sha256(b'%b %d %b' % (kind.encode(), count, encoded)).hexdigest()}"


def _listed(members: Any) -> list[Any]:
    for name in ("tolist", "to_pylist", "to_list"):  # NumPy and pandas, Arrow, Polars
        if hasattr(members, name):
            return list(getattr(members, name)())
    return [member.item() if hasattr(member, "item") else member for member in members]


def _described(scheme: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    seeds: Iterable[Any] = (settings[name] for name in SEED_NAMES if name in settings)
    return {
        "split_scheme": clean_text(scheme),
        "split_settings": {clean_text(str(name)): as_json_text(value) for name, value in settings.items()},
        "split_seed": next((seed for seed in (_whole(seed) for seed in seeds) if seed is not None), None),
    }


def _settings_of(splitter: Any) -> dict[str, Any]:
    settings = constructor_arguments(splitter)
    if settings is not None:
        return dict(settings)
    try:
        held = dict(vars(splitter))
    except TypeError:
        return {}
    nested = held.pop("cvargs", None)  # the repeated splitters keep the inner splitter's arguments there
    public = {name: value for name, value in held.items() if not name.startswith("_") and not callable(value)}
    return {**public, **(nested if isinstance(nested, Mapping) else {})}


def _whole(value: Any) -> int | None:
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        return None
    number = int(value)
    return number if abs(number) < 2**63 else None
