"""PromQL expressions held against what is exposed: the names, the labels and the types of all that they ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import promql_parser as promql

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SCRAPED", "Exposed", "hold"]

#: What Prometheus adds to every series that it scrapes.
SCRAPED = frozenset({"instance", "job"})
#: What Grafana puts in place of its variables.
_VARIABLES = {"$__rate_interval": "5m", "$__range": "3h", "$instance": ".*", "$topic": ".*"}
_OVER_COUNTERS = {"rate", "increase", "irate"}


@dataclass(frozen=True)
class Exposed:
    """One name that can be asked for."""

    type: str
    #: The values of each label that were seen.
    labels: dict[str, set[str]]


def hold(text: str, exposed: Mapping[str, Exposed]) -> set[str]:
    """Hold an expression against what is exposed; return the labels of what it comes to.

    Fails where it does not parse; where a name, a label or a label's value is none that there is; where a rate is not
    of a counter; and where the two sides of an operator have different labels, so that nothing would match.
    """
    for name, value in _VARIABLES.items():
        text = text.replace(name, value)
    expression = promql.parse(text)
    asked = 0

    def visit(each: Any) -> None:
        nonlocal asked
        if isinstance(each, promql.MatrixSelector):
            each = each.vector_selector
        if isinstance(each, promql.VectorSelector):
            asked += 1
            _hold_selector(each, exposed)
        elif isinstance(each, promql.Call):
            _hold_call(each, exposed)

    promql.walk(expression, pre_visit=visit)
    assert asked, f"{text} asks for nothing"
    return _labels(expression, exposed)


def _hold_selector(selector: Any, exposed: Mapping[str, Exposed]) -> None:
    assert selector.name in exposed, f"{selector.name} is no metric"
    for matcher in selector.matchers.matchers:
        if matcher.name in SCRAPED:
            continue
        values = exposed[selector.name].labels.get(matcher.name)
        assert values, f"{selector.name} has no label {matcher.name}"
        if matcher.value != ".*":
            assert set(matcher.value.split("|")) <= values, f"{matcher} of {selector.name}: there is {values}"


def _hold_call(call: Any, exposed: Mapping[str, Exposed]) -> None:
    for argument in call.args:
        if isinstance(argument, promql.MatrixSelector):
            name = argument.vector_selector.name or ""
            counted = name in exposed and exposed[name].type in {"counter", "histogram"}
            assert counted == (call.func.name in _OVER_COUNTERS), f"{call.func.name} of {name}"


def _labels(expression: Any, exposed: Mapping[str, Exposed]) -> set[str]:
    """Return the labels of what an expression comes to."""
    if isinstance(expression, promql.AggregateExpr):
        return _aggregated(expression, exposed)
    if isinstance(expression, promql.BinaryExpr):
        return _combined(expression, exposed)
    if isinstance(expression, promql.Call):
        return _called(expression, exposed)
    if isinstance(expression, promql.VectorSelector):
        return set(exposed[expression.name or ""].labels) | SCRAPED
    if isinstance(expression, promql.NumberLiteral):
        return set()
    inner = expression.vector_selector if isinstance(expression, promql.MatrixSelector) else expression.expr
    return _labels(inner, exposed)


def _aggregated(expression: Any, exposed: Mapping[str, Exposed]) -> set[str]:
    inner = _labels(expression.expr, exposed)
    if str(expression.op) in {"topk", "bottomk"}:
        return inner
    if expression.modifier is None:
        return set()
    assert expression.modifier.type == promql.AggModifierType.By, f"{expression}: by is what these files use"
    assert set(expression.modifier.labels) <= inner, f"{expression}: there is {inner}"
    return set(expression.modifier.labels)


def _called(expression: Any, exposed: Mapping[str, Exposed]) -> set[str]:
    if expression.func.name == "absent":
        return {matcher.name for matcher in expression.args[0].matchers.matchers}
    labels = set[str]().union(*(_labels(each, exposed) for each in expression.args))
    if expression.func.name == "histogram_quantile":
        assert "le" in labels, f"{expression}: without le there are no buckets"
        labels -= {"le"}
    return labels


def _combined(expression: Any, exposed: Mapping[str, Exposed]) -> set[str]:
    both = [expression.lhs, expression.rhs]
    labels = [_labels(each, exposed) for each in both]
    if any(_is_number(each) for each in both):
        return labels[0] | labels[1]
    assert labels[0] == labels[1], f"nothing of {expression.lhs} matches {expression.rhs}"
    return labels[0]


def _is_number(expression: Any) -> bool:
    return isinstance(expression, promql.NumberLiteral) or str(expression) == "time()"
