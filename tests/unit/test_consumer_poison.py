"""Whatever bytes come: each message is landed or kept whole, and what becomes of one does not depend on the others."""

from __future__ import annotations

import io
import json
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fastavro import schemaless_reader, schemaless_writer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collected import NOW, full_record, heartbeat, metrics, new_producer_id, record
from poisoned import good_value, mutated
from trailhouse_consumer import scan
from trailhouse_consumer.dead_letters import Reason
from trailhouse_consumer.decode import Decoder
from trailhouse_consumer.rows import make_rows
from trailhouse_consumer.scan import Scan
from trailhouse_consumer.sources import Messages, Partition
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.errors import RegistryUnavailableError
from trailhouse_schemas.versions import latest
from trailhouse_schemas.wire import SINGLE_OBJECT_HEADER_BYTES, encode, identity_to_bytes, registry_header

if TYPE_CHECKING:
    from collections.abc import Sequence

PRODUCER = new_producer_id()
#: What Avro does not allow and fastavro lets pass.
STRICTER = ("neither 0 nor 1", "names a branch", "more than 64 bits")


def messages(values: Sequence[bytes | None]) -> Messages:
    """Return messages of one producer at offsets 0, 1, …, published now, with keys and headers."""
    return Messages(
        offsets=np.arange(len(values)),
        published_us=np.full(len(values), int(NOW.timestamp() * 1e6)),
        values=list(values),
        identities=[identity_to_bytes(PRODUCER, place) for place in range(len(values))],
        keys=[b"\xffkey %d" % place if place % 3 else None for place in range(len(values))],
        odd_headers={5: [("th", identity_to_bytes(PRODUCER, 5)), ("trace", b"\xfe\x00"), ("trace", b"")]},
    )


def plain(value: Any) -> Any:
    """Return a decoded value so that NaN is itself, and times and maps compare whoever has decoded them."""
    if isinstance(value, float):
        return value if value == value else "nan"  # noqa: PLR0124 - which NaN is not
    if hasattr(value, "timestamp"):
        return value.replace(tzinfo=None)
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("seed", [1, 2])
def test_of_ten_thousand_fuzzed_messages_the_good_ones_land_and_the_bad_ones_are_kept_whole(seed: int) -> None:
    """5,000 good ones between 5,000 mutations of several types, through all that comes before the warehouse."""
    print(f"seed {seed}")  # noqa: T201 - to have it again
    chance = random.Random(seed)  # noqa: S311 - noise, not secrets
    good = [good_value("metrics_logged", PRODUCER, place) for place in range(10_000)]
    others = [*good[:50], *(good_value(name, PRODUCER, 1) for name in sorted(CATALOGUE))]
    values = [mutated(value, others, chance) if place % 2 else value for place, value in enumerate(good)]
    sent = messages(values)
    partition = Partition("trailhouse.metrics_logged", "topic-id", 0)
    rows = make_rows(partition, sent, Decoder(partition.event_type), None, whole=True)
    landed = set(rows.table.column("_offset").to_pylist())
    letters = rows.dead_letters.to_pylist()
    dead = {letter["_offset"] for letter in letters}
    assert landed | dead == set(range(10_000))
    assert not landed & dead
    assert {place for place in range(10_000) if values[place] == good[place]} <= landed
    assert len(dead) > 4_000
    for letter in letters:
        place = letter["_offset"]
        assert letter["value"] == values[place]
        assert letter["message_key"] == sent.keys[place]
        assert [(h["name"], h["value"]) for h in letter["headers"]] == list(sent.headers_of(place))
        assert (letter["producer_id"], letter["sequence"]) == (PRODUCER, place)
        assert Reason(letter["reason"])
        assert letter["detail"]


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_what_becomes_of_a_mutation_is_what_fastavro_says(name: str) -> None:
    """400 mutations of each type in one batch: the same are decoded, to the same values; else Avro forbids them."""
    chance = random.Random(name)  # noqa: S311 - noise, not secrets
    newest, decoder = latest(name), Decoder(CATALOGUE[name])
    good = [good_value(name, PRODUCER, place) for place in range(400)]
    values = [newest.header + mutated(value, good, chance)[SINGLE_OBJECT_HEADER_BYTES:] for value in good]
    decoded = decoder.decode(values)
    dead = {letter.place: letter.detail for letter in decoded.dead}
    rows = {place: row for row, place in enumerate(decoded.places.tolist())}
    for place, value in enumerate(values):
        stream = io.BytesIO(value[SINGLE_OBJECT_HEADER_BYTES:])
        try:
            expected = schemaless_reader(stream, newest.parsed, None)
        except OverflowError:
            continue  # times that Python does not have: landing judges them
        except Exception:  # noqa: BLE001 - whatever the bytes lead it to
            assert place in dead, value
            continue
        if stream.read():
            assert place in dead, value
        elif place in dead:
            assert any(words in dead[place] for words in STRICTER), (value, dead[place])
        else:
            (found,) = decoded.records.slice(rows[place], 1).to_pylist(maps_as_pydicts="lossy")
            assert plain(found) == plain(expected)


