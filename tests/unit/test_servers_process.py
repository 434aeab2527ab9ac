"""Promises of the process that keeps a server: it starts, stops, and is gone with whoever asked for it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from trailhouse_cli.errors import ServerStartError
from trailhouse_cli.servers.keeper import Keeper
from trailhouse_cli.servers.process import OwnedProcess, free_port, new_directory
from trailhouse_cli.servers.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: A server that says that it is up by making a file, and then does nothing.
_SERVER = [sys.executable, "-c", "import pathlib, time; pathlib.Path('up').touch(); time.sleep(1000)"]

#: A process that owns such a server, says where, and then does nothing.
_OWNER = f"""
import sys, time
from trailhouse_cli.servers.process import OwnedProcess, new_directory
directory = new_directory("test")
server = OwnedProcess("test", {_SERVER!r}, directory=directory, is_ready=(directory / "up").exists)
server.start()
print(server.pid, directory, flush=True)
time.sleep(1000)
"""


@pytest.fixture
def server() -> Iterator[OwnedProcess]:
    """A server that is not started."""
    directory = new_directory("test")
    owned = OwnedProcess("test", _SERVER, directory=directory, is_ready=(directory / "up").exists)
    yield owned
    owned.close()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_server_outlives_its_owner_whichever_way_this_one_ends(end: signal.Signals) -> None:
    """A killed owner leaves no process and no directory behind."""
    with subprocess.Popen([sys.executable, "-c", _OWNER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as owner:
        assert owner.stdout is not None
        pid, directory = owner.stdout.readline().split()
        assert psutil.pid_exists(int(pid))
        owner.send_signal(end)
        owner.wait(10)
        assert wait_until(lambda: not psutil.pid_exists(int(pid)), seconds=10)
        assert wait_until(lambda: not os.path.exists(directory), seconds=10)  # noqa: PTH110 - bytes


def test_no_server_outlives_its_keeper(server: OwnedProcess) -> None:
    """Where the keeper itself is killed the kernel kills the server."""
    if sys.platform != "linux":
        pytest.skip("only Linux tells a process that its parent died")
    server.start()
    server._keeper.kill()
    assert wait_until(lambda: not psutil.pid_exists(server.pid), seconds=10)
    with pytest.raises(ServerStartError, match="keeper is gone"):
        server.start()


def test_a_stopped_server_starts_again_with_its_data(server: OwnedProcess) -> None:
    """Stopping and killing leave the directory as it is."""
    server.start()
    first = server.pid
    assert server.running
    server.stop()
    assert not server.running
    assert server.log.parent.is_dir()
    server.start()
    assert server.pid != first
    server.kill()
    assert not server.running
    assert not psutil.pid_exists(server.pid)


def test_starting_a_server_that_runs_changes_nothing(server: OwnedProcess) -> None:
    """Starting twice is starting once."""
    server.start()
    first = server.pid
    server.start()
    assert server.pid == first


def test_closing_removes_the_process_and_the_directory(server: OwnedProcess) -> None:
    """After `close` nothing is left, and closing again does nothing."""
    server.start()
    server.close()
    assert not psutil.pid_exists(server.pid)
    assert not server.log.parent.exists()
    server.close()


def test_a_server_that_ends_at_once_says_what_it_said(tmp_path: Path) -> None:
    """The error has the exit code and the last lines of the log."""
    directory = new_directory("test")
    command = [sys.executable, "-c", "import sys; sys.exit('port is taken')"]
    server = OwnedProcess("test", command, directory=directory, is_ready=lambda: False)
    with pytest.raises(ServerStartError, match=r"test server did not start: it ended with code 1.*port is taken"):
        server.start()
    server.close()


def test_a_server_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    """Stopping has a bound."""
    code = (
        "import pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path('up').touch()\n"
        "time.sleep(1000)"
    )
    keeper = Keeper([sys.executable, "-c", code], directory=tmp_path, log=tmp_path / "log", environment={})
    pid = keeper.start()["pid"]
    assert wait_until((tmp_path / "up").exists, seconds=10)
    started = time.monotonic()
    assert keeper.stop(0.2) == {"running": False, "code": -signal.SIGKILL}
    assert time.monotonic() - started < 5
    assert not psutil.pid_exists(pid)


def test_a_killed_server_takes_its_children_along(tmp_path: Path) -> None:
    """The whole process group is killed."""
    code = (
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])\n"
        "pathlib.Path('child.tmp').write_text(str(child.pid))\n"
        "pathlib.Path('child.tmp').rename('child')\n"
        "time.sleep(1000)"
    )
    keeper = Keeper([sys.executable, "-c", code], directory=tmp_path, log=tmp_path / "log", environment={})
    keeper.start()
    assert wait_until((tmp_path / "child").exists, seconds=10)
    child = psutil.Process(json.loads((tmp_path / "child").read_text()))
    keeper.kill()
    assert wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, seconds=10)


def test_ports_are_below_those_of_outgoing_connections() -> None:
    """A stopped server finds its port free again, whatever the clients on the machine do."""
    assert all(18_000 <= free_port() < 32_000 for _ in range(50))


def test_a_preferred_port_is_taken_only_when_it_is_free() -> None:
    """A port that somebody listens on is not given out."""
    preferred = free_port()
    assert free_port(preferred) == preferred
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", preferred))
        taken.listen()
        assert free_port(preferred) != preferred
