"""The fast decoder against fastavro, and against everything that is not what it should be."""

from __future__ import annotations

import io
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyruhvro
import pytest
from fastavro import schemaless_reader, schemaless_writer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collected import heartbeat, metrics, new_producer_id, record
from trailhouse_consumer.dead_letters import Reason
from trailhouse_consumer.decode import Decoder
from trailhouse_consumer.sizes import encoded_sizes
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.errors import UnknownSchemaError
from trailhouse_schemas.versions import latest
from trailhouse_schemas.wire import SINGLE_OBJECT_HEADER_BYTES, encode, registry_header, with_registry_header

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

LONGS = st.integers(-(1 << 63), (1 << 63) - 1)
#: What pyarrow turns into datetimes of Python: years 1 to 9999.
TIMES = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)


def values_of(schema: Any, names: dict[str, Any]) -> SearchStrategy[Any]:  # noqa: PLR0911 - one a kind of schema
    """Return a strategy for values of an Avro schema; times are plain numbers."""
    if isinstance(schema, list):
        return st.one_of([values_of(option, names) for option in schema])
    if isinstance(schema, str):
        primitive: dict[str, SearchStrategy[Any]] = {
            "null": st.none(),
            "boolean": st.booleans(),
            "long": LONGS,
            "double": st.floats(),
            "string": st.text(max_size=12),
        }
        return primitive[schema] if schema in primitive else values_of(names[schema], names)
    if schema.get("logicalType") == "timestamp-micros":
        return TIMES
    if schema["type"] == "array":
        return st.lists(values_of(schema["items"], names), max_size=3)
    if schema["type"] == "map":
        return st.dictionaries(st.text(max_size=5), values_of(schema["values"], names), max_size=3)
    if schema["type"] == "record":
        names[schema["name"]] = names[f"trailhouse.{schema['name']}"] = schema
        return st.fixed_dictionaries({f["name"]: values_of(f["type"], names) for f in schema["fields"]})
    return values_of(schema["type"], names)


