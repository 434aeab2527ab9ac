"""The units for systemd start commands that there are, and let them end in peace."""

from __future__ import annotations

import importlib
from configparser import ConfigParser
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from trailhouse_cli.main import COMMANDS

if TYPE_CHECKING:
    import click

_UNITS = sorted((Path(__file__).parents[2] / "deploy" / "systemd").glob("*.service"))


@pytest.mark.parametrize("file", _UNITS, ids=[file.stem for file in _UNITS])
def test_a_unit_runs_a_command_that_there_is(file: Path) -> None:
    """With options that it has; it is started again, and has time to finish the range at hand."""
    unit = ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(file.read_text("utf-8"))
    service = unit["Service"]
    program, name, *arguments = service["ExecStart"].split()
    assert program.endswith("/trailhouse")
    assert name in COMMANDS
    found = cast("click.Command", importlib.import_module(f"trailhouse_cli.commands.{name}").command)
    found.make_context(name, arguments)
    assert service["Restart"] == "always"
    assert int(service["TimeoutStopSec"]) >= 60
