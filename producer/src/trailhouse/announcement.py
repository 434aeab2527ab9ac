"""What a run says at its beginning: RunStarted, with all that can be found out of process, environment and code."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from trailhouse import clock
from trailhouse.once import warn_once

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trailhouse.run import Run
    from trailhouse.settings import ProducerSettings

__all__ = ["announce"]


def announce(
    run: Run, own: dict[str, Any], seeds: Mapping[str, int] | None, command: Sequence[str] | None = None
) -> None:
    """Send RunStarted from a thread of its own: git and the list of packages take longer than a start should.

    With a `command` it is told of that, which another process runs.
    """
    from trailhouse_schemas.events import RunStarted  # noqa: PLC0415

    started_at = clock.now()

    def capture() -> None:
        fields = dict(own)
        for describe in (_start(command), _environment(seeds, command), _git(run.recorder.settings)):
            try:
                fields |= describe()
            except Exception as error:  # noqa: BLE001 - what cannot be found out stays empty
                warn_once(f"the environment cannot be described in full ({type(error).__name__}: {error})")
        run.emit(RunStarted, occurred_at=started_at, **fields)

    thread = threading.Thread(target=capture, name="trailhouse-capture", daemon=True)
    try:
        thread.start()
        run.capture = thread
    except RuntimeError:
        capture()


def _start(command: Sequence[str] | None) -> Any:
    def describe() -> dict[str, Any]:
        from trailhouse.capture.environment import describe_command, describe_start  # noqa: PLC0415

        return describe_start() if command is None else describe_command(command)

    return describe


def _environment(seeds: Mapping[str, int] | None, command: Sequence[str] | None) -> Any:
    def describe() -> dict[str, Any]:
        from trailhouse.capture.environment import describe_environment, is_this_python  # noqa: PLC0415

        found = describe_environment(seeds=seeds)
        if command is not None and not is_this_python(command[0]):
            del found["packages"]  # they are this Python's
        return found

    return describe


def _git(settings: ProducerSettings) -> Any:
    def describe() -> dict[str, Any]:
        from trailhouse.capture.git import describe_git, keep_diff  # noqa: PLC0415

        code = describe_git()
        return code.fields | {"git_diff_uri": keep_diff(code, settings.home_directory / "diffs")}

    return describe
