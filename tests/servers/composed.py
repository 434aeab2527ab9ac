"""The compose files, started for real: only where `make test-docker` asks, as they take an engine and minutes."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from trailhouse_cli.errors import ServerMissingError
from trailhouse_cli.servers.containers import require_engine
from trailhouse_schemas.warehouse import connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ROOT: Final = Path(__file__).parents[2]
_ASKED: Final = "DOCKER_TESTS"

#: A training script: of one rank, a step every so many seconds.
RUN: Final = """
import os, sys, time, trailhouse
name, steps, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
with trailhouse.start_run(project="docker", name=name) as run:
    for step in range(steps):
        run.log({"loss": 1 / (step + 1)}, step=step)
        time.sleep(pause)
"""


class Composed:
    """The services of one compose file, in a project of their own, with passwords that nobody else knows."""

    def __init__(self, file: str) -> None:
        """Take a compose file of the repository."""
        self.password = secrets.token_urlsafe()
        self.environment = {
            "COMPOSE_PROJECT_NAME": f"trailhouse-test-{secrets.token_hex(4)}",
            "TRAILHOUSE_WAREHOUSE_PASSWORD": self.password,
            "TRAILHOUSE_CLUSTER_SECRET": secrets.token_urlsafe(),
        }
        from testcontainers.compose import DockerCompose  # noqa: PLC0415 - heavy, and only here

        self._compose: Any = DockerCompose(_ROOT, compose_file_name=file, build=True, wait=True)

    def up(self) -> None:
        """Build and start everything; returns when all of it is healthy."""
        self._compose.start()

    def down(self) -> None:
        """Remove everything, with the data."""
        self._compose.stop()

    def logs(self) -> str:
        """Return the last of what the services said."""
        return "\n".join(text[-20_000:] for text in self._compose.get_logs())

    def tell(self, *words: str) -> None:
        """Run `docker compose WORDS…`."""
        subprocess.run([*self._compose.compose_command_property, *words], cwd=_ROOT, check=True, timeout=300)

    def kill(self, *services: str) -> None:
        """Kill services as a power cut would; their data stay."""
        self.tell("kill", "--signal", "SIGKILL", *services)

    def start(self, *services: str) -> None:
        """Start killed services again; returns when they are healthy."""
        self.tell("up", "--detach", "--no-recreate", "--wait", *services)

    def warehouse(self, port: int = 8123, database: str = "trailhouse", more: str = "") -> str:
        """Return the URL of the warehouse by the server on that port of this machine."""
        return f"clickhouse://trailhouse@127.0.0.1:{port}/{database}{more}"

    def client(self, port: int = 8123, database: str = "trailhouse", more: str = "", *, create: bool = False) -> Any:
        """Open the warehouse by that server."""
        return connect(self.warehouse(port, database, more), password=self.password, create=create)

    def settings(self, home: Path, more: str = "") -> dict[str, str]:
        """Return the environment of a program on this machine that uses the services."""
        return os.environ | {
            "TRAILHOUSE_HOME": str(home),
            "TRAILHOUSE_KAFKA": "127.0.0.1:9092",
            "TRAILHOUSE_REGISTRY": "http://127.0.0.1:8081/apis/ccompat/v7",
            "TRAILHOUSE_WAREHOUSE": self.warehouse(more=more),
            "TRAILHOUSE_WAREHOUSE_PASSWORD": self.password,
        }

    def command(self, home: Path, words: Sequence[str], more: str = "") -> subprocess.CompletedProcess[str]:
        """Run `trailhouse WORDS…` on this machine."""
        program = Path(sys.executable).with_name("trailhouse")
        return subprocess.run(
            [program, *words],
            env=self.settings(home, more),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def runs(self, home: Path, count: int, steps: int, pause: float, more: str = "") -> list[subprocess.Popen[bytes]]:
        """Start so many training scripts."""
        environment = self.settings(home, more)
        return [
            subprocess.Popen([sys.executable, "-c", RUN, f"run-{i}", str(steps), str(pause)], env=environment)
            for i in range(count)
        ]


@contextmanager
def composed(file: str) -> Iterator[Composed]:
    """Lend the started services of a compose file; skips, or fails where it was asked for, without an engine."""
    asked = os.environ.get(_ASKED) == "1"
    if not asked:
        pytest.skip("takes a Docker engine and minutes: make test-docker")
    try:
        require_engine()
    except ServerMissingError as error:
        pytest.fail(str(error), pytrace=False)
    services = Composed(file)
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in services.environment.items():
            patch.setenv(variable, value)
        try:
            services.up()
            yield services
        except BaseException as error:
            error.add_note(services.logs())
            raise
        finally:
            services.down()
