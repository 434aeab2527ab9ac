"""`make soak`: run a soak and say what it has come to; ends with 1 when an event is lost or doubled.

Without an account it ends with 2. The collectors' logs are kept where anything is not as it should be.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from soak import producers
from soak.broken import WAYS
from soak.chaos import SoakError, soak
from soak.outcome import How
from soak.report import report
from trailhouse_cli.servers.discovery import find_kafka
from trailhouse_schemas.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence


def say(text: str) -> None:
    """Tell what is going on."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def main(arguments: Sequence[str]) -> int:
    """Run a soak."""
    parser = argparse.ArgumentParser(prog="make soak", description="Kill everything at random; count every event.")
    parser.add_argument(
        "--producers", action="store_true", help="kill the ranks of a job instead; see --producers --help"
    )
    parser.add_argument("--kills", type=int, default=200, help="ends of processes [200]")
    parser.add_argument("--minutes", type=float, default=0.0, help="longest that kills go on [until there were enough]")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 31), help="of all chances [random]")
    parser.add_argument("--collectors", type=int, default=3, help="collectors at most [3]")
    parser.add_argument("--events-per-second", type=int, default=300, help="that producers form [300]")
    parser.add_argument("--rest-seconds", type=float, default=3.0, help="longest rest between two kills [3]")
    parser.add_argument("--group-protocol", choices=["classic", "consumer"], default="classic")
    parser.add_argument("--broken", choices=sorted(WAYS), default="", help="break the collector, to see it found")
    chosen = parser.parse_args(arguments)
    how = How(
        chosen.seed,
        chosen.kills,
        chosen.minutes,
        chosen.collectors,
        chosen.events_per_second,
        rest_seconds=chosen.rest_seconds,
        protocol=chosen.group_protocol,
        broken=chosen.broken,
    )
    directory = Path(tempfile.mkdtemp(prefix="trailhouse-soak-"))
    say(f"seed {how.seed}, logs of the collectors in {directory}")
    kafka = find_kafka(Settings.read())
    try:
        outcome = soak(how, kafka, directory, say)
    except SoakError as error:
        say(f"Error: {error}")
        return 2
    finally:
        kafka.close()
    sys.stdout.write(report(outcome))
    if outcome.account.exact and not outcome.fallen:
        shutil.rmtree(directory)
    return 0 if outcome.account.exact else 1


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(
        producers.main([each for each in given if each != "--producers"]) if "--producers" in given else main(given)
    )
