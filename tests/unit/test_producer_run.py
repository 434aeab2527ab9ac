"""A run takes whatever a training loop hands it, and the loop goes on."""

from __future__ import annotations

import math
import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import trailhouse
from producing import producers, read_spools
from trailhouse.errors import InvalidEventError, InvalidRunError
from trailhouse.once import forget_warnings
from trailhouse.rings import ring_files
from trailhouse_schemas.events import ParametersLogged, PriceSet, RunFinished

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producing import Spooled


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No warnings of other tests, no settings of this machine, nothing left open."""
    forget_warnings()
    for name in ("TRAILHOUSE_KAFKA", "TRAILHOUSE_RUN_ID", "RANK", "WORLD_SIZE", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TRAILHOUSE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRAILHOUSE_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("TRAILHOUSE_SAMPLE_INTERVAL_SECONDS", "0")
    monkeypatch.setenv("TRAILHOUSE_FLUSH_INTERVAL_SECONDS", "0.02")
    yield
    trailhouse.finish_all(timeout=10)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Where events are spooled to."""
    return tmp_path / "spool"


def of_type(events: list[Spooled], name: str) -> list[dict[str, Any]]:
    """Return the fields of the events of one type."""
    return [e.fields for e in events if e.event_type == name]


def points(events: list[Spooled]) -> list[tuple[str, int | None, float]]:
    """Return name, step and value of all points."""
    return [(p["name"], p["step"], p["value"]) for f in of_type(events, "metrics_logged") for p in f["points"]]


def test_what_a_run_logs_is_in_its_spool(spool: Path) -> None:
    """Started, parameters, metrics, finished; all of one run, of one producer."""
    with trailhouse.start_run(project="digits", name="one", params={"eta": 0.1}, group="sweep") as run:
        run.log({"loss": 0.5}, step=1, split="train")
    events = read_spools(spool)
    assert points(events) == [("loss", 1, 0.5)]
    (started,), (parameters,) = of_type(events, "run_started"), of_type(events, "parameters_logged")
    assert (started["name"], started["group"], started["kind"]) == ("one", "sweep", "train")
    assert started["packages"]["numpy"] == np.__version__
    assert parameters["parameters"] == {"eta": "0.1"}
    assert of_type(events, "run_finished")[0]["status"] == "completed"
    assert {(e.fields["project"], e.fields["run_id"]) for e in events} == {("digits", run.run_id)}
    assert len(producers(events)) == 1


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (math.inf, math.inf),
        (-math.inf, -math.inf),
        (True, 1.0),
        (2**100, 2.0**100),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.array([0.25]), 0.25),
        (Decimal("0.5"), 0.5),
    ],
)
def test_odd_numbers_are_stored_for_what_they_are(spool: Path, value: Any, stored: float) -> None:
    """Infinities, booleans, huge ints, NumPy scalars, arrays of one element, decimals."""
    with trailhouse.start_run() as run:
        run.log({"x": value}, step=0)
    assert points(read_spools(spool)) == [("x", 0, stored)]


def test_nan_is_a_value(spool: Path) -> None:
    """A loss that is not a number is what a person wants to see."""
    with trailhouse.start_run() as run:
        run.log({"x": math.nan})
    ((name, step, value),) = points(read_spools(spool))
    assert (name, step, math.isnan(value)) == ("x", None, True)


def test_nested_metrics_have_dotted_names(spool: Path) -> None:
    """As hyper-parameters have."""
    with trailhouse.start_run() as run:
        run.log({"val": {"loss": 1.0, "f1": {"macro": 0.5}}})
    assert points(read_spools(spool)) == [("val.loss", None, 1.0), ("val.f1.macro", None, 0.5)]


