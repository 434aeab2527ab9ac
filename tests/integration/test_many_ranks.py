"""Sixty-four ranks of one node start at once, into one directory of spools, and none of them waits for another."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Final

import psutil
import pytest

from producing import producers, read_spools, start_script, trailhouse

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

pytestmark = pytest.mark.long

WORLD_SIZE: Final = 64
POINTS: Final = 20
#: Some ranks stop in the middle of their start: before they know their run, before and after they have a spool.
STOPPED: Final = {7: "api.find_place before", 23: "draining.Spool.create before", 41: "draining.Spool.create after"}
SCRIPT: Final = """
    import importlib, operator, os, signal
    import trailhouse

    def stop_at(where, when):
        module, _, name = where.partition(".")
        path, _, last = name.rpartition(".")
        owner = importlib.import_module(f"trailhouse.{module}")
        owner = operator.attrgetter(path)(owner) if path else owner
        original = getattr(owner, last)

        def stopping(*args, **kwargs):
            setattr(owner, last, original)
            if when == "before":
                os.kill(os.getpid(), signal.SIGSTOP)
            done = original(*args, **kwargs)
            if when == "after":
                os.kill(os.getpid(), signal.SIGSTOP)
            return done

        setattr(owner, last, stopping)

    if "STOP_AT" in os.environ:
        import trailhouse.api
        stop_at(*os.environ["STOP_AT"].split())
    with trailhouse.start_run(project="p", params={"eta": 0.1}) as run:
        for step in range(20):
            run.log({"loss": run.rank + step / 100}, step=step)
"""


def rank(number: int, spool: Path) -> subprocess.Popen[str]:
    """Start one of them."""
    told = {"TRAILHOUSE_RUN_ID": "many", "TRAILHOUSE_RANK": str(number), "TRAILHOUSE_WORLD_SIZE": str(WORLD_SIZE)}
    stops = {"STOP_AT": STOPPED[number]} if number in STOPPED else {}
    return start_script(SCRIPT, spool, {"TRAILHOUSE_SAMPLE_INTERVAL_SECONDS": "0"} | told | stops)


def test_ranks_that_start_at_once_hold_each_other_up_in_nothing_and_lose_nothing(tmp_path: Path) -> None:
    """Sixty-one end while three stand still in the middle of their start; then those three do, too."""
    spool = tmp_path / "spool"
    processes = [rank(number, spool) for number in range(WORLD_SIZE)]
    try:
        for number, process in enumerate(processes):
            if number not in STOPPED:
                assert process.communicate(timeout=200) == ("", "")
                assert process.returncode == 0
        for number in STOPPED:
            assert psutil.Process(processes[number].pid).status() == psutil.STATUS_STOPPED
            processes[number].send_signal(signal.SIGCONT)
            assert processes[number].communicate(timeout=60) == ("", "")
            assert processes[number].returncode == 0
    finally:
        for process in processes:
            process.kill()
            process.wait()
    logged = [e.fields for e in read_spools(spool) if e.event_type == "metrics_logged"]
    assert sorted((f["rank"], p["step"]) for f in logged for p in f["points"]) == [
        (number, step) for number in range(WORLD_SIZE) for step in range(POINTS)
    ]
    assert len(producers(read_spools(spool))) == WORLD_SIZE
    trailhouse(spool, "collect", "--until-idle")
    verified = json.loads(trailhouse(spool, "verify", "--format", "json"))
    assert (verified["verdict"], verified["sections"]["silent_ranks"]) == ("complete", [])
    accounts = verified["sections"]["producers"]
    assert sorted(account["rank"] for account in accounts) == list(range(WORLD_SIZE))
    assert {(account["lost"], account["doubled"]) for account in accounts} == {(0, 0)}
