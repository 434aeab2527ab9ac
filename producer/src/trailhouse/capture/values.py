"""What training loops hand to a logger becomes what is stored: metrics become doubles, hyper-parameters JSON text.

Whatever cannot be stored is refused by name with a reason, for the caller to warn about once. Nothing here raises.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from trailhouse.capture.json_values import as_json_text, clean_text, fields_of

__all__ = ["Refused", "as_parameters", "as_points"]

DEEPEST = 32
_FLOATS = {float}
_PLAIN = {float, int, bool}


class Refused(NamedTuple):
    """A value that was not stored."""

    name: str
    """Dotted name of the metric or hyper-parameter."""
    reason: str
    """Why not, in words that go on from "metric NAME …": "is a string, not a number"."""


def as_points(metrics: Mapping[str, Any]) -> tuple[list[tuple[str, float]], list[Refused]]:
    """Return the (dotted name, double) pairs of `metrics` in order, and what was refused.

    Stored: booleans (0 or 1), ints and other exact numbers (rounded to a double), NumPy scalars, arrays and tensors of
    one element, NaN and infinities as they are, nested mappings under dotted names. Refused: None, strings, complex
    numbers, larger arrays, numbers that are too large for a double, any other object.
    """
    try:
        values = list(metrics.items())
        # The usual case, checked without a Python-level loop: this runs beside a training loop, under the same GIL.
        types = set(map(type, metrics.values()))
        if types <= _PLAIN and _are_names(metrics):
            return (values if types == _FLOATS else [(name, float(value)) for name, value in values]), []
    except OverflowError:
        pass  # an integer too large for a double; the long way names it
    except Exception:  # noqa: BLE001  whatever the user's object did, the loop goes on
        return [], [Refused("", f"is {_a(metrics)}, not a mapping of names to numbers")]
    points: list[tuple[str, float]] = []
    refused: list[Refused] = []
    _add_points(values, "", points, refused, 0)
    return points, refused


def as_parameters(parameters: Any) -> tuple[dict[str, str], list[Refused]]:
    """Return JSON text by dotted name, and what was refused: names that are empty or used twice.

    `parameters` is a mapping, or anything with named fields (dataclass, pydantic model, argparse.Namespace). Mappings
    and objects with fields inside it are flattened; empty ones, and those with names that are not strings, stay values.
    """
    found: dict[str, str] = {}
    refused: list[Refused] = []
    try:
        fields = _named(parameters)
        if fields is None:
            return {}, [Refused("", f"is {_a(parameters)}, not a mapping of names to values")]
        _add_parameters(fields, "", found, refused, [id(parameters)])
    except Exception as error:  # noqa: BLE001  whatever the user's object did, the run goes on
        refused.append(Refused("", f"cannot be read ({type(error).__name__})"))
    return found, refused


def _are_names(names: Collection[Any]) -> bool:
    try:
        return "".join(names).isascii() and "" not in names
    except TypeError:
        return False


def _add_points(
    values: list[tuple[Any, Any]], prefix: str, points: list[tuple[str, float]], refused: list[Refused], depth: int
) -> None:
    for key, value in values:
        try:
            name = prefix + clean_text(str(key))
        except Exception:  # noqa: BLE001  a key that has no text has no name
            refused.append(Refused(prefix, f"has {_a(key)} for a name, which has no text"))
            continue
        if key is None or name == prefix:
            refused.append(Refused(name, "has an empty name"))
            continue
        try:
            if isinstance(value, Mapping):
                if depth >= DEEPEST:
                    refused.append(Refused(name, f"is nested more than {DEEPEST} deep"))
                else:
                    _add_points(list(value.items()), f"{name}.", points, refused, depth + 1)
                continue
            number = _as_double(value)
        except Exception as error:  # noqa: BLE001  whatever the user's object did, the loop goes on
            refused.append(Refused(name, f"cannot be read as a number ({type(error).__name__})"))
            continue
        if isinstance(number, str):
            refused.append(Refused(name, number))
        else:
            points.append((name, number))


def _as_double(value: Any) -> float | str:  # noqa: C901, PLR0911  one line a case is the clearest form
    """Return the number, or the reason why there is none."""
    if isinstance(value, float | int):
        try:
            return float(value)
        except OverflowError:
            return "is too large for a double"
    if value is None:
        return "is None"
    if isinstance(value, str | bytes):
        return "is a string, not a number"
    if isinstance(value, complex):
        return "is a complex number"
    shape = getattr(value, "shape", None)
    if shape is not None:
        elements = math.prod(shape)
        if elements != 1:
            return f"is an array of {elements} values; log them one by one or reduce them"
        if bool(getattr(value, "mask", False)):
            return "is masked"
        # A tensor of one element; on a GPU this waits for the device. TensorFlow's goes by way of NumPy.
        element = value.item() if hasattr(value, "item") else value.numpy().item()
        return _as_double(element)
    if hasattr(type(value), "__float__"):  # Decimal, Fraction, numbers of other libraries
        try:
            return float(value)
        except OverflowError:
            return "is too large for a double"
    return f"is {_a(value)}, not a number"


def _named(value: Any) -> Mapping[Any, Any] | None:
    return value if isinstance(value, Mapping) else fields_of(value)


def _add_parameters(
    fields: Mapping[Any, Any], prefix: str, found: dict[str, str], refused: list[Refused], inside: list[int]
) -> None:
    for key, value in fields.items():
        name = prefix + clean_text(str(key))
        if key is None or name == prefix:
            refused.append(Refused(name, "has an empty name"))
            continue
        nested = None if isinstance(value, tuple) and not hasattr(value, "_fields") else _named(value)
        if nested and len(inside) < DEEPEST and id(value) not in inside and all(isinstance(k, str) for k in nested):
            _add_parameters(nested, f"{name}.", found, refused, [*inside, id(value)])
        elif id(value) in inside:
            refused.append(Refused(name, "contains itself"))
        elif name in found:
            refused.append(Refused(name, "is given twice, once as a dotted name and once nested"))
        else:
            found[name] = as_json_text(value)


def _a(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
