"""What the arguments of `log` are taken for; what is wrong with one costs no other call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import trailhouse
from producing import read_spools
from trailhouse.formed import MOST_POINTS
from trailhouse.once import forget_warnings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def _fresh_warnings() -> None:
    forget_warnings()


@pytest.fixture
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Return a function that makes calls of log, given as (metrics, arguments), and returns the records they became."""
    monkeypatch.setenv("TRAILHOUSE_SAMPLE_INTERVAL_SECONDS", "0")
    monkeypatch.setenv("TRAILHOUSE_FLUSH_INTERVAL_SECONDS", "60")

    def log(*calls: tuple[Any, dict[str, Any]]) -> list[dict[str, Any]]:
        with trailhouse.start_run(project="p", spool=tmp_path) as run:
            for metrics, arguments in calls:
                run.log(metrics, **arguments)
        return [e.fields for e in read_spools(tmp_path) if e.event_type == "metrics_logged"]

    return log


def points(records: list[dict[str, Any]]) -> list[tuple[str, Any, float]]:
    """Return name, step and value of all points."""
    return [(p["name"], p["step"], p["value"]) for r in records for p in r["points"]]


def test_calls_of_one_kind_become_records_in_order(logged: Callable[..., list[dict[str, Any]]]) -> None:
    """Points stay in the order in which they were logged, and no record holds more than the limit."""
    records = logged(*(({"a": float(i), "b": -float(i)}, {"step": i}) for i in range(1_000)))
    assert points(records) == [p for i in range(1_000) for p in (("a", i, float(i)), ("b", i, -float(i)))]
    assert max(len(r["points"]) for r in records) <= MOST_POINTS
    assert len(records) < 20


@pytest.mark.parametrize(
    "other",
    [{"split": "test"}, {"dataset_digest": "sha256:1"}, {"model_id": "m"}, {"segment": {"country": "NL"}}],
)
def test_calls_that_differ_in_what_they_measure_stay_apart(
    logged: Callable[..., list[dict[str, Any]]], other: dict[str, Any]
) -> None:
    """Split, data, model and segment are the record's, so they must be the same for all of its points."""
    records = logged(({"a": 1.0}, {}), ({"a": 2.0}, other), ({"a": 3.0}, {}))
    (name, value), *_ = other.items()
    assert sorted((r[name] == value, p["value"]) for r in records for p in r["points"]) == [
        (False, 1.0),
        (False, 3.0),
        (True, 2.0),
    ]


@pytest.mark.parametrize(("step", "stored"), [(True, 1), (7.0, 7), (None, None), ("7", 7), ("x", None), (7.5, None)])
def test_odd_steps_are_taken_for_what_they_are_or_left_out(
    logged: Callable[..., list[dict[str, Any]]], step: Any, stored: int | None
) -> None:
    """A point without a step is better than no point."""
    assert points(logged(({"a": 1.0}, {"step": step}), ({"a": 2.0}, {"step": step}))) == [
        ("a", stored, 1.0),
        ("a", stored, 2.0),
    ]


@pytest.mark.parametrize("step", [2**70, -(2**63), 2**63])
def test_a_step_beyond_64_bits_is_left_out(logged: Callable[..., list[dict[str, Any]]], step: int) -> None:
    """The wire has 64 bits for a step; the first call of a kind and the next go different ways."""
    found = points(logged(({"a": 0.0}, {"step": 1}), ({"a": 1.0}, {"step": step}), ({"a": 2.0}, {"step": 2})))
    assert found == [("a", 1, 0.0), ("a", None, 1.0), ("a", 2, 2.0)]


def test_more_metrics_than_one_slot_holds_stay_together(logged: Callable[..., list[dict[str, Any]]]) -> None:
    """A call of forty is forty points of one step and time, in order, whichever way it goes."""
    metrics = {f"m{n}": float(n) for n in range(40)}
    records = logged(*((metrics, {"step": step}) for step in range(10)))
    found = points(records)
    assert sorted(found) == sorted((f"m{n}", step, float(n)) for step in range(10) for n in range(40))
    for step in range(10):
        assert len({p["logged_at"] for r in records for p in r["points"] if p["step"] == step}) == 1


def test_names_without_end_are_recorded_when_nothing_more_can_be_defined(
    logged: Callable[..., list[dict[str, Any]]],
) -> None:
    """Names made up at each step fill the room for definitions; calls then say all of themselves."""
    found = points(logged(*(({f"name/{n}": float(n)}, {"step": n}) for n in range(8_000))))
    assert found == [(f"name/{n}", n, float(n)) for n in range(8_000)]


def test_a_call_that_cannot_be_read_does_not_take_others_with_it(
    logged: Callable[..., list[dict[str, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    """An object that raises whatever is asked of it is one call."""

    class Bad:
        def __str__(self) -> str:
            raise RuntimeError("no")

    records = logged(({"a": 1.0}, {}), ({"a": 2.0}, {"split": Bad()}), ({"a": 3.0}, {}), ({"a": 10**400}, {}))
    assert points(records) == [("a", None, 1.0), ("a", None, 3.0)]
    assert "cannot be recorded (RuntimeError: no)" in caplog.text
    assert "metric 'a' is too large for a double" in caplog.text
