"""`trailhouse run` and `trailhouse emit`: recorded without a line of the program changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from producing import clean_environment, read_spools

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

RUN_ID = "01930000-0000-7000-8000-00000000cafe"
CLI = (sys.executable, "-m", "trailhouse_cli")


def start(spool: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start a command of the command line."""
    return subprocess.Popen(
        [*CLI, *arguments],
        env=clean_environment(spool, environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str], given: str | None = None) -> tuple[int, str, str]:
    """Wait for its end; return the exit code and what it wrote."""
    try:
        out, err = process.communicate(given, timeout=60)
    finally:
        process.kill()
    return process.returncode, out, err


def python(script: str) -> Iterable[str]:
    """Return the command that runs a script with this Python."""
    return (sys.executable, "-c", textwrap.dedent(script))


def events(spool: Path, event_type: str) -> list[dict[str, Any]]:
    """Return the fields of the events of one type."""
    return [event.fields for event in read_spools(spool) if event.event_type == event_type]


def the_end(spool: Path) -> tuple[str, int, str, str]:
    """Return how the run is said to have ended."""
    (found,) = events(spool, "run_finished")
    assert found["reported_by"] == "launcher"
    return found["status"], found["exit_code"], found["error_type"], found["error_message"]


def test_a_command_is_a_run_from_its_start_to_its_exit_code(tmp_path: Path) -> None:
    """What it writes and ends with is its own; the run tells of it, not of what stands before it."""
    options = ("--project", "churn", "--name", "first", "--group", "sweep", "--param", "depth=6", "--param", "opt=adam")
    command = (*python("import sys; print(sys.stdin.read()); sys.exit(3)"), "--password=hunter2")
    code, out, err = ended(start(tmp_path / "spool", "run", *options, "--", *command), "given")
    assert (code, out, err) == (3, "given\n", "")
    (started,) = events(tmp_path / "spool", "run_started")
    assert (started["project"], started["name"], started["group"]) == ("churn", "first", "sweep")
    assert started["command"] == [*command[:-1], "--password=***"]
    assert started["entry_point"] == sys.executable
    assert "pytest" in started["packages"]
    (logged,) = events(tmp_path / "spool", "parameters_logged")
    assert logged["parameters"] == {"depth": "6", "opt": '"adam"'}
    assert {event["resource"] for event in events(tmp_path / "spool", "resources_sampled")} >= {"cpu", "memory"}
    error = f"Command '{sys.executable}' returned non-zero exit status 3."
    assert the_end(tmp_path / "spool") == ("failed", 3, "subprocess.CalledProcessError", error)


def test_a_program_that_is_no_python_is_not_said_to_have_our_packages(tmp_path: Path) -> None:
    """Nor our version."""
    assert ended(start(tmp_path / "spool", "run", "--", "true"))[0] == 0
    (started,) = events(tmp_path / "spool", "run_started")
    assert (started["entry_point"], started["packages"], started["python_version"]) == ("true", {}, "")
    assert the_end(tmp_path / "spool") == ("completed", 0, "", "")


def test_what_the_command_logs_by_itself_is_of_the_same_run(tmp_path: Path) -> None:
    """It finds the run in its environment, and so does what it starts."""
    script = """
        import trailhouse
        with trailhouse.start_run() as run:
            run.log({"loss": 0.5}, step=1)
        print(run.run_id)
    """
    code, out, _ = ended(start(tmp_path / "spool", "run", "--project", "churn", "--", *python(script)))
    assert code == 0
    (metrics,) = events(tmp_path / "spool", "metrics_logged")
    assert (metrics["run_id"], metrics["project"]) == (out.strip(), "churn")
    assert {event["run_id"] for event in events(tmp_path / "spool", "run_started")} == {out.strip()}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP])
def test_signals_are_passed_on_and_the_command_decides_what_they_mean(tmp_path: Path, number: signal.Signals) -> None:
    """It may clean up, and end as it likes; the wrapper waits for it."""
    script = f"""
        import signal, sys
        signal.signal({int(number)}, lambda *_: (print("cleaned up"), sys.exit(7)))
        print("ready", flush=True)
        while True:
            signal.pause()
    """
    process = start(tmp_path / "spool", "run", "--", *python(script))
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    code, out, err = ended(process)
    assert (code, out, err) == (7, "cleaned up\n", "")
    assert the_end(tmp_path / "spool")[:2] == ("failed" if number is signal.SIGUSR1 else "cancelled", 7)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, "failed"), (signal.SIGTERM, "cancelled")])
