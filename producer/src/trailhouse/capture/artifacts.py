"""Digest and size of a file or a directory, read as a stream.

A file's digest is the SHA-256 of its bytes, so `sha256sum` gives the same. A directory's digest is the SHA-256 of the
list of its files (path relative to the directory with `/`, size, SHA-256), sorted by the path's bytes: it depends on
names and contents, not on times, owners, permissions or the order in which the file system lists. Links to files count
as the files that they point to; empty directories and links to directories are not part of it.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trailhouse.capture.json_values import clean_text
from trailhouse_schemas.errors import TrailhouseError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Content", "content_of", "describe_artifact", "local_path", "uri_of"]


@dataclass(frozen=True)
class Content:
    """What a file or directory holds."""

    digest: str
    """sha256:… of a file's bytes or of a directory's list of files; empty where it could not be read."""
    size_bytes: int
    """Bytes of the file, or of all files in the directory."""
    files: int
    """Number of files."""


def describe_artifact(
    path: str | os.PathLike[str],
    *,
    name: str = "",
    version: str = "",
    kind: str = "",
    uri: str = "",
    direction: Literal["input", "output"] = "output",
    step: int | None = None,
) -> dict[str, Any]:
    """Return the fields of `ArtifactLogged` for a file or a directory, or for a URI of something elsewhere.

    Something elsewhere (`s3://…`) is not read: it has neither digest nor size. The name defaults to the last part of
    the path, the URI to `file://` and the absolute path.

    Raises:
        TrailhouseError: a local path that is not there.
    """
    local = local_path(path)
    text = os.fspath(path)
    content = content_of(local) if local is not None else None
    return {
        "name": clean_text(name or _last_part(text, local)),
        "version": clean_text(version),
        "kind": clean_text(kind),
        "uri": clean_text(uri or (uri_of(local) if local is not None else text)),
        "digest": content.digest if content is not None else "",
        "size_bytes": content.size_bytes if content is not None else None,
        "direction": direction,
        "step": step,
    }


def _last_part(text: str, local: Path | None) -> str:
    return local.resolve().name if local is not None else text.rstrip("/").rpartition("/")[2]


def local_path(path: str | os.PathLike[str]) -> Path | None:
    """Return the path on this machine, or None for a URI of something elsewhere.

    Raises:
        TrailhouseError: there is nothing at the path.
    """
    text = os.fspath(path)
    if "://" in text and not text.startswith("file://"):
        return None
    found = Path(text.removeprefix("file://")).expanduser()
    if not found.exists():
        raise TrailhouseError(f"{text!r} is not there; give the path of a file or directory that is, or a URI")
    return found


def uri_of(path: Path) -> str:
    """Return the `file://` URI of a path."""
    return path.resolve().as_uri()


def content_of(path: Path) -> Content:
    """Return digest and size of a file or directory; the digest is empty when something in it cannot be read."""
    try:
        if not path.is_dir():
            return _content_of_file(path)
        tree = hashlib.sha256()
        size = files = 0
        for name, file in sorted(_files_in(path)):
            content = _content_of_file(file)
            tree.update(b"%b\0%d\0%b\n" % (name, content.size_bytes, content.digest.encode()))
            size += content.size_bytes
            files += 1
    except OSError:
        return Content("", path.stat().st_size if path.is_file() else 0, 0)
    return Content(f"sha256:{tree.hexdigest()}", size, files)


def _content_of_file(path: Path) -> Content:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return Content(f"sha256:{digest.hexdigest()}", file.tell(), 1)


def _files_in(directory: Path) -> Iterator[tuple[bytes, Path]]:
    for folder, _, names in os.walk(directory):
        for name in names:
            file = Path(folder, name)
            if file.is_file():  # neither sockets nor pipes nor links that lead nowhere
                yield os.fsencode(file.relative_to(directory).as_posix()), file
