"""Runs in the warehouse: how they stand, how they are found, filtered, sorted, shown, compared and plotted."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from rows import event, insert_events
from trailhouse_analytics.errors import RunsInputError
from trailhouse_analytics.queries import text
from trailhouse_analytics.runs import (
    Comparable,
    Condition,
    Quantity,
    Sort,
    check_project,
    compare_runs,
    curves_of,
    draw,
    find_run,
    list_runs,
    scatter_of,
    show_run,
    write_page,
)
from trailhouse_cli.main import main
from trailhouse_schemas.events import (
    ArtifactLogged,
    AttributeChanged,
    DatasetColumn,
    DatasetLogged,
    HeartbeatSent,
    MetricPoint,
    MetricsLogged,
    ModelLogged,
    ParametersLogged,
    PreprocessingStep,
    ResourcesAllocated,
    ResourcesReleased,
    RunFinished,
    RunStarted,
)

if TYPE_CHECKING:
    from pathlib import Path

    from servers.warehouses import Warehouse
    from trailhouse_schemas.events import Event

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def started(run_id: str, *, at: datetime = NOW, **fields: Any) -> Event:
    """A run of project p begins."""
    given = {"project": "p", "run_id": run_id, "producer_id": f"{run_id}-0", "occurred_at": at, "world_size": 2}
    return event(RunStarted, **(given | fields))


def finished(run_id: str, status: str = "completed", *, at: datetime = NOW, **fields: Any) -> Event:
    """An attempt of a run ends."""
    given = {"project": "p", "run_id": run_id, "producer_id": f"{run_id}-0", "occurred_at": at, "status": status}
    return event(RunFinished, **(given | fields))


def heartbeat(run_id: str, rank: int, /, *, at: datetime = NOW, phase: str = "alive", **fields: Any) -> Event:
    """A sign of life of a rank; the next is due in ten seconds."""
    producer_id = f"{run_id}-{rank}"
    given = {
        "project": "p",
        "run_id": run_id,
        "producer_id": producer_id,
        "rank": rank,
        "world_size": 2,
        "occurred_at": at,
        "phase": phase,
        "subject_producer_id": producer_id,
        "next_due_at": None if phase == "finished" else at + timedelta(seconds=10),
    }
    return event(HeartbeatSent, **(given | fields))


def metric(run_id: str, *values: float, name: str = "loss", **fields: Any) -> Event:
    """Values of a metric at steps 0, 1, 2 and on."""
    points = [
        MetricPoint(name=name, step=step, value=value, logged_at=NOW + timedelta(seconds=step))
        for step, value in enumerate(values)
    ]
    given = {"project": "p", "run_id": run_id, "producer_id": f"{run_id}-0", "points": points}
    return event(MetricsLogged, **(given | fields))


def parameters(run_id: str, **values: Any) -> Event:
    """Hyper-parameters of a run."""
    texts = {name: json.dumps(value) for name, value in values.items()}
    return event(ParametersLogged, project="p", run_id=run_id, producer_id=f"{run_id}-0", parameters=texts)


def tag(run_id: str, operation: str, value: Any = None, at: datetime = NOW) -> Event:
    """Somebody changes the tags of a run."""
    said = "" if value is None else json.dumps(value)
    fields = {"entity_kind": "run", "entity_id": run_id, "attribute": "tag", "operation": operation, "value": said}
    return event(AttributeChanged, producer_id="control", occurred_at=at, **fields)


def statuses(warehouse: Warehouse, now: datetime, **how: Any) -> dict[str, str]:
    """Status by run id."""
    table = list_runs(warehouse.client, now=now, **how).table
    return dict(zip(table.column("run_id").to_pylist(), table.column("status").to_pylist(), strict=True))


def ids(warehouse: Warehouse, **how: Any) -> list[str]:
    """Ids of the listed runs, in order."""
    found: list[str] = list_runs(warehouse.client, now=NOW, **how).table.column("run_id").to_pylist()
    return found


def test_a_run_is_what_was_last_said_of_its_latest_attempt(warehouse: Warehouse) -> None:
    """An attempt that failed does not speak for the one after it, and a correction replaces."""
    insert_events(
        warehouse.client,
        [
            started("restarted"),
            finished("restarted", "preempted"),
            started("restarted", attempt=1, at=NOW + timedelta(hours=1)),
            heartbeat("restarted", 0, attempt=1, at=NOW + timedelta(hours=1)),
            started("corrected"),
            finished("corrected", "failed"),
        ],
    )
    insert_events(warehouse.client, [finished("corrected", "out_of_memory")], published_at=NOW + timedelta(hours=1))
    found = list_runs(warehouse.client, now=NOW + timedelta(hours=1, seconds=5)).table.to_pylist()
    by_id = {row["run_id"]: row for row in found}
    assert (by_id["restarted"]["status"], by_id["restarted"]["attempts"]) == ("running", 2)
    assert by_id["restarted"]["duration_seconds"] == 3605.0
    assert by_id["corrected"]["status"] == "out_of_memory"


def test_a_run_that_is_not_heard_of_is_lost_contact_never_running_for_ever(warehouse: Warehouse) -> None:
    """Its next sign of life was due at 12:00:10; with thirty seconds of grace it is overdue after 12:00:40."""
    insert_events(warehouse.client, [started("silent"), heartbeat("silent", 0), heartbeat("silent", 1)])
    assert statuses(warehouse, NOW + timedelta(seconds=40)) == {"silent": "running"}
    assert statuses(warehouse, NOW + timedelta(seconds=41)) == {"silent": "lost contact"}
    (row,) = list_runs(warehouse.client, now=NOW + timedelta(days=1)).table.to_pylist()
    assert (row["ended_at"], row["duration_seconds"], row["ranks"]) == (NOW, 0.0, "2 of 2")


def test_a_run_that_never_sent_a_heartbeat_is_not_running_for_ever_either(warehouse: Warehouse) -> None:
    """The start itself was the only sign of life."""
    insert_events(warehouse.client, [started("mute")])
    assert statuses(warehouse, NOW + timedelta(seconds=30)) == {"mute": "running"}
    assert statuses(warehouse, NOW + timedelta(seconds=31)) == {"mute": "lost contact"}


def test_a_run_goes_on_as_long_as_one_rank_does_and_the_lost_ranks_are_counted(warehouse: Warehouse) -> None:
    """Rank 1 was found dead."""
    dead = heartbeat("job", 9, phase="found_dead", subject_producer_id="job-1", run_id="", project="")
    insert_events(warehouse.client, [started("job"), heartbeat("job", 0), heartbeat("job", 1), dead])
    (row,) = list_runs(warehouse.client, now=NOW).table.to_pylist()
    assert (row["status"], row["ranks_lost"], row["ranks_seen"]) == ("running", 1, 2)


def test_a_run_whose_processes_said_goodbye_without_a_status_has_ended(warehouse: Warehouse) -> None:
    """Nobody knows how, and nobody is waited for."""
    insert_events(warehouse.client, [started("gone"), heartbeat("gone", 0, phase="finished")])
    assert statuses(warehouse, NOW) == {"gone": "ended"}


def test_a_run_whose_start_has_not_landed_is_known_by_its_heartbeats(warehouse: Warehouse) -> None:
    """Rank 1's events may be there before rank 0's."""
    insert_events(warehouse.client, [heartbeat("early", 1, phase="started")])
    (row,) = list_runs(warehouse.client, now=NOW).table.to_pylist()
    assert (row["run_id"], row["status"], row["ranks"]) == ("early", "running", "1 of 2")
    assert find_run(warehouse.client, "early").run_id == "early"


def test_a_list_that_shows_lost_contact_says_when_the_warehouse_itself_has_heard_of_nothing(
    warehouse: Warehouse,
) -> None:
    """A collector that does not run looks like runs that died."""
    insert_events(warehouse.client, [started("silent"), heartbeat("silent", 0)])
    assert list_runs(warehouse.client, now=NOW + timedelta(minutes=2)).notes == ()
    (note,) = list_runs(warehouse.client, now=NOW + timedelta(hours=2)).notes
    assert "has heard of no run since 2026-03-01 12:00:00" in note


def test_runs_are_filtered_by_period_status_group_and_project(warehouse: Warehouse) -> None:
    """The period is half open: since included, until excluded."""
    hour = timedelta(hours=1)
    insert_events(
        warehouse.client,
        [
            *(started("a", group="sweep"), finished("a")),
            *(started("b", at=NOW + hour, group="sweep"), finished("b", "failed", at=NOW + hour)),
            *(started("c", at=NOW + 2 * hour, project="q"), finished("c", project="q", at=NOW + 2 * hour)),
        ],
    )
    assert ids(warehouse) == ["c", "b", "a"]
    assert ids(warehouse, since=NOW, until=NOW + hour) == ["a"]
    assert ids(warehouse, since=NOW + hour) == ["c", "b"]
    assert ids(warehouse, statuses=["failed"]) == ["b"]
    assert ids(warehouse, group="sweep") == ["b", "a"]
    assert ids(warehouse, project="q") == ["c"]
    found = list_runs(warehouse.client, limit=1, now=NOW)
    assert (found.matching, found.table.num_rows) == (3, 1)


def test_runs_are_filtered_and_sorted_by_metrics(warehouse: Warehouse) -> None:
    """Last value at the highest step, the best, the extremes; runs without the metric come last or not at all."""
    insert_events(
        warehouse.client,
        [
            *(started("a"), metric("a", 0.9, 0.1, 0.5)),
            *(started("b"), metric("b", 0.8, 0.7, 0.3)),
            *(started("c", at=NOW - timedelta(hours=1)), metric("c", math.nan, 0.2, math.inf)),
            *(started("d"), metric("d", 0.0, name="accuracy")),
        ],
    )
    by_loss = list_runs(warehouse.client, sort=Sort.parse("metric loss"), now=NOW)
    assert by_loss.table.select(["run_id", "loss last"]).to_pylist() == [
        {"run_id": "c", "loss last": 0.2},
        {"run_id": "b", "loss last": 0.3},
        {"run_id": "a", "loss last": 0.5},
        {"run_id": "d", "loss last": None},
    ]
    assert ids(warehouse, sort=Sort.parse("metric loss best")) == ["a", "c", "b", "d"]
    assert ids(warehouse, sort=Sort.parse("metric loss max", descending=True)) == ["a", "b", "c", "d"]
    assert ids(warehouse, where=[Condition.parse("metric loss < 0.5")], sort=Sort.parse("name")) == ["b", "c"]
    both = [Condition.parse("metric loss min <= 0.2"), Condition.parse("metric loss max > 0.5")]
    assert ids(warehouse, where=both) == ["a"]


def test_a_value_of_one_segment_is_not_the_value_of_the_run(warehouse: Warehouse) -> None:
    """The last point of all is of a segment; the run's value is the one of the whole."""
    insert_events(warehouse.client, [started("a"), metric("a", 0.5), metric("a", 0.1, 0.0, segment={"country": "de"})])
    found = list_runs(warehouse.client, columns=[Quantity.parse("metric loss")], now=NOW)
    assert found.table.column("loss last").to_pylist() == [0.5]


