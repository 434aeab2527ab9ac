"""Which spools are meant, and who holds them."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from trailhouse_cli.errors import BadInputError

if TYPE_CHECKING:
    from trailhouse_schemas.spool import FileLock, Spool

__all__ = ["choose", "directories", "find", "moment", "process_state", "spool_option", "who_holds"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LOCKS: Final = Path("/proc/locks")

spool_option = click.option(
    "--spool",
    "spools",
    multiple=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of spools, may be given again [default: TRAILHOUSE_SPOOL and HOME/control].",
)


def directories(spools: tuple[Path, ...]) -> list[Path]:
    """Return the directories that were named, or those of the settings; raises `BadInputError`."""
    from trailhouse_schemas.settings import Settings  # noqa: PLC0415 - slow to import

    for directory in spools:
        if not directory.is_dir():
            raise BadInputError(f"Spool directory {directory} is not there; give another --spool")
    if spools:
        return list(spools)
    settings = Settings.read()
    return [settings.spool_directory, settings.control_directory]


def choose(which: tuple[str, ...], spools: tuple[Path, ...]) -> list[Path]:
    """Return the spools that were named (see `find`), or all that there are; raises `BadInputError`, `SpoolError`."""
    from trailhouse_schemas.spool import spool_files  # noqa: PLC0415

    where = directories(spools)
    if which:
        return list(dict.fromkeys(find(each, where) for each in which))
    return list(dict.fromkeys(path for directory in where for path in spool_files(directory)))


def find(producer: str, where: list[Path]) -> Path:
    """Return the spool of a producer: its id, the begin of it, or the spool's path; raises `BadInputError`."""
    from trailhouse_schemas.spool import spool_files  # noqa: PLC0415

    if Path(producer).is_file():
        return Path(producer)
    found = [f for directory in where for f in spool_files(directory) if f.name.startswith(producer)]
    if not found:
        raise BadInputError(f"Producer {producer!r} has no spool here; 'trailhouse spool list' names those that have")
    if len(found) > 1:
        raise BadInputError(f"Producer {producer!r} may be {len(found)} of the spools; give more of the id")
    return found[0]


def who_holds(lock: FileLock) -> tuple[bool, int | None]:
    """Say whether somebody holds a lock, and the id of that process where the system tells it.

    The right to read the lock's file is enough; nothing is written.
    """
    try:
        descriptor = os.open(lock.path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False, None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True, _process_of(os.fstat(descriptor))
    else:
        return False, None
    finally:
        os.close(descriptor)


def process_state(spool: Spool) -> str:
    """Return what is known of a spool's process: alive, finished, found dead, or gone."""
    held, _ = who_holds(spool.process_lock)
    return "alive" if held else spool.end or ("finished" if _said_finished(spool) else "gone")


def moment(microseconds: int) -> datetime:
    """Return the moment that many microseconds after 1970, in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _said_finished(spool: Spool) -> bool:
    from trailhouse_schemas.deaths import says_finished  # noqa: PLC0415

    last = spool.last_sequence()
    return last is not None and says_finished(spool, last)


def _process_of(file: os.stat_result) -> int | None:
    """Return the process that holds a lock on a file, out of Linux's list of locks; None where nothing says it."""
    named = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    with suppress(OSError, ValueError, IndexError):
        for line in _LOCKS.read_text().splitlines():
            fields = line.split()
            if "FLOCK" in fields and "WRITE" in fields and named in fields and "->" not in fields:
                return int(fields[fields.index("WRITE") + 1]) or None
    return None
