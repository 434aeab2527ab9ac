"""Calls of log that say the same of themselves become one record; nothing else is joined, and nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest

from trailhouse.formed import MOST_POINTS, Context, LogCall, Record, join_calls
from trailhouse.once import forget_warnings

CONTEXT = Context("p", "run", 0, 0, 1, "host", "me")


@pytest.fixture(autouse=True)
def _fresh_warnings() -> None:
    forget_warnings()


def call(metrics: Any, step: Any = None, **more: Any) -> LogCall:
    """Make a call as it waits in the buffer."""
    given = {"split": "", "dataset_digest": "", "model_id": "", "segment": None, "at_ns": 1_000, "context": CONTEXT}
    return LogCall(metrics=metrics, step=step, **(given | more))


def points(record: Record) -> list[tuple[str, Any, float]]:
    """Return name, step and value of the points of a record."""
    return [(p["name"], p["step"], p["value"]) for p in record.fields["points"]]


def test_calls_of_one_kind_become_one_record_in_order() -> None:
    """Points stay in the order in which they were logged."""
    (record,) = join_calls([call({"a": 1.0, "b": 2.0}, step=0), call({"a": 3.0}, step=1)])
    assert points(record) == [("a", 0, 1.0), ("b", 0, 2.0), ("a", 1, 3.0)]


def test_a_record_holds_no_more_points_than_the_limit() -> None:
    """A thousand points are four records, each within the limit."""
    records = list(join_calls(call({"a": float(i)}, step=i) for i in range(1_000)))
    assert [len(r.fields["points"]) for r in records] == [
        MOST_POINTS,
        MOST_POINTS,
        MOST_POINTS,
        1_000 - 3 * MOST_POINTS,
    ]
    assert [p for r in records for p in points(r)] == [("a", i, float(i)) for i in range(1_000)]


@pytest.mark.parametrize(
    "other",
    [
        {"split": "test"},
        {"dataset_digest": "sha256:1"},
        {"model_id": "m"},
        {"segment": {"country": "NL"}},
        {"context": Context("p", "other run", 0, 0, 1, "host", "me")},
    ],
)
def test_calls_that_differ_in_what_they_measure_stay_apart(other: dict[str, Any]) -> None:
    """Split, data, model, segment and run are the record's, so they must be the same for all of its points."""
    records = list(join_calls([call({"a": 1.0}), call({"a": 2.0}, **other), call({"a": 3.0})]))
    assert [[v for _, _, v in points(r)] for r in records] == [[1.0, 3.0], [2.0]]


def test_nothing_overtakes_what_is_no_metric() -> None:
    """What was logged before the end of a run has a lower number than the end."""
    end = Record("run_finished", {})
    names = [r.event_type for r in join_calls([call({"a": 1.0}), end, call({"a": 2.0})])]
    assert names == ["metrics_logged", "run_finished", "metrics_logged"]


@pytest.mark.parametrize(("step", "stored"), [(True, 1), (7.0, 7), (None, None), ("7", 7), ("x", None), (7.5, None)])
def test_odd_steps_are_taken_for_what_they_are_or_left_out(step: Any, stored: int | None) -> None:
    """A point without a step is better than no point."""
    (record,) = join_calls([call({"a": 1.0}, step=step)])
    assert points(record) == [("a", stored, 1.0)]


def test_a_step_beyond_64_bits_is_left_out() -> None:
    """The wire has 64 bits for a step."""
    (record,) = join_calls([call({"a": 1.0}, step=2**70)])
    assert points(record) == [("a", None, 1.0)]


def test_a_call_that_cannot_be_read_does_not_take_others_with_it(caplog: pytest.LogCaptureFixture) -> None:
    """An object that raises whatever is asked of it is one call."""

    class Bad:
        def __str__(self) -> str:
            raise RuntimeError("no")

    (record,) = join_calls([call({"a": 1.0}), call({"a": 2.0}, split=Bad()), call({"a": 3.0})])
    assert points(record) == [("a", None, 1.0), ("a", None, 3.0)]
    assert "cannot be recorded (RuntimeError: no)" in caplog.text
