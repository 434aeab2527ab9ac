"""A disk that is full, cannot be written to, or loses the spool's directory: training goes on, and all of it is told.

The disk is a file system of a few megabytes in a namespace of its own, which takes no rights where the system lets
users make such; elsewhere these tests are skipped, and the one with a limit of a file's size (test_producer_kills) is
left.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from producing import accounted, clean_environment, run_script

if TYPE_CHECKING:
    from pathlib import Path

    from servers.warehouses import Warehouse

QUICK = {"TRAILHOUSE_SAMPLE_INTERVAL_SECONDS": "0"}


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Where a small file system can be mounted."""
    path = tmp_path / "disk"
    path.mkdir()
    tried = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", str(path)]
    try:
        done = subprocess.run(tried, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare here to make a small file system with")
    if done.returncode:
        pytest.skip(f"no file system can be made here: {done.stderr.strip()}")
    return path


def train(disk: Path, script: str, options: str = "size=2m") -> subprocess.CompletedProcess[str]:
    """Run a script whose spools are on a file system of its own; what is left of them comes to `kept` beside it."""
    begin = textwrap.dedent("""
        import os, subprocess, sys, time, trailhouse
        disk = os.path.dirname(os.environ["TRAILHOUSE_SPOOL"])
        def fill():
            with open(f"{disk}/junk", "wb", buffering=0) as junk:
                for size in (65536, 512, 1):
                    try:
                        while True: junk.write(bytes(size))
                    except OSError: pass
        def log(run, name, count, seconds=0.0):
            for step in range(count):
                run.log({name: float(step)}, step=step)
                time.sleep(seconds)
    """)
    inside = 'mount -t tmpfs -o "$1" tmpfs "$2" && "$3" -c "$4"; code=$?; cp -r "$2/spool" "$5"; exit $code'
    return subprocess.run(
        [
            *("unshare", "--map-root-user", "--mount", "sh", "-c", inside, "sh"),
            *(options, str(disk), sys.executable, begin + textwrap.dedent(script), str(disk.with_name("kept"))),
        ],
        env=clean_environment(disk / "spool", QUICK),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def logged(warehouse: Warehouse) -> dict[str, int]:
    """Count the points of each name; none is there twice."""
    sql = "SELECT name, count(), uniqExact(step) FROM metrics_logged GROUP BY name"
    found = warehouse.client.query(sql).result_rows
    assert [count for _, count, _ in found] == [distinct for _, _, distinct in found]
    return {str(name): int(count) for name, count, _ in found}


def only(report: dict[str, Any]) -> dict[str, Any]:
    """Return the account of the one training process."""
    (account,) = (row for row in report["sections"]["producers"] if row["run_id"])
    return dict(account)


def test_a_full_disk_is_waited_for(disk: Path, server_warehouse: Warehouse) -> None:
    """Nothing is lost once somebody makes room; it is warned about once."""
    done = train(
        disk,
        """
        with trailhouse.start_run(project="p") as run:
            log(run, "before", 50)
            time.sleep(0.6)
            fill()
            log(run, "during", 3000, 0.0005)
            os.unlink(f"{disk}/junk")
            log(run, "after", 50)
        print("trained")
        """,
    )
    assert (done.returncode, done.stdout) == (0, "trained\n"), done.stderr
    assert done.stderr.count("cannot be written") == 1
    account = only(accounted(disk.with_name("kept"), server_warehouse))
    assert (account["verdict"], account["lost"], account["dropped"]) == ("complete", 0, 0)
    assert logged(server_warehouse) == {"before": 50, "during": 3000, "after": 50}


def test_what_a_disk_that_stays_full_has_no_room_for_waits_for_the_next_run(
    disk: Path, server_warehouse: Warehouse
) -> None:
    """The end comes within its time-out and says where the rest is; once there is room nothing is missing."""
    done = train(
        disk,
        """
        run = trailhouse.start_run(project="p")
        log(run, "before", 50)
        time.sleep(0.6)
        fill()
        log(run, "during", 100)
        began = time.monotonic()
        run.finish(timeout=1)
        assert time.monotonic() - began < 20
        os.unlink(f"{disk}/junk")
        with trailhouse.start_run(project="p", run_id="next"):
            time.sleep(3)
        print("trained")
        """,
    )
    assert (done.returncode, done.stdout) == (0, "trained\n"), done.stderr
    assert "calls and events could not be written" in done.stderr
    report = accounted(disk.with_name("kept"), server_warehouse)
    assert {row["verdict"] for row in report["sections"]["producers"]} == {"complete"}
    assert logged(server_warehouse) == {"before": 50, "during": 100}


def test_a_disk_that_cannot_be_written_to_yet_is_waited_for(disk: Path, server_warehouse: Warehouse) -> None:
    """Read-only when the run begins, and made writable later: all of it is there."""
    done = train(
        disk,
        """
        def mounted(how):
            subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)
        os.mkdir(f"{disk}/spool")
        mounted("ro")
        with trailhouse.start_run(project="p") as run:
            log(run, "before", 50)
            time.sleep(0.6)
            mounted("rw")
            log(run, "after", 50)
        print("trained")
        """,
    )
    assert (done.returncode, done.stdout) == (0, "trained\n"), done.stderr
    assert done.stderr.count("cannot be written") == 1
    assert only(accounted(disk.with_name("kept"), server_warehouse))["verdict"] == "complete"
    assert logged(server_warehouse) == {"before": 50, "after": 50}


def test_a_spool_that_is_removed_is_begun_anew_and_what_was_in_it_is_named(
    server_warehouse: Warehouse, tmp_path: Path
) -> None:
    """Somebody clears the directory in the middle of the run: later events are there, the others are told by number."""
    script = """
        import os, shutil, time, trailhouse
        with trailhouse.start_run(project="p") as run:
            for step in range(50):
                run.log({"before": float(step)}, step=step)
            time.sleep(1)
            shutil.rmtree(os.environ["TRAILHOUSE_SPOOL"])
            for step in range(50):
                run.log({"after": float(step)}, step=step)
        print("trained")
    """
    done = run_script(script, tmp_path / "spool", QUICK)
    assert (done.returncode, done.stdout) == (0, "trained\n"), done.stderr
    assert done.stderr.count("was removed") == 1
    report = accounted(tmp_path / "spool", server_warehouse)
    account = only(report)
    assert (account["verdict"], account["end"]) == ("lost", "finished")
    (hole,) = report["sections"]["findings"]
    assert (hole["kind"], hole["first"], hole["last"]) == ("lost", 0, account["lost"] - 1)
    assert logged(server_warehouse) == {"after": 50}
