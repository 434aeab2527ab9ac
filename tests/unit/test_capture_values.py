"""What a training loop hands over is stored for what it is, or refused by name; nothing raises."""

from __future__ import annotations

import argparse
import dataclasses
import enum
import json
import math
import random
import time
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pytest
from pydantic import BaseModel

from trailhouse.capture.json_values import as_json_text, as_json_value
from trailhouse.capture.values import as_parameters, as_points


class Colour(enum.Enum):
    """An enum without values that mean something."""

    RED = 1


class Loss(enum.StrEnum):
    """An enum of texts."""

    MSE = "mse"


@dataclasses.dataclass
class Schedule:
    """Settings as a dataclass."""

    warmup: int
    name: str


class Optimizer(BaseModel):
    """Settings as a pydantic model."""

    lr: float
    schedule: Schedule


class Shape(NamedTuple):
    """Settings as a named tuple."""

    height: int
    width: int


class Hostile:
    """An object that raises whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        """Raise."""
        raise RuntimeError(name)

    def __repr__(self) -> str:
        """Raise."""
        raise RuntimeError

    def __str__(self) -> str:
        """Raise."""
        raise RuntimeError


class Tensor:
    """What a PyTorch tensor shows to a logger, where PyTorch is not installed."""

    def __init__(self, *values: float) -> None:
        """Hold the values."""
        self.values = values
        self.shape = (len(values),) if len(values) > 1 else ()
        self.dtype = "torch.float32"

    def item(self) -> float:
        """Return the only value."""
        (value,) = self.values
        return value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, 0.5),
        (3, 3.0),
        (True, 1.0),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.int64(7), 7.0),
        (np.bool_(False), 0.0),
        (np.array(2.0), 2.0),
        (np.ones((1, 1)), 1.0),
        (Tensor(4.0), 4.0),
        (Decimal("1.5"), 1.5),
        (Fraction(1, 4), 0.25),
        (math.inf, math.inf),
        (-math.inf, -math.inf),
        (2**60, 2.0**60),
    ],
)
def test_every_kind_of_number_is_stored(value: Any, expected: float) -> None:
    """A metric is stored whatever type of number the framework made it."""
    assert ([("metric", expected)], []) == as_points({"metric": value})
    assert type(as_points({"metric": value})[0][0][1]) in {float, np.float64}


def test_nan_is_a_value() -> None:
    """A loss that became NaN is what a user most wants to see."""
    points, refused = as_points({"loss": math.nan, "other": np.float32("nan")})
    assert refused == []
    assert all(math.isnan(value) for _, value in points)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "is None"),
        ("high", "is a string, not a number"),
        (np.array(["high"]), "is a string, not a number"),
        (np.ones(3), "is an array of 3 values; log them one by one or reduce them"),
        (np.ones(0), "is an array of 0 values; log them one by one or reduce them"),
        (Tensor(1.0, 2.0), "is an array of 2 values; log them one by one or reduce them"),
        (np.ma.masked, "is masked"),
        (10**400, "is too large for a double"),
        (Fraction(10**400), "is too large for a double"),
        (1j, "is a complex number"),
        ([1.0], "is a list, not a number"),
        (object(), "is an object, not a number"),
    ],
)
def test_what_is_no_number_is_refused_with_its_name_and_reason(value: Any, reason: str) -> None:
    """The values beside a bad one are stored all the same."""
    points, refused = as_points({"good": 1.0, "bad": value})
    assert points == [("good", 1.0)]
    assert [("bad", reason)] == refused


def test_an_object_that_raises_is_refused() -> None:
    """Whatever an object does when it is looked at, the loop goes on."""
    points, refused = as_points({"good": 1.0, "bad": Hostile()})
    assert points == [("good", 1.0)]
    assert refused == [("bad", "cannot be read as a number (RuntimeError)")]


def test_nested_metrics_get_dotted_names() -> None:
    """A dict inside is a prefix; keys that are not strings are named by their text."""
    metrics: dict[Any, Any] = {"val": {"loss": 1.0, "by": {3: 2.0}}, "": 1.0, None: 2.0}
    points, refused = as_points(metrics)
    assert points == [("val.loss", 1.0), ("val.by.3", 2.0)]
    assert [name for name, _ in refused] == ["", "None"]


def test_a_structure_that_contains_itself_is_refused() -> None:
    """Neither metrics nor parameters run for ever."""
    loop: dict[str, Any] = {"lr": 0.1}
    loop["again"] = loop
    assert "nested more than" in as_points(loop)[1][0].reason
    assert as_parameters(loop) == ({"lr": "0.1"}, [("again", "contains itself")])


def test_something_that_is_no_mapping_is_refused() -> None:
    """`run.log(loss)` is refused, not raised."""
    assert "not a mapping" in as_points(3)[1][0].reason  # type: ignore[arg-type]
    assert "not a mapping" in as_parameters(3)[1][0].reason
    assert "cannot be read" in as_parameters(Hostile())[1][0].reason


def test_names_that_utf8_cannot_hold_are_escaped() -> None:
    """A lone surrogate in a name must not stop the encoder later."""
    assert as_points({"\udc80": 1.0})[0] == [("\\udc80", 1.0)]


def test_the_usual_metrics_take_microseconds() -> None:
    """About one on an idle machine; the bound is generous, since this one may be busy."""
    metrics = {"loss": 0.1, "accuracy": 0.9, "lr": 1e-3, "norm": 2.0}
    best = math.inf
    for _ in range(20):
        begin = time.perf_counter()
        for _ in range(1000):
            as_points(metrics)
        best = min(best, time.perf_counter() - begin)
    assert best / 1000 < 20e-6


@pytest.mark.parametrize(
    ("value", "readable", "exact"),
    [
        (1, 1, 1),
        (True, True, True),
        (None, None, None),
        (0.1, 0.1, 0.1),
        (10**50, 10**50, 10**50),
        (np.float64(0.5), 0.5, 0.5),
        (np.int32(4), 4, 4),
        (np.bool_(True), True, True),
        (math.nan, "NaN", {"$float": "NaN"}),
        (-math.inf, "-Infinity", {"$float": "-Infinity"}),
        (Colour.RED, "RED", {"$ref": f"{__name__}.Colour.RED"}),
        (Loss.MSE, "mse", {"$ref": f"{__name__}.Loss.MSE"}),
        (PurePosixPath("/data"), "/data", {"$path": "/data"}),
        ((1, "a"), [1, "a"], {"$tuple": [1, "a"]}),
        ({"b", "a"}, ["a", "b"], {"$set": ["a", "b"]}),
        (frozenset({3, 1}), [1, 3], {"$set": [1, 3]}),
        (range(3), [0, 3, 1], {"$range": [0, 3, 1]}),
        (slice(1, None), {"$slice": [1, None, None]}, {"$slice": [1, None, None]}),
        (b"ab", {"$bytes": "YWI="}, {"$bytes": "YWI="}),
        (np.log1p, "numpy.log1p", {"$ref": "numpy.log1p"}),
        (math.sqrt, "math.sqrt", {"$ref": "math.sqrt"}),
        (np.float64, "numpy.float64", {"$ref": "numpy.float64"}),
        (np.dtype("float32"), "float32", {"$dtype": "float32"}),
        (np.arange(2), [0, 1], {"$array": {"dtype": "int64", "shape": [2], "values": [0, 1]}}),
        ({0: 1, 1: 2}, {"0": 1, "1": 2}, {"$map": [[0, 1], [1, 2]]}),
        ({"a": (1,)}, {"a": [1]}, {"a": {"$tuple": [1]}}),
        ({"$ref": 1}, {"$ref": 1}, {"$map": [["$ref", 1]]}),
        (Decimal("1.10"), "1.10", {"$Decimal": "1.10"}),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00", {"$datetime": "2026-01-02T00:00:00+00:00"}),
        (Schedule(3, "cosine"), {"warmup": 3, "name": "cosine"}, None),
    ],
)
def test_every_kind_of_value_has_a_json_text(value: Any, readable: Any, exact: Any) -> None:
    """Readable for people; exact where an object is to be made again."""
    assert readable == json.loads(as_json_text(value))
    if exact is not None:
        assert exact == json.loads(as_json_text(value, exact=True))


def test_an_exact_partial_keeps_function_and_arguments() -> None:
    """A `functools.partial` can be made again."""
    expected = {"$partial": [{"$ref": "math.pow"}, {"$tuple": [2]}, {}]}
    assert expected == as_json_value(partial(math.pow, 2), exact=True)


@pytest.mark.parametrize("exact", [False, True])
def test_json_text_is_always_valid_and_the_same(exact: bool) -> None:
    """Hostile, huge and recursive values have a text too, without addresses in it."""
    loop: list[Any] = []
    loop.append(loop)
    values = [
        Hostile(),
        loop,
        10**5000,
        object(),
        "\udc80",
        "x" * 200_000,
        np.zeros(1_000_000),
        lambda: 1,
        Tensor(1, 2),
    ]
    for value in [*values, *({"inside": value} for value in values)]:
        text = as_json_text(value, exact=exact)
        json.loads(text)
        text.encode("utf-8")
        assert len(text) < 70_000
        assert text == as_json_text(value, exact=exact)
        assert " at 0x" not in text


def test_random_structures_survive_the_exact_text() -> None:
    """Whatever is made of JSON's own types reads back as it was."""
    seed = random.randrange(2**32)  # noqa: S311  not for secrets
    print(f"seed {seed}")  # noqa: T201  to repeat a failure
    dice = random.Random(seed)  # noqa: S311  not for secrets

    def build(depth: int) -> Any:
        kind = dice.randrange(7 if depth else 5)
        simple: list[Any] = [None, dice.random() < 0.5, dice.randrange(-(2**70), 2**70), dice.gauss(0, 1e9), "ü$\x00\n"]
        if kind < 5:
            return simple[kind]
        members = [build(depth - 1) for _ in range(dice.randrange(4))]
        return members if kind == 5 else {f"k{i}": member for i, member in enumerate(members)}

    for _ in range(300):
        value = build(4)
        assert value == json.loads(as_json_text(value, exact=True))


def test_parameters_of_all_forms_are_flattened() -> None:
    """Mappings, dataclasses, pydantic models, named tuples and namespaces become dotted names."""
    given = argparse.Namespace(optimizer=Optimizer(lr=0.1, schedule=Schedule(5, "linear")), shape=Shape(2, 3), empty={})
    expected = {
        "optimizer.lr": "0.1",
        "optimizer.schedule.warmup": "5",
        "optimizer.schedule.name": '"linear"',
        "shape.height": "2",
        "shape.width": "3",
        "empty": "{}",
    }
    assert (expected, []) == as_parameters(given)


def test_a_name_given_twice_is_refused_once() -> None:
    """A dotted name and a nested one may meet; the first stays."""
    found, refused = as_parameters({"a": {"b": 1}, "a.b": 2})
    assert found == {"a.b": "1"}
    assert [name for name, _ in refused] == ["a.b"]
