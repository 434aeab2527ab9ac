"""Which code runs: the repository, the commit, and what differs from it.

Asks the `git` program, within two seconds altogether, and never raises: where there is no repository, no git or no
answer, the fields stay empty. Nothing of the repository's own configuration gets to run (no hooks, no file system
monitor, no external diff).
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trailhouse.capture.json_values import clean_text

__all__ = ["CodeState", "describe_git", "keep_diff"]

TIMEOUT_SECONDS = 2.0
#: A larger difference is only named by its digest; its bytes are not handed out.
LARGEST_DIFF_BYTES = 16 * 1024 * 1024
#: Files that were never added but are likely to be code are part of the difference, up to this many and this large.
CODE_SUFFIXES = frozenset(
    {".py", ".pyi", ".pyx", ".ipynb", ".sh", ".sql", ".yaml", ".yml", ".toml", ".cfg", ".ini", ".cc", ".cpp", ".cu"}
)
MOST_NEW_FILES = 100
LARGEST_NEW_FILE_BYTES = 1024 * 1024

_CREDENTIALS = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]*://)[^/@]*@")
_QUERY = re.compile(r"[?#].*$")
_ELSEWHERE = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY"}
_SETTINGS = ("-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "-c", "core.hooksPath=/dev/null")


@dataclass(frozen=True)
class CodeState:
    """What `RunStarted` says of the code, and the difference to the commit itself."""

    fields: dict[str, Any]
    """git_remote, git_commit, git_branch, git_dirty, git_diff_digest."""
    diff: bytes
    """The difference as `git apply` takes it; empty where there is none or where it is too large to keep."""


def keep_diff(code: CodeState, directory: Path) -> str:
    """Keep the difference to the commit under its digest in `directory`; return its URI, empty where there is none.

    Raises:
        OSError: it cannot be written.
    """
    if not code.diff:
        return ""
    file = directory / f"{code.fields['git_diff_digest'].rpartition(':')[2]}.patch"
    if not file.exists():
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory, delete=False) as whole:
            whole.write(code.diff)
        Path(whole.name).replace(file)
    return file.absolute().as_uri()


def describe_git(directory: str | os.PathLike[str] | None = None) -> CodeState:
    """Return the state of the repository that holds `directory`.

    By default that is where the script that was started lies, or, where that is in no repository or belongs to an
    installed package, the working directory.

    `git_dirty` is true when a tracked file differs from the commit, or a file that looks like code was never added; it
    is None where there is no repository, or where git did not say in time.
    """
    deadline = time.monotonic() + TIMEOUT_SECONDS
    fields: dict[str, Any] = {
        "git_remote": "",
        "git_commit": "",
        "git_branch": "",
        "git_dirty": None,
        "git_diff_digest": "",
    }
    try:
        places = [Path(directory)] if directory is not None else _code_directories()
        repositories = (_repository(place, deadline) for place in places)
        git = next((found for found in repositories if found is not None), None)
        if git is None:
            return CodeState(fields, b"")
        # In the order of what matters most: a work tree with a million files may use up the time.
        commit = git.ask("rev-parse", "--verify", "--quiet", "HEAD")
        fields["git_commit"] = (commit or b"").decode().strip()
        branch = git.ask("symbolic-ref", "--quiet", "--short", "HEAD")
        fields["git_branch"] = (branch or b"").decode(errors="backslashreplace").strip()
        fields["git_remote"] = _remote(git)
        diff = _difference(git, has_commit=bool(commit))
        if diff is None:
            return CodeState(fields, b"")
        fields["git_dirty"] = bool(diff)
        if diff:
            fields["git_diff_digest"] = f"sha256:{hashlib.sha256(diff).hexdigest()}"
        return CodeState(fields, diff if len(diff) <= LARGEST_DIFF_BYTES else b"")
    except (OSError, ValueError, subprocess.SubprocessError):
        return CodeState(fields, b"")


class _Git:
    """The `git` program in one directory, until one deadline."""

    def __init__(self, directory: Path, deadline: float) -> None:
        self.directory = directory
        self.deadline = deadline

    def ask(self, *arguments: str) -> bytes | None:
        """Return what git prints, or None when it fails or takes too long."""
        # Without the variables that point git elsewhere, as they do in a process that a hook of git's started.
        inherited = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
        environment = inherited | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        # A file, not a pipe: a large difference must not fill the training process's memory twice.
        with tempfile.TemporaryFile() as printed:
            try:
                finished = subprocess.run(  # noqa: S603  no shell, and the arguments are this module's own
                    ["git", *_SETTINGS, *arguments],  # noqa: S607  whichever git the user's PATH has
                    cwd=self.directory,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=subprocess.DEVNULL,
                    timeout=max(0.05, self.deadline - time.monotonic()),
                    check=False,
                )
            except (OSError, subprocess.SubprocessError):
                return None
            if finished.returncode != 0:
                return None
            printed.seek(0)
            return printed.read()


def _code_directories() -> list[Path]:
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    places = [Path(script).resolve().parent] if script else []
    installed = [Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix)]
    own = [place for place in places if not any(place.is_relative_to(prefix) for prefix in installed)]
    return list(dict.fromkeys([*own, Path.cwd()]))


def strip_credentials(url: str) -> str:
    """Return a remote's URL without user, password, token or query."""
    if "://" not in url:
        return url  # git@host:path has a user that is no secret, a local path has none
    return _QUERY.sub("", _CREDENTIALS.sub(r"\1", url))


