"""`trailhouse status`: of a collector that runs, of one that is not ready, and where none is."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from collected import metrics, new_producer_id, spooled
from trailhouse_cli.servers.waiting import wait_until
from watched import PATIENCE_SECONDS, Watched, watched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOPIC = "trailhouse.metrics_logged"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a spool of five events, the first of which cannot be landed."""
    producer_id = new_producer_id()
    values = [("metrics_logged", metrics(producer_id, i) if i else b"junk") for i in range(5)]
    spooled(tmp_path / "spool", values, producer_id)
    return tmp_path


@pytest.fixture
def running(home: Path) -> Iterator[Watched]:
    """A collector that has landed them."""
    with watched({"home": home, "collect_flush_seconds": 0.1}) as collector:
        collector.until("trailhouse_messages_total", 5, topic=TOPIC)
        collector.until("trailhouse_lag_messages", 0, topic=TOPIC, partition="spools")
        assert wait_until(lambda: collector.checks()[0] == 200, seconds=PATIENCE_SECONDS)
        yield collector


def status(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "trailhouse_cli", "status", *arguments],
        env=os.environ | {"TRAILHOUSE_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def test_it_shows_what_a_collector_does(running: Watched, home: Path) -> None:
    """To people what matters, in columns; to programs all of it."""
    shown = status(home, "--url", running.url)
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert re.fullmatch(rf"Collector \S+ at {running.url}, up .+ s", lines[0])
    assert lines[1:3] == ["state: ready", "not landed: nothing"]
    heads, row = lines[lines.index("Topics") + 1 :][:2]
    assert re.split("  +", heads.strip())[:2] == ["topic", "not landed"]
    assert heads.index("landed last") == row.index(re.split("  +", row.strip())[-1])
    assert re.search(rf"^{TOPIC} +no_header +1$", shown.stdout, re.MULTILINE)

    said = json.loads(status(home, "--url", running.url, "--format", "json").stdout)
    assert (said["ready"], said["collector"]) == (True, running.url)
    assert said["sections"]["checks"] == [{"what": what, "says": "ok"} for what in ("loop", "warehouse", "spool")]
    assert said["sections"]["partitions"] == [{"topic": TOPIC, "partition": "spools", "messages": 0, "seconds": 0.0}]
    (topic,) = said["sections"]["topics"]
    assert (topic["messages"], topic["rows"], topic["dead_letters"], topic["planned"]) == (5, 8, 1, topic["ranges"])
    assert said["sections"]["dead_letters"] == [{"topic": TOPIC, "reason": "no_header", "letters": 1}]


def test_it_goes_on_on_a_terminal_until_it_is_interrupted(running: Watched, home: Path) -> None:
    """What comes in between is seen; a collector that goes away is said to be."""
    parent, child = pty.openpty()
    watching = subprocess.Popen(
        [sys.executable, "-m", "trailhouse_cli", "status", "--watch", "--every", "0.2", "--url", running.url],
        env=os.environ | {"TRAILHOUSE_HOME": str(home), "TERM": "xterm", "COLUMNS": "150", "LINES": "40"},
        stdout=child,
        stderr=child,
    )
    os.close(child)
    seen = [""]

    def shows(pattern: str) -> bool:
        seen[0] += os.read(parent, 1 << 16).decode(errors="replace")
        return re.search(pattern, seen[0]) is not None

    assert wait_until(lambda: shows(r"not landed: .*nothing"), seconds=PATIENCE_SECONDS)
    producer_id = new_producer_id()
    spooled(home / "spool", [("heartbeat_sent", b"junk") for i in range(3)], producer_id)
    assert wait_until(lambda: shows(r"trailhouse\.heartbeat_sent +no_header +3"), seconds=PATIENCE_SECONDS)
    running.process.kill()
    assert wait_until(lambda: shows("No collector answers at"), seconds=PATIENCE_SECONDS)
    watching.send_signal(signal.SIGINT)
    assert watching.wait(PATIENCE_SECONDS) == 130
    os.close(parent)


def test_a_collector_that_is_not_ready_says_what_is_in_the_way(home: Path) -> None:
    """With the exit code of what is not as it should be."""
    nobody = "clickhouse://default@127.0.0.1:1/trailhouse"
    with watched({"home": home, "warehouse": nobody, "kafka": ""}) as collector:
        assert wait_until(lambda: bool(collector.value("trailhouse_waiting", what="warehouse")), seconds=30)
        shown = status(home, "--url", collector.url)
    assert shown.returncode == 1
    assert "state: not ready" in shown.stdout
    assert "waits for: warehouse" in shown.stdout
    assert "Connection refused" in " ".join(shown.stdout.split())
    assert re.search(r"^warehouse +waited for since \d+ s: Warehouse .+", shown.stdout, re.MULTILINE)


def test_without_a_collector_it_says_what_waits_and_what_was_landed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the spools and the warehouse; a collector that was named is not replaced by that."""
    monkeypatch.setenv("TRAILHOUSE_COLLECT_METRICS_PORT", "1")
    said = json.loads(status(home, "--format", "json").stdout)
    assert said["collector"] is None
    assert [(row["spools"], row["waiting"]) for row in said["sections"]["spools"]] == [(1, 5), (0, 0)]
    assert said["sections"]["spools"][0]["oldest_at"] < datetime.now(UTC).isoformat()
    program = [sys.executable, "-m", "trailhouse_cli", "collect", "--until-idle", "--metrics-port", "0"]
    subprocess.run(program, env=os.environ | {"TRAILHOUSE_HOME": str(home)}, check=True, timeout=PATIENCE_SECONDS)
    said = json.loads(status(home, "--format", "json").stdout)
    assert [(row["topic"], row["rows"]) for row in said["sections"]["landed"]] == [(TOPIC, 8)]
    assert said["sections"]["dead_letters"] == [{"topic": TOPIC, "reason": "no_header", "letters": 1}]
    assert said["sections"]["spools"][0]["directory"] == str(home / "spool")
    named = status(home, "--url", "http://127.0.0.1:1")
    assert (named.returncode, named.stdout) == (2, "")
    assert re.fullmatch(r"trailhouse: No collector answers at http://127.0.0.1:1 \(.+\); .+\n", named.stderr)


def test_where_there_is_nothing_at_all_that_is_an_error_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither collector nor warehouse nor spools."""
    monkeypatch.setenv("TRAILHOUSE_COLLECT_METRICS_PORT", "1")
    done = status(tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "No collector answers at http://127.0.0.1:1" in done.stderr
