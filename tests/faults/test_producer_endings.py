"""However a training process ends, what becomes of its events is what docs/producer.md says of it.

All endings are made at once, in processes of their own that share a directory of spools; then the collector lands what
they have left, and `trailhouse verify` and the tables are asked.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from producing import accounted, run_script, start_script
from promises import must_survive
from servers.warehouses import fresh

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.warehouses import Warehouse
    from trailhouse_cli.servers.clickhouse import ClickHouseServer

QUICK = {"TRAILHOUSE_SAMPLE_INTERVAL_SECONDS": "0"}
#: Logs a hundred numbers, waits, logs a hundred more, says when each call had returned, and ends somehow at once.
TRAIN = """
import ctypes, faulthandler, json, os, signal, sys, threading, time, trailhouse
at = []
run = trailhouse.start_run(project="p")
def log(count):
    for _ in range(count):
        run.log({"number": float(len(at))}, step=len(at))
        at.append(time.time())
def say():
    print(json.dumps([at, time.time()]), flush=True)
log(100)
time.sleep(1)
log(100)
"""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ends, and what is known of it then."""

    script: str
    #: The exit code; minus the number of the signal that ended it.
    code: int
    #: Status of the run; empty where nobody could say it.
    status: str = ""
    environment: tuple[tuple[str, str], ...] = ()


ENDINGS = {
    "os-exit": Ending("say(); os._exit(3)", 3),
    "abort": Ending("say(); os.abort()", -6),
    "segmentation-fault": Ending("say(); ctypes.string_at(0)", -11),
    "kill": Ending("say(); os.kill(os.getpid(), signal.SIGKILL)", -9),
    "sigterm": Ending("say(); os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", -15),
    "sigint": Ending("say(); os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", -2, "cancelled"),
    "exception": Ending("say(); raise ValueError('bad')", 1, "failed"),
    "sys-exit-in-a-thread": Ending(
        "t = threading.Thread(target=sys.exit, args=(5,)); t.start(); t.join(); log(10); say()", 0, "completed"
    ),
    "exception-in-a-thread": Ending(
        "t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join(); log(10); say()", 0, "completed"
    ),
    "shutdown-with-a-full-buffer": Ending("log(60_000); say()", 0, "completed"),
    "sigterm-as-exit-with-no-broker": Ending(
        # The launcher's grace of five seconds is shorter than the time that the end may take.
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); say(); "
        "threading.Thread(target=lambda: (time.sleep(5), os.kill(os.getpid(), signal.SIGKILL)), daemon=True).start()\n"
        "with run: os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
        -9,
        "failed",
        (("TRAILHOUSE_KAFKA", "127.0.0.1:1"),),
    ),
}


