"""Promises of what a clone installs and of the Makefile: one list, pinned, without anybody's registry."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_MEMBERS = ("schemas", "producer", "consumer", "analytics", "cli")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


def _normal(name: str) -> str:
    """Return the name of a distribution as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _names(lines: list[str]) -> set[str]:
    """Return the distributions that requirement lines name."""
    return {_normal(match.group()) for line in lines if (match := _NAME.match(line.strip()))}


def _constraints() -> list[str]:
    return (_ROOT / "constraints.txt").read_text().splitlines()


def _development() -> list[str]:
    return (_ROOT / "requirements-dev.txt").read_text().splitlines()


def _requirements() -> list[str]:
    """Return the requirements of all members, extras too."""
    found: list[str] = []
    for member in _MEMBERS:
        project = tomllib.loads((_ROOT / member / "pyproject.toml").read_text())["project"]
        found += project["dependencies"]
        found += [r for extra in project.get("optional-dependencies", {}).values() for r in extra]
    return [requirement for requirement in found if not requirement.startswith("trailhouse")]


def test_every_dependency_is_pinned() -> None:
    """What members and tools name has a version in constraints.txt."""
    wanted = _names(_requirements()) | _names([line for line in _development() if not line.startswith(("#", "-e"))])
    assert wanted - _names(_constraints()) == set()


def test_the_constraints_are_pins_and_name_no_host() -> None:
    """One version a line, and a condition at most: no URL, no path, no option."""
    for line in _constraints():
        assert re.fullmatch(r"[a-z0-9-]+==[0-9A-Za-z.+!]+( ; [\w.<>=!' ()]+)?", line.replace("\r", "")), line


def test_a_clone_installs_every_member() -> None:
    """Editable, with extras."""
    installed = {re.sub(r"^-e \./|\[.*", "", line) for line in _development() if line.startswith("-e")}
    assert installed == set(_MEMBERS)


def test_every_dependency_has_its_reason() -> None:
    """docs/dependencies.md has a line for each, and none for what is gone."""
    rows = re.findall(r"^\| `([^`]+)` \|", (_ROOT / "docs" / "dependencies.md").read_text(), re.MULTILINE)
    tools = _names([line for line in _development() if not line.startswith(("#", "-e"))])
    assert sorted(_normal(row) for row in rows) == sorted(_names(_requirements()) | tools)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The Makefile by itself, in a directory where nothing is installed."""
    shutil.copy(_ROOT / "Makefile", tmp_path)
    for name in ("requirements-dev.txt", "constraints.txt"):
        (tmp_path / name).touch()
    for member in _MEMBERS:
        (tmp_path / member).mkdir()
        (tmp_path / member / "pyproject.toml").touch()
    return tmp_path


def _make(clone: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": path or os.environ["PATH"], "HOME": str(clone)}
    make = shutil.which("make")
    assert make is not None
    return subprocess.run([make, *arguments], cwd=clone, env=environment, capture_output=True, text=True, check=False)


def _program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("target", ["demo", "demo-kafka", "test", "lint", "soak", "bench", "kafka", "torch"])
def test_a_missing_python_is_said_in_one_line(target: str, clone: Path) -> None:
    """With the way out, whatever the target."""
    _program(clone / "bin" / "python3", "exit 1")
    for tool in ("bash", "sh", "test"):
        (clone / "bin" / tool).symlink_to(shutil.which(tool) or tool)
    answer = _make(clone, target, path=str(clone / "bin"))
    assert answer.returncode != 0
    told = [line for line in answer.stderr.splitlines() if not line.startswith("make")]
    assert told == ["Python 3.11 or newer is missing: install it, or name it: make PYTHON=/path/to/python3"]


def test_a_python_without_venv_is_said_in_one_line(clone: Path) -> None:
    """Debian's Python alone has none."""
    _program(clone / "old" / "python3", 'case "$*" in *venv*) exit 1;; --version) echo Python 3.12.0;; esac')
    answer = _make(clone, "test", f"PYTHON={clone}/old/python3")
    assert answer.returncode != 0
    told = [line for line in answer.stderr.splitlines() if not line.startswith("make")]
    assert len(told) == 1
    assert "apt install python3-venv" in told[0]
    assert not (clone / ".venv").exists()


def test_what_is_installed_is_not_installed_again(clone: Path) -> None:
    """Twice in a row installs once; a changed list installs again."""
    for program in ("python", "uv", "pytest"):
        _program(clone / ".venv" / "bin" / program, f'echo {program} "$@" >> {clone}/calls')
    assert _make(clone, "test").returncode == 0
    assert _make(clone, "test", "ARGS=-k some").returncode == 0
    installed = (clone / ".venv" / ".installed").stat().st_mtime
    calls = (clone / "calls").read_text().splitlines()
    assert [call.split()[0] for call in calls] == ["uv", "python", "pytest", "python", "pytest"]
    assert calls[-1].endswith(" -k some")
    os.utime(clone / "cli" / "pyproject.toml", (installed + 5, installed + 5))
    assert _make(clone, "test").returncode == 0
    assert [call.split()[0] for call in (clone / "calls").read_text().splitlines()[5:]] == ["uv", "python", "pytest"]


def test_help_names_every_target(clone: Path) -> None:
    """And is what `make` alone does."""
    answer = _make(clone)
    assert answer.returncode == 0
    targets = {line.split()[0] for line in answer.stdout.splitlines()}
    assert {"demo", "demo-kafka", "test", "lint", "soak", "bench", "kafka", "clean", "help"} <= targets


def test_the_gate_lints_and_tests() -> None:
    """.ci/run can be run, and stops at the first failure."""
    script = _ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    text = script.read_text()
    assert "set -euo pipefail" in text
    assert re.findall(r"^make (\w+)$", text, re.MULTILINE) == ["lint", "test"]
