"""The jars of the servers: fetched once through Maven, kept in the user's cache, safe for two processes at once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from trailhouse_cli.errors import ServerMissingError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cache_directory", "fetched", "is_fetched"]

_POMS = Path(__file__).with_name("jars")
_FETCH_SECONDS = 900.0


def cache_directory() -> Path:
    """Return where the jars are kept: below XDG_CACHE_HOME, else ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trailhouse" / "servers"


def fetched(name: str) -> Path:
    """Return the directory with everything that `jars/NAME.pom.xml` asks for, archives unpacked.

    Fetches it when it is not there; a directory is there whole or not at all. Raises `ServerMissingError`.
    """
    wanted = _place(name)
    if not wanted.is_dir():
        with _locked(cache_directory()):
            if not wanted.is_dir():
                _fetch(_pom(name), wanted)
    return wanted


def is_fetched(name: str) -> bool:
    """Return whether `fetched` has nothing to fetch."""
    return _place(name).is_dir()


def _pom(name: str) -> Path:
    return _POMS / f"{name}.pom.xml"


def _place(name: str) -> Path:
    """Return where the jars go. A changed pom is another directory: no cache has to be cleared by hand."""
    return cache_directory() / f"{name}-{hashlib.sha256(_pom(name).read_bytes()).hexdigest()[:12]}"


def _fetch(pom: Path, wanted: Path) -> None:
    """Have Maven copy the jars, unpack archives, and put the whole in place at once."""
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerMissingError(f"Maven is not there to fetch the jars of {pom.name.split('.')[0]}; install mvn")
    with tempfile.TemporaryDirectory(dir=wanted.parent, prefix=f".{wanted.name}-") as scratch:
        # Maven writes a target directory beside the pom, which may be read-only.
        copy = shutil.copy(pom, Path(scratch) / "pom.xml")
        jars = Path(scratch) / "jars"
        command = [maven, "-q", "-B", "-ntp", "-f", copy, "dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
        try:
            answer = subprocess.run(  # noqa: S603 - our own arguments
                command, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            raise ServerMissingError(
                f"Maven did not fetch the jars of {pom.name} in {_FETCH_SECONDS:g} s; look at the network"
            ) from None
        if answer.returncode or not jars.is_dir():
            said = next((line for line in answer.stdout.splitlines() if "ERROR" in line), answer.stderr.strip()[-300:])
            raise ServerMissingError(f"Maven could not fetch the jars of {pom.name}: {said}")
        for archive in jars.glob("*.tar.gz"):
            with tarfile.open(archive) as packed:
                packed.extractall(jars, filter="data")
            archive.unlink()
        jars.rename(wanted)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the lock of that directory; the system takes it back from a process that dies."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
