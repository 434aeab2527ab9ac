"""The models, the checked-in schemas, the catalogue and the tables say the same."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from fastavro.schema import fingerprint, to_parsing_canonical_form

from trailhouse_schemas import events
from trailhouse_schemas.catalogue import CATALOGUE, by_model, by_name, by_topic
from trailhouse_schemas.compatibility import breaks, refuse_breaks
from trailhouse_schemas.errors import CompatibilityError, UnknownEventTypeError, UnknownSchemaError
from trailhouse_schemas.events.base import Event
from trailhouse_schemas.generate import generate, is_current, write_new_versions
from trailhouse_schemas.versions import by_fingerprint, latest, versions

NAMES = sorted(CATALOGUE)


def with_fields(schema: dict[str, Any], *fields: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a schema with more fields."""
    changed = copy.deepcopy(schema)
    changed["fields"] += fields
    return changed


@pytest.mark.parametrize("name", NAMES)
def test_the_newest_checked_in_schema_is_what_the_model_generates(name: str) -> None:
    """A changed model needs a new version, written by `trailhouse schemas generate`."""
    assert is_current(CATALOGUE[name])


@pytest.mark.parametrize("name", NAMES)
def test_every_version_can_follow_all_before_it(name: str) -> None:
    """FULL_TRANSITIVE over the whole history."""
    history = [version.schema for version in versions(name)]
    for number in range(1, len(history)):
        refuse_breaks(name, history[:number], history[number])


@pytest.mark.parametrize("name", NAMES)
def test_a_name_gives_record_topic_and_table(name: str) -> None:
    """One list, from which all names follow."""
    event_type = by_name(name)
    assert event_type.topic == f"trailhouse.{name}"
    assert event_type.table == name
    assert event_type.record == latest(name).schema["namespace"] + "." + latest(name).schema["name"]
    assert by_topic(event_type.topic) is event_type
    assert by_model(event_type.model) is event_type
    assert event_type.key in event_type.model.model_fields
    assert [f["name"] for f in latest(name).schema["fields"]][:10] == list(Event.ENVELOPE)


def test_every_event_model_is_in_the_catalogue() -> None:
    """No model is forgotten, none is there twice."""
    models = {m for m in vars(events).values() if isinstance(m, type) and issubclass(m, Event) and m is not Event}
    assert {event_type.model for event_type in CATALOGUE.values()} == models
    assert len(CATALOGUE) == 18


@pytest.mark.parametrize("name", NAMES)
def test_every_field_is_documented(name: str) -> None:
    """Whoever reads the schema alone can understand it."""
    record = re.compile(r'"type": "record"')
    assert record.search(json.dumps(latest(name).schema))
    for field in latest(name).schema["fields"]:
        assert field.get("doc"), field["name"]


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    """The error names the thing and the way out."""
    with pytest.raises(UnknownEventTypeError, match="'metrics' is not known; did you mean 'metrics_logged'"):
        by_name("metrics")
    with pytest.raises(UnknownEventTypeError, match="'q' is not known; list them with 'trailhouse schemas list'"):
        by_topic("q")
    with pytest.raises(UnknownSchemaError, match="0011223344556677"):
        by_fingerprint(bytes.fromhex("0011223344556677"))


def test_the_fingerprint_is_that_of_the_specification() -> None:
    """Avro's specification gives CRC-64-AVRO of the schema "null" as 63dd24e7cc258f8a, on the wire little-endian."""
    assert fingerprint(to_parsing_canonical_form("null"), "CRC-64-AVRO") == "8a8f25cce724dd63"


def test_a_new_field_with_a_default_is_let_through() -> None:
    """The one way in which a schema may grow."""
    schema = latest("run_started").schema
    assert breaks(schema, with_fields(schema, {"name": "colour", "type": "string", "default": ""})) == []


def test_a_new_field_without_a_default_is_refused() -> None:
    """Old data could not be read with it."""
    schema = latest("run_started").schema
    (found,) = breaks(schema, with_fields(schema, {"name": "colour", "type": "string"}))
    assert str(found) == "colour: is new and has no default; give it one"


def test_a_removed_field_is_refused_although_avro_would_allow_it() -> None:
    """The warehouse has a column for it, and old data its values."""
    schema = latest("run_started").schema
    less = {**schema, "fields": [f for f in schema["fields"] if f["name"] != "git_branch"]}
    (found,) = breaks(schema, less)
    assert str(found) == "git_branch: is gone; a field is never removed or renamed"


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("rank", "double"),
        ("run_id", "bytes"),
        ("occurred_at", {"type": "long", "logicalType": "timestamp-millis"}),
        ("git_dirty", ["null", "string"]),
    ],
)
def test_a_retyped_field_is_refused(field: str, changed: object) -> None:
    """Also where only the logical type changes, which Avro itself does not look at."""
    schema = copy.deepcopy(latest("run_started").schema)
    new = copy.deepcopy(schema)
    (found_field,) = (f for f in new["fields"] if f["name"] == field)
    found_field["type"] = changed
    (found,) = breaks(schema, new)
    assert found.field == field
    assert "never retyped" in found.reason


def test_a_change_inside_a_nested_record_is_seen() -> None:
    """Points are records of their own."""
    schema = latest("metrics_logged").schema
    new = copy.deepcopy(schema)
    (points,) = (f for f in new["fields"] if f["name"] == "points")
    points["type"]["items"]["fields"].append({"name": "unit", "type": "string"})
    assert [b.field for b in breaks(schema, new)] == ["points.unit"]


def test_a_break_of_any_earlier_version_is_refused_with_its_number() -> None:
    """Transitive: not only the version before counts."""
    first = latest("run_started").schema
    second = with_fields(first, {"name": "colour", "type": "string", "default": ""})
    third = with_fields(first, {"name": "colour", "type": "long", "default": 0})
    refuse_breaks("run_started", [first], third)
    with pytest.raises(CompatibilityError, match="cannot follow its version 2: colour: was"):
        refuse_breaks("run_started", [first, second], third)


def test_schemas_that_are_current_get_no_new_version(tmp_path: Any) -> None:
    """Generating twice writes once."""
    assert write_new_versions(tmp_path) == []
    assert generate(CATALOGUE["run_started"]) == latest("run_started").schema