def test_a_command_that_a_signal_ends_is_said_as_a_shell_would(
    tmp_path: Path, number: signal.Signals, status: str
) -> None:
    """By 128 and the signal's number."""
    code, _, _ = ended(start(tmp_path / "spool", "run", "--", "sh", "-c", f"kill -{int(number)} $$"))
    assert code == 128 + number
    found, exit_code, _, message = the_end(tmp_path / "spool")
    assert (found, exit_code) == (status, code)
    assert number.name in message


def test_a_command_that_is_not_there_or_cannot_be_started(tmp_path: Path) -> None:
    """The codes of a shell, one line, and no run where nothing was started."""
    code, out, err = ended(start(tmp_path / "spool", "run", "--", "no-such-command"))
    assert (code, out) == (127, "")
    assert err == "trailhouse: Command 'no-such-command' is not found; give a path, or one that is on PATH\n"
    assert not (tmp_path / "spool").exists()
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(0o755)
    code, _, err = ended(start(tmp_path / "spool", "run", "--", str(broken)))
    assert (code, err) == (126, f"trailhouse: Command {broken} cannot be started: No such file or directory\n")
    assert the_end(tmp_path / "spool")[:2] == ("failed", 126)


def test_a_spool_that_cannot_be_written_is_in_nobodys_way(tmp_path: Path) -> None:
    """A warning, and the command runs as ever."""
    (tmp_path / "file").touch()
    environment = {"TRAILHOUSE_FINISH_TIMEOUT_SECONDS": "0.5"}
    process = start(tmp_path / "file" / "spool", "run", "--", "sh", "-c", "echo fine; exit 5", **environment)
    code, out, err = ended(process)
    assert (code, out) == (5, "fine\n")
    assert "cannot be written" in err


def test_each_process_of_a_launcher_is_a_rank(tmp_path: Path) -> None:
    """Of one run, with nothing said."""
    job = {"WORLD_SIZE": "2", "MASTER_ADDR": "node", "MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "job"}
    processes = [start(tmp_path / "spool", "run", "--", "true", **job, RANK=str(rank)) for rank in range(2)]
    assert [ended(process)[0] for process in processes] == [0, 0]
    found = {(e["run_id"], e["rank"], e["world_size"]) for e in events(tmp_path / "spool", "heartbeat_sent")}
    assert len(found) == 2
    assert len({run_id for run_id, _, _ in found}) == 1


def test_lines_of_json_are_events_and_what_is_none_is_told(tmp_path: Path) -> None:
    """Each line on its own: one that is wrong holds up no other."""
    lines = [
        '{"points": [{"name": "loss", "step": 1, "value": 0.5}]}',
        "",
        "no json",
        "[1]",
        '{"points": [{"name": "loss", "step": 2, "value": 0.4}], "rank": 3, "occurred_at": "2026-01-02T03:04:05Z"}',
        '{"pionts": []}',
    ]
    options = ("metrics_logged", "--project", "churn", "--run-id", RUN_ID)
    code, out, err = ended(start(tmp_path / "spool", "emit", *options), "\n".join(lines))
    assert (code, out) == (2, "2 events recorded, 3 lines refused\n")
    assert [line.partition(": ")[2].partition(":")[0] for line in err.splitlines()] == ["line 3", "line 4", "line 6"]
    first, second = events(tmp_path / "spool", "metrics_logged")
    assert {(e["run_id"], e["project"]) for e in (first, second)} == {(RUN_ID, "churn")}
    assert (first["rank"], second["rank"], second["occurred_at"].year) == (0, 3, 2026)
    assert [e["points"][0]["value"] for e in (first, second)] == [0.5, 0.4]


def test_bytes_that_are_no_text_are_one_bad_line(tmp_path: Path) -> None:
    """The lines behind them are recorded."""
    (tmp_path / "lines").write_bytes(b'{"points": "\xff\xfe"}\n{"points": []}\n')
    code, out, err = ended(start(tmp_path / "spool", "emit", "metrics_logged", str(tmp_path / "lines")))
    assert (code, out) == (2, "1 events recorded, 1 lines refused\n")
    assert err.startswith("trailhouse: line 1: it is no JSON")
    assert err.count("\n") == 1


def test_a_type_that_is_none_is_refused_with_what_is_near(tmp_path: Path) -> None:
    """Before anything is read."""
    code, out, err = ended(start(tmp_path / "spool", "emit", "run_strated"), "{}\n")
    assert (code, out) == (2, "")
    assert err.startswith("trailhouse: Event type 'run_strated' is not known; did you mean 'run_started'")
    assert not os.path.lexists(tmp_path / "spool")
