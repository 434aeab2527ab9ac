"""`trailhouse run`: any command as a run, without a line of it changed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Any, Final

import click

from trailhouse_cli.errors import BadInputError

if TYPE_CHECKING:
    from trailhouse_cli.supervised import Ended

__all__ = ["command"]

_NOT_FOUND: Final = 127
_NOT_STARTED: Final = 126


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--project", help="The project [default: TRAILHOUSE_PROJECT].")
@click.option("--name", default="", help="The run's name, for people.")
@click.option("--group", default="", help="What the run belongs to, such as a sweep.")
@click.option(
    "--kind",
    type=click.Choice(["train", "sweep", "serve", "transform", "evaluate"]),
    default="train",
    help="What it does [default: train].",
)
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A hyper-parameter, may be given again.")
@click.option("--run-id", help="The run [default: TRAILHOUSE_RUN_ID, else found out from the launcher or made up].")
@click.argument("arguments", metavar="-- COMMAND ...", nargs=-1, type=click.UNPROCESSED, required=True)
def command(
    *,
    project: str | None,
    name: str,
    group: str,
    kind: str,
    params: tuple[str, ...],
    run_id: str | None,
    arguments: tuple[str, ...],
) -> int:
    """Run any command as a run: its start, its end with the exit code, its parameters, and what it uses.

    \b
        trailhouse run --project churn --param depth=6 -- python train.py --depth 6

    Signals are passed on, and the exit code is the command's: 128 and the signal's number when a signal ended it, 127
    when there is no such command. Under torchrun, srun or mpirun each process is a rank. The command finds the run in
    TRAILHOUSE_RUN_ID, so what it logs by itself belongs to the same run. What goes wrong with recording is warned about
    and in nobody's way.
    """  # noqa: D301 - click's \b keeps the example on lines of its own
    from trailhouse_cli.supervised import signals_kept, supervise  # noqa: PLC0415 - only where something is run

    parameters = dict(map(_parameter, params))
    file = shutil.which(arguments[0])
    if file is None:
        click.echo(f"trailhouse: Command {arguments[0]!r} is not found; give a path, or one that is on PATH", err=True)
        return _NOT_FOUND
    import trailhouse  # noqa: PLC0415 - slow to import

    with signals_kept():
        run = trailhouse.start_run(
            project=project,
            name=name,
            group=group,
            kind=kind,
            params=parameters or None,
            run_id=run_id,
            command=arguments,
        )
        own = {"TRAILHOUSE_RUN_ID": run.run_id, "TRAILHOUSE_PROJECT": run.context.project}
        try:
            ended = supervise(file, arguments, os.environ | {name: value for name, value in own.items() if value})
        except OSError as error:
            run.finish("failed", exit_code=_NOT_STARTED, error=error, reported_by="launcher")
            click.echo(f"trailhouse: Command {file} cannot be started: {error.strerror}", err=True)
            return _NOT_STARTED
    run.finish(_status(ended), exit_code=ended.shell_code, error=_said(ended, arguments[0]), reported_by="launcher")
    return ended.shell_code


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise BadInputError(f"Parameter {text!r} is not NAME=VALUE; write --param depth=6")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _status(ended: Ended) -> Any:
    if ended.exit_code == 0:
        return "completed"
    stopped = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}
    return "cancelled" if ended.by_signal in stopped or ended.passed_on & stopped else "failed"


def _said(ended: Ended, program: str) -> Exception | None:
    if ended.exit_code == 0:
        return None
    return subprocess.CalledProcessError(ended.exit_code or -(ended.by_signal or 0), program)