def _remote(git: _Git) -> str:
    urls = git.ask("config", "--get-regexp", r"^remote\..*\.url$")
    if not urls:
        return ""
    found = dict(line.split(" ", 1) for line in urls.decode(errors="backslashreplace").splitlines() if " " in line)
    url = found.get("remote.origin.url") or next(iter(found.values()), "")
    return clean_text(strip_credentials(url))


def _repository(place: Path, deadline: float) -> _Git | None:
    """Return git at the top of the work tree that holds a directory, or None where there is none."""
    top = _Git(place, deadline).ask("rev-parse", "--show-toplevel")
    return _Git(Path(os.fsdecode(top.rstrip(b"\n"))), deadline) if top and top.strip() else None


def _difference(git: _Git, *, has_commit: bool) -> bytes | None:
    """Return what differs from the commit, or None where git did not say in time."""
    tracked: bytes | None = b""
    if has_commit:
        tracked = git.ask("diff", "HEAD", "--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")
    patterns = [f"*{suffix}" for suffix in sorted(CODE_SUFFIXES)]
    others = ("--others",) if has_commit else ("--others", "--cached")
    new = git.ask("ls-files", *others, "--exclude-standard", "-z", "--", *patterns)
    if tracked is None or new is None:
        return None
    paths = sorted(filter(None, new.split(b"\0")))
    return b"".join([tracked, *(_addition(git.directory, path) for path in paths[:MOST_NEW_FILES])])


def _addition(top: Path, path: bytes) -> bytes:
    """Return the difference that adds one file."""
    file = top / os.fsdecode(path)
    try:
        if file.is_symlink() or file.stat().st_size > LARGEST_NEW_FILE_BYTES:
            return b""
        content = file.read_bytes()
        mode = b"100755" if os.access(file, os.X_OK) else b"100644"
    except OSError:
        return b""
    head = b"diff --git a/%b b/%b\nnew file mode %b\n" % (path, path, mode)
    if not content:
        return head
    lines = content.split(b"\n")
    ends_with_newline = lines[-1] == b""
    if ends_with_newline:
        lines.pop()
    body = b"".join(b"+" + line + b"\n" for line in lines)
    tail = b"" if ends_with_newline else b"\\ No newline at end of file\n"
    return head + b"--- /dev/null\n+++ b/%b\n@@ -0,0 +1,%d @@\n" % (path, len(lines)) + body + tail
