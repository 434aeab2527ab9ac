"""Forks collectors from a process that has imported everything, so that one is there in a tenth of a second.

A script. Each line of its input is a JSON object, and each answer one line: `arguments` of the command `trailhouse`,
the `environment` to add and the file `log` start a process and are answered by its `pid`; an empty object asks for the
exit codes of those that have ended since, by pid. When the input ends, all that it has started is killed.

The only argument, if there is one, names a way in which the collector is broken; see `broken`.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from typing import Any

import clickhouse_connect  # noqa: F401 - imported once, before the forks
import confluent_kafka.admin  # noqa: F401
import pandas as pd  # noqa: F401
import pyruhvro  # noqa: F401

import trailhouse_consumer.monitoring
import trailhouse_consumer.service
import trailhouse_consumer.settings
import trailhouse_consumer.sources.kafka  # noqa: F401
from trailhouse_cli.commands import collect  # noqa: F401
from trailhouse_cli.main import cli

_PR_SET_PDEATHSIG = 1


def start(order: dict[str, Any]) -> int:
    """Run the command in a child; return its pid."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.environ.update(order["environment"])
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        cli(order["arguments"], prog_name="trailhouse")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - said as Python would
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended() -> dict[int, int]:
    """Return the exit codes of the children that have ended since the last call; a signal is a negative one."""
    codes: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return codes
        if not pid:
            return codes
        codes[pid] = os.waitstatus_to_exitcode(status)


def main() -> None:
    """Obey until the input ends."""
    if len(sys.argv) > 1:
        from soak.broken import break_it  # noqa: PLC0415 - only where it is asked for

        break_it(sys.argv[1])
    try:
        for line in sys.stdin:
            order = json.loads(line)
            answer = {"pid": start(order)} if order else {"ended": ended()}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
    finally:
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
