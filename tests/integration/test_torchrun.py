"""The README's three lines in a real DistributedDataParallel job of four ranks, over Gloo, started by torchrun.

PyTorch is 5 GB on disk, with libraries of CUDA that it does not load without, so it has an environment of its own.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from producing import clean_environment, read_spools, trailhouse

if TYPE_CHECKING:
    from producing import Spooled

pytestmark = pytest.mark.long

_ROOT: Final = Path(__file__).parents[2]
_TRAINING: Final = _ROOT / "tests" / "programs" / "ddp.py"


@pytest.fixture(scope="session")
def torch_python() -> str:
    """The Python that has PyTorch."""
    own = _ROOT / ".venv-torch" / "bin" / "python"
    if importlib.util.find_spec("torch"):
        return sys.executable
    if not own.exists():
        pytest.skip("PyTorch is not installed; 'make torch' installs it (5 GB) into .venv-torch")
    return str(own)


def torchrun(python: str, spool: Path, *options: str, training: tuple[str, ...] = ()) -> None:
    """Train with four ranks to the end."""
    quick = {"OMP_NUM_THREADS": "1", "TRAILHOUSE_SAMPLE_INTERVAL_SECONDS": "0"}
    # Gloo of 2.15 finds the addresses of the attempt before in a store that torchrun shares with its workers.
    own_store = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    done = subprocess.run(
        [python, "-m", "torch.distributed.run", "--nproc-per-node", "4", *options, str(_TRAINING), *training],
        env=clean_environment(spool, quick | own_store),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("has trained") == 4


def points(events: list[Spooled], **which: Any) -> list[tuple[int, int]]:
    """(rank, step) of each point of those events whose fields are these, sorted."""
    return sorted(
        (e.fields["rank"], point["step"])
        for e in events
        if e.event_type == "metrics_logged" and which.items() <= e.fields.items()
        for point in e.fields["points"]
    )


def test_four_ranks_of_torchrun_are_one_run_and_all_of_it_lands(torch_python: str, tmp_path: Path) -> None:
    """One start, one end, a curve a rank."""
    torchrun(torch_python, tmp_path / "spool", "--standalone")
    spooled = read_spools(tmp_path / "spool")
    assert points(spooled) == [(rank, step) for rank in range(4) for step in range(100)]
    of_rank = {e.fields["rank"]: e.producer_id for e in spooled}
    trailhouse(tmp_path / "spool", "collect", "--until-idle")
    accounting = json.loads(trailhouse(tmp_path / "spool", "verify", "--format", "json"))
    assert accounting["verdict"] == "complete"
    assert [(p["rank"], p["lost"], p["doubled"]) for p in accounting["sections"]["producers"]] == [
        (rank, 0, 0) for rank in sorted(range(4), key=lambda rank: of_rank[rank])
    ]
    (run_id,) = {e.fields["run_id"] for e in spooled}
    shown = json.loads(trailhouse(tmp_path / "spool", "runs", "show", run_id, "--format", "json"))
    assert shown["status"] == "completed"


def test_a_worker_that_dies_raises_the_attempt_of_the_same_run(torch_python: str, tmp_path: Path) -> None:
    """All four are started anew; what the first attempt had logged stays."""
    torchrun(torch_python, tmp_path, "--standalone", "--max-restarts", "1", training=("2",))
    spooled = read_spools(tmp_path)
    assert len({e.fields["run_id"] for e in spooled}) == 1
    assert points(spooled, attempt=1) == [(rank, step) for rank in range(4) for step in range(100)]
    assert points(spooled, attempt=0, rank=2) == [(2, step) for step in range(51)]
    started = [e.fields["attempt"] for e in spooled if e.event_type == "run_started"]
    assert sorted(started) == [0, 1]


def test_two_jobs_on_one_address_and_port_are_two_runs(torch_python: str, tmp_path: Path) -> None:
    """Without an id of the rendezvous torchrun says the same of both; the process that it is does not."""
    for _ in range(2):
        torchrun(torch_python, tmp_path, "--master-addr", "127.0.0.1", "--master-port", "29517")
    runs = [e.fields["run_id"] for e in read_spools(tmp_path) if e.event_type == "run_started"]
    assert len(runs) == len(set(runs)) == 2
    assert {e.fields["run_id"] for e in read_spools(tmp_path)} == set(runs)
