"""Collectors that run in processes of their own, and what they say of themselves over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

from trailhouse_cli.servers.process import free_port
from trailhouse_cli.servers.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["PATIENCE_SECONDS", "Watched", "watched"]

PATIENCE_SECONDS = 90.0

#: The value of each series, by its name and its labels.
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Watched:
    """A collector that runs."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        """Take what was started."""
        self.process = process
        self.url = url

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body of a path; (0, "") where nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:  # noqa: S310 - our own
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def checks(self, path: str = "/ready") -> tuple[int, dict[str, str]]:
        """Return the status, and what it says of each thing that it looks at."""
        status, body = self.get(path)
        return status, json.loads(body)["checks"] if body else {}

    def series(self) -> Series:
        """Return all that is at /metrics now; empty where nobody answers."""
        _, text = self.get("/metrics")
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of one series; None where there is none."""
        return self.series().get((name, frozenset(labels.items())))

    def until(self, name: str, value: float, **labels: str) -> None:
        """Wait until that series has that value."""
        assert wait_until(lambda: self.value(name, **labels) == value, seconds=PATIENCE_SECONDS), self.value(
            name, **labels
        )


@contextmanager
def watched(settings: Mapping[str, Any], *flags: str) -> Iterator[Watched]:
    """Run `trailhouse collect` with these settings (TRAILHOUSE_… without the prefix) and serve what it says."""
    port = free_port()
    environment = os.environ | {f"TRAILHOUSE_{name.upper()}": str(value) for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "trailhouse_cli", "collect", "--metrics-port", str(port), *flags], env=environment
    )
    try:
        running = Watched(process, f"http://127.0.0.1:{port}")
        assert wait_until(lambda: running.get("/live")[0] == 200, seconds=PATIENCE_SECONDS)
        yield running
    finally:
        process.kill()
        process.wait()
