"""Digest and size of files and directories."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from envelopes import in_envelope
from trailhouse.capture.artifacts import describe_artifact
from trailhouse_schemas.errors import TrailhouseError
from trailhouse_schemas.events import ArtifactLogged

if TYPE_CHECKING:
    from pathlib import Path


def tree(place: Path, names: list[str]) -> Path:
    """Make a directory whose files hold their own names."""
    for name in names:
        file = place / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return place


def test_a_file_has_the_digest_that_sha256sum_prints(tmp_path: Path) -> None:
    """Anyone can check it."""
    file = tmp_path / "plot ü.png"
    file.write_bytes(b"x" * 3_000_000)
    found = describe_artifact(file, kind="plot", step=3)
    assert f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}" == found["digest"]
    assert ("plot ü.png", 3_000_000, file.as_uri()) == (found["name"], found["size_bytes"], found["uri"])
    in_envelope(ArtifactLogged, found)


def test_a_directory_has_the_same_digest_wherever_it_lies(tmp_path: Path) -> None:
    """The order of writing, times, permissions and empty directories do not count."""
    names = ["a", "sub/b", "sub-c", "sub/deep/d"]
    one = tree(tmp_path / "one", names)
    two = tree(tmp_path / "two", list(reversed(names)))
    (two / "empty").mkdir()
    os.utime(two / "a", (1, 1))
    (two / "a").chmod(0o600)
    found = describe_artifact(one)
    assert found["digest"] == describe_artifact(two)["digest"]
    assert sum(len(name) for name in names) == found["size_bytes"]


@pytest.mark.parametrize("change", ["renamed", "edited", "added", "moved bytes"])
def test_a_directory_that_differs_has_another_digest(tmp_path: Path, change: str) -> None:
    """Names and contents count, and where one file ends."""
    one = tree(tmp_path / "one", ["a", "b"])
    two = tree(tmp_path / "two", ["a", "b"])
    if change == "renamed":
        (two / "a").rename(two / "c")
    elif change == "edited":
        (two / "a").write_text("A")
    elif change == "added":
        (two / "c").touch()
    else:
        (two / "a").write_text("ab")
        (two / "b").write_text("")
    assert describe_artifact(one)["digest"] != describe_artifact(two)["digest"]


def test_links_that_lead_nowhere_or_in_circles_do_no_harm(tmp_path: Path) -> None:
    """A checkpoint directory often has a link `latest`."""
    place = tree(tmp_path / "one", ["a"])
    before = describe_artifact(place)["digest"]
    (place / "nowhere").symlink_to(place / "gone")
    (place / "circle").symlink_to(place)
    assert before == describe_artifact(place)["digest"]


def test_something_elsewhere_is_not_read() -> None:
    """A URI is recorded as it is."""
    found = describe_artifact("s3://bucket/models/best.pt")
    assert (
        found["name"],
        found["uri"],
        found["digest"],
        found["size_bytes"],
    ) == ("best.pt", "s3://bucket/models/best.pt", "", None)
    in_envelope(ArtifactLogged, found)


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A wrong argument is the caller's to know."""
    with pytest.raises(TrailhouseError, match=r"gone\.txt.* is not there"):
        describe_artifact(tmp_path / "gone.txt")
