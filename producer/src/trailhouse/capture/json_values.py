"""Any Python value as JSON text: what hyper-parameters and constructor arguments are stored as.

There are two manners. The readable one (`exact=False`, for hyper-parameters) says what a person would: a path is a
string, a function its qualified name, a set a sorted list. The exact one (`exact=True`, for what re-creates an object)
marks whatever JSON has no type for by a tag, an object with one key that begins with `$`, so that nothing is ambiguous;
docs/capture.md lists the tags. Neither ever raises, and the text is always valid JSON in valid UTF-8.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import inspect
import json
import math
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from typing import Any
from uuid import UUID

__all__ = [
    "as_json_text",
    "as_json_value",
    "clean_text",
    "constructor_arguments",
    "fields_of",
    "is_array",
    "qualified_name",
]

#: Arrays up to this many elements are written out; larger ones are named by dtype, shape and digest.
LARGEST_READABLE_ARRAY = 64
LARGEST_EXACT_ARRAY = 10_000
#: Byte strings up to this many bytes are written out.
LARGEST_BYTES = 1024
#: Integers with more bits than this are written in hexadecimal (Python refuses to print them in decimal).
MOST_INTEGER_BITS = 10_000
#: Longer texts are cut, and named by their digest.
LONGEST_TEXT = 65_536
DEEPEST = 32
LONGEST_REPR = 300

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def as_json_text(value: Any, *, exact: bool = False) -> str:
    """Return `value` as JSON text. Texts beyond 64 KiB are replaced by `{"$long": …}` with their begin and digest."""
    try:
        text = json.dumps(as_json_value(value, exact=exact), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except Exception as error:  # noqa: BLE001  a value that cannot be written down must not stop a training run
        text = json.dumps({"$opaque": qualified_name(type(value)), "text": clean_text(f"{type(error).__name__}")})
    if len(text) <= LONGEST_TEXT:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()
    return json.dumps({"$long": {"characters": len(text), "digest": f"sha256:{digest}", "begin": text[:LONGEST_REPR]}})


def as_json_value(value: Any, *, exact: bool = False) -> Any:
    """Return `value` as `json.dumps` takes it: dicts with string keys, lists, strings, finite numbers, true, null."""
    return _Encoder(exact=exact).encode(value, 0)


def clean_text(text: str) -> str:
    r"""Return `text` with what UTF-8 cannot hold (lone surrogates) written as `\udc80`."""
    if text.isascii():
        return str(text)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def qualified_name(thing: Any) -> str:
    """Return the dotted name of a class or function: `sklearn.linear_model._logistic.LogisticRegression`."""
    module = getattr(thing, "__module__", None)
    if not isinstance(module, str):
        module = type(thing).__module__  # a NumPy ufunc, a C function
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None) or type(thing).__qualname__
    return clean_text(str(name) if module == "builtins" else f"{module}.{name}")


def is_array(value: Any) -> bool:
    """Say whether `value` is an array or tensor with elements: NumPy, PyTorch, JAX, TensorFlow, CuPy."""
    if isinstance(value, type):
        return False
    return hasattr(value, "shape") and hasattr(value, "dtype") and (hasattr(value, "tolist") or hasattr(value, "numpy"))


def fields_of(value: Any) -> dict[str, Any] | None:  # noqa: PLR0911  one line a kind is the clearest form
    """Return the named fields of a dataclass, pydantic or attrs object, a named tuple or a namespace; else None."""
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    if isinstance(getattr(type(value), "model_fields", None), Mapping):  # pydantic
        return {name: getattr(value, name, None) for name in type(value).model_fields}
    if hasattr(type(value), "__attrs_attrs__"):
        return {field.name: getattr(value, field.name, None) for field in type(value).__attrs_attrs__}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {str(name): getattr(value, name) for name in value._fields}
    if type(value).__name__ in {"Namespace", "SimpleNamespace"}:
        return dict(vars(value))
    return None


def constructor_arguments(thing: Any) -> dict[str, Any] | None:  # noqa: PLR0911  one line a way
    """Return the arguments that would make `thing` again, or None where they cannot be found.

    Asks `get_params(deep=False)` (scikit-learn and all that follow it), then the fields of a dataclass, then whether
    every parameter of the constructor is an attribute of the same name, as in scikit-learn's splitters and selectors.
    """
    if isinstance(thing, type):
        return None
    try:
        if callable(getattr(thing, "get_params", None)):
            return {str(name): value for name, value in thing.get_params(deep=False).items()}
        if dataclasses.is_dataclass(thing):
            return {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing) if field.init}
        if type(thing).__init__ is object.__init__:
            return None
        parameters = inspect.signature(type(thing).__init__).parameters
        named = [
            parameter.name
            for parameter in list(parameters.values())[1:]
            if parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
        ]
        held = vars(thing)
    except Exception:  # noqa: BLE001  an object that does not want to be looked at has no arguments
        return None
    if not named or any(name not in held for name in named):
        return None
    return {name: held[name] for name in named}


class _Encoder:
    """One walk over one value; remembers what it is inside of, to see a structure that contains itself."""

    def __init__(self, *, exact: bool) -> None:
        self.exact = exact
        self.inside: set[int] = set()

    def encode(self, value: Any, depth: int) -> Any:
        plain = self._plain(value)
        if plain is not NotImplemented:
            return plain
        if depth > DEEPEST or id(value) in self.inside:
            return {"$recursive": qualified_name(type(value))}
        self.inside.add(id(value))
        try:
            return self._compound(value, depth + 1)
        finally:
            self.inside.discard(id(value))

    def _plain(self, value: Any) -> Any:  # noqa: C901, PLR0911  one line a type is the clearest form
        if isinstance(value, Enum):
            return self._enum(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return int(value) if value.bit_length() <= MOST_INTEGER_BITS else self._tagged("$int", hex(value))
        if isinstance(value, float):
            return self._float(float(value))
        if isinstance(value, str):
            return clean_text(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return _bytes(bytes(value))
        if isinstance(value, PurePath):
            return self._tagged("$path", clean_text(str(value)))
        if isinstance(value, datetime | date | time):
            return self._tagged(f"${type(value).__name__}", value.isoformat())
        if isinstance(value, timedelta):
            return self._tagged("$timedelta", value.total_seconds())
        if isinstance(value, Decimal | Fraction | UUID):
            return self._tagged(f"${type(value).__name__}", str(value))
        if isinstance(value, complex):
            return self._tagged("$complex", str(value))
        if value is Ellipsis or value is NotImplemented:
            return self._tagged("$ref", repr(value))
        return NotImplemented

    def _compound(self, value: Any, depth: int) -> Any:  # noqa: PLR0911  one line a type is the clearest form
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if self.exact and isinstance(value, functools.partial):
            inner = (value.func, value.args, value.keywords)
            return {"$partial": [self.encode(part, depth) for part in inner]}
        if isinstance(value, type) or (callable(value) and hasattr(value, "__name__")):
            return self._tagged("$ref", qualified_name(value))
        if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "names") and hasattr(value, "kind"):
            return self._tagged("$dtype", clean_text(str(value)))
        if is_array(value):
            return self._array(value, depth)
        if isinstance(value, slice):
            return {"$slice": [self.encode(part, depth) for part in (value.start, value.stop, value.step)]}
        if isinstance(value, range):
            return self._tagged("$range", [value.start, value.stop, value.step])
        if isinstance(value, AbstractSet):
            members = [self.encode(member, depth) for member in value]
            return self._tagged("$set", sorted(members, key=lambda member: json.dumps(member, sort_keys=True)))
        if isinstance(value, Sequence):
            members = [self.encode(member, depth) for member in value]
            return self._tagged("$tuple", members) if isinstance(value, tuple) else members
        return self._object(value, depth)

    def _object(self, value: Any, depth: int) -> Any:
        arguments = constructor_arguments(value)
        if arguments is not None and (self.exact or callable(getattr(value, "get_params", None))):
            encoded = {clean_text(name): self.encode(argument, depth) for name, argument in arguments.items()}
            return {"$object": qualified_name(type(value)), "arguments": encoded}
        fields = fields_of(value)
        if fields is not None:
            encoded = {clean_text(name): self.encode(field, depth) for name, field in fields.items()}
            return {"$object": qualified_name(type(value)), "arguments": encoded} if self.exact else encoded
        return {"$opaque": qualified_name(type(value)), "text": _text_of(value)}

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> Any:
        pairs = list(value.items())
        if self.exact and not all(isinstance(key, str) and not key.startswith("$") for key, _ in pairs):
            return {"$map": [[self.encode(key, depth), self.encode(item, depth)] for key, item in pairs]}
        return {clean_text(_key(key)): self.encode(item, depth) for key, item in pairs}

    def _array(self, value: Any, depth: int) -> Any:
        shape = [int(length) for length in value.shape]
        size = math.prod(shape)
        dtype = clean_text(str(value.dtype))
        if size > (LARGEST_EXACT_ARRAY if self.exact else LARGEST_READABLE_ARRAY):
            return {"$array": {"dtype": dtype, "shape": shape, "digest": _array_digest(value)}}
        listed = value.tolist() if hasattr(value, "tolist") else value.numpy().tolist()
        encoded = self.encode(listed, depth)
        if not self.exact or not shape:
            return encoded
        return {"$array": {"dtype": dtype, "shape": shape, "values": encoded}}

    def _enum(self, value: Enum) -> Any:
        if self.exact:
            return {"$ref": f"{qualified_name(type(value))}.{value.name}"}
        return self.encode(value.value, 0) if isinstance(value, str | int | float) else value.name

    def _float(self, value: float) -> Any:
        if math.isfinite(value):
            return value
        return self._tagged("$float", "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity")

    def _tagged(self, tag: str, value: Any) -> Any:
        return {tag: value} if self.exact else value


def _key(key: Any) -> str:
    if isinstance(key, Enum):
        return key.name
    if isinstance(key, type) or callable(key):
        return qualified_name(key)
    return str(key)


def _bytes(value: bytes) -> Any:
    if len(value) <= LARGEST_BYTES:
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    return {"$bytes": {"size": len(value), "digest": f"sha256:{hashlib.sha256(value).hexdigest()}"}}


def _array_digest(value: Any) -> str:
    data = value.tobytes() if hasattr(value, "tobytes") else value.detach().cpu().contiguous().numpy().tobytes()
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _text_of(value: Any) -> str:
    """Return the object's own text, without addresses, which differ from process to process."""
    return clean_text(_ADDRESS.sub("", repr(value))[:LONGEST_REPR])
