"""The process that has started the ranks of a node, found among real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from trailhouse.ancestry import find_launcher

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the launcher is found in Linux's /proc")

_LOOK = "from trailhouse.ancestry import find_launcher; print(find_launcher('A_RANK'))"
#: Starts two ranks: one at once, and one by a shell that waits for it.
_LAUNCHER = f"""
import os, subprocess, sys
ranks = [[sys.executable, "-c", {_LOOK!r}], ["sh", "-c", '"$0" -c "$1"; true', sys.executable, {_LOOK!r}]]
for number, rank in enumerate(ranks):
    subprocess.run(rank, env=os.environ | {{"A_RANK": str(number)}}, check=True)
"""


def launched() -> list[str]:
    """What two ranks of a new launcher call it."""
    done = subprocess.run([sys.executable, "-c", _LAUNCHER], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


def test_all_ranks_of_a_launcher_find_it_through_whatever_wraps_them() -> None:
    """A shell between launcher and rank was given the variable, too."""
    first, second = launched(), launched()
    assert len(first) == 2
    assert len(set(first)) == len(set(second)) == 1
    assert first[0] != second[0]


def test_a_launcher_is_named_by_more_than_its_process_id() -> None:
    """Process ids come back, and containers on one machine number their processes alike."""
    boot, namespace, process_id, began = find_launcher("A_VARIABLE_THAT_NOBODY_HAS").split("|")
    assert (len(boot), namespace.startswith("pid:["), process_id) == (36, True, str(os.getppid()))
    parent = psutil.Process(os.getppid())
    assert int(began) / os.sysconf("SC_CLK_TCK") == pytest.approx(parent.create_time() - psutil.boot_time(), abs=1)


def test_where_there_is_no_such_process_it_is_not_known() -> None:
    """A process that is not there, or of which nothing can be read."""
    assert find_launcher("A_RANK", process_id=1) == ""
    assert find_launcher("A_RANK", process_id=1 << 30) == ""
