"""What a run can be filtered and sorted by, as people write it: a small language of its own, no SQL.

    metric val.loss < 0.3            the last value of a metric
    metric loss@validation min < 0.3 of the split `validation`, the smallest value
    param optimizer.lr >= 1e-3       a hyper-parameter
    param optimizer = adam

A name with spaces or signs in it is written in double quotes.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Final, Literal

from trailhouse_analytics.errors import RunsInputError

__all__ = ["FIELDS", "STATISTICS", "Condition", "Quantity", "Sort", "lower_is_better", "parameter_value"]

#: What is taken of a metric's values in a run. `best` is the smallest or the largest, by the metric's name.
STATISTICS: Final = ("last", "best", "min", "max")
#: Fields of the list that it can be sorted by, besides metrics and parameters; the latest or longest first.
FIELDS: Final = ("started", "ended", "duration", "name", "status", "attempts")

_QUANTITY: Final = re.compile(
    r"\s*(?P<kind>metric|param)\s+"
    r'(?:"(?P<quoted>[^"]+)"|(?P<bare>[^\s"<>=!@]+))'
    r'(?:@(?P<split>[^\s"<>=!@]+))?'
    r"(?:\s+(?P<statistic>last|best|min|max))?\s*"
)
_CONDITION: Final = re.compile(_QUANTITY.pattern + r"(?P<operator><=|>=|!=|==|=|<|>)\s*(?P<value>.*\S)\s*")
_LOWER_IS_BETTER: Final = re.compile(
    r"(?:^|[^a-z])(?:\w*loss|error|err|\w*mae|\w*mse|\w*rmse|mape|perplexity|ppl|deviance|nll|brier|wer|cer|fid|"
    r"latency|duration|seconds|time)(?:$|[^a-z])",
    re.IGNORECASE,
)

Operator = Literal["<", "<=", "=", "!=", ">", ">="]
Value = float | str | bool


def lower_is_better(metric: str) -> bool:
    """Return whether a metric's name says that small values are good ones: loss, error, rmse, perplexity, …."""
    return _LOWER_IS_BETTER.search(metric.replace("_", " ")) is not None


def parameter_value(text: str) -> Value | None:
    """Return the value that a parameter's JSON stands for: a number, a word, the JSON of what is nested, None."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)):
        return float(value)
    return json.dumps(value, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A metric or a hyper-parameter of a run."""

    kind: Literal["metric", "param"]
    name: str
    #: Split of a metric; None: the only one that there is.
    split: str | None = None
    #: One of `STATISTICS`, of a metric.
    statistic: str = "last"

    @classmethod
    def parse(cls, text: str) -> Quantity:
        """Return what `text` (`metric val.loss@test min`, `param lr`) means; raises `RunsInputError`."""
        found = _QUANTITY.fullmatch(text)
        if not found:
            raise RunsInputError(f"{text!r} is no metric or parameter; write 'metric val.loss min' or 'param lr'")
        return cls._of(found)

    @classmethod
    def _of(cls, found: re.Match[str]) -> Quantity:
        kind = found["kind"]
        if kind == "param" and (found["statistic"] or found["split"]):
            raise RunsInputError(
                f"A parameter has one value, no {found['statistic'] or found['split']!r}; write 'param {found['bare']}'"
            )
        name = found["quoted"] or found["bare"]
        return cls("metric" if kind == "metric" else "param", name, found["split"], found["statistic"] or "last")

    @property
    def label(self) -> str:
        """The name of its column: `val.loss min`, `lr`."""
        if self.kind == "param":
            return self.name
        at = f"@{self.split}" if self.split is not None else ""
        return f"{self.name}{at} {self.statistic}"

    @property
    def descending(self) -> bool:
        """Whether the best come first when the largest do."""
        if self.kind == "param":
            return False
        return not lower_is_better(self.name)

    @property
    def resolved_statistic(self) -> str:
        """`min` or `max` for `best`, else the statistic itself."""
        if self.statistic != "best":
            return self.statistic
        return "min" if lower_is_better(self.name) else "max"


@dataclass(frozen=True, slots=True)
class Condition:
    """A quantity held against a value. A run without the quantity never meets it."""

    quantity: Quantity
    operator: Operator
    value: Value

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Return what `text` (`metric val.loss < 0.3`) means; raises `RunsInputError`."""
        found = _CONDITION.fullmatch(text)
        if not found:
            raise RunsInputError(
                f"Condition {text!r} is none; write 'metric val.loss < 0.3' or 'param lr >= 0.01' (NAME OP VALUE)"
            )
        quantity = Quantity._of(found)  # noqa: SLF001 - the same match
        written = found["operator"]
        operator: Operator = "=" if written == "==" else written  # type: ignore[assignment]
        value = _value(found["value"])
        if not isinstance(value, float) and (quantity.kind == "metric" or operator not in {"=", "!="}):
            raise RunsInputError(f"Condition {text!r} compares with {value!r}, which is no number; write a number")
        return cls(quantity, operator, value)

    def holds(self, value: Value | None) -> bool:
        """Return whether the run's value meets the condition."""
        if value is None or isinstance(value, float) != isinstance(self.value, float):
            return value is not None and self.operator == "!="
        if self.operator == "=":
            return value == self.value
        if self.operator == "!=":
            return value != self.value
        if not isinstance(value, float) or not isinstance(self.value, float):
            return False
        return {
            "<": value < self.value,
            "<=": value <= self.value,
            ">": value > self.value,
            ">=": value >= self.value,
        }[self.operator]


@dataclass(frozen=True, slots=True)
class Sort:
    """What a list is sorted by."""

    #: A field of the list, or a quantity.
    by: str | Quantity
    #: None: the best, latest or longest first; parameters and names from small to large.
    descending: bool | None = None

    @classmethod
    def parse(cls, text: str, *, descending: bool | None = None) -> Sort:
        """Return what `text` (`started`, `metric val.loss`, `param lr`) means; raises `RunsInputError`."""
        word = text.strip()
        if word in FIELDS:
            return cls(word, descending)
        if _QUANTITY.fullmatch(text):
            return cls(Quantity.parse(text), descending)
        raise RunsInputError(
            f"Runs cannot be sorted by {text!r}; write {', '.join(FIELDS)}, "
            "'metric NAME [last|best|min|max]' or 'param NAME'"
        )

    @property
    def largest_first(self) -> bool:
        """The direction, decided."""
        if self.descending is not None:
            return self.descending
        return self.by.descending if isinstance(self.by, Quantity) else self.by not in {"name", "status"}


def _value(text: str) -> Value:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    if text in {"true", "True"}:
        return True
    if text in {"false", "False"}:
        return False
    try:
        number = float(text)
    except ValueError:
        return text
    if math.isnan(number):
        raise RunsInputError("Nothing can be compared with nan; write a number")
    return number
