"""`trailhouse schemas`: the gate that a new version has to pass, and the way into a registry."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient

from trailhouse_cli.main import main
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.registry import subject_of
from trailhouse_schemas.versions import latest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trailhouse_cli.servers.registry import RegistryServer

NAME = "run_finished"


def typed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Type `trailhouse schemas …`; return the exit code and what is printed and said."""
    with pytest.raises(SystemExit) as ended:
        main(["schemas", *arguments])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def candidate(folder: Path, change: Callable[[list[Any]], object]) -> str:
    """Write a version of the schema whose fields were changed."""
    schema = copy.deepcopy(latest(NAME).schema)
    change(schema["fields"])
    file = folder / "2.avsc"
    file.write_text(json.dumps(schema))
    return str(file)


def field(fields: list[Any], name: str) -> dict[str, Any]:
    """Return one of the fields."""
    found: dict[str, Any] = next(each for each in fields if each["name"] == name)
    return found


def test_what_is_checked_in_passes(capsys: pytest.CaptureFixture[str]) -> None:
    """The models are what is checked in, and no version breaks another."""
    assert typed(capsys, "check") == (0, f"{len(CATALOGUE)} checked, 0 with problems\n", "")


def test_a_new_field_with_a_default_passes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The one change that there is."""
    file = candidate(tmp_path, lambda fields: fields.append({"name": "colour", "type": "string", "default": ""}))
    assert typed(capsys, "check", "--candidate", file, "--type", NAME)[:2] == (0, "1 checked, 0 with problems\n")


@pytest.mark.parametrize(
    ("change", "named", "reason"),
    [
        (lambda fields: fields.remove(field(fields, "exit_code")), "exit_code", "is gone"),
        (lambda fields: field(fields, "status").update(name="state"), "status", "never removed or renamed"),
        (lambda fields: field(fields, "status").update(type="long"), "status", "never retyped"),
        (lambda fields: fields.append({"name": "colour", "type": "string"}), "colour", "has no default"),
        (lambda fields: field(fields, "occurred_at").update(type="long"), "occurred_at", "never retyped"),
    ],
    ids=["removed", "renamed", "retyped", "without a default", "without its logical type"],
)
def test_a_break_is_refused_with_the_field_and_the_reason(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, change: Callable[[list[Any]], object], named: str, reason: str
) -> None:
    """Exit code 1, for the gate."""
    code, printed, _ = typed(capsys, "check", "--candidate", candidate(tmp_path, change), "--type", NAME)
    assert code == 1
    assert f"{named}: " in printed
    assert reason in printed
    assert printed.endswith("1 checked, 1 with problems\n")


@pytest.mark.parametrize(
    ("content", "arguments", "said"),
    [
        (None, ["--type", NAME], "cannot be read"),
        ("", ["--type", NAME], "is no JSON"),
        ('"string"', ["--type", NAME], "is no Avro record"),
        ("{}", [], "--candidate needs --type"),
        ("{}", ["--type", "nothing"], "Event type 'nothing' is not known"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str | None, arguments: list[str], said: str
) -> None:
    """The line names it."""
    file = tmp_path / "2.avsc"
    if content is not None:
        file.write_text(content)
    code, _, error = typed(capsys, "check", "--candidate", str(file), *arguments)
    assert (code, error.count("\n")) == (2, 1)
    assert said in error


def test_registering_without_a_registry_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither set nor answering."""
    code, _, error = typed(capsys, "register")
    assert (code, "TRAILHOUSE_REGISTRY" in error, error.count("\n")) == (2, True, 1)
    code, _, error = typed(capsys, "register", "--registry", "http://127.0.0.1:9")
    assert (code, "127.0.0.1:9 does not answer" in error, error.count("\n")) == (2, True, 1)


@pytest.mark.registry
def test_all_schemas_are_registered_and_none_twice(
    capsys: pytest.CaptureFixture[str], registry: RegistryServer
) -> None:
    """Under Confluent's names for subjects, as they are checked in."""
    code, printed, _ = typed(capsys, "register", "--registry", registry.url)
    assert (code, printed.splitlines()[-1][: len(registry.url)]) == (0, registry.url)
    there = SchemaRegistryClient({"url": registry.url})
    for event_type in CATALOGUE.values():
        newest = there.get_latest_version(subject_of(event_type)).schema.schema_str
        assert newest is not None
        assert json.loads(newest)["name"] == event_type.model.__name__
    again = typed(capsys, "register", "--registry", registry.url)
    assert again[:2] == (0, f"{registry.url} has all {len(CATALOGUE)} event types (0 versions registered now)\n")