@pytest.mark.parametrize("name", ["metrics_logged", "heartbeat_sent", "model_logged"])
def test_what_becomes_of_a_message_is_the_same_in_any_company(name: str) -> None:
    """Alone, among good ones, among bad ones: the same records, reasons and details."""
    chance = random.Random(name)  # noqa: S311 - noise, not secrets
    decoder = Decoder(CATALOGUE[name])
    good = [good_value(name, PRODUCER, place) for place in range(150)]
    values = [mutated(value, good, chance) for value in good]
    together = decoder.decode(values)
    among_good = decoder.decode([each for pair in zip(values, good, strict=True) for each in pair])
    alone = [decoder.decode([value]) for value in values]
    expected = {place: each.dead[0][1:] for place, each in enumerate(alone) if each.dead}
    assert {letter.place: letter[1:] for letter in together.dead} == expected
    assert {letter.place // 2: letter[1:] for letter in among_good.dead} == expected
    found = [row for each in alone for row in each.records.to_pylist()]
    assert repr(together.records.to_pylist()) == repr(found)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(sorted(CATALOGUE)), bodies=st.lists(st.binary(max_size=60), min_size=40, max_size=60))
def test_bytes_are_walked_together_as_they_are_alone(name: str, bodies: list[bytes]) -> None:
    """The same verdict by NumPy and by plain Python."""
    walked = Scan(latest(name).schema)
    assert walked.supported
    alone = {place: text for place, body in enumerate(bodies) for text in walked.faults([body], 0).values()}
    assert walked.faults(bodies, 0) == alone


def test_a_walk_in_stretches_is_one_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Places are counted through."""
    monkeypatch.setattr(scan, "_STRETCH_BYTES", 1000)
    values = [metrics(PRODUCER, place)[: -1 if place % 7 == 0 else None] for place in range(100)]
    assert sorted(Scan(latest("metrics_logged").schema).faults(values, 10)) == list(range(0, 100, 7))


def test_a_long_list_of_one_record_does_not_hold_up_the_others() -> None:
    """One of 200,000 points, cut short, among short ones: it is walked alone."""
    long = metrics(PRODUCER, 0, points=200_000)
    values = [long[:-1], long, *(metrics(PRODUCER, place) for place in range(1, 30))]
    found = Scan(latest("metrics_logged").schema).faults(values, 10)
    assert found == {0: "it ends within points"}


def test_values_of_ten_mebibytes_are_decoded_or_dead_like_others() -> None:
    """A text of that size in a good record, and the same bytes in a bad one."""
    long = metrics(PRODUCER, 0, dataset_digest="d" * (10 << 20))
    decoded = Decoder(CATALOGUE["metrics_logged"]).decode([long, long[:-1], long + b"\x00", metrics(PRODUCER, 3)])
    assert decoded.places.tolist() == [0, 3]
    assert {letter.place: letter.reason for letter in decoded.dead} == dict.fromkeys([1, 2], Reason.UNDECODABLE)


def test_what_is_not_finite_is_valid() -> None:
    """Losses diverge; that is a fact."""
    odd = [float("nan"), float("inf"), float("-inf"), 1.7976931348623157e308, 5e-324, -0.0]
    points = [{"name": "loss", "step": i, "value": value, "logged_at": NOW} for i, value in enumerate(odd)]
    value = encode(latest("metrics_logged"), record("metrics_logged", PRODUCER, 0, points=points))
    partition = Partition("trailhouse.metrics_logged", "topic-id", 0)
    rows = make_rows(partition, messages([value]), Decoder(partition.event_type), None, whole=True)
    assert len(rows.dead_letters) == 0
    assert repr(rows.table.column("value").to_pylist()) == repr(odd)


class Answers:
    """A registry that answers with this, whatever it is asked."""

    def __init__(self, schema: Any) -> None:
        """Take the schema, or the error."""
        self.schema = schema

    def schema_of(self, _: int) -> Any:
        """Return or raise it."""
        if isinstance(self.schema, Exception):
            raise self.schema
        return self.schema


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "record", "name": "MetricsLogged", "namespace": "trailhouse", "fields": [{"name": "a"}]},
        {"type": "record", "namespace": "trailhouse", "fields": []},
        {"type": "record", "name": "MetricsLogged", "namespace": "trailhouse"},
        {"type": "record", "name": "MetricsLogged", "namespace": "trailhouse", "fields": [{"name": "a", "type": "x"}]},
        {"type": "record", "name": "9", "namespace": "trailhouse", "fields": []},
        {"type": "record", "name": "Other", "namespace": "elsewhere", "fields": [{"name": "a", "type": "bytes"}]},
        json.JSONDecodeError("no JSON", "", 0),
    ],
)
def test_a_schema_that_is_none_of_ours_makes_dead_letters(schema: Any) -> None:
    """However broken the registry's answer is: the partition goes on."""
    decoded = Decoder(CATALOGUE["metrics_logged"], Answers(schema)).decode(
        [registry_header(7) + b"body", metrics(PRODUCER, 1)]
    )
    assert decoded.places.tolist() == [1]
    assert [(letter.place, letter.reason) for letter in decoded.dead] == [(0, Reason.WRONG_SCHEMA)]


