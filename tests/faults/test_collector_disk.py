"""A warehouse whose disk is full: Kafka keeps what comes, and all of it is landed once there is room again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from collected import new_producer_id

if TYPE_CHECKING:
    from servers.topics import Topics
    from trailhouse_cli.servers.kafka import KafkaServer

_TESTS = Path(__file__).parents[1]

#: Runs where the file system of the warehouse is; prints what became of it.
_WATCH = """
    import json, os, sys
    from pathlib import Path
    from collected import metrics, publish
    from trailhouse_cli.servers.waiting import wait_until
    from watched import watched

    disk, servers, producer_id = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    settings = {"home": disk.parent / "home", "kafka": servers, "warehouse": f"chdb://{disk}/warehouse",
                "config": "/dev/null", "collect_group": f"disk-{producer_id}", "collect_flush_seconds": 0.1,
                "collect_backoff_seconds": 0.2}

    def send(first, last):
        text = os.urandom(20_000).hex()
        publish(servers, "metrics_logged", [(producer_id, i, metrics(producer_id, i, points=1, segment={"text": text}))
                                            for i in range(first, last)])

    def fill():
        with open(disk / "junk", "wb", buffering=0) as junk:
            for size in (65536, 512):
                try:
                    while True: junk.write(bytes(size))
                except OSError: pass

    with watched(settings) as collector:
        send(0, 50)
        assert wait_until(lambda: collector.checks()[0] == 200, seconds=60), collector.checks()
        collector.until("trailhouse_messages_total", 50, topic="trailhouse.metrics_logged")
        fill()
        send(50, 100)
        assert wait_until(lambda: collector.checks()[0] == 503, seconds=60), collector.checks()
        full = collector.checks()[1]
        (disk / "junk").unlink()
        assert wait_until(lambda: collector.checks()[0] == 200, seconds=60), collector.checks()
        collector.until("trailhouse_messages_total", 100, topic="trailhouse.metrics_logged")
        collector.process.terminate()
        ended = collector.process.wait(60)
    from trailhouse_schemas.warehouse import connect
    client = connect(settings["warehouse"])
    rows = [row[0] for row in client.query("SELECT sequence FROM metrics_logged ORDER BY 1").result_rows]
    print(json.dumps({"full": full, "ended": ended, "rows": rows}))
"""


@pytest.mark.kafka
def test_a_full_disk_of_the_warehouse_is_waited_for(kafka: KafkaServer, topics: Topics, tmp_path: Path) -> None:
    """The collector says what it waits for, and goes on by itself."""
    topics.create_catalogue(["metrics_logged"])
    disk = tmp_path / "disk"
    disk.mkdir()
    alone = ["unshare", "--map-root-user", "--mount"]
    try:
        tried = subprocess.run([*alone, "mount", "-t", "tmpfs", "tmpfs", disk], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare here to make a small file system with")
    if tried.returncode:
        pytest.skip(f"no file system can be made here: {tried.stderr.decode().strip()}")
    inside = 'mount -t tmpfs -o size=64m tmpfs "$1" && exec "$2" -c "$3" "$1" "$4" "$5"'
    given = [disk, sys.executable, textwrap.dedent(_WATCH), kafka.bootstrap_servers, new_producer_id()]
    done = subprocess.run(
        [*alone, "sh", "-c", inside, "sh", *map(str, given)],
        env={name: value for name, value in os.environ.items() if not name.startswith("TRAILHOUSE_")}
        | {"PYTHONPATH": str(_TESTS)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["rows"] == list(range(100))
    assert said["ended"] == 0
    assert "space" in said["full"]["warehouse"]