@pytest.fixture(scope="module")
def left(clickhouse: ClickHouseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    """What all these processes have left."""
    spool = tmp_path_factory.mktemp("endings") / "spool"
    found = Left()
    names = list(ENDINGS)
    for some in (names[:4], names[4:8], names[8:]):  # more at once would be busy with each other
        processes = {
            name: start_script(
                TRAIN + ENDINGS[name].script,
                spool,
                QUICK | {"TRAILHOUSE_RUN_ID": name} | dict(ENDINGS[name].environment),
            )
            for name in some
        }
        for name, process in processes.items():
            found.out[name], found.err[name] = process.communicate(timeout=60)
            found.codes[name] = process.returncode
    for name, script in OTHERS.items():
        limit = {"TRAILHOUSE_BUFFER_MIB": "1"} if name == "buffer" else {}
        named = {} if name == "threads" else {"TRAILHOUSE_RUN_ID": name}
        done = run_script(script, spool, QUICK | limit | named)
        assert done.returncode == 0, done.stderr
    with fresh(clickhouse) as warehouse:
        found.report = accounted(spool, warehouse)
        found.warehouse = warehouse
        yield found


class Left:
    """What processes have said, and left."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.began_at = time.time()
        self.codes: dict[str, int] = {}
        self.out: dict[str, str] = {}
        self.err: dict[str, str] = {}
        self.report: dict[str, Any] = {}
        self.warehouse: Warehouse

    def account(self, run_id: str) -> dict[str, Any]:
        """Return the account of the run's one producer."""
        (account,) = (row for row in self.report["sections"]["producers"] if row["run_id"] == run_id)
        return dict(account)

    def numbers(self, run_id: str) -> list[float]:
        """Return what was logged, in order of the step."""
        sql = "SELECT value FROM metrics_logged WHERE run_id = {run:String} AND name = 'number' ORDER BY step"
        return [float(value) for (value,) in self.warehouse.client.query(sql, {"run": run_id}).result_rows]

    def statuses(self, run_id: str) -> list[str]:
        """Return what was said of the run's end."""
        sql = "SELECT status FROM run_finished WHERE run_id = {run:String}"
        return [str(status) for (status,) in self.warehouse.client.query(sql, {"run": run_id}).result_rows]


@pytest.mark.long
@pytest.mark.parametrize("name", ENDINGS)
def test_what_an_ending_costs_is_what_is_promised(left: Left, name: str) -> None:
    """An end in order: nothing. A process that is torn away: nothing either, and its end is known."""
    ending, account = ENDINGS[name], left.account(name)
    assert left.codes[name] == ending.code, left.err[name]
    logged_at, ended_at = json.loads(left.out[name].splitlines()[-1])
    numbers = left.numbers(name)
    assert numbers == [float(n) for n in range(len(numbers))]
    assert (account["lost"], account["doubled"], account["dropped"]) == (0, 0, 0)
    assert left.statuses(name) == ([ending.status] if ending.status else [])
    if ending.status and ending.code != -9:
        assert len(numbers) == len(logged_at)
        assert (account["end"], account["verdict"]) == ("finished", "complete")
    elif ending.status:
        assert len(numbers) == len(logged_at)
    else:
        assert must_survive(logged_at, ended_at) <= len(numbers) <= len(logged_at)
        assert must_survive(logged_at, ended_at) >= 100
        assert (account["end"], account["verdict"]) == ("found dead", "complete")
    assert "lost" not in left.err[name]


#: Runs that end well; each is asked about in a test of its own. The name is the run's, where there is but one.
OTHERS = {
    "buffer": """
        import trailhouse
        with trailhouse.start_run(project="p") as run:
            for step in range(300_000):
                run.log({"number": float(step)}, step=step)
    """,
    "clock": """
        import time, trailhouse
        with trailhouse.start_run(project="p") as run:
            for step in range(50):
                run.log({"number": float(step)}, step=step)
            time.sleep(0.3)
            true_ns, true = time.time_ns, time.time
            time.time_ns, time.time = (lambda: true_ns() - 3600 * 10**9), (lambda: true() - 3600)
            for step in range(50, 100):
                run.log({"number": float(step)}, step=step)
            run.set_tag("after", True)
    """,
    "threads": """
        import threading, trailhouse
        def train(name, fail):
            try:
                with trailhouse.start_run(project="p", run_id=name) as run:
                    for step in range(500):
                        run.log({name: float(step)}, step=step)
                    if fail:
                        raise ValueError(name)
            except ValueError:
                pass
        threads = [threading.Thread(target=train, args=(name, name == "b")) for name in "ab"]
        for t in threads: t.start()
        for t in threads: t.join()
        train("c", False)
    """,
}


def test_more_than_the_buffer_holds_is_dropped_and_counted_to_the_last_point(left: Left) -> None:
    """Nothing is lost without a word: what is in the table and what was dropped are all that was logged."""
    account = left.account("buffer")
    assert (account["verdict"], account["lost"]) == ("complete", 0)
    assert account["points_dropped"] > 0
    assert len(left.numbers("buffer")) + account["points_dropped"] == 300_000
    mine = [row for row in left.report["sections"]["findings"] if row["producer_id"] == account["producer_id"]]
    assert {row["kind"] for row in mine} <= {"dropped"}


def test_a_clock_that_is_set_back_moves_no_event_back(left: Left) -> None:
    """An hour, in the middle of the run: events go on where they were, and heartbeats say how far the clock is off."""
    ask = left.warehouse.client.query
    times = "SELECT toUnixTimestamp64Micro(logged_at) FROM metrics_logged WHERE run_id = 'clock' ORDER BY step"
    logged = [at for (at,) in ask(times).result_rows]
    assert len(logged) == 100
    assert logged == sorted(logged)
    for table in ("heartbeat_sent", "metrics_logged", "run_started", "run_finished", "attribute_changed"):
        first_at = f"SELECT toUnixTimestamp64Micro(min(occurred_at)) FROM {table} WHERE run_id = 'clock'"  # noqa: S608
        (first,) = ask(first_at).first_row
        assert first / 1e6 > left.began_at - 1, table
    said = "SELECT clock_offset_us FROM heartbeat_sent WHERE run_id = 'clock' AND phase = 'finished'"
    (offset,) = ask(said).first_row
    assert -3_660e6 < offset < -3_540e6


def test_runs_in_threads_are_runs_of_their_own(left: Left) -> None:
    """Two at the same time and a third one after them, in one process: each has all of its own, and its own end."""
    assert {row["verdict"] for row in left.report["sections"]["producers"] if row["run_id"] in {"a", "b", "c"}} == {
        "complete"
    }
    ask = left.warehouse.client.query
    of_these = "WHERE run_id IN ('a', 'b', 'c')"
    points = f"SELECT run_id, name, count(), uniqExact(step) FROM metrics_logged {of_these} GROUP BY 1, 2 ORDER BY 1, 2"  # noqa: S608
    assert [tuple(row) for row in ask(points).result_rows] == [(n, n, 500, 500) for n in "abc"]
    ends = f"SELECT run_id, status FROM run_finished {of_these} ORDER BY 1"  # noqa: S608
    assert [tuple(row) for row in ask(ends).result_rows] == [("a", "completed"), ("b", "failed"), ("c", "completed")]
    assert ask(f"SELECT count() FROM run_started {of_these}").first_row == (3,)  # noqa: S608


def run_and_account(script: str, warehouse: Warehouse, tmp_path: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Run a script that ends well, and return the report of verify."""
    process = start_script(script, tmp_path / "spool", QUICK | environment)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return accounted(tmp_path / "spool", warehouse)


def test_an_attempt_that_was_preempted_and_the_one_after_it_are_one_run(
    server_warehouse: Warehouse, tmp_path: Path
) -> None:
    """The first is torn away, the second goes on from its step; both are there, and only the first one's end is not."""
    launcher = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "h", "MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "job"}
    first = start_script(
        TRAIN + "say(); os.kill(os.getpid(), signal.SIGKILL)",
        tmp_path / "spool",
        QUICK | launcher | {"TORCHELASTIC_RESTART_COUNT": "0"},
    )
    first.communicate(timeout=60)
    script = """
        import trailhouse
        with trailhouse.start_run(project="p") as run:
            for step in range(100, 300):
                run.log({"again": float(step)}, step=step)
    """
    report = run_and_account(script, server_warehouse, tmp_path, launcher | {"TORCHELASTIC_RESTART_COUNT": "1"})
    accounts = [row for row in report["sections"]["producers"] if row["run_id"]]
    assert len({row["run_id"] for row in accounts}) == 1
    assert {row["attempt"]: (row["end"], row["lost"]) for row in accounts} == {
        0: ("found dead", 0),
        1: ("finished", 0),
    }
    counted = "SELECT attempt, status FROM run_finished"
    assert [tuple(row) for row in server_warehouse.client.query(counted).result_rows] == [(1, "completed")]
    points = "SELECT count(), uniqExact(step) FROM metrics_logged WHERE attempt = 1"
    assert server_warehouse.client.query(points).first_row == (200, 200)


def test_workers_that_are_terminated_cost_their_parent_nothing(server_warehouse: Warehouse, tmp_path: Path) -> None:
    """Forked workers that log while the parent does, and are ended by SIGTERM as those of a data loader are."""
    script = """
        import multiprocessing, time, trailhouse
        def load(n, queue):
            run = trailhouse.current_run()
            for item in range(100):
                run.log({f"worker{n}": float(item)}, step=item)
            time.sleep(1.5)
            queue.put(n)
            time.sleep(60)
        if __name__ == "__main__":
            with trailhouse.start_run(project="p") as run:
                context = multiprocessing.get_context("fork")
                queue = context.Queue()
                workers = [context.Process(target=load, args=(n, queue), daemon=True) for n in range(4)]
                for w in workers: w.start()
                for step in range(1000):
                    run.log({"loss": float(step)}, step=step)
                for w in workers: queue.get()
                for w in workers: w.terminate()
                for w in workers: w.join()
                assert [w.exitcode for w in workers] == [-15] * 4
                run.log({"loss": -1.0}, step=1000)
    """
    report = run_and_account(script, server_warehouse, tmp_path, {})
    mine = [row for row in report["sections"]["producers"] if row["run_id"]]
    assert sorted(row["end"] for row in mine) == ["finished", *["found dead"] * 4]
    assert sum(row["lost"] + row["doubled"] for row in mine) == 0
    points = "SELECT name, count() FROM metrics_logged GROUP BY 1 ORDER BY 1"
    assert [tuple(row) for row in server_warehouse.client.query(points).result_rows] == [
        ("loss", 1001),
        *((f"worker{n}", 100) for n in range(4)),
    ]
    ends = "SELECT status FROM run_finished"
    assert [status for (status,) in server_warehouse.client.query(ends).result_rows] == ["completed"]
