"""What docs/operations.md tells an operator to do is done, as it stands."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from collected import new_producer_id
from producing import clean_environment
from trailhouse_cli.servers.process import free_port

if TYPE_CHECKING:
    from servers.topics import Topics
    from trailhouse_cli.servers.kafka import KafkaServer

_DOC = Path(__file__).parents[2] / "docs" / "operations.md"
_BLOCKS = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.kafka
@pytest.mark.long
def test_every_command_of_the_operations_is_run_as_it_stands(
    kafka: KafkaServer, topics: Topics, tmp_path: Path
) -> None:
    """In one shell, which ends at the first that fails; only addresses and places are this machine's."""
    topics.delete(list(topics.create_catalogue()))
    places = {
        "broker:9092": kafka.bootstrap_servers,
        "/var/lib/trailhouse": str(tmp_path / "home"),
        "/var/backups": str(tmp_path / "backups"),
        "9464": str(free_port()),
        "9465": str(free_port()),
    }
    blocks = _BLOCKS.findall(_DOC.read_text("utf-8"))
    assert len(blocks) == 10
    # What the dead letters are of: before that part, somebody publishes what is no event.
    bad = f"{sys.executable} {tmp_path / 'bad.py'}"
    (tmp_path / "bad.py").write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from collected import publish\n"
        f"publish({kafka.bootstrap_servers!r}, 'metrics_logged', [({new_producer_id()!r}, 0, b'hello')])\n"
    )
    waits = "until trailhouse dead-letters list | grep -q no_header; do sleep 0.5; done"
    script = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n"
    for block in blocks:
        if "dead-letters list" in block:
            script += f"{bad}\n{waits}\n"
        script += "set -v\n" + block + "{ set +v; } 2>/dev/null\n"
    for written, here in places.items():
        script = script.replace(written, here)
    environment = clean_environment(tmp_path / "spool", {"TRAILHOUSE_CONFIG": os.devnull})
    del environment["TRAILHOUSE_HOME"], environment["TRAILHOUSE_SPOOL"]
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    said = tmp_path / "said.txt"
    with said.open("wb") as out:
        process = subprocess.Popen(
            ["bash", "-c", script],
            env=environment,
            cwd=tmp_path,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(280)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    text = said.read_text()
    assert code == 0, text[-5000:]
    assert "partitions set back" in text
