"""The demo is the first thing that anybody runs: it works, twice, and what it says is true."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def demo(directory: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `trailhouse demo` as a user would."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRAILHOUSE_")}
    return subprocess.run(
        [sys.executable, "-m", "trailhouse_cli", "demo", "--directory", str(directory), *arguments],
        capture_output=True,
        text=True,
        env=kept | environment,
        check=False,
        timeout=280,
    )


@pytest.mark.long
def test_the_demo_trains_collects_and_accounts_for_every_event(tmp_path: Path) -> None:
    """Its reports find what was put there to be found: the drift, the denied, the revoked, the costs."""
    directory = tmp_path / "demo"
    directory.mkdir()
    (directory / ".trailhouse-demo").touch()
    (directory / "of-an-earlier-demo").touch()
    told = demo(directory)
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stderr == ""
    for said in (
        "bob asks to read demo/diabetes: denied",
        "0 dead letters, 0 resent ones left out",
        "6 runs",
        "verdict: comparable",
        "verdict: drift",
        "0 lost, 0 doubled",
        "verdict: complete",
    ):
        assert said in told.stdout
    assert told.stdout.count("4 of 4") == 6
    assert "unpriced" not in told.stdout
    assert not (directory / "of-an-earlier-demo").exists()
    assert "plotly" in (directory / "rmse-against-eta.html").read_text()


def test_the_demo_deletes_nothing_that_it_did_not_make(tmp_path: Path) -> None:
    """A directory of somebody's is refused, in one line."""
    (tmp_path / "thesis.txt").touch()
    refused = demo(tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "choose another with --directory" in refused.stderr
    assert (tmp_path / "thesis.txt").exists()


def test_the_demo_says_and_deletes_nothing_before_the_servers_it_was_told_of_answer(tmp_path: Path) -> None:
    """One line, exit code 2, and what an earlier demo left is still there."""
    (tmp_path / ".trailhouse-demo").touch()
    refused = demo(tmp_path, "--kafka", TRAILHOUSE_KAFKA="127.0.0.1:1")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert "Kafka at 127.0.0.1:1 does not answer" in refused.stderr
    assert (tmp_path / ".trailhouse-demo").exists()
