"""What a killed, hurried or starved training process leaves: at most one flush interval is missing."""

from __future__ import annotations

import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from producing import producers, read_spools, run_script, start_script
from trailhouse_schemas.spool import Spool, spool_files

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

#: Logs one point a millisecond and prints how many it has logged, and when, on a line of its own.
TRAIN = """
    import sys, time, trailhouse
    run = trailhouse.start_run(project="p")
    began = time.monotonic()
    for step in range(10**9):
        run.log({"at": time.time()}, step=step)
        if step % 10 == 0:
            print(step, time.time(), flush=True)
        time.sleep(0.001)
"""
QUICK = {"TRAILHOUSE_SAMPLE_INTERVAL_SECONDS": "0"}
#: The interval itself, and what a busy machine with two cores may take to get round to it.
FLUSH_SECONDS = 0.2
GRACE_SECONDS = 0.3


@pytest.fixture
def training(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that logs without end."""
    process = start_script(TRAIN, tmp_path, QUICK | {"TRAILHOUSE_FLUSH_INTERVAL_SECONDS": str(FLUSH_SECONDS)})
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("seed", range(5))
def test_a_killed_rank_loses_at_most_the_flush_interval(
    training: subprocess.Popen[str], tmp_path: Path, seed: int
) -> None:
    """All that was logged longer ago than that is in the spool, whole and in order."""
    wait = 0.5 + random.Random(seed).random()  # noqa: S311 - when to kill
    print(f"seed {seed}: killed {wait:.3f} s after its first step")  # noqa: T201 - a test that fails by chance must say its seed
    assert training.stdout is not None
    training.stdout.readline()
    time.sleep(wait)
    training.kill()
    killed_at = time.time()
    training.wait()
    events = read_spools(tmp_path)
    assert len(producers(events)) == 1
    assert [e.sequence for e in events] == list(range(len(events)))
    logged = [p for e in events if e.event_type == "metrics_logged" for p in e.fields["points"]]
    assert [p["step"] for p in logged] == list(range(len(logged)))
    assert killed_at - logged[-1]["value"] < FLUSH_SECONDS + GRACE_SECONDS
    assert not any(e.event_type == "run_finished" for e in events)
    assert events[0].fields["flush_interval_seconds"] == FLUSH_SECONDS


def test_a_terminated_run_has_written_all_but_the_flush_interval(
    training: subprocess.Popen[str], tmp_path: Path
) -> None:
    """No handler is installed for SIGTERM: the process ends as it would without Trailhouse."""
    assert training.stdout is not None
    training.stdout.readline()
    time.sleep(0.6)
    training.terminate()
    ended_at = time.time()
    assert training.wait(timeout=5) == -signal.SIGTERM
    logged = [p for e in read_spools(tmp_path) for p in e.fields.get("points", [])]
    assert ended_at - logged[-1]["value"] < FLUSH_SECONDS + GRACE_SECONDS


def test_a_handler_that_exits_on_sigterm_ends_the_run_in_order(tmp_path: Path) -> None:
    """Whoever turns SIGTERM into an exit, as launchers advise, gets a run that says how it ended."""
    script = """
        import signal, sys, time, trailhouse
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        with trailhouse.start_run() as run:
            run.log({"loss": 1.0})
            print("ready", flush=True)
            time.sleep(60)
    """
    process = start_script(script, tmp_path, QUICK)
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    assert process.wait(timeout=20) == 143
    process.communicate()
    events = read_spools(tmp_path)
    (finished,) = (e.fields for e in events if e.event_type == "run_finished")
    assert (finished["status"], finished["exit_code"]) == ("failed", 143)
    assert events[-1].fields["phase"] == "finished"


def test_the_spool_of_a_killed_process_is_free_to_be_taken_up(training: subprocess.Popen[str], tmp_path: Path) -> None:
    """The writer's lock goes with the process; it is held as long as the process lives."""
    assert training.stdout is not None
    training.stdout.readline()
    until = time.monotonic() + 10
    while not (paths := spool_files(tmp_path)) and time.monotonic() < until:
        time.sleep(0.01)
    with Spool.open(paths[0]) as spool:
        assert not spool.writer_lock.acquire()
        training.kill()
        training.wait()
        assert spool.writer_lock.acquire()


def test_a_disk_that_fills_up_does_not_stop_the_training(tmp_path: Path) -> None:
    """Writes fail from the second second on; the loop ends as it would, with one warning."""
    script = """
        import resource, signal, time, trailhouse
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with trailhouse.start_run(project="p") as run:
            for step in range(3):
                run.log({"before": 1.0}, step=step)
            time.sleep(0.5)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
            for step in range(2000):
                run.log({"during": 1.0}, step=step)
                time.sleep(0.0005)
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
            run.log({"after": 1.0})
        print("trained")
    """
    done = run_script(script, tmp_path, QUICK)
    assert (done.returncode, done.stdout) == (0, "trained\n")
    assert done.stderr.count("cannot be written") == 1
    events = read_spools(tmp_path)
    assert [e.sequence for e in events] == list(range(len(events)))
    names = [p["name"] for e in events for p in e.fields.get("points", [])]
    assert (names.count("before"), names.count("during"), names.count("after")) == (3, 2000, 1)
