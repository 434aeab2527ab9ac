"""The examples are what people copy: each runs to its end as it stands, and what it logs is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from producing import read_spools

_EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("script", _EXAMPLES, ids=[script.stem for script in _EXAMPLES])
def test_an_example_runs_to_its_end_and_leaves_its_events(script: Path, tmp_path: Path) -> None:
    """Without a server, a warning or a settings file."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRAILHOUSE_")}
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=kept | {"TRAILHOUSE_HOME": str(tmp_path), "HOME": str(tmp_path)},
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    events = read_spools(tmp_path / "spool")
    assert {"run_started", "metrics_logged", "run_finished"} <= {event.event_type for event in events}
