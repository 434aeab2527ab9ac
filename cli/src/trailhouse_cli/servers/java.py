"""Finds Java: the servers ask for different versions, and machines keep several side by side."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from trailhouse_cli.errors import ServerMissingError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["find_java"]

_PLACES = ("/usr/lib/jvm/*", "/opt/java/*", "/Library/Java/JavaVirtualMachines/*/Contents/Home")
_HOME_PLACES = (".sdkman/candidates/java/*", ".jdks/*")
_ANSWER_SECONDS = 20.0


def find_java(at_least: int) -> str:
    """Return a `java` of that major version or newer, the user's choice first; raises `ServerMissingError`."""
    seen: dict[Path, int] = {}
    for java in _candidates():
        real = java.resolve()
        if real in seen:
            continue
        seen[real] = _major_version(real)
        if seen[real] >= at_least:
            return str(real)
    found = ", ".join(f"{version or 'unknown'} at {java}" for java, version in seen.items()) or "none"
    raise ServerMissingError(
        f"Java {at_least} or newer is not there (found: {found}); install it or set JAVA_HOME to it"
    )


def _candidates() -> Iterator[Path]:
    """Yield every `java` worth asking, JAVA_HOME's first, then the PATH's."""
    if home := os.environ.get("JAVA_HOME"):
        yield from _executable(Path(home))
    if on_path := shutil.which("java"):
        yield Path(on_path)
    for place in _PLACES:
        for directory in sorted(Path("/").glob(place.lstrip("/")), reverse=True):
            yield from _executable(directory)
    for place in _HOME_PLACES:
        for directory in sorted(Path.home().glob(place), reverse=True):
            yield from _executable(directory)


def _executable(home: Path) -> Iterator[Path]:
    """Yield the `java` of that Java home, if it has one."""
    java = home / "bin" / "java"
    if os.access(java, os.X_OK):
        yield java


def _major_version(java: Path) -> int:
    """Ask that Java for its major version; 0 when it does not say."""
    try:
        answer = subprocess.run(  # noqa: S603 - a java that the user or the system installed
            [java, "-version"], capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    # `openjdk version "17.0.15"`; before 9 the first number was 1.
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    return int(match.group(1)) if match else 0
