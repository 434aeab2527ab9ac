"""Promises of the shape: five distributions, arrows that point one way, light imports, names that hold."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]

#: Directory of each member, its distribution, its package, and the members that it may need.
_MEMBERS = {
    "schemas": ("trailhouse-schemas", "trailhouse_schemas", set[str]()),
    "producer": ("trailhouse", "trailhouse", {"trailhouse-schemas"}),
    "consumer": ("trailhouse-consumer", "trailhouse_consumer", {"trailhouse-schemas"}),
    "analytics": ("trailhouse-analytics", "trailhouse_analytics", {"trailhouse-schemas"}),
    "cli": (
        "trailhouse-cli",
        "trailhouse_cli",
        {"trailhouse-schemas", "trailhouse", "trailhouse-consumer", "trailhouse-analytics"},
    ),
}
_PACKAGES = [package for _, package, _ in _MEMBERS.values()]
#: What takes long to import, and has no place where a training script or `trailhouse --help` starts.
_HEAVY = {"chdb", "clickhouse_connect", "confluent_kafka", "pandas", "plotly", "polars", "pyarrow", "scipy", "sklearn"}
_NAME = re.compile(r"[\w.-]+")


def _modules() -> list[str]:
    """Return the name of every module of every member."""
    names = []
    for package in _PACKAGES:
        paths = importlib.import_module(package).__path__
        names += [package, *(m.name for m in pkgutil.walk_packages(paths, f"{package}.") if "__main__" not in m.name)]
    return names


def _needs(requirements: list[str]) -> set[str]:
    """Return the names of the distributions in a list of requirements."""
    return {match.group() for requirement in requirements if (match := _NAME.match(requirement))}


def _loaded_after(statement: str) -> set[str]:
    """Return which heavy packages a fresh Python has after that statement."""
    code = f"import sys, json; {statement}; print(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(answer.stdout.splitlines()[-1])) & _HEAVY


def test_the_arrows_between_the_members_hold() -> None:
    """No import goes against the contract in pyproject.toml."""
    program = Path(sys.executable).with_name("lint-imports")
    answer = subprocess.run([program, "--no-cache"], cwd=_ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout


def test_the_contract_is_about_every_member() -> None:
    """No package escapes it."""
    settings = tomllib.loads((_ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert sorted(settings["root_packages"]) == sorted(_PACKAGES)
    (contract,) = settings["contracts"]
    assert sorted(re.split(r"[ |]+", " ".join(contract["layers"]))) == sorted(_PACKAGES)


@pytest.mark.parametrize("member", _MEMBERS)
def test_a_member_requires_only_members_along_the_arrows(member: str) -> None:
    """What is installed follows the same arrows as what is imported, extras too."""
    distribution, package, may_need = _MEMBERS[member]
    project = tomllib.loads((_ROOT / member / "pyproject.toml").read_text())["project"]
    assert project["name"] == distribution
    requirements = project["dependencies"] + [r for rs in project.get("optional-dependencies", {}).values() for r in rs]
    members = {name for name, _, _ in _MEMBERS.values()}
    assert _needs(requirements) & members <= may_need
    assert (_ROOT / member / "src" / package / "py.typed").is_file()
    assert metadata.version(distribution) == project["version"]


def test_all_members_are_of_one_version_python_and_licence() -> None:
    """They are released together."""
    projects = [tomllib.loads((_ROOT / member / "pyproject.toml").read_text())["project"] for member in _MEMBERS]
    for field in ("version", "requires-python", "license"):
        assert len({project[field] for project in projects}) == 1
    assert projects[0]["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in (_ROOT / "LICENSE").read_text()


def test_a_training_image_needs_no_warehouse_and_no_statistics() -> None:
    """What `pip install trailhouse` brings, extras aside."""
    project = tomllib.loads((_ROOT / "producer" / "pyproject.toml").read_text())["project"]
    assert not _needs(project["dependencies"]) & {"chdb", "clickhouse-connect", "pandas", "scipy", "plotly", "pyarrow"}


def test_importing_trailhouse_is_light() -> None:
    """A training script pays for what it uses."""
    assert _loaded_after("import trailhouse") == set()


def test_help_imports_nothing_heavy() -> None:
    """`trailhouse --help` answers at once, because commands are imported when they are called."""
    statement = "from trailhouse_cli.main import cli; cli(['--help'], standalone_mode=False)"
    assert _loaded_after(statement) == set()


@pytest.mark.parametrize("name", _modules())
def test_what_a_module_exports_is_there_and_once(name: str) -> None:
    """`__all__` names what the module has, each once."""
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", [])
    assert len(set(exported)) == len(exported)
    assert [missing for missing in exported if not hasattr(module, missing)] == []


@pytest.mark.parametrize("name", _modules())
def test_a_module_says_why_it_exists(name: str) -> None:
    """Each has a docstring."""
    assert (importlib.import_module(name).__doc__ or "").strip()