def test_a_metric_of_several_splits_must_be_named_with_its_split(warehouse: Warehouse) -> None:
    """A training loss is no validation loss."""
    insert_events(warehouse.client, [started("a"), metric("a", 0.5, split="train"), metric("a", 0.7, split="val")])
    with pytest.raises(RunsInputError, match="loss@train or loss@val"):
        ids(warehouse, sort=Sort.parse("metric loss"))
    found = list_runs(warehouse.client, sort=Sort.parse("metric loss@val"), now=NOW)
    assert found.table.column("loss@val last").to_pylist() == [0.7]
    with pytest.raises(RunsInputError, match="was not measured on split 'test'; it was on train, val"):
        ids(warehouse, sort=Sort.parse("metric loss@test"))


def test_runs_are_filtered_and_sorted_by_parameters(warehouse: Warehouse) -> None:
    """Numbers before words; the last stated value counts."""
    insert_events(
        warehouse.client,
        [
            *(started("a"), parameters("a", lr=0.1, optimizer="adam")),
            *(started("b"), parameters("b", lr=0.01), parameters("b", lr=1, optimizer="sgd")),
            *(started("c"), parameters("c", lr="auto", optimizer="adam")),
            started("d"),
        ],
    )
    assert ids(warehouse, sort=Sort.parse("param lr")) == ["a", "b", "c", "d"]
    assert ids(warehouse, where=[Condition.parse("param lr >= 1")]) == ["b"]
    assert sorted(ids(warehouse, where=[Condition.parse("param optimizer = adam")])) == ["a", "c"]
    assert ids(warehouse, where=[Condition.parse("param optimizer != adam")]) == ["b"]