def plain(value: Any) -> Any:
    """Return a decoded value in a form in which NaN is itself, times are numbers and maps are sorted pairs."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value
    if hasattr(value, "timestamp"):
        return value.replace(tzinfo=None)
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def map_fields(schema: dict[str, Any]) -> set[str]:
    """Return the fields that are maps."""
    return {f["name"] for f in schema["fields"] if isinstance(f["type"], dict) and f["type"]["type"] == "map"}


@pytest.mark.parametrize("name", sorted(CATALOGUE))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_record_decodes_as_fastavro_decodes_it(name: str, data: st.DataObject) -> None:
    """Random records of every type: the same values by both."""
    newest = latest(name)
    records = data.draw(st.lists(values_of(newest.schema, {}), min_size=1, max_size=4))
    values = []
    for each in records:
        body = io.BytesIO()
        schemaless_writer(body, newest.parsed, each)
        values.append(newest.header + body.getvalue())
    decoded = Decoder(CATALOGUE[name]).decode(values)
    assert decoded.dead == []
    oracle = [
        schemaless_reader(io.BytesIO(value[SINGLE_OBJECT_HEADER_BYTES:]), newest.parsed, None) for value in values
    ]
    rows = decoded.records.to_pylist(maps_as_pydicts="strict")
    assert [plain(row) for row in rows] == [plain(row) for row in oracle]


#: They have booleans, or name a type a second time.
UNTOLD = {"price_set", "run_started", "model_logged"}


@pytest.mark.parametrize("name", sorted(CATALOGUE))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_records_are_as_long_as_their_columns_say(name: str, data: st.DataObject) -> None:
    """So that they need not be encoded again to find out how they were spelt."""
    newest = latest(name)
    bodies = []
    for each in data.draw(st.lists(values_of(newest.schema, {}), min_size=1, max_size=4)):
        body = io.BytesIO()
        schemaless_writer(body, newest.parsed, each)
        bodies.append(body.getvalue())
    found = encoded_sizes(pyruhvro.deserialize_array(bodies, json.dumps(newest.schema)), newest.schema)
    assert found is not None or name in UNTOLD
    if found is not None:
        assert np.broadcast_to(found[0], len(bodies)).tolist() == [len(body) for body in bodies]


def test_an_integer_with_bits_that_do_not_fit_is_a_dead_letter() -> None:
    """The record is as long as it should be, and pyruhvro drops them."""
    producer_id = new_producer_id()
    good = metrics(producer_id, -(1 << 63))
    widest = b"\xff" * 9 + b"\x01"
    values = [good, good.replace(widest, b"\xff" * 9 + b"\x03", 1), good]
    assert len(set(values)) == 2
    decoded = Decoder(CATALOGUE["metrics_logged"]).decode(values)
    assert [(letter.place, letter.reason) for letter in decoded.dead] == [(1, Reason.UNDECODABLE)]
    assert decoded.records.column("sequence").to_pylist() == [-(1 << 63)] * 2


def test_a_bad_value_is_found_among_good_ones_and_is_in_nobodys_way() -> None:
    """Truncated, with bytes left over, of invalid text, of numbers too long, empty, null, without a header."""
    producer_id = new_producer_id()
    good = metrics(producer_id, 0)
    broken_text = good.replace(b"project", b"proj\xffct")
    assert broken_text != good
    bad = [good[:-3], good + b"x", broken_text, good[:10] + b"\xff" * 40, b"", None, b"junk", good[:4], b"\x00\x01"]
    values = [
        bad[place // 10] if place % 10 == 5 and place // 10 < len(bad) else metrics(producer_id, place)
        for place in range(200)
    ]
    decoded = Decoder(CATALOGUE["metrics_logged"]).decode(values)
    dead = {letter.place: letter.reason for letter in decoded.dead}
    assert sorted(dead) == [10 * n + 5 for n in range(len(bad))]
    assert [dead[10 * n + 5] for n in range(4)] == [Reason.UNDECODABLE] * 4
    assert {dead[10 * n + 5] for n in range(4, 9)} == {Reason.NO_HEADER}
    assert decoded.places.tolist() == [place for place in range(200) if place not in dead]
    assert decoded.records.column("sequence").to_pylist() == decoded.places.tolist()


def test_a_value_of_another_type_is_a_dead_letter() -> None:
    """Its bytes might decode to nonsense."""
    producer_id = new_producer_id()
    decoded = Decoder(CATALOGUE["metrics_logged"]).decode([heartbeat(producer_id, 0), metrics(producer_id, 1)])
    assert [(letter.place, letter.reason) for letter in decoded.dead] == [(0, Reason.WRONG_SCHEMA)]
    assert decoded.places.tolist() == [1]


def test_an_unknown_schema_is_a_dead_letter() -> None:
    """Nobody knows that fingerprint."""
    decoded = Decoder(CATALOGUE["metrics_logged"]).decode([b"\xc3\x01" + bytes(8) + b"body"])
    assert [letter.reason for letter in decoded.dead] == [Reason.UNKNOWN_SCHEMA]


class Known:
    """A registry that knows these schemas."""

    def __init__(self, schemas: dict[int, dict[str, Any]]) -> None:
        """Take them by id."""
        self.schemas = schemas

    def schema_of(self, registry_id: int) -> dict[str, Any]:
        """Return one."""
        if registry_id not in self.schemas:
            raise UnknownSchemaError(f"Schema id {registry_id} is not known")
        return self.schemas[registry_id]


def test_both_headers_may_be_mixed_in_one_range() -> None:
    """A topic that changes over from one to the other has a place where they meet."""
    producer_id = new_producer_id()
    single = [metrics(producer_id, i) for i in range(6)]
    mixed = [with_registry_header(value, 7) if i % 2 else value for i, value in enumerate(single)]
    decoded = Decoder(CATALOGUE["metrics_logged"], Known({7: latest("metrics_logged").schema})).decode(mixed)
    assert decoded.dead == []
    assert decoded.records.column("sequence").to_pylist() == [0, 1, 2, 3, 4, 5]


def test_without_a_registry_its_values_are_dead_letters_with_the_way_out() -> None:
    """Any bytes may begin with that zero, and must not stop a partition; replay lands what was meant."""
    value = with_registry_header(metrics(new_producer_id(), 0), 7)
    (letter,) = Decoder(CATALOGUE["metrics_logged"]).decode([value]).dead
    assert letter.reason == Reason.UNKNOWN_SCHEMA
    assert "TRAILHOUSE_REGISTRY" in letter.detail


def test_an_id_that_the_registry_does_not_know_is_a_dead_letter() -> None:
    """It never will be."""
    decoded = Decoder(CATALOGUE["metrics_logged"], Known({})).decode([registry_header(9) + b"body"])
    assert [letter.reason for letter in decoded.dead] == [Reason.UNKNOWN_SCHEMA]


def with_registry_schema(schema: dict[str, Any], fields: dict[str, Any]) -> bytes:
    """Return a value that was written with another schema, registered as 7."""
    body = io.BytesIO()
    schemaless_writer(body, schema, fields)
    return registry_header(7) + body.getvalue()


def test_fields_that_an_older_writer_does_not_have_get_their_defaults() -> None:
    """Whole columns of defaults beside records of the newest version."""
    older = json.loads(latest("heartbeat_sent").text)
    older["fields"] = [f for f in older["fields"] if f["name"] not in {"points_dropped", "clock_offset_us"}]
    producer_id = new_producer_id()
    fields = {
        "phase": "alive",
        "subject_producer_id": producer_id,
        "process_id": 1,
        "events_emitted": 0,
        "events_dropped": 0,
        "clock_offset_us": 5,
    }
    values = [
        with_registry_schema(older, record("heartbeat_sent", producer_id, 0, **fields)),
        encode(latest("heartbeat_sent"), record("heartbeat_sent", producer_id, 1, **fields)),
    ]
    decoded = Decoder(CATALOGUE["heartbeat_sent"], Known({7: older})).decode(values)
    assert decoded.dead == []
    assert decoded.records.column("points_dropped").to_pylist() == [0, 0]
    assert decoded.records.column("clock_offset_us").to_pylist() == [None, 5]


def test_an_older_nested_record_is_resolved_too() -> None:
    """A field within a field: by fastavro, after the newest schema."""
    older = json.loads(latest("model_logged").text)
    (features,) = (f for f in older["fields"] if f["name"] == "features")
    nested = features["type"]["items"]
    nested["fields"] = [f for f in nested["fields"] if f["name"] != "importance_method"]
    fields = record("model_logged", new_producer_id(), 0, model_id="m")
    fields["features"] = [{"name": "age", "source_dataset_id": "d", "source_column": "age", "importance": 0.5}]
    decoded = Decoder(CATALOGUE["model_logged"], Known({7: older})).decode([with_registry_schema(older, fields)])
    assert decoded.dead == []
    (feature,) = decoded.records.column("features").to_pylist()[0]
    assert feature["importance_method"] == ""
    assert feature["name"] == "age"


def test_a_field_that_the_table_lacks_is_a_dead_letter_with_the_way_out() -> None:
    """Landing it without the field would lose it silently."""
    newer = json.loads(latest("heartbeat_sent").text)
    newer["fields"].append({"name": "mood", "type": "string", "default": ""})
    fields = record("heartbeat_sent", new_producer_id(), 0, phase="alive", subject_producer_id="x", process_id=1)
    fields |= {"events_emitted": 0, "events_dropped": 0, "mood": "good"}
    decoded = Decoder(CATALOGUE["heartbeat_sent"], Known({7: newer})).decode([with_registry_schema(newer, fields)])
    (letter,) = decoded.dead
    assert letter.reason == Reason.UNKNOWN_FIELD
    assert "mood" in letter.detail
    assert "trailhouse migrate" in letter.detail


def test_blocks_that_another_encoder_writes_are_decoded_too() -> None:
    """Avro lets an array be written in several blocks, with sizes: not what our producer writes, and valid."""
    newest = latest("parameters_logged")
    value = encode(newest, record("parameters_logged", new_producer_id(), 0, parameters={"a": "1"}))
    entry = b"\x02a\x021"
    assert value.endswith(b"\x02" + entry + b"\x00")
    sized = value[: -len(entry) - 2] + b"\x01" + b"\x08" + entry + b"\x00"
    decoded = Decoder(CATALOGUE["parameters_logged"]).decode([sized])
    assert decoded.dead == []
    assert decoded.records.column("parameters").to_pylist() == [[("a", "1")]]