@pytest.mark.parametrize("value", ["high", None, np.zeros(3), object(), 1j, 10**400, [1.0]])
def test_what_is_no_number_is_refused_once_by_name_and_the_others_are_kept(
    spool: Path, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning that names the metric, however often it is logged."""
    with trailhouse.start_run() as run:
        for step in range(3):
            run.log({"bad.one": value, "good": 1.0}, step=step)
    assert points(read_spools(spool)) == [("good", step, 1.0) for step in range(3)]
    assert [r.getMessage().count("'bad.one'") for r in caplog.records if r.levelname == "WARNING"] == [1]


@pytest.mark.parametrize("metrics", [None, 7, "loss", [("loss", 1.0)], object(), {None: 1.0}, {"": 1.0}])
def test_wrong_arguments_of_log_raise_nothing(spool: Path, metrics: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A typing mistake costs the call, with a warning, and not the training."""
    with trailhouse.start_run() as run:
        run.log(metrics)
        run.log({"loss": 1.0}, step=object(), split=3, dataset_digest=None, segment=["x"])  # type: ignore[arg-type]
    assert [p[0] for p in points(read_spools(spool))] == ["loss"]
    assert "WARNING" in caplog.text


def test_a_dict_that_is_changed_after_the_call_was_recorded_as_it_was(spool: Path) -> None:
    """Loops use one dict again and again."""
    metrics: dict[str, Any] = {"loss": 0.0}
    array = np.zeros(1)
    with trailhouse.start_run() as run:
        for step in range(100):
            metrics["loss"] = float(step)
            array[0] = step
            run.log(metrics)
            run.log({"array": array})
    found = points(read_spools(spool))
    assert [v for name, _, v in found if name == "loss"] == [float(step) for step in range(100)]
    assert [v for name, _, v in found if name == "array"] == [float(step) for step in range(100)]


def test_a_step_that_is_counted_up_in_place_was_recorded_as_it_was(spool: Path) -> None:
    """A tensor or array that counts the steps is another number by the time that it is written."""
    step = np.array(0)
    with trailhouse.start_run(project="p") as run:
        for _ in range(50):
            run.log({"loss": 1.0}, step=step)  # type: ignore[arg-type] # what people hand in
            step += 1
    assert [at for _, at, _ in points(read_spools(spool))] == list(range(50))


def test_a_run_tells_how_long_its_calls_of_log_took(spool: Path) -> None:
    """The promise is checked where it is given: every call is counted, whichever way it goes."""
    with trailhouse.start_run() as run:
        for step in range(1_000):
            run.log({"loss": 1.0}, step=step)
        run.log({"loss": np.float32(1.0)})
        run.log({"loss": "no number"})
    (finished,) = of_type(read_spools(spool), "run_finished")
    by_duration = finished["log_calls_by_duration"]
    assert sum(by_duration) == 1_002
    assert by_duration[-1] > 0
    assert not any(by_duration[:6]), "no call takes less than 64 ns"


def test_a_full_buffer_drops_the_newest_and_counts_them(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the spool and what was dropped are all that was logged."""
    monkeypatch.setenv("TRAILHOUSE_BUFFER_MIB", "1")
    spool.write_text("in the way")
    with trailhouse.start_run() as run:
        for step in range(20_000):
            run.log({"loss": 1.0, "acc": 2.0}, step=step)
        spool.unlink()
    events = read_spools(spool)
    last = events[-1].fields
    assert last["points_dropped"] > 0
    assert len(points(events)) + last["points_dropped"] == 40_000
    assert last["events_emitted"] == len(events) + last["events_dropped"]
    assert of_type(events, "run_finished")


def test_more_metrics_than_a_record_holds_are_all_recorded(spool: Path) -> None:
    """A thousand metrics in one call."""
    with trailhouse.start_run() as run:
        run.log({f"m{i}": float(i) for i in range(1_000)}, step=3)
    assert points(read_spools(spool)) == [(f"m{i}", 3, float(i)) for i in range(1_000)]


@pytest.mark.parametrize(
    ("error", "status", "exit_code"),
    [
        (ValueError("bad loss"), "failed", 1),
        (KeyboardInterrupt(), "cancelled", 130),
        (MemoryError(), "out_of_memory", 1),
        (SystemExit(3), "failed", 3),
        (SystemExit(0), "completed", 0),
    ],
)
def test_a_run_ends_as_its_block_ends(spool: Path, error: BaseException, status: str, exit_code: int) -> None:
    """The exception is recorded, and goes on its way."""
    with pytest.raises(type(error)), trailhouse.start_run():
        raise error
    (finished,) = of_type(read_spools(spool), "run_finished")
    assert (finished["status"], finished["exit_code"]) == (status, exit_code)
    if isinstance(error, ValueError):
        assert (finished["error_type"], finished["error_message"]) == ("ValueError", "bad loss")


def test_ranks_other_than_the_first_say_only_how_they_failed(spool: Path) -> None:
    """One RunStarted and one RunFinished a run, where all goes well."""
    with trailhouse.start_run(run_id="r", rank=1, world_size=2, params={"a": 1}) as run:
        run.log({"loss": 1.0})
    with pytest.raises(ValueError, match="no"), trailhouse.start_run(run_id="r", rank=1, world_size=2):
        raise ValueError("no")
    events = read_spools(spool)
    assert {"run_started", "parameters_logged"}.isdisjoint(e.event_type for e in events)
    assert [f["status"] for f in of_type(events, "run_finished")] == ["failed"]


def test_what_is_logged_to_a_finished_run_is_refused_with_a_warning(
    spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither an exception nor an event behind the last heartbeat."""
    with trailhouse.start_run() as run:
        pass
    run.log({"loss": 1.0})
    run.note("late")
    run.finish("failed")
    assert read_spools(spool)[-1].fields["phase"] == "finished"
    assert caplog.text.count("is finished") == 1


def test_runs_one_after_the_other_and_inside_each_other_keep_their_own_events(spool: Path) -> None:
    """A sweep that trains in one process: the parent's events are the parent's."""
    with trailhouse.start_run(name="sweep", kind="sweep") as sweep:
        for n in range(2):
            with trailhouse.start_run(name=f"child {n}", parent_run_id=sweep.run_id) as child:
                child.log({"n": float(n)})
        sweep.log({"best": 1.0})
    events = read_spools(spool)
    by_run: dict[str, list[str]] = {}
    for fields in of_type(events, "metrics_logged"):
        by_run.setdefault(fields["run_id"], []).extend(p["name"] for p in fields["points"])
    assert sorted(by_run.values()) == [["best"], ["n"], ["n"]]
    assert {f["parent_run_id"] for f in of_type(events, "run_started")} == {"", sweep.run_id}
    assert len(of_type(events, "run_finished")) == 3


def test_bad_facts_are_warned_about_and_not_raised(spool: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A path that is not there, a quantity that cannot be, an unknown activity."""
    with trailhouse.start_run() as run:
        assert run.log_dataset("/not/there.csv") == ""
        assert run.log_artifact("/not/there.bin") == ""
        run.allocate("gpu", -1).release()
        run.log_params(3)
        with run.time_steps().activity("napping"):
            pass
    names = {e.event_type for e in read_spools(spool)}
    assert names == {"heartbeat_sent", "run_started", "run_finished"}
    for text in ("/not/there.csv", "/not/there.bin", "quantity", "not a mapping", "napping"):
        assert text in caplog.text


def test_tags_and_notes_are_attributes_of_the_run(spool: Path, tmp_path: Path) -> None:
    """They may be changed later; where they are spooled to is where the run's other events are, or control facts'."""
    with trailhouse.start_run(project="p") as run:
        run.set_tag("stage", {"name": "review"}, reason="it is good")
        run.set_tag("golden")
        run.note("looks fine")
    said = of_type([*read_spools(spool), *read_spools(tmp_path / "home" / "control")], "attribute_changed")
    found = [(f["entity_kind"], f["entity_id"], f["attribute"], f["operation"], f["value"], f["reason"]) for f in said]
    assert found == [
        ("run", run.run_id, "stage", "set", '{"name":"review"}', "it is good"),
        ("run", run.run_id, "golden", "set", "true", ""),
        ("run", run.run_id, "note", "add", '"looks fine"', ""),
    ]


def test_an_allocation_lasts_until_it_is_released_or_the_run_ends(spool: Path) -> None:
    """Each is released once, with the reason of its end."""
    run = trailhouse.start_run()
    with run.allocate("cpu", 2, pool="lab") as first:
        pass
    first.release("failed")
    second = run.allocate("gpu", devices=["0", "1"])
    run.finish("failed")
    events = read_spools(spool)
    allocated = {f["allocation_id"]: f for f in of_type(events, "resources_allocated")}
    assert (allocated[second.allocation_id]["quantity"], allocated[first.allocation_id]["quantity"]) == (2.0, 2.0)
    assert [(f["allocation_id"], f["reason"]) for f in of_type(events, "resources_released")] == [
        (first.allocation_id, "completed"),
        (second.allocation_id, "failed"),
    ]


def test_any_event_can_be_emitted_with_the_runs_envelope(spool: Path) -> None:
    """And with fields of the envelope of its own where they are given."""
    with trailhouse.start_run(project="p") as run:
        trailhouse.emit(ParametersLogged, parameters={"late": "1"})
        trailhouse.emit(RunFinished, run_id="another", status="node_fail", reported_by="launcher")
    events = read_spools(spool)
    assert of_type(events, "parameters_logged")[0]["run_id"] == run.run_id
    assert [(f["run_id"], f["status"]) for f in of_type(events, "run_finished")] == [
        ("another", "node_fail"),
        (run.run_id, "completed"),
    ]


def test_control_facts_outside_of_runs_are_in_a_retained_spool(spool: Path, tmp_path: Path) -> None:
    """Where no Kafka is, prices and grants have to stay readable on this machine."""
    trailhouse.emit(
        PriceSet, sku_id="h100", resource="gpu", unit_price="2.50", currency="EUR", valid_from="2026-01-01T00:00:00Z"
    )
    trailhouse.finish_all(timeout=10)
    events = read_spools(tmp_path / "home" / "control")
    assert [e.event_type for e in events] == ["heartbeat_sent", "price_set", "heartbeat_sent"]
    assert read_spools(spool) == []


def test_an_event_that_is_none_is_refused_by_its_field() -> None:
    """Outside of a training loop a mistake is an error, in one line."""
    with pytest.raises(InvalidEventError, match=r"Field status of RunFinished is 'gone': "):
        trailhouse.emit(RunFinished, status="gone")
    with pytest.raises(InvalidEventError, match="Field sku_id of PriceSet is missing"):
        trailhouse.emit(PriceSet, resource="gpu")
    with pytest.raises(InvalidEventError, match="is no event"):
        trailhouse.emit(dict)  # type: ignore[arg-type]


def test_a_run_of_an_unknown_kind_is_refused() -> None:
    """Before the training begins, and with the kinds that there are."""
    with pytest.raises(InvalidRunError, match="may be train, sweep"):
        trailhouse.start_run(kind="party")


def test_a_run_goes_on_where_no_spool_can_be_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One warning, and an end within the time-out."""
    blocked = tmp_path / "blocked"
    blocked.write_text("in the way")
    with trailhouse.start_run(spool=blocked) as run:
        for step in range(100):
            run.log({"loss": 1.0}, step=step)
        run.finish(timeout=0.3)
    assert caplog.text.count("cannot be written (") == 1
    assert "could not be written" in caplog.text
    for path in ring_files(blocked):
        path.unlink()


def test_steps_are_timed_in_stretches_that_all_ranks_share(spool: Path) -> None:
    """A rank that joins late has the same borders; an inner activity is not the outer one's."""
    with trailhouse.start_run() as run, run.time_steps(every=10) as timer:
        for step in range(5, 23):
            with timer.step(step), timer.activity("compute"), timer.activity("data_wait"):
                pass
    stretches = of_type(read_spools(spool), "steps_timed")
    assert [(s["first_step"], s["last_step"]) for s in stretches] == [(5, 9), (10, 19), (20, 22)]
    assert all(0 < s["data_wait_ns"] + s["compute_ns"] <= s["duration_ns"] for s in stretches)


def test_resources_are_sampled_and_stamped_with_the_allocation(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short runs too; what was not measured is null."""
    monkeypatch.setenv("TRAILHOUSE_SAMPLE_INTERVAL_SECONDS", "60")
    with trailhouse.start_run() as run, run.allocate("cpu", 1) as held:
        sum(i * i for i in range(200_000))
    samples = of_type(read_spools(spool), "resources_sampled")
    cpu = [s for s in samples if s["resource"] == "cpu" and s["allocation_id"] == held.allocation_id]
    assert cpu
    assert all(0 <= s["utilization"] <= 1 and s["power_watts"] is None for s in cpu)
    assert {s["resource"] for s in samples} >= {"cpu", "memory"}


def test_importing_is_light() -> None:
    """A training script that never starts a run pays next to nothing."""
    heavy = ["pandas", "numpy", "confluent_kafka", "pydantic", "fastavro", "psutil"]
    script = f"import sys, trailhouse; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_names_are_sorted_and_there() -> None:
    """What is exported can be used, and nothing else is promised."""
    assert list(trailhouse.__all__) == sorted(trailhouse.__all__)
    assert all(getattr(trailhouse, name) is not None for name in trailhouse.__all__ if name in {"start_run", "emit"})
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = trailhouse.nothing