def test_runs_are_filtered_by_the_tags_that_they_have_now(warehouse: Warehouse) -> None:
    """Added, removed, replaced, cleared, and not yet valid."""
    later = NOW + timedelta(days=1)
    insert_events(
        warehouse.client,
        [
            *(started("a"), tag("a", "add", "good"), tag("a", "add", "old"), tag("a", "remove", "old")),
            *(started("b"), tag("b", "add", "good"), tag("b", "set", ["new", "shiny"])),
            *(started("c"), tag("c", "add", "good"), tag("c", "remove")),
            *(started("d"), tag("d", "add", "good", at=later)),
        ],
    )
    found = list_runs(warehouse.client, now=NOW).table
    tags = dict(zip(found.column("run_id").to_pylist(), found.column("tags").to_pylist(), strict=True))
    assert tags == {"a": ["good"], "b": ["new", "shiny"], "c": [], "d": []}
    assert ids(warehouse, tags=["good"]) == ["a"]
    assert ids(warehouse, tags=["new", "shiny"]) == ["b"]


def test_metrics_of_many_runs_are_read_from_summaries_not_from_points(warehouse: Warehouse) -> None:
    """The projection answers; if its expressions and the question's drift apart, this fails."""
    insert_events(warehouse.client, [metric(f"run-{number}", 1.0, 2.0) for number in range(20)])
    for question, asked in {
        "runs_summaries": {"project": "p", "names": ["loss"], "run_ids": []},
        "runs_measured": {"project": "p", "run_ids": []},
    }.items():
        rows = warehouse.client.query(f"EXPLAIN {text(question)}", asked).result_rows
        assert [row for row in rows if "ReadFromMergeTree (summaries)" in row[0]], rows


