"""The demo's course: what happens in which order, and which report tells of it.

Each act is a real program of its own: the training processes, the people who read the data, and the commands that a
person would type. Only the reports run in this process, one after the other, because the embedded warehouse can be open
in one process at a time. What is printed for a report is what its command prints.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click
import uuid_utils

from trailhouse_cli.demo import data
from trailhouse_cli.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Story"]

_WORLD_SIZE: Final = 4
_MARKER: Final = ".trailhouse-demo"
_PLOT: Final = "rmse-against-eta.html"
#: A made-up price, so that seconds on a laptop show as cents.
_PRICE, _RAISED_PRICE = "36.00", "54.00"


@dataclass
class Story:
    """One telling of the demo, in a directory of its own."""

    directory: Path
    kafka: bool = False
    environment: dict[str, str] = field(default_factory=dict)

    def tell(self) -> int:
        """Run it all; return the exit code of `trailhouse verify`."""
        began = time.monotonic()
        if self.kafka:
            from trailhouse_cli.demo.servers import require_named_servers  # noqa: PLC0415 - only with --kafka

            require_named_servers()  # before anything is said, and before what an earlier demo left is deleted
        self._prepare()
        with ExitStack() as servers:
            if self.kafka:
                self._start_servers(servers)
            self._rules()
            self._train()
            self._people()
            code = self._collect_and_report()
        self._close(time.monotonic() - began)
        return code

    def _prepare(self) -> None:
        if self.directory.exists():
            if not (self.directory / _MARKER).is_file():
                raise BadInputError(
                    f"Directory {self.directory} is not one of the demo's; choose another with --directory"
                )
            shutil.rmtree(self.directory)
        try:
            self.directory.mkdir(parents=True)
            (self.directory / _MARKER).touch()
        except OSError as error:
            raise BadInputError(
                f"Directory {self.directory} cannot be made ({error.strerror}); choose another"
            ) from error
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TRAILHOUSE_")}
        own = {"TRAILHOUSE_HOME": str(self.directory.absolute())}
        if self.kafka:
            servers = ("TRAILHOUSE_KAFKA", "TRAILHOUSE_KAFKA_CLIENT", "TRAILHOUSE_REGISTRY")
            own |= {name: os.environ[name] for name in servers if os.environ.get(name)}
        self.environment = {**kept, **own, "TRAILHOUSE_SAMPLE_INTERVAL_SECONDS": "1"}

    def _start_servers(self, servers: ExitStack) -> None:
        from trailhouse_cli.demo.servers import start_servers  # noqa: PLC0415 - only with --kafka

        self._say("Servers", "A real broker and a real schema registry; topics and schemas as the catalogue has them.")
        found = start_servers(servers)
        self.environment |= found
        for name, value in found.items():
            click.echo(f"  {name}={value}")
        self._command("schemas", "register", quiet=True)

    def _rules(self) -> None:
        self._say(
            "Prices and permissions",
            f"A core costs {_PRICE} USD an hour (made up, so that seconds show as cents). The group ml-team may read "
            "the data, train on it and write models; alice is in it. Bob may read the data, until that is revoked.",
        )
        self._command(
            "price", "set", "core", _PRICE, "USD", "--resource", "cpu", "--from", "1d", quiet=True
        )  # fmt: skip
        resource = f"dataset:{data.DATASET_ID}"
        self._command("grant", "ml-team", "--group", "--action", "read", "--action", "train", "--resource", resource)
        for written in ("model:progression", "artifact:booster"):
            self._command("grant", "ml-team", "--group", "--action", "write", "--resource", written)
        self._command("grant", "alice", "--action", "member", "--resource", "group:ml-team")
        self._command("grant", "carol", "--action", "deploy", "--resource", "model:*", "--reason", "on call")
        grant_id = self._command("grant", "bob", "--action", "read", "--resource", resource).split()[-1]
        self._command("revoke", grant_id, "--reason", "has left the project")

    def _train(self) -> None:
        from xgboost.tracker import RabitTracker  # noqa: PLC0415 - slow, and only the demo needs it

        settings = [
            {
                "name": f"depth {depth}, eta {eta}",
                "run_id": str(uuid_utils.uuid7()),
                "params": {"max_depth": depth, "eta": eta, "min_child_weight": 5},
            }
            for depth in (2, 4)
            for eta in (0.03, 0.1, 0.3)
        ]
        self._say(
            "Training",
            f"{len(settings)} settings of XGBoost, each on {_WORLD_SIZE} processes that share the gradients, on the "
            "patients under 55 of scikit-learn's diabetes study.",
        )
        tracker = RabitTracker(host_ip="127.0.0.1", n_workers=_WORLD_SIZE, sortby="task")
        tracker.start()
        plan = json.dumps({"settings": settings, "tracker": tracker.worker_args(), "seed": 11})
        began = time.monotonic()
        workers = [
            subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "trailhouse_cli.demo.worker", plan],
                env={
                    **self.environment,
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                    "WORLD_SIZE": str(_WORLD_SIZE),
                    "TRAILHOUSE_PRINCIPAL": "alice",
                },
                stdout=subprocess.DEVNULL,
                stderr=(self.directory / f"worker-{rank}.log").open("wb"),
            )
            for rank in range(_WORLD_SIZE)
        ]
        failed = [rank for rank, worker in enumerate(workers) if worker.wait() != 0]
        if failed:
            log = self.directory / f"worker-{failed[0]}.log"
            raise BadInputError(f"Training process {failed[0]} failed; its output is in {log}")
        click.echo(f"  {len(settings)} runs on {_WORLD_SIZE} processes in {time.monotonic() - began:.0f} s")
        third_model = self.directory / "models" / f"{settings[2]['run_id']}.json"
        risen = datetime.fromtimestamp(third_model.stat().st_mtime, UTC)
        click.echo("  While that went on, the price of a core rose: with the end of the third run.")
        self._command(
            "price", "set", "core", _RAISED_PRICE, "USD", "--resource", "cpu", "--from", risen.isoformat(), quiet=True
        )

    def _people(self) -> None:
        self._say(
            "People",
            "Alice profiles the training data and what production sees now: patients from 55 on. Bob asks to read the "
            "data, is denied, and reads it all the same.",
        )
        for who in ("alice", "bob"):
            self._python("trailhouse_cli.demo.access", who, TRAILHOUSE_PRINCIPAL=who)

    def _collect_and_report(self) -> int:
        os.environ.update(self.environment)
        self._say("Collecting", "The collector lands what the processes left behind, each event exactly once.")
        if self.kafka:
            self._report("forward", "--until-empty")
        self._report("collect", "--until-idle")
        self._say("The runs", "Which setting was best, and do the numbers of two runs mean the same?")
        self._report("runs", "list", "--project", data.PROJECT, "--group", "sweep", "--sort", "metric rmse@validation")
        names = ["depth 2, eta 0.1", "depth 4, eta 0.3"]
        self._report("runs", "compare", *names, "--project", data.PROJECT)
        self._report(
            "runs", "plot", "rmse@validation", "--project", data.PROJECT, "--group", "sweep", "--against", "eta",
            "--color", "max_depth", "--output", str(self.directory / _PLOT),
        )  # fmt: skip
        self._say("The cost", "Who used what, what of it was idle, and what it cost at the price of the moment.")
        self._report("cost", "--project", data.PROJECT, "--by", "run")
        self._say("The audit", "Who may do what, who did what, and what needs attention.")
        self._report("audit")
        self._say("The drift", "Does production still look like what the model was trained on?")
        self._report(
            "drift", "--reference", f"{data.DATASET_ID}@under-55", "--current", f"{data.DATASET_ID}@production"
        )
        self._say("The accounting of loss", "Every event that a process says it has emitted: is it there, once?")
        return self._report("verify")

    def _close(self, seconds: float) -> None:
        self._say("That was it", f"{seconds:.0f} s. Every report again, in this directory:")
        click.echo(f"  export TRAILHOUSE_HOME={shlex.quote(self.environment['TRAILHOUSE_HOME'])}")
        click.echo(f"  the plot: {self.directory / _PLOT}")

    def _say(self, heading: str, text: str) -> None:
        click.echo()
        click.secho(heading, bold=True)
        click.echo(click.wrap_text(text, width=100, initial_indent="  ", subsequent_indent="  "))

    def _python(self, module: str, *arguments: str, **environment: str) -> str:
        result = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", module, *arguments],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise BadInputError(
                f"'{module} {' '.join(arguments)}' failed with exit code {result.returncode}; see above"
            )
        for line in result.stdout.splitlines():
            click.echo(f"  {line}")
        return result.stdout

    def _command(self, *arguments: str, quiet: bool = False) -> str:
        click.secho(f"  $ {_typed(arguments)}", fg="cyan")
        result = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "trailhouse_cli", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise BadInputError(f"'{_typed(arguments)}' failed with exit code {result.returncode}; see above")
        if not quiet:
            for line in result.stdout.splitlines():
                click.echo(f"  {line}")
        return result.stdout

    def _report(self, *arguments: str) -> int:
        from trailhouse_cli.main import cli  # noqa: PLC0415 - it imports this module's command

        click.secho(f"\n  $ {_typed(arguments)}", fg="cyan")
        code: Any = cli.main(args=list(arguments), prog_name="trailhouse", standalone_mode=False)
        return code if isinstance(code, int) else 0


def _typed(arguments: Sequence[str]) -> str:
    return shlex.join(["trailhouse", *arguments])
