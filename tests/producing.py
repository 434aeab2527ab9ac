"""Runs training scripts as processes of their own, and reads what is in the spools that they leave."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import textwrap
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastavro import schemaless_reader

from trailhouse.rings import ring_files
from trailhouse.taking_up import take_up_rings
from trailhouse_schemas import wire
from trailhouse_schemas.spool import Spool, spool_files
from trailhouse_schemas.versions import by_fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Spooled",
    "accounted",
    "clean_environment",
    "command",
    "decode",
    "producers",
    "read_spools",
    "run_script",
    "settled",
    "start_script",
    "trailhouse",
]

#: Nothing of a launcher, a run or a broker comes in from where the tests run.
_FOREIGN = (
    *("TRAILHOUSE_", "SLURM_", "OMPI_", "PMI", "MPI_LOCAL", "I_MPI_", "HOROVOD_", "JOB_COMPLETION_INDEX"),
    *("TORCHELASTIC_", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_"),
)


@dataclass(frozen=True, slots=True)
class Spooled:
    """One event that lies in a spool, decoded."""

    producer_id: str
    sequence: int
    event_type: str
    fields: dict[str, Any]


def decode(value: bytes) -> dict[str, Any]:
    """Return the fields of a value in single-object encoding."""
    header = wire.read_header(value)
    assert header.fingerprint is not None
    record: Any = schemaless_reader(
        io.BytesIO(value[header.body_at :]), by_fingerprint(header.fingerprint).parsed, None
    )
    return dict(record)


def read_spools(directory: Path) -> list[Spooled]:
    """Return all events in all spools of a directory, each spool in order of sequence."""
    found = []
    for path in spool_files(directory):
        with Spool.open(path) as spool:
            found += [
                Spooled(spool.producer_id, e.sequence, e.event_type, decode(e.value))
                for e in spool.read(limit_events=1_000_000, limit_bytes=1 << 30)
            ]
    return found


def settled(directory: Path, seconds: float = 30) -> list[Spooled]:
    """Return all events of processes that are dead, once whatever was on its way is in the spools."""
    until = time.monotonic() + seconds
    while take_up_rings(directory) or ring_files(directory):
        assert time.monotonic() < until, f"still there: {ring_files(directory)}"
        time.sleep(0.02)
    return read_spools(directory)


def producers(events: list[Spooled]) -> dict[str, list[Spooled]]:
    """Return the events by producer."""
    found: dict[str, list[Spooled]] = {}
    for event in events:
        found.setdefault(event.producer_id, []).append(event)
    return found


def start_script(
    script: str, spool: Path, environment: Mapping[str, str], *, stdin: bool = False
) -> subprocess.Popen[str]:
    """Start a Python script that imports trailhouse and spools to `spool`; with `stdin` it can be written to."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=clean_environment(spool, environment),
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_script(
    script: str, spool: Path, environment: Mapping[str, str], *, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a Python script to its end; its exit code is for the caller to judge."""
    process = start_script(script, spool, environment)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def clean_environment(spool: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of this process without settings and launchers, and with what is given."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return clean | {"TRAILHOUSE_SPOOL": str(spool), "TRAILHOUSE_HOME": str(spool.parent / "home")} | dict(given)


def trailhouse(spool: Path, *arguments: str) -> str:
    """Run the command on a warehouse of its own beside the spools, where they land; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "trailhouse_cli", *arguments],
        env=clean_environment(spool, {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def command(spool: Path, *arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run the command `trailhouse` with these arguments on the spools in `spool`; the exit code is for the caller."""
    return subprocess.run(
        [Path(sys.executable).with_name("trailhouse"), *map(str, arguments)],
        env=clean_environment(spool, {"TRAILHOUSE_CONFIG": os.devnull}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


def accounted(spool: Path, warehouse: object = "", *, kafka: str = "") -> dict[str, Any]:
    """Collect what is there and return the report of `trailhouse verify`, after it was held against its exit code.

    Without a warehouse there is one beside the spools; with Kafka it is collected from there.
    """
    where = ["--warehouse", warehouse] if warehouse else []
    source = ["--kafka", kafka, "--group", uuid.uuid4().hex] if kafka else []
    collected = command(spool, "collect", "--until-idle", *where, *source)
    assert collected.returncode == 0, collected.stderr
    done = command(spool, "verify", "--format", "json", *where)
    assert done.returncode in {0, 1}, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    unsound = [row for row in report["sections"]["producers"] if row["lost"] or row["doubled"]]
    assert bool(unsound) == bool(done.returncode)
    return report
