"""One rank of a real distributed job, for tests: logs and emits as fast as it can, and prints what it has counted.

    python rank.py RUN_ID RANK WORLD_SIZE EVENTS CALLS

Prints "started PRODUCER_ID" when the first event may be in the spool, and at the end one JSON object.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

import trailhouse
from trailhouse_schemas.events import StepsTimed


def main(run_id: str, rank: int, world_size: int, events: int, calls: int) -> None:
    """Emit `events` events and call log `calls` times with two metrics each, in turn."""
    began = datetime.now(UTC)
    with trailhouse.start_run(project="ranks", run_id=run_id, rank=rank, world_size=world_size) as run:
        print(f"started {run.producer_id}", flush=True)
        total = 0.0
        for number in range(max(events, calls)):
            if number < events:
                run.emit(StepsTimed, first_step=number, last_step=number, started_at=began, duration_ns=number)
            if number < calls:
                run.log({"loss": 1 / (1 + number), "number": number}, step=number)
                total += number
        producer_id = run.producer_id
    print(json.dumps({"producer_id": producer_id, "events": events, "points": 2 * calls, "sum_of_numbers": total}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
