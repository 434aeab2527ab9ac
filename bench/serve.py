"""Selects a table in the process and over HTTP from `trailhouse warehouse serve`: rows a second, and how much memory.

    python bench/serve.py [--rows N] [--repeat N]

Each client is a process of its own that reads Arrow batches through clickhouse-connect, the same call both ways, and
counts their rows; both take turns. The peak of memory is of the resident set, of a process that has done nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trailhouse_cli.servers.clickhouse import answers
from trailhouse_cli.servers.process import HOST, OwnedProcess, free_port, new_directory
from trailhouse_schemas.warehouse import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

_TABLE: Final = """
CREATE TABLE points (n UInt64, at DateTime64(6, 'UTC'), name LowCardinality(String), value Float64)
ENGINE = MergeTree ORDER BY n
"""
_FILL: Final = """
INSERT INTO points
SELECT number, toDateTime64(1700000000 + number / 100, 6, 'UTC'), concat('metric ', toString(number % 50)), sin(number)
FROM numbers({rows:UInt64})
"""
_MIB: Final = 1024 * 1024


def peak_bytes(process: int) -> int:
    """Return the largest resident set that a process of this machine has had so far."""
    for line in Path(f"/proc/{process}/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel does not say it")


def fill(url: str, rows: int) -> None:
    """Make the table."""
    client = connect(url, create=True)
    client.command(_TABLE)
    client.command(_FILL, parameters={"rows": rows})
    client.command("OPTIMIZE TABLE points FINAL")
    client.close()


def select(url: str) -> None:
    """Read the table once as a stream; print what came and how long it took."""
    client = connect(url)
    client.query_arrow("SELECT * FROM points LIMIT 10")  # what is imported and connected once is not measured
    before = peak_bytes(os.getpid())
    began = time.perf_counter()
    rows = size = 0
    with client.query_arrow_stream("SELECT * FROM points") as batches:
        for batch in batches:
            rows += batch.num_rows
            size += batch.nbytes
    seconds = time.perf_counter() - began
    peak = peak_bytes(os.getpid())
    print(json.dumps({"rows": rows, "bytes": size, "seconds": seconds, "peak": peak, "grown": peak - before}))


def child(*arguments: str) -> dict[str, Any]:
    """Run this script's other part in a process of its own; return the JSON object of its last line."""
    done = subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
    return found


def serving(directory: Path) -> OwnedProcess:
    """Return a process that serves that warehouse."""
    port = free_port()
    return OwnedProcess(
        "warehouse",
        [
            *(sys.executable, "-m", "trailhouse_cli", "warehouse", "serve"),
            *("--warehouse", f"chdb://{directory}", "--port", str(port)),
        ],
        directory=new_directory("serving"),
        is_ready=lambda: answers(HOST, port, timeout_seconds=1),
    )


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Selects in the process and over HTTP.")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeat", type=int, default=3, help="times that each is measured")
    parser.add_argument("--fill", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--select", metavar="URL", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.fill:
        fill(chosen.fill, chosen.rows)
        return
    if chosen.select:
        select(chosen.select)
        return
    with tempfile.TemporaryDirectory() as home:
        directory = Path(home, "warehouse")
        child("--fill", f"chdb://{directory}", "--rows", str(chosen.rows))
        taken: dict[str, list[float]] = {}
        for turn in range(1, chosen.repeat + 1):
            print(f"turn {turn} of {chosen.repeat}", file=sys.stderr, flush=True)
            inside = child("--select", f"chdb://{directory}")
            server = serving(directory)
            try:
                server.start()
                idle = peak_bytes(server.pid)
                outside = child("--select", f"chdb://{directory}")
                grown = peak_bytes(server.pid) - idle
                peak = peak_bytes(server.pid)
            finally:
                server.close()
            if not inside["rows"] == outside["rows"] == chosen.rows:
                raise SystemExit(f"{chosen.rows:,} rows were to come, {inside['rows']:,} and {outside['rows']:,} came")
            figures = {
                "select_inside_rows_per_s": inside["rows"] / inside["seconds"],
                "select_http_rows_per_s": outside["rows"] / outside["seconds"],
                "select_http_to_inside": inside["seconds"] / outside["seconds"],
                "select_inside_peak_mib": inside["peak"] / _MIB,
                "select_http_answer_mib": outside["bytes"] / _MIB,
                "select_http_server_peak_mib": peak / _MIB,
                "select_http_server_grown_mib": grown / _MIB,
                "select_http_client_grown_mib": outside["grown"] / _MIB,
            }
            for name, value in figures.items():
                taken.setdefault(name, []).append(value)
                print(f"  {name}: {value:,.2f}", file=sys.stderr, flush=True)
    print(json.dumps({name: round(statistics.median(values), 3) for name, values in taken.items()}))


if __name__ == "__main__":
    main(sys.argv[1:])
