"""The small language that runs are filtered and sorted with."""

from __future__ import annotations

import pytest

from trailhouse_analytics.errors import RunsInputError
from trailhouse_analytics.runs import Condition, Quantity, Sort
from trailhouse_analytics.runs.conditions import lower_is_better, parameter_value


@pytest.mark.parametrize(
    ("text", "quantity", "operator", "value"),
    [
        ("metric val.loss < 0.3", Quantity("metric", "val.loss"), "<", 0.3),
        ("metric val.loss<0.3", Quantity("metric", "val.loss"), "<", 0.3),
        ("metric loss@validation min <= 1e-3", Quantity("metric", "loss", "validation", "min"), "<=", 1e-3),
        ('metric "top 5 accuracy" max > 0.9', Quantity("metric", "top 5 accuracy", None, "max"), ">", 0.9),
        ("param lr >= 0.01", Quantity("param", "lr"), ">=", 0.01),
        ("param optimizer = adam", Quantity("param", "optimizer"), "=", "adam"),
        ("param optimizer == 'adam w'", Quantity("param", "optimizer"), "=", "adam w"),
        ("param bias != true", Quantity("param", "bias"), "!=", True),
        ("param version = '3'", Quantity("param", "version"), "=", "3"),
    ],
)
def test_a_condition_is_a_name_an_operator_and_a_value(
    text: str, quantity: Quantity, operator: str, value: object
) -> None:
    """Spaces around the operator are of no account; quotes hold names and words together."""
    found = Condition.parse(text)
    assert (found.quantity, found.operator, found.value) == (quantity, operator, value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "loss < 3",
        "metric < 3",
        "metric loss",
        "metric loss ~ 3",
        "metric loss < low",
        "metric loss = nan",
        "param lr min < 3",
        "param lr@train < 3",
        "param optimizer < adam",
        "metric loss < 3; DROP TABLE run_started",
        "metric loss < 3 or 1 = 1",
    ],
)
def test_what_is_no_condition_is_refused_in_one_line_that_quotes_it(text: str) -> None:
    """No part of it is guessed at, and none of it is SQL."""
    with pytest.raises(RunsInputError) as caught:
        Condition.parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("param lr < 0.1", 0.05, True),
        ("param lr < 0.1", 0.1, False),
        ("param lr <= 0.1", 0.1, True),
        ("param lr > 0.1", 0.1, False),
        ("param lr >= 0.1", 0.1, True),
        ("param lr = 0.1", 0.1, True),
        ("param lr != 0.1", 0.2, True),
        ("param lr < 0.1", "auto", False),
        ("param lr != 0.1", "auto", True),
        ("param optimizer = adam", "adam", True),
        ("param optimizer != adam", "sgd", True),
        ("param bias = true", True, True),
        ("param lr != 0.1", None, False),
    ],
)
def test_a_condition_holds_for_values_of_its_kind_and_never_for_none(
    text: str, value: float | str | bool | None, expected: bool
) -> None:
    """A run without the parameter meets no condition on it, not even that it is another."""
    assert Condition.parse(text).holds(value) is expected


def test_the_best_value_is_the_smallest_of_a_loss_and_the_largest_of_an_accuracy() -> None:
    """By the words in the metric's name."""
    low = [
        "loss",
        "val.loss",
        "train_loss",
        "rmse",
        "val/mae",
        "log_loss",
        "logloss",
        "error",
        "perplexity",
        "mlogloss",
    ]
    high = ["accuracy", "auc", "f1", "r2", "glossary", "terror_recall", "throughput"]
    assert [name for name in low if not lower_is_better(name)] == []
    assert [name for name in high if lower_is_better(name)] == []
    assert Quantity.parse("metric rmse best").resolved_statistic == "min"
    assert Quantity.parse("metric auc best").resolved_statistic == "max"


def test_a_sort_is_a_field_a_metric_or_a_parameter_best_first() -> None:
    """Small losses, large accuracies, the latest runs and small parameters come first, unless it is said."""
    assert Sort.parse("started").largest_first
    assert not Sort.parse("name").largest_first
    assert not Sort.parse("metric loss").largest_first
    assert Sort.parse("metric auc").largest_first
    assert not Sort.parse("param lr").largest_first
    assert Sort.parse("param lr", descending=True).largest_first
    with pytest.raises(RunsInputError, match="size"):
        Sort.parse("size")


def test_a_parameter_has_the_value_that_its_json_stands_for() -> None:
    """Numbers are numbers, words are words, null is none, and what is nested is its JSON."""
    texts = ["3", "0.5", '"adam"', "true", "null", '{"b":1,"a":[2]}', "not json"]
    assert [parameter_value(text) for text in texts] == [3.0, 0.5, "adam", True, None, '{"a": [2], "b": 1}', "not json"]
