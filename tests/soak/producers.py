"""The soak of producers: the ranks of a job are killed at random moments, the broker may be away; then all is counted.

    make soak ARGS='--producers --kills 200'
    make soak ARGS='--producers --kills 0 --away 600'

Events go through the spools to a collector that runs meanwhile; or, with `--away`, through a broker that is stopped for
so many seconds, at the start, in the middle and at the end of the job, and a `trailhouse forward` beside the ranks.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from promises import must_survive
from servers.topics import Topics
from servers.warehouses import ServedWarehouse, new_warehouse
from soak.ranks import Job
from trailhouse_cli.servers.discovery import find_kafka
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from servers.warehouses import Warehouse
    from soak.ranks import Incarnation
    from trailhouse_cli.servers.kafka import KafkaServer

__all__ = ["How", "Outcome", "main", "report", "soak_producers"]

#: How much longer than on an idle machine the flush may take where so many processes share it.
_BUSY: Final = 10.0
_END_SECONDS: Final = 90.0
_COMMAND_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class How:
    """How producers are soaked."""

    seed: int
    kills: int = 200
    ranks: int = 8
    steps_per_second: float = 100.0
    #: Longest time between two kills.
    rest_seconds: float = 1.5
    #: How long the broker is away at the start, in the middle and at the end; 0: no broker, spools are collected.
    away_seconds: float = 0.0
    away_at: tuple[str, ...] = ("start", "middle", "end")
    #: How long the broker is there in between.
    there_seconds: float = 5.0
    #: How long the end of a rank may wait for the broker.
    finish_seconds: float = 30.0


@dataclass(slots=True)
class Outcome:
    """What it has come to."""

    how: How
    kills: int = 0
    processes: int = 0
    #: Calls of `log` that had returned, and those of them that are in the warehouse.
    returned: int = 0
    landed: int = 0
    #: Calls that kills took with them: all, the most at once, and how long before its kill the earliest returned.
    torn: int = 0
    torn_most: int = 0
    torn_seconds: float = 0.0
    longest_call_seconds: float = 0.0
    verify: dict[str, Any] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    #: What is not as promised, a line each.
    faults: list[str] = field(default_factory=list)


def soak_producers(
    how: How, directory: Path, warehouse: Warehouse, kafka: KafkaServer | None, say: Callable[[str], None]
) -> Outcome:
    """Run the job, kill its ranks, end it, land what it has left, and make the account."""
    chance = random.Random(how.seed)  # noqa: S311 - moments, not secrets
    began = time.monotonic()
    outcome = Outcome(how)
    environment = {"TRAILHOUSE_FINISH_TIMEOUT_SECONDS": str(how.finish_seconds)}
    environment |= {"TRAILHOUSE_KAFKA": kafka.bootstrap_servers} if kafka else {}
    job = Job(uuid.uuid4().hex, how.ranks, how.steps_per_second, directory, environment)
    with ExitStack() as stack:
        stack.callback(job.close)
        if kafka and how.away_at[0] == "start":
            kafka.stop()
        for rank in range(how.ranks):
            job.start(rank)
        service = _begin(job, "forward" if kafka else "collect", *([] if kafka else ["--warehouse", warehouse.url]))
        stack.callback(_end, service)
        if kafka:
            for where in how.away_at:
                say(f"{time.monotonic() - began:5.0f} s: the broker is away at the {where}")
                if where != "start":
                    kafka.stop()
                _strike(job, chance, how.kills // len(how.away_at), how.away_seconds, how)
                if where == "end":
                    job.end(_END_SECONDS)
                kafka.start()
                if where != "end":
                    _strike(job, chance, 0, how.there_seconds, how)
        else:
            _strike(job, chance, how.kills, 0.0, how, say)
        job.end(_END_SECONDS)
        say(f"{time.monotonic() - began:5.0f} s: the job has ended")
    if kafka:
        _run(job, outcome, "forward", "--until-empty", "--timeout", "300")
    group = ["--group", uuid.uuid4().hex] if kafka else []
    _run(job, outcome, "collect", "--until-idle", "--warehouse", warehouse.url, *group)
    found = _run(job, outcome, "verify", "--format", "json", "--warehouse", warehouse.url)
    _account(outcome, job, warehouse, json.loads(found) if found else {})
    outcome.seconds = time.monotonic() - began
    return outcome


def _strike(
    job: Job, chance: random.Random, kills: int, seconds: float, how: How, say: Callable[[str], None] | None = None
) -> None:
    """Kill ranks, so many and for so long at least."""
    until = time.monotonic() + seconds
    for count in range(1, kills + 1):
        time.sleep(chance.uniform(0.0, how.rest_seconds))
        job.kill(chance.randrange(how.ranks))
        if say and count % 20 == 0:
            say(f"{count} kills")
    time.sleep(max(0.0, until - time.monotonic()))


def _command(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("trailhouse")), *arguments]


def _begin(job: Job, *arguments: str) -> subprocess.Popen[bytes]:
    log = (job.spool.parent / "service.log").open("ab")
    with log:
        return subprocess.Popen(_command(*arguments), env=job.environment, stdout=log, stderr=log)


def _end(service: subprocess.Popen[bytes]) -> None:
    service.terminate()
    try:
        service.wait(60)
    except subprocess.TimeoutExpired:
        service.kill()
        service.wait()


def _run(job: Job, outcome: Outcome, *arguments: str) -> str:
    done = subprocess.run(
        _command(*arguments),
        env=job.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_COMMAND_SECONDS,
    )
    if done.returncode:
        outcome.faults.append(f"'trailhouse {arguments[0]}' ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout


def _account(outcome: Outcome, job: Job, warehouse: Warehouse, verified: dict[str, Any]) -> None:
    sql = (
        "SELECT rank, attempt, arraySort(groupArray(step)) FROM metrics_logged WHERE run_id = {run:String} "
        "GROUP BY rank, attempt"
    )
    rows = warehouse.client.query(sql, {"run": job.run_id}).result_rows
    landed = {(int(rank), int(attempt)): list(steps) for rank, attempt, steps in rows}
    producers = verified.get("sections", {}).get("producers", [])
    accounts = {(row["rank"], row["attempt"]): row for row in producers if row["run_id"] == job.run_id}
    for each in job.all:
        _account_for(outcome, each, landed.pop((each.rank, each.attempt), []), accounts.get((each.rank, each.attempt)))
    outcome.faults += [f"steps of a process that nobody started: {key}" for key in landed]
    outcome.faults += [f"rank {each.rank}, attempt {each.attempt} ended with {each.code}" for each in job.fallen()]
    names = ("emitted", "landed", "dead_letters", "waiting", "refused", "dropped", "expired", "lost", "doubled")
    outcome.verify = {name: sum(row[name] for row in producers) for name in names}
    outcome.faults += [
        f"verify says of producer {row['producer_id']}: {row['verdict']}, {row['reason']}"
        for row in producers
        if row["lost"] or row["doubled"] or row["waiting"] or row["dropped"] or row["dead_letters"]
    ]
    for row in producers:
        outcome.ends[row["end"]] = outcome.ends.get(row["end"], 0) + 1


def _account_for(outcome: Outcome, each: Incarnation, steps: list[int], account: dict[str, Any] | None) -> None:
    noted = each.noted()
    name = f"rank {each.rank}, attempt {each.attempt}"
    outcome.processes += 1
    outcome.kills += bool(each.killed_at)
    outcome.returned += len(noted)
    outcome.landed += len(steps)
    outcome.longest_call_seconds = max(outcome.longest_call_seconds, each.longest_call())
    if steps != list(range(len(steps))):
        outcome.faults.append(f"{name}: its steps are not each there once")
    must = must_survive(noted, each.killed_at, busy=_BUSY) if each.killed_at else len(noted)
    if len(steps) < must:
        outcome.faults.append(f"{name}: {len(steps):,} of {must:,} steps that must be there are")
    if len(steps) > len(noted) + 1:  # the kill may come between the call and the note of it
        outcome.faults.append(f"{name}: {len(steps):,} steps are there, and {len(noted):,} were logged")
    torn = max(0, len(noted) - len(steps))
    outcome.torn += torn
    outcome.torn_most = max(outcome.torn_most, torn)
    if torn and each.killed_at:
        outcome.torn_seconds = max(outcome.torn_seconds, each.killed_at - noted[len(steps)])
    expected = "found dead" if each.killed_at else "finished"
    if account is None:
        if steps:
            outcome.faults.append(f"{name}: verify does not know it")
    elif account["end"] != expected:
        outcome.faults.append(f"{name}: its end is {account['end']!r}, not {expected!r}")


def report(outcome: Outcome) -> str:
    """Return the text of an outcome."""
    lines: list[tuple[str, object]] = [
        ("kills", outcome.kills),
        ("processes", outcome.processes),
        *((f"  {end}", count) for end, count in sorted(outcome.ends.items())),
        ("calls of log that had returned", outcome.returned),
        ("  landed", outcome.landed),
        ("  torn away by a kill", outcome.torn),
        ("  most by one kill", outcome.torn_most),
        ("  earliest, ms before its kill", round(outcome.torn_seconds * 1e3)),
        ("longest call of log, ms", round(outcome.longest_call_seconds * 1e3)),
        *((f"verify: {name.replace('_', ' ')}", count) for name, count in outcome.verify.items()),
        ("seconds", round(outcome.seconds)),
    ]
    width = max(len(name) for name, _ in lines) + 2
    text = "".join(f"{name:<{width}}{value:>9,}\n" for name, value in lines)
    text += f"{'seed':<{width}}{outcome.how.seed:>9}\n"
    return text + "".join(f"{line}\n" for line in outcome.faults)


def main(arguments: Sequence[str]) -> int:
    """Run the soak of producers; ends with 1 when anything is not as promised."""
    parser = argparse.ArgumentParser(
        prog="make soak ARGS='--producers", description="Kill the ranks of a job at random moments; count every event."
    )
    parser.add_argument("--kills", type=int, default=200, help="ends of processes [200]")
    parser.add_argument("--ranks", type=int, default=8, help="processes of the job [8]")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31), help="of all chances [random]")
    parser.add_argument("--steps-per-second", type=float, default=100.0, help="that each rank logs [100]")
    parser.add_argument("--rest-seconds", type=float, default=1.5, help="longest time between two kills [1.5]")
    parser.add_argument(
        "--away",
        type=float,
        default=0.0,
        help="seconds without a broker, three times [no broker at all]",
    )
    chosen = parser.parse_args(arguments)
    how = How(
        chosen.seed,
        chosen.kills,
        chosen.ranks,
        chosen.steps_per_second,
        rest_seconds=chosen.rest_seconds,
        away_seconds=chosen.away,
    )
    directory = Path(tempfile.mkdtemp(prefix="trailhouse-soak-"))

    def say(text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    say(f"seed {how.seed}, logs in {directory}")
    with ExitStack() as stack:
        engine = ServedWarehouse()
        stack.callback(engine.close)
        warehouse = new_warehouse(engine)
        stack.callback(warehouse.client.close)
        kafka = None
        if how.away_seconds:
            kafka = find_kafka(Settings.read())
            stack.callback(kafka.close)
            topics = Topics(kafka.bootstrap_servers)
            topics.delete([event_type.topic for event_type in CATALOGUE.values()])
            topics.create_catalogue()
        outcome = soak_producers(how, directory, warehouse, kafka, say)
    sys.stdout.write(report(outcome))
    if outcome.faults:
        return 1
    shutil.rmtree(directory)
    return 0
