"""The state of the code is found with git, whatever state the repository is in."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from envelopes import in_envelope
from trailhouse.capture.git import CodeState, describe_git, keep_diff, strip_credentials
from trailhouse_schemas.events import RunStarted

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

EMPTY = {"git_remote": "", "git_commit": "", "git_branch": "", "git_dirty": None, "git_diff_digest": ""}


def git(directory: Path, *arguments: str) -> str:
    """Run git as nobody in particular."""
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    ran = subprocess.run(["git", *who, *arguments], cwd=directory, check=True, capture_output=True, text=True)
    return ran.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Give a repository with one commit on the branch main."""
    place = tmp_path / "code"
    place.mkdir()
    git(place, "init", "-q", "-b", "main")
    (place / "train.py").write_text("print(1)\n")
    (place / "weights.bin").write_bytes(bytes(range(256)))
    git(place, "add", ".")
    git(place, "commit", "-q", "-m", "first")
    return place


def test_a_clean_repository_has_commit_branch_and_no_difference(repository: Path) -> None:
    """The remote is given without its credentials."""
    git(repository, "remote", "add", "origin", "https://user:secret@example.com/team/code.git")
    state = describe_git(repository)
    expected = {
        "git_remote": "https://example.com/team/code.git",
        "git_commit": git(repository, "rev-parse", "HEAD"),
        "git_branch": "main",
        "git_dirty": False,
        "git_diff_digest": "",
    }
    assert (expected, b"") == (state.fields, state.diff)
    in_envelope(RunStarted, state.fields)


def test_the_difference_makes_the_same_code_again(repository: Path, tmp_path: Path) -> None:
    """Changed, binary, deleted and never added files: `git apply` on the commit gives the work tree."""
    (repository / "train.py").write_text("print(2)\n")
    (repository / "weights.bin").write_bytes(bytes(reversed(range(256))))
    (repository / "sub").mkdir()
    (repository / "sub" / "new model.py").write_bytes(b"import os\r\n\nx = 1")
    (repository / "empty.py").touch()
    (repository / "output.dat").write_text("not code")
    (repository / ".gitignore").write_text("ignored.py\n")
    (repository / "ignored.py").write_text("ignored")
    git(repository, "add", ".gitignore")
    state = describe_git(repository / "sub")
    assert state.fields["git_dirty"] is True
    assert f"sha256:{hashlib.sha256(state.diff).hexdigest()}" == state.fields["git_diff_digest"]
    other = tmp_path / "other"
    git(tmp_path, "clone", "-q", str(repository), str(other))
    (tmp_path / "diff").write_bytes(state.diff)
    git(other, "apply", str(tmp_path / "diff"))
    for name in ("train.py", "weights.bin", "sub/new model.py", "empty.py", ".gitignore"):
        assert (repository / name).read_bytes() == (other / name).read_bytes()
    assert not (other / "output.dat").exists()
    assert not (other / "ignored.py").exists()


def test_looking_changes_nothing(repository: Path) -> None:
    """Neither the index nor anything else in the repository is written."""
    (repository / "train.py").write_text("print(3)\n")
    before = {file: file.stat().st_mtime_ns for file in repository.rglob("*")}
    describe_git(repository)
    assert before == {file: file.stat().st_mtime_ns for file in repository.rglob("*")}


def test_a_kept_difference_is_found_by_its_uri(repository: Path, tmp_path: Path) -> None:
    """Training again needs it; the same difference is kept once."""
    (repository / "train.py").write_text("print('changed')\n")
    state = describe_git(repository)
    uri = keep_diff(state, tmp_path / "diffs")
    assert keep_diff(state, tmp_path / "diffs") == uri
    (kept,) = (tmp_path / "diffs").iterdir()
    assert (kept.as_uri(), kept.read_bytes()) == (uri, state.diff)
    assert keep_diff(CodeState({"git_diff_digest": ""}, b""), tmp_path / "none") == ""


def test_outputs_that_were_never_added_do_not_make_code_dirty(repository: Path) -> None:
    """A checkpoint beside the code is no change of the code."""
    (repository / "model.ckpt").write_text("weights")
    assert describe_git(repository).fields["git_dirty"] is False


def test_a_detached_head_has_no_branch(repository: Path) -> None:
    """The commit says it all."""
    git(repository, "checkout", "-q", "--detach")
    fields = describe_git(repository).fields
    assert (fields["git_branch"], bool(fields["git_commit"])) == ("", True)


def test_a_repository_without_commits_is_described(tmp_path: Path) -> None:
    """Code that was never committed is a difference to nothing."""
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "train.py").write_text("print(1)\n")
    state = describe_git(tmp_path)
    assert tuple(state.fields[name] for name in ("git_commit", "git_branch", "git_dirty")) == ("", "main", True)
    assert b"+print(1)\n" in state.diff


def test_no_repository_is_empty(tmp_path: Path) -> None:
    """Outside of a repository, and in a directory that is gone, nothing is said."""
    assert describe_git(tmp_path).fields == EMPTY
    assert describe_git(tmp_path / "gone").fields == EMPTY


def test_the_repository_is_that_of_the_script(repository: Path, tmp_path: Path) -> None:
    """Whatever directory it is started in; a command is looked for there, and so is code that is typed in."""
    lines = "from trailhouse.capture.git import describe_git; print(describe_git().fields['git_commit'])"
    (repository / "train.py").write_text(lines)
    commit = git(repository, "rev-parse", "HEAD")
    for arguments, place, expected in (
        ([str(repository / "train.py")], tmp_path, commit),
        (["-c", lines], repository, commit),
        (["-c", lines], tmp_path, ""),
    ):
        command = [sys.executable, *arguments]
        assert expected == subprocess.run(command, cwd=place, check=True, capture_output=True, text=True).stdout.strip()


def test_no_git_is_empty(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the program is not installed, nothing is said."""
    monkeypatch.setenv("PATH", "")
    assert describe_git(repository).fields == EMPTY


def test_a_git_that_hangs_is_not_waited_for(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system that does not answer must not hold up a run."""
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("trailhouse.capture.git.TIMEOUT_SECONDS", 0.3)
    assert describe_git(repository).fields == EMPTY


def test_a_work_tree_that_takes_too_long_has_its_commit(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What matters most is asked first; what git did not say in time is not known."""
    commit = git(repository, "rev-parse", "HEAD")
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\ncase "$*" in *" diff "*) exec sleep 60;; esac\nexec {shutil.which("git")} "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}{os.pathsep}{os.environ['PATH']}")
    fields = describe_git(repository).fields
    assert (commit, "main", None) == tuple(fields[name] for name in ("git_commit", "git_branch", "git_dirty"))


def test_a_hook_of_another_repository_does_not_mislead(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git tells its hooks, and all that they start, which repository it is in."""
    commit = git(repository, "rev-parse", "HEAD")
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert commit == describe_git(repository).fields["git_commit"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:secret@example.com/a.git", "https://example.com/a.git"),
        ("https://token@example.com/a.git", "https://example.com/a.git"),
        ("https://example.com/a.git?private_token=x", "https://example.com/a.git"),
        ("ssh://git@example.com:22/a.git", "ssh://example.com:22/a.git"),
        ("git@example.com:team/a.git", "git@example.com:team/a.git"),
        ("/srv/git/a.git", "/srv/git/a.git"),
    ],
)
def test_credentials_are_cut_out_of_urls(url: str, expected: str) -> None:
    """What identifies the repository stays."""
    assert expected == strip_credentials(url)
