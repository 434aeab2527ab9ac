"""Runs collectors one after another and ends each by a signal at a stage of a range, until enough are dead.

A script, because it forks: its children begin with everything imported and nothing opened. Its argument is JSON:

    stage     planned, inserting (and then at random within `within_seconds`), inserted
    at        which time a collector meets that stage
    kills     how many collectors are killed; the last one is left to end by itself
    seed      of the random moments
    poison    instead of `at`: the offset whose ranges kill every collector that meets the stage with them
    signal    SIGKILL, or SIGSTOP, which who started this has to follow by SIGCONT (default SIGKILL)
    where     the settings of all parts, how: the collector's
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import clickhouse_connect  # noqa: F401 - imported once, before the forks; the engine only after them
import pandas as pd  # noqa: F401 - which the engine imports

import trailhouse_consumer.sources.kafka  # noqa: F401 - imported once as well, for it opens nothing
import trailhouse_schemas.registry  # noqa: F401 - the same
from trailhouse_consumer.ranges import MAX_DEATHS
from trailhouse_consumer.service import collect
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_schemas.settings import Settings

if TYPE_CHECKING:
    from trailhouse_consumer.landing import Stage
    from trailhouse_consumer.sources import Partition, Plan


def run(task: dict[str, Any], seconds: float | None) -> None:
    """Collect until idle; with `seconds`, die that long after the stage."""
    met = 0

    def strike() -> None:
        os.kill(os.getpid(), signal.Signals[task.get("signal", "SIGKILL")])

    def on_stage(stage: Stage, _: Partition, plan: Plan) -> None:
        nonlocal met
        if "poison" in task:
            # A record that kills when it is inserted does no harm as the bytes of a dead letter.
            harmful = plan.first <= task["poison"] <= plan.last and plan.tries <= MAX_DEATHS
            if stage == task["stage"] and harmful:
                strike()
            return
        if seconds is None or stage != task["stage"]:
            return
        met += 1
        if met == task["at"]:
            if seconds:
                timer = threading.Timer(seconds, strike)
                timer.daemon = True
                timer.start()
            else:
                strike()

    where, how = Settings.read(**task["where"]), CollectorSettings.read(**task["how"])
    collect(where, how, until_idle=True, on_stage=on_stage)


def main() -> None:
    """Run the children."""
    task = json.loads(sys.argv[1])
    # A child that collects garbage would copy all that was imported.
    gc.collect()
    gc.freeze()
    chance = random.Random(task["seed"])  # noqa: S311 - moments, not secrets
    kills, ended, begun = 0, False, time.monotonic()
    while kills < task["kills"] and not ended:
        seconds = chance.uniform(0, task["within_seconds"]) if task["stage"] == "inserting" else 0.0
        code = _child(task, seconds)
        kills += code == -signal.SIGKILL
        ended = code == 0
    last = _child(task, None)
    print(json.dumps({"kills": kills, "last": last, "seconds": time.monotonic() - begun}))  # noqa: T201 - its answer


def _child(task: dict[str, Any], seconds: float | None) -> int:
    """Run a collector in a child; return its exit code, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run(task, seconds)
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main()
