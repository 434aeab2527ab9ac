"""Training scripts as real processes: ranks, forks, exits. What they leave in the spools is what they did."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from producing import producers, read_spools, run_script, start_script

if TYPE_CHECKING:
    from producing import Spooled

QUICK = {"TRAILHOUSE_SAMPLE_INTERVAL_SECONDS": "0"}


def of_type(events: list[Spooled], name: str) -> list[dict[str, Any]]:
    """Return the fields of the events of one type."""
    return [e.fields for e in events if e.event_type == name]


def check_accounts(events: list[Spooled]) -> None:
    """Every producer: numbers from 0 without a hole, and a last heartbeat that has counted them."""
    for mine in producers(events).values():
        assert [e.sequence for e in mine] == list(range(len(mine)))
        assert mine[-1].fields["phase"] == "finished"
        assert mine[-1].fields["events_emitted"] == len(mine)


def test_four_ranks_of_a_launcher_are_one_run(tmp_path: Path) -> None:
    """No rank talks to another one; the run is started and finished once."""
    script = """
        import trailhouse
        with trailhouse.start_run(project="p", params={"eta": 0.1}) as run:
            for step in range(100):
                run.log({"loss": run.rank + step / 100}, step=step)
    """
    launcher = {"WORLD_SIZE": "4", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500", "TORCHELASTIC_RUN_ID": "j1"}
    ranks = [
        start_script(script, tmp_path, QUICK | launcher | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(4)
    ]
    for rank in ranks:
        _, err = rank.communicate(timeout=60)
        assert (rank.returncode, err) == (0, "")
    events = read_spools(tmp_path)
    check_accounts(events)
    assert len({e.fields["run_id"] for e in events}) == 1
    assert len(of_type(events, "run_started")) == len(of_type(events, "run_finished")) == 1
    assert sorted((f["rank"], len(f["points"])) for f in of_type(events, "metrics_logged")) == [
        (rank, 100) for rank in range(4)
    ]
    assert {f["world_size"] for f in of_type(events, "metrics_logged")} == {4}


def test_a_forked_child_is_a_producer_of_its_own(tmp_path: Path) -> None:
    """New id, own spool, numbers from 0, its parent named; the parent goes on as if nothing had been."""
    script = """
        import os, sys, trailhouse
        with trailhouse.start_run(project="p") as run:
            for step in range(50):
                run.log({"parent": 1.0}, step=step)
            children = []
            for child in range(8):
                pid = os.fork()
                if pid == 0:
                    for step in range(10):
                        run.log({"child": float(child)}, step=step)
                    sys.exit(0)
                children.append(pid)
                run.log({"parent": 2.0}, step=child)
            codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
            assert codes == [0] * 8, codes
    """
    done = run_script(script, tmp_path, QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    events = read_spools(tmp_path)
    check_accounts(events)
    by_producer = producers(events)
    assert len(by_producer) == 9
    (parent,) = (p for p, mine in by_producer.items() if not mine[0].fields["parent_producer_id"])
    children = [mine for p, mine in by_producer.items() if p != parent]
    assert {mine[0].fields["parent_producer_id"] for mine in children} == {parent}
    assert sorted(tuple({p["value"] for e in mine for p in e.fields.get("points", [])}) for mine in children) == [
        (float(n),) for n in range(8)
    ]
    assert sum(len(f["points"]) for f in of_type(by_producer[parent], "metrics_logged")) == 58
    assert len(of_type(events, "run_finished")) == len(of_type(events, "run_started")) == 1


def test_forks_while_threads_log_neither_hang_nor_lose(tmp_path: Path) -> None:
    """Two threads log and the recorder writes while the process forks forty times."""
    script = """
        import os, threading, trailhouse
        with trailhouse.start_run(project="p") as run:
            going = True
            counts = [0, 0]
            def log(n):
                while going:
                    run.log({f"t{n}": float(counts[n])})
                    counts[n] += 1
                    if counts[n] % 50 == 0:
                        threading.Event().wait(0.001)
            threads = [threading.Thread(target=log, args=(n,)) for n in range(2)]
            for t in threads: t.start()
            for child in range(40):
                pid = os.fork()
                if pid == 0:
                    run.log({"child": float(child)})
                    run.finish(timeout=20)
                    os._exit(0)
                assert os.waitpid(pid, 0)[1] == 0
            going = False
            for t in threads: t.join()
        print(sum(counts))
    """
    done = run_script(script, tmp_path, QUICK | {"TRAILHOUSE_FLUSH_INTERVAL_SECONDS": "0.005"}, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    events = read_spools(tmp_path)
    check_accounts(events)
    names = [p["name"] for f in of_type(events, "metrics_logged") for p in f["points"]]
    assert names.count("child") == 40
    assert len(names) - 40 == int(done.stdout)


def test_fork_waits_for_the_work_of_the_threads_and_the_child_does_not(tmp_path: Path) -> None:
    """A lock that a thread held at that moment would be held in the child for ever."""
    script = """
        import os, threading, time
        from trailhouse.forking import unforked
        inside, done = threading.Event(), []
        def work():
            with unforked():
                inside.set()
                time.sleep(0.3)
                done.append(True)
        threading.Thread(target=work).start()
        inside.wait()
        pid = os.fork()
        if pid == 0:
            with unforked():
                os._exit(0 if done else 9)
        assert os.waitpid(pid, 0)[1] == 0
        with unforked():
            pass
    """
    done = run_script(script, tmp_path, QUICK)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing_finish_what_they_log(tmp_path: Path, method: str) -> None:
    """Such workers end without the hooks of an ordinary exit."""
    script = f"""
        import multiprocessing, trailhouse
        def work(n):
            run = trailhouse.current_run() or trailhouse.start_run(run_id="r", rank=n, world_size=3)
            run.log({{"worker": float(n)}})
        if __name__ == "__main__":
            with trailhouse.start_run(run_id="r", world_size=3, rank=0) as run:
                context = multiprocessing.get_context("{method}")
                workers = [context.Process(target=work, args=(n,)) for n in (1, 2)]
                for w in workers: w.start()
                for w in workers: w.join()
                assert [w.exitcode for w in workers] == [0, 0]
    """
    file = tmp_path / "train.py"  # a spawned worker has to find the script by its file
    file.write_text(textwrap.dedent(script))
    start = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, {str(file)!r}]).returncode)"
    done = run_script(start, tmp_path / "spool", QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    events = read_spools(tmp_path / "spool")
    check_accounts(events)
    assert {p["value"] for f in of_type(events, "metrics_logged") for p in f["points"]} == {1.0, 2.0}


@pytest.mark.parametrize(
    ("ending", "status", "error_type"),
    [
        ("pass", "completed", ""),
        ("raise ValueError('bad')", "failed", "ValueError"),
        ("raise KeyboardInterrupt", "cancelled", "KeyboardInterrupt"),
    ],
)
def test_a_run_that_is_left_open_ends_with_the_process(
    tmp_path: Path, ending: str, status: str, error_type: str
) -> None:
    """Without a with-block, as in a notebook."""
    script = f"import trailhouse\nrun = trailhouse.start_run()\nrun.log({{'loss': 1.0}})\n{ending}"
    done = run_script(script, tmp_path, QUICK)
    assert (done.returncode == 0) == (status == "completed")
    events = read_spools(tmp_path)
    check_accounts(events)
    (finished,) = of_type(events, "run_finished")
    assert (finished["status"], finished["error_type"]) == (status, error_type)
    assert of_type(events, "metrics_logged")


def test_sys_exit_inside_the_block_is_the_runs_exit_code(tmp_path: Path) -> None:
    """And the process's."""
    done = run_script("import sys, trailhouse\nwith trailhouse.start_run():\n    sys.exit(7)", tmp_path, QUICK)
    assert done.returncode == 7
    (finished,) = of_type(read_spools(tmp_path), "run_finished")
    assert (finished["status"], finished["exit_code"]) == ("failed", 7)


def test_the_spools_can_be_listed_and_shown(tmp_path: Path) -> None:
    """`trailhouse spool` reads what a run has left."""
    run_script(
        "import trailhouse\nwith trailhouse.start_run() as run:\n    run.log({'loss': 0.5}, step=3)", tmp_path, QUICK
    )

    def command(*arguments: str) -> Any:
        done = subprocess.run(
            [Path(sys.executable).with_name("trailhouse"), "spool", *arguments, "--spool", str(tmp_path), "-f", "json"],
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)["sections"]

    (row,) = command("list")["spools"]
    assert (row["writer"], row["waiting"], row["refused"]) == ("gone", 5, 0)
    shown = command("show", row["producer_id"][:13])
    assert [e["event_type"] for e in shown["events"]][0::4] == ["heartbeat_sent", "heartbeat_sent"]
    assert "'name': 'loss'" in next(e["event"] for e in shown["events"] if e["event_type"] == "metrics_logged")