def test_a_run_is_found_by_its_id_the_begin_of_it_or_its_name(warehouse: Warehouse) -> None:
    """What may be several is refused with their ids; what is near is suggested."""
    insert_events(
        warehouse.client,
        [
            started("0190-aa", name="first"),
            started("0190-ab", name="second"),
            started("0191-aa", name="twice"),
            started("0191-ab", name="twice"),
            started("0192-aa", name="first", project="q"),
        ],
    )
    assert find_run(warehouse.client, "0190-aa").name == "first"
    assert find_run(warehouse.client, "0190-ab").run_id == "0190-ab"
    assert find_run(warehouse.client, "0192").run_id == "0192-aa"
    assert find_run(warehouse.client, "first", project="q").run_id == "0192-aa"
    for many in ("0190", "twice", "first"):
        with pytest.raises(RunsInputError, match="may be any of 2 runs"):
            find_run(warehouse.client, many)
    with pytest.raises(RunsInputError, match="did you mean 'second'"):
        find_run(warehouse.client, "secnod")
    with pytest.raises(RunsInputError, match=r"did you mean 'p'|known are p, q"):
        check_project(warehouse.client, "pp")


def log_all(run_id: str, **dataset: Any) -> list[Event]:
    """A run that logs one of everything."""
    at = {"project": "p", "run_id": run_id, "producer_id": f"{run_id}-0", "occurred_at": NOW}
    given = {
        "direction": "input",
        "dataset_id": "sklearn/digits",
        "digest": "sha256:d",
        "digest_scope": "content",
        "split": "validation",
        "split_scheme": "hold-out",
        "split_settings": {"test_size": "0.2"},
        "split_membership_digest": "sha256:m",
        "columns": [DatasetColumn(name="x", type="double", role="feature")],
    }
    steps = [
        PreprocessingStep(path="columns", class_name="sklearn.compose.ColumnTransformer"),
        PreprocessingStep(path="columns.scale", class_name="sklearn.StandardScaler", settings={"with_mean": "true"}),
    ]
    return [
        started(run_id, name=f"name of {run_id}", packages={"numpy": "2.0", "Scipy": "1.0"}, git_commit="c" * 40),
        parameters(run_id, lr=0.1),
        metric(run_id, 0.5, 0.3, math.nan, split="validation"),
        event(DatasetLogged, **at, **(given | dataset)),
        event(DatasetLogged, **(at | {"rank": 1, "producer_id": f"{run_id}-1"}), **(given | dataset)),
        event(ModelLogged, **at, model_id="m", name="clf", class_name="xgboost.XGBClassifier", preprocessing=steps),
        event(ArtifactLogged, **at, name="weights", kind="checkpoint", digest="sha256:w"),
        event(ResourcesAllocated, **at, allocation_id=f"{run_id}-a", resource="gpu", quantity=2, started_at=NOW),
        event(ResourcesReleased, **at, allocation_id=f"{run_id}-a", ended_at=NOW, reason="completed"),
        heartbeat(run_id, 0, phase="finished", events_emitted=9),
        finished(run_id, at=NOW + timedelta(seconds=9)),
    ]