@pytest.mark.parametrize("kind", ["bytes", "float", "int", {"type": "fixed", "name": "f", "size": 4}])
def test_a_field_of_a_type_that_we_do_not_have_makes_dead_letters(kind: Any) -> None:
    """The record is named like ours, and one of its fields is not what it should be."""
    schema = json.loads(latest("heartbeat_sent").text)
    (host,) = (field for field in schema["fields"] if field["name"] == "host")
    host["type"] = kind
    given_ = full_record("heartbeat_sent", PRODUCER, 0) | {"host": 1 if kind in ("float", "int") else b"host"}
    body = io.BytesIO()
    schemaless_writer(body, schema, given_)
    decoded = Decoder(CATALOGUE["heartbeat_sent"], Answers(schema)).decode(
        [registry_header(7) + body.getvalue(), heartbeat(PRODUCER, 1)]
    )
    assert 1 in decoded.places.tolist()
    if kind != "bytes":  # which Avro reads as text
        assert [letter.place for letter in decoded.dead] == [0]


def test_a_registry_that_does_not_answer_makes_all_wait() -> None:
    """Nothing of the range is a dead letter on its account."""
    decoder = Decoder(CATALOGUE["metrics_logged"], Answers(RegistryUnavailableError("away")))
    with pytest.raises(RegistryUnavailableError):
        decoder.decode([metrics(PRODUCER, 0), b"junk", registry_header(7) + b"body"])


def test_a_field_within_a_field_that_has_no_column_is_a_dead_letter() -> None:
    """Reading by the newest schema would drop it without a word."""
    newer = json.loads(latest("metrics_logged").text)
    (points,) = (field for field in newer["fields"] if field["name"] == "points")
    points["type"]["items"]["fields"].append({"name": "mood", "type": "string", "default": ""})
    fields = record("metrics_logged", PRODUCER, 0) | {
        "points": [{"name": "m", "step": 1, "value": 1.0, "logged_at": NOW, "mood": "good"}]
    }
    body = io.BytesIO()
    schemaless_writer(body, newer, fields)
    decoder = Decoder(CATALOGUE["metrics_logged"], Answers(newer))
    (letter,) = decoder.decode([registry_header(7) + body.getvalue()]).dead
    assert letter.reason == Reason.UNKNOWN_FIELD
    assert "points.mood" in letter.detail
    assert "dead-letters replay" in letter.detail


def test_a_table_that_lacks_a_column_takes_the_messages_without_it() -> None:
    """Those that have the field are kept aside; those of an older writer land."""
    older = json.loads(latest("heartbeat_sent").text)
    older["fields"] = [field for field in older["fields"] if field["name"] != "points_dropped"]
    columns = {field["name"] for field in older["fields"]}
    body = io.BytesIO()
    schemaless_writer(body, older, full_record("heartbeat_sent", PRODUCER, 0))
    decoder = Decoder(CATALOGUE["heartbeat_sent"], Answers(older), lambda: columns)
    decoded = decoder.decode([registry_header(7) + body.getvalue(), heartbeat(PRODUCER, 1)])
    assert decoded.places.tolist() == [0]
    assert "points_dropped" not in decoded.records.schema.names
    (letter,) = decoded.dead
    assert (letter.place, letter.reason) == (1, Reason.UNKNOWN_FIELD)
    assert "trailhouse migrate" in letter.detail
