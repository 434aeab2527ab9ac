"""In a notebook: the three lines of the README in a kernel, a cell that is run again, a kernel that is restarted."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from jupyter_client.manager import start_new_kernel

from producing import clean_environment, producers, settled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jupyter_client.blocking.client import BlockingKernelClient
    from jupyter_client.manager import KernelManager

    from producing import Spooled

_SECONDS = 60
#: What the README shows.
THREE_LINES = """
import trailhouse

with trailhouse.start_run(project="digits", name="baseline", params={"eta": 0.1}) as run:
    for step in range(100):
        run.log({"loss": 1 / (step + 1)}, step=step)
"""


@contextmanager
def notebook(spool: Path) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    """Start a kernel that spools to a directory; it is gone afterwards."""
    manager, client = start_new_kernel(
        startup_timeout=_SECONDS, env=clean_environment(spool, {"TRAILHOUSE_SAMPLE_INTERVAL_SECONDS": "0"})
    )
    try:
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run_cell(client: BlockingKernelClient, code: str) -> str:
    """Run a cell to its end; return what it printed."""
    printed: list[str] = []

    def show(message: dict[str, dict[str, str]]) -> None:
        printed.append(message["content"].get("text", ""))

    reply = client.execute_interactive(code, timeout=_SECONDS, output_hook=show)
    assert reply["content"]["status"] == "ok", reply["content"]
    return "".join(printed)


def points(events: list[Spooled]) -> list[tuple[str, int, float]]:
    """Return the name, step and value of all points."""
    return [
        (p["name"], p["step"], p["value"])
        for e in events
        if e.event_type == "metrics_logged"
        for p in e.fields["points"]
    ]


def test_the_three_lines_run_unchanged(tmp_path: Path) -> None:
    """A run of its own each time that the cell is run; the kernel goes on."""
    with notebook(tmp_path) as (_, client):
        assert run_cell(client, THREE_LINES) == ""
        assert run_cell(client, THREE_LINES) == ""
        assert run_cell(client, "print('lives')") == "lives\n"
    by_producer = producers(settled(tmp_path))
    assert len(by_producer) == 2
    for events in by_producer.values():
        assert points(events) == [("loss", step, 1 / (step + 1)) for step in range(100)]
        assert [e.fields["status"] for e in events if e.event_type == "run_finished"] == ["completed"]
        assert events[-1].fields["phase"] == "finished"
    assert len({events[1].fields["run_id"] for events in by_producer.values()}) == 2


def test_a_kernel_that_is_restarted_has_lost_nothing_and_begins_anew(tmp_path: Path) -> None:
    """A run that a cell left open goes on over cells; the restart ends it as a kill does."""
    with notebook(tmp_path) as (manager, client):
        run_cell(
            client, "import trailhouse\nrun = trailhouse.start_run(project='digits')\nrun.log({'loss': 1.0}, step=0)"
        )
        run_cell(client, "run.log({'loss': 0.5}, step=1)")
        manager.restart_kernel(now=True)
        client.wait_for_ready(timeout=_SECONDS)
        run_cell(client, THREE_LINES)
    torn, whole = producers(settled(tmp_path)).values()
    assert points(torn) == [("loss", 0, 1.0), ("loss", 1, 0.5)]
    assert (torn[-1].fields["phase"], torn[-1].fields["events_emitted"]) == ("found_dead", len(torn))
    assert len(points(whole)) == 100
    assert whole[-1].fields["phase"] == "finished"