def test_everything_that_is_known_of_a_run_is_shown(warehouse: Warehouse) -> None:
    """Parameters, metrics, data, model and preprocessing, packages, code, resources, heartbeats, artifacts."""
    insert_events(warehouse.client, [*log_all("one"), tag("one", "add", "kept")])
    run = show_run(warehouse.client, "one", now=NOW)
    expected = {"status": "completed", "duration_seconds": 9.0, "git_commit": "c" * 40, "tags": ["kept"]}
    assert {name: run.facts[name] for name in expected} == expected
    assert run.parameters.to_pylist() == [{"name": "lr", "value": "0.1"}]
    (measured,) = run.metrics.to_pylist()
    assert measured == {
        "name": "loss",
        "split": "validation",
        "last_value": 0.3,
        "last_step": 1,
        "min_value": 0.3,
        "max_value": 0.5,
        "points": 3,
        "not_finite": 1,
    }
    (data,) = run.datasets.to_pylist()
    assert (data["dataset_id"], data["digest"], data["split_scheme"], data["ranks"]) == (
        *("sklearn/digits", "sha256:d", "hold-out"),
        2,
    )
    assert run.preprocessing.column("path").to_pylist() == ["columns", "columns.scale"]
    assert run.models.column("class_name").to_pylist() == ["xgboost.XGBClassifier"]
    assert run.packages.to_pylist() == [{"name": "numpy", "version": "2.0"}, {"name": "Scipy", "version": "1.0"}]
    assert run.resources.select(["resource", "quantity", "ended_at"]).to_pylist() == [
        {"resource": "gpu", "quantity": 2.0, "ended_at": NOW}
    ]
    assert run.processes.select(["rank", "state", "emitted"]).to_pylist() == [
        {"rank": 0, "state": "finished", "emitted": 9}
    ]
    assert run.artifacts.column("name").to_pylist() == ["weights"]


def test_a_metric_without_a_finite_value_has_none_not_0(warehouse: Warehouse) -> None:
    """It diverged from the first step on."""
    insert_events(warehouse.client, [started("nan"), metric("nan", math.nan, math.inf)])
    (row,) = show_run(warehouse.client, "nan", now=NOW).metrics.to_pylist()
    assert (row["last_value"], row["min_value"], row["max_value"], row["not_finite"]) == (None, None, None, 2)
    (listed,) = list_runs(warehouse.client, columns=[Quantity.parse("metric loss")], now=NOW).table.to_pylist()
    assert listed["loss last"] is None


def test_runs_are_compared_in_all_that_differs(warehouse: Warehouse) -> None:
    """Only what differs, side by side; what is the same is there when asked for."""
    other = [
        e.model_copy(update={"parameters": {"lr": "1"}}) if isinstance(e, ParametersLogged) else e
        for e in log_all("two")
    ]
    insert_events(warehouse.client, [*log_all("one"), *other])
    found = compare_runs(warehouse.client, ["one", "two"])
    assert found.verdict is Comparable.YES
    assert found.labels == ("name of one", "name of two")
    assert found.of("parameters").to_pylist() == [{"name": "lr", "name of one": "0.1", "name of two": "1"}]
    assert found.of("packages").num_rows == 0
    assert found.of("packages", differing=False).column("name of two").to_pylist() == ["1.0", "2.0"]
    assert found.of("models", differing=False).column("name").to_pylist() == [
        *("clf: class", "clf: step columns", "clf: step columns.scale"),
    ]


def test_runs_on_other_data_are_not_comparable_and_the_reason_is_said(warehouse: Warehouse) -> None:
    """From the events to the reason."""
    insert_events(warehouse.client, [*log_all("one"), *log_all("two", digest="sha256:other")])
    found = compare_runs(warehouse.client, ["one", "two"])
    assert found.verdict is Comparable.NO
    assert [r.text for r in found.reasons if r.aspect == "data"] == [
        "validation data differs: sha256:d in name of one, sha256:other in name of two"
    ]
    assert found.of("data").to_pylist() == [
        {
            "name": "input sklearn/digits validation: digest",
            "name of one": "sha256:d",
            "name of two": "sha256:other",
        }
    ]


