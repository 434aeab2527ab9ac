"""The whole path on real servers: four ranks publish, the collector lands, and every event is there, once."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from trailhouse_cli.servers.waiting import wait_until
from trailhouse_schemas.spool import Spool, spool_files

if TYPE_CHECKING:
    from servers.topics import Topics
    from trailhouse_cli.servers.kafka import KafkaServer
    from trailhouse_cli.servers.registry import RegistryServer

_RANK: Final = Path(__file__).parents[1] / "programs" / "rank.py"
_WORLD_SIZE: Final = 4
_EVENTS: Final = 25_000
_CALLS: Final = 5_000


def environment(home: Path, **settings: str) -> dict[str, str]:
    """Return an environment in which Trailhouse's home is `home`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRAILHOUSE_")}
    return {**kept, "TRAILHOUSE_HOME": str(home), "TRAILHOUSE_SAMPLE_INTERVAL_SECONDS": "0", **settings}


def start_rank(env: dict[str, str], run_id: str, rank: int, events: int, calls: int) -> subprocess.Popen[str]:
    """Start one rank."""
    arguments = [run_id, str(rank), str(_WORLD_SIZE), str(events), str(calls)]
    return subprocess.Popen([sys.executable, str(_RANK), *arguments], env=env, stdout=subprocess.PIPE, text=True)


def trailhouse(env: dict[str, str], *arguments: str, expected: int = 0) -> str:
    """Run the command; return what it prints."""
    result = subprocess.run(
        [sys.executable, "-m", "trailhouse_cli", *arguments],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert result.returncode == expected, result.stdout + result.stderr
    return result.stdout


def query(env: dict[str, str], sql: str) -> list[tuple[Any, ...]]:
    """Ask the embedded warehouse, in a process of its own: the engine locks its directory."""
    code = (
        "import sys, json; from trailhouse_schemas.settings import Settings;"
        "from trailhouse_schemas.warehouse import connect;"
        "print(json.dumps(connect(Settings.read().warehouse_url).query(sys.argv[1]).result_rows, default=str))"
    )
    result = subprocess.run([sys.executable, "-c", code, sql], env=env, capture_output=True, text=True, check=True)
    return [tuple(row) for row in json.loads(result.stdout)]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def has_landed(port: int) -> bool:
    """Return whether the collector that serves its metrics on `port` has landed a range."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return False
    return any(float(value) > 0 for value in re.findall(r"^trailhouse_ranges_total\{.*\} (\S+)$", text, re.MULTILINE))


@pytest.mark.long
@pytest.mark.kafka
@pytest.mark.registry
def test_four_ranks_publish_100_000_events_and_each_is_landed_once(
    kafka: KafkaServer, registry: RegistryServer, topics: Topics, tmp_path: Path
) -> None:
    """Held against the numbers that the ranks kept themselves, with a collector that is ended in the middle."""
    topics.create_catalogue()
    env = environment(tmp_path, TRAILHOUSE_KAFKA=kafka.bootstrap_servers, TRAILHOUSE_REGISTRY=registry.url)
    env["TRAILHOUSE_COLLECT_GROUP"] = f"group-{uuid.uuid4()}"
    trailhouse(env, "schemas", "register")
    run_id = str(uuid.uuid4())
    ranks = [start_rank(env, run_id, rank, _EVENTS, _CALLS) for rank in range(_WORLD_SIZE)]
    port = free_port()
    flags = ["--metrics-port", str(port)]
    collector = subprocess.Popen([sys.executable, "-m", "trailhouse_cli", "collect", *flags], env=env)
    kept = [json.loads(rank.communicate(timeout=200)[0].splitlines()[-1]) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0] * _WORLD_SIZE
    assert wait_until(lambda: has_landed(port), seconds=60)
    collector.send_signal(signal.SIGTERM)
    assert collector.wait(60) == 0
    trailhouse(env, "forward", "--until-empty")
    trailhouse(env, "collect", "--until-idle")

    landed = {
        producer: (events, distinct)
        for producer, events, distinct in query(
            env, "SELECT producer_id, count(), uniqExact(sequence) FROM steps_timed GROUP BY producer_id"
        )
    }
    assert landed == {one["producer_id"]: (one["events"], one["events"]) for one in kept}
    points = {
        producer: (count, total)
        for producer, count, total in query(
            env,
            "SELECT producer_id, count(), sumIf(value, name = 'number') FROM metrics_logged GROUP BY producer_id",
        )
    }
    assert points == {one["producer_id"]: (one["points"], one["sum_of_numbers"]) for one in kept}
    assert query(env, "SELECT count() FROM dead_letters") == [(0,)]
    verdict = json.loads(trailhouse(env, "verify", "--format", "json"))
    assert verdict["verdict"] == "complete"
    assert spool_files(tmp_path / "spool") == []


def test_a_killed_rank_loses_nothing_and_is_not_shown_as_running(tmp_path: Path) -> None:
    """Embedded: what was in its ring is landed, too, and how much that was is known."""
    env = environment(tmp_path, TRAILHOUSE_HEARTBEAT_INTERVAL_SECONDS="0.5")
    run_id = str(uuid.uuid4())
    rank = start_rank(env, run_id, 0, 10_000_000, 10_000_000)
    assert rank.stdout is not None
    producer_id = rank.stdout.readline().split()[1]
    path = tmp_path / "spool" / f"{producer_id}.spool"

    def spooled() -> int:
        if not path.exists():
            return 0
        with Spool.open(path) as spool:
            return spool.backlog()

    assert wait_until(lambda: spooled() > 10_000, seconds=60)
    rank.send_signal(signal.SIGKILL)
    rank.wait(10)
    trailhouse(env, "collect", "--until-idle")
    (loss,) = json.loads(trailhouse(env, "verify", "--format", "json"))["sections"]["producers"]
    assert (loss["lost"], loss["doubled"], loss["waiting"]) == (0, 0, 0)
    assert loss["landed"] + loss["dropped"] == loss["emitted"] > 10_000
    assert (loss["end"], loss["verdict"]) == ("found dead", "complete")
    code = (
        "from datetime import *; from trailhouse_schemas.settings import Settings;"
        "from trailhouse_schemas.warehouse import connect; from trailhouse_analytics.runs import list_runs;"
        "now = datetime.now(UTC) + timedelta(minutes=1);"
        "print(list_runs(connect(Settings.read().warehouse_url), now=now).to_arrow()['status'].to_pylist())"
    )
    result = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['lost contact']"