def test_a_comparison_needs_two_different_runs(warehouse: Warehouse) -> None:
    """Two names of one run are one run."""
    insert_events(warehouse.client, log_all("one"))
    with pytest.raises(RunsInputError, match="two different runs"):
        compare_runs(warehouse.client, ["one", "name of one"])


def test_a_curve_is_the_mean_of_the_ranks_of_the_latest_attempt_at_each_step(warehouse: Warehouse) -> None:
    """Attempt 0 reached steps 0 to 2, attempt 1 went on from step 2: worked by hand."""
    insert_events(
        warehouse.client,
        [
            started("a", name="curve"),
            metric("a", 4.0, 3.0, 9.0),
            metric("a", 2.0, 1.0, 9.0, rank=1, producer_id="a-1"),
            *(metric("a", math.nan, math.nan, 1.5, attempt=1), metric("a", math.nan, math.nan, 0.5, attempt=1, rank=1)),
        ],
    )
    runs = list_runs(warehouse.client, now=NOW)
    curves = curves_of(warehouse.client, runs, Quantity("metric", "loss"))
    assert curves.table.select(["label", "x", "y"]).to_pylist() == [
        {"label": "curve", "x": 0.0, "y": 3.0},
        {"label": "curve", "x": 1.0, "y": 2.0},
        {"label": "curve", "x": 2.0, "y": 1.0},
    ]
    assert curves.notes == ("4 values that are not finite are not drawn", "the mean of 2 ranks")


def test_a_curve_of_many_points_keeps_its_shape_with_few(warehouse: Warehouse) -> None:
    """100,000 points become 2,000, and the one peak is still there."""
    warehouse.client.command(
        "INSERT INTO metrics_logged (occurred_at, producer_id, sequence, project, run_id, world_size, ordinal, name,"
        " step, value, logged_at, _published_at) SELECT {now:DateTime64(6, 'UTC')}, 'big', number, 'p', 'big', 1, 0,"
        " 'loss', number, if(number = 54321, 50, sin(number / 9000)), {now:DateTime64(6, 'UTC')},"
        " {now:DateTime64(6, 'UTC')} FROM numbers(100000)",
        {"now": NOW},
    )
    insert_events(warehouse.client, [started("big")])
    curves = curves_of(warehouse.client, list_runs(warehouse.client, now=NOW), Quantity("metric", "loss"))
    assert curves.table.num_rows == 2_000
    assert max(curves.table.column("y").to_pylist()) == 50.0


def test_a_metric_without_steps_is_drawn_against_time(warehouse: Warehouse) -> None:
    """In seconds since its first point."""
    points = [MetricPoint(name="loss", value=v, logged_at=NOW + timedelta(seconds=s)) for s, v in ((0, 2.0), (90, 1.0))]
    insert_events(warehouse.client, [started("a"), metric("a", points=points)])
    curves = curves_of(warehouse.client, list_runs(warehouse.client, now=NOW), Quantity("metric", "loss"))
    assert (curves.by_step, curves.table.column("x").to_pylist()) == (False, [0.0, 90.0])


def test_a_parameter_that_spans_decades_is_drawn_on_a_logarithmic_scale(warehouse: Warehouse) -> None:
    """One that does not is not; words are categories."""
    insert_events(
        warehouse.client,
        [
            e
            for number in range(4)
            for e in (
                started(f"r{number}"),
                parameters(f"r{number}", lr=10.0**-number, depth=number + 1, optimizer=["adam", "sgd"][number % 2]),
                metric(f"r{number}", 0.5 + number),
            )
        ],
    )
    loss = Quantity("metric", "loss")
    lr, depth, optimizer = (Quantity("param", name) for name in ("lr", "depth", "optimizer"))
    runs = list_runs(warehouse.client, columns=[lr, depth, optimizer], having=[loss], now=NOW)
    assert draw(scatter_of(runs, loss, lr)).layout.xaxis.type == "log"
    assert draw(scatter_of(runs, loss, depth)).layout.xaxis.type == "linear"
    assert draw(scatter_of(runs, loss, optimizer)).layout.xaxis.type == "category"
    by_word = draw(scatter_of(runs, loss, lr, optimizer))
    assert [trace.name for trace in by_word.data] == ["sgd", "adam"]
    points = scatter_of(runs, loss, lr, depth)
    assert points.x == (0.001, 0.01, 0.1, 1.0)
    assert points.y == (3.5, 2.5, 1.5, 0.5)
    (trace,) = draw(points).data
    assert list(trace.marker.color) == [4.0, 3.0, 2.0, 1.0]


def test_a_plot_is_a_page_that_needs_nothing_else(warehouse: Warehouse, tmp_path: Path) -> None:
    """No script and no style comes from elsewhere."""
    insert_events(warehouse.client, [started("a"), metric("a", 1.0, 0.5)])
    curves = curves_of(warehouse.client, list_runs(warehouse.client, now=NOW), Quantity("metric", "loss"))
    page = tmp_path / "loss.html"
    write_page(curves, page)
    html = page.read_text("utf-8")
    assert "Plotly.newPlot" in html
    assert "<script src=" not in html
    assert "<link" not in html
    with pytest.raises(RunsInputError, match="cannot be written"):
        write_page(curves, tmp_path / "nowhere" / "loss.html")


def typed(warehouse: Warehouse, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Type `trailhouse runs …`; return the exit code and what is printed and said."""
    with pytest.raises(SystemExit) as ended:
        main(["runs", *arguments, "--warehouse", warehouse.url])
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def test_the_commands_print_what_the_api_returns(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """list, show, compare and plot."""
    insert_events(warehouse.client, [*log_all("one"), *log_all("two", digest="sha256:other")])
    asked = ("--where", "param lr < 1", "--sort", "metric loss", "--format", "json")
    runs = json.loads(typed(warehouse, capsys, "list", *asked)[1])["sections"]["runs"]
    assert [(run["status"], run["lr"], run["loss last"]) for run in runs] == [("completed", 0.1, 0.3)] * 2
    assert json.loads(typed(warehouse, capsys, "show", "one", "--format", "json")[1])["git_commit"] == "c" * 40
    code, compared, _ = typed(warehouse, capsys, "compare", "one", "two")
    assert (code, "verdict: not comparable" in compared) == (0, True)
    page = tmp_path / "page.html"
    assert typed(warehouse, capsys, "plot", "loss", "--against", "lr", "--output", str(page)) == (
        *(0, f"{page}: loss of 2 runs\n", ""),
    )
    assert page.stat().st_size > 1_000_000


def test_the_command_alone_lists_runs(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `trailhouse runs list` does with no options."""
    insert_events(warehouse.client, [started("a"), finished("a")])
    monkeypatch.setenv("TRAILHOUSE_WAREHOUSE", warehouse.url)
    with pytest.raises(SystemExit) as ended:
        main(["runs"])
    assert (ended.value.code, "completed" in capsys.readouterr().out) == (0, True)


def test_bad_input_is_one_line_and_exit_code_2(warehouse: Warehouse, capsys: pytest.CaptureFixture[str]) -> None:
    """It names what is wrong, and what is near it."""
    insert_events(warehouse.client, [*log_all("one"), *log_all("two")])
    for arguments, expected in (
        (["list", "--project", "nobody"], "Project 'nobody' is not known"),
        (["list", "--since", "whenever"], "'whenever' is no moment"),
        (["list", "--status", "happy"], "Status 'happy' is none"),
        (["list", "--sort", "metric los"], "did you mean 'loss'?"),
        (["list", "--where", "param rl < 1"], "did you mean 'lr'?"),
        (["list", "--where", "loss < 1"], "Condition 'loss < 1' is none"),
        (["show", "oen"], "did you mean 'one'?"),
        (["compare", "one"], "needs two different runs"),
        (["compare", "one", "three"], "Run 'three' is not known"),
        (["plot", "los"], "did you mean 'loss'?"),
        (["plot", "loss", "--against", "rate"], "Parameter 'rate' is not known; known are lr"),
        (["plot", "loss", "--run", "nobody"], "Run 'nobody' is not known"),
    ):
        code, _, said = typed(warehouse, capsys, *arguments)
        assert (code, len(said.splitlines())) == (2, 1), said
        assert expected in said
