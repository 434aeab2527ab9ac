"""What a range comes to: which records are valid, and their rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from collected import NOW, heartbeat, metrics, new_producer_id, record
from trailhouse_consumer import ranges, rows
from trailhouse_consumer.dead_letters import Reason
from trailhouse_consumer.decode import Decoder
from trailhouse_consumer.rows import Rows, make_rows
from trailhouse_consumer.sources import Messages, Partition
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.versions import latest
from trailhouse_schemas.warehouse import TRANSPORT_COLUMNS, row_columns
from trailhouse_schemas.wire import encode, identity_to_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

PRODUCER = new_producer_id()


def messages(
    values: Sequence[bytes | None],
    identities: Sequence[bytes | None] | None = None,
    published: Sequence[datetime] | None = None,
) -> Messages:
    """Return messages at offsets 100, 101, …, published now."""
    times = [int(each.timestamp() * 1e6) for each in published or [NOW] * len(values)]
    return Messages(
        offsets=np.arange(100, 100 + len(values)),
        published_us=np.array(times, np.int64),
        values=list(values),
        identities=list(identities or [None] * len(values)),
        keys=[None] * len(values),
        principal="somebody",
        principal_source="spool_owner",
    )


def made(name: str, *args: Any, whole: bool = False, **kwargs: Any) -> Rows:
    """Return the rows of messages of an event type."""
    partition = Partition(CATALOGUE[name].topic, "topic-id", 3)
    return make_rows(partition, messages(*args, **kwargs), Decoder(CATALOGUE[name]), None, whole=whole)


def reasons(found: Rows) -> list[tuple[int, str]]:
    """Return offset and reason of each dead letter."""
    letters = found.dead_letters
    return list(zip(letters.column("_offset").to_pylist(), letters.column("reason").to_pylist(), strict=True))


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_rows_have_the_columns_of_their_table(name: str) -> None:
    """One record of each type: the names of the fields, and those of the transport."""
    point = {"name": "m", "step": 1, "value": 1.0, "logged_at": NOW}
    empty: dict[str, Any] = {"string": "", "long": 0, "double": 0.0, "boolean": False, "array": [], "map": {}}
    fields = {}
    for field in latest(name).schema["fields"]:
        if field["name"] not in record(name, PRODUCER, 0):
            kind = field["type"]
            fields[field["name"]] = empty[kind] if isinstance(kind, str) else empty.get(kind["type"], NOW)
    if CATALOGUE[name].rows_from:
        fields[CATALOGUE[name].rows_from] = [point]
    found = made(name, [encode(latest(name), record(name, PRODUCER, 0, **fields))])
    assert reasons(found) == []
    assert sorted(found.table.column_names) == sorted([*row_columns(CATALOGUE[name]), *TRANSPORT_COLUMNS])


def test_points_become_rows_with_their_ordinal() -> None:
    """Events are counted where it is 0."""
    found = made("metrics_logged", [metrics(PRODUCER, 0, 3), metrics(PRODUCER, 1, 1), metrics(PRODUCER, 2, 2)])
    assert found.table.column("ordinal").to_pylist() == [0, 1, 2, 0, 0, 1]
    assert found.table.column("sequence").to_pylist() == [0, 0, 0, 1, 2, 2]
    assert found.table.column("_offset").to_pylist() == [100, 100, 100, 101, 102, 102]
    assert found.table.column("name").to_pylist() == ["m0", "m1", "m2", "m0", "m0", "m1"]
    assert found.table.column("_principal").to_pylist() == ["somebody"] * 6
    assert (found.first, found.last, found.messages) == (100, 102, 3)


def test_an_event_without_points_is_a_dead_letter() -> None:
    """It would have no row, and so be lost to the accounting."""
    assert reasons(made("metrics_logged", [metrics(PRODUCER, 0, 0), metrics(PRODUCER, 1)])) == [(100, Reason.NO_ROWS)]


@pytest.mark.parametrize(
    "occurred_at",
    [datetime(1999, 12, 31, 23, 59, tzinfo=UTC), NOW + timedelta(days=1, seconds=1), datetime(9999, 1, 1, tzinfo=UTC)],
)
def test_an_absurd_time_is_a_dead_letter(occurred_at: datetime) -> None:
    """Before 2000, or more than a day after the broker's time."""
    found = made("heartbeat_sent", [heartbeat(PRODUCER, 0, occurred_at=occurred_at), heartbeat(PRODUCER, 1)])
    assert reasons(found) == [(100, Reason.INVALID_TIME)]


def test_a_clock_that_is_a_day_ahead_is_valid() -> None:
    """Within the day."""
    assert reasons(made("heartbeat_sent", [heartbeat(PRODUCER, 0, occurred_at=NOW + timedelta(hours=23))])) == []


def test_validity_does_not_depend_on_the_present() -> None:
    """A message that was published years ago is judged by that time."""
    then = datetime(2010, 5, 1, tzinfo=UTC)
    old = heartbeat(PRODUCER, 0, occurred_at=then)
    future = heartbeat(PRODUCER, 1, occurred_at=then + timedelta(days=2))
    assert reasons(made("heartbeat_sent", [old, future], published=[then, then])) == [(101, Reason.INVALID_TIME)]


@pytest.mark.parametrize("microseconds", [1 << 62, -(1 << 62), (1 << 63) - 1])
def test_a_time_that_the_table_cannot_hold_is_a_dead_letter(microseconds: int) -> None:
    """In any field, also within the points."""
    late = heartbeat(PRODUCER, 0, next_due_at=microseconds)
    assert reasons(made("heartbeat_sent", [late, heartbeat(PRODUCER, 1)])) == [(100, Reason.INVALID_TIME)]
    point = [{"name": "m", "step": 1, "value": 1.0, "logged_at": microseconds}]
    fields = record("metrics_logged", PRODUCER, 0, points=point)
    value = encode(latest("metrics_logged"), fields)
    assert reasons(made("metrics_logged", [value, metrics(PRODUCER, 1)])) == [(100, Reason.INVALID_TIME)]


def test_an_unknown_word_is_valid() -> None:
    """New words must not break old collectors."""
    found = made("heartbeat_sent", [heartbeat(PRODUCER, 0, phase="sleeping")])
    assert found.table.column("phase").to_pylist() == ["sleeping"]


def test_nan_and_infinities_are_values() -> None:
    """Of metrics they are the most interesting ones."""
    points = [
        {"name": "m", "step": None, "value": value, "logged_at": NOW} for value in (float("nan"), float("inf"), -0.0)
    ]
    fields = record("metrics_logged", PRODUCER, 0, points=points)
    found = made("metrics_logged", [encode(latest("metrics_logged"), fields)])
    assert reasons(found) == []
    assert str(found.table.column("value").to_pylist()) == "[nan, inf, -0.0]"
    assert found.table.column("step").to_pylist() == [None] * 3


@pytest.mark.parametrize(
    ("amount", "valid"),
    [
        ("2.50", True),
        ("0.000000000001", True),
        ("9" * 26, True),
        (None, True),
        ("0.0000000000001", False),
        ("9" * 27, False),
        ("NaN", False),
        ("Infinity", False),
        ("two", False),
        ("", False),
        ("1_000", False),
        (" 1", False),
        ("\u0661", False),
    ],
)
def test_an_amount_that_the_warehouse_would_cut_is_a_dead_letter(amount: str | None, valid: bool) -> None:
    """Decimal(38, 12), exactly."""
    fields = record("price_set", PRODUCER, 0, sku_id="s", resource="gpu", unit_price=amount, currency="EUR")
    value = encode(latest("price_set"), fields | {"valid_from": NOW})
    assert reasons(made("price_set", [value])) == ([] if valid else [(100, Reason.INVALID_VALUE)])


@pytest.mark.parametrize(
    "producer_id",
    ["", "producer", PRODUCER.upper(), f"{{{PRODUCER}}}"],
    ids=["empty", "a word", "capitals", "braces"],
)
def test_a_producer_is_a_uuid_in_one_form(producer_id: str) -> None:
    """Two spellings would be two producers in the accounting."""
    assert reasons(made("heartbeat_sent", [heartbeat(producer_id, 0)])) == [(100, Reason.INVALID_VALUE)]


def test_a_negative_sequence_is_a_dead_letter() -> None:
    """Events are numbered from 0."""
    assert reasons(made("heartbeat_sent", [heartbeat(PRODUCER, -1)])) == [(100, Reason.INVALID_VALUE)]


def test_a_header_that_names_another_event_is_a_dead_letter() -> None:
    """Another producer, another sequence, or not 24 bytes; a message without the header is fine."""
    values = [heartbeat(PRODUCER, i) for i in range(5)]
    identities = [
        identity_to_bytes(PRODUCER, 0),
        identity_to_bytes(new_producer_id(), 1),
        identity_to_bytes(PRODUCER, 7),
        b"short",
        None,
    ]
    found = made("heartbeat_sent", values, identities)
    assert reasons(found) == [(offset, Reason.WRONG_IDENTITY) for offset in (101, 102, 103)]


def test_a_dead_letter_keeps_the_message_and_its_identity() -> None:
    """Undecodable bytes are accounted for by their header."""
    found = made("heartbeat_sent", [b"junk"], [identity_to_bytes(PRODUCER, 9)])
    (letter,) = found.dead_letters.to_pylist()
    assert (letter["producer_id"], letter["sequence"], letter["value"]) == (PRODUCER, 9, b"junk")
    assert (letter["_topic"], letter["_topic_id"], letter["_partition"]) == ("trailhouse.heartbeat_sent", "topic-id", 3)


def test_a_range_is_cut_where_its_rows_fill_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points are counted, not messages; a range that a plan gives is not cut again."""
    monkeypatch.setattr(ranges, "MAX_ROWS", 10)
    monkeypatch.setattr(rows, "MAX_ROWS", 10)
    values = [metrics(PRODUCER, i, 4) for i in range(5)]
    found = made("metrics_logged", values)
    assert (found.first, found.last, found.messages, len(found.table)) == (100, 101, 2, 8)
    assert len(made("metrics_logged", values, whole=True).table) == 20


def test_dead_letters_behind_the_cut_belong_to_the_next_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """And those before it to this one."""
    monkeypatch.setattr(ranges, "MAX_ROWS", 10)
    monkeypatch.setattr(rows, "MAX_ROWS", 10)
    values = [
        b"junk",
        metrics(PRODUCER, 1, 4),
        b"junk",
        metrics(PRODUCER, 3, 4),
        b"junk",
        metrics(PRODUCER, 5, 4),
        b"j",
    ]
    found = made("metrics_logged", values)
    assert reasons(found) == [(100, Reason.NO_HEADER), (102, Reason.NO_HEADER), (104, Reason.NO_HEADER)]
    assert (found.last, found.messages) == (104, 5)


def test_a_record_that_fits_no_block_is_a_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """And in nobody's way."""
    monkeypatch.setattr(ranges, "MAX_ROWS", 10)
    monkeypatch.setattr(rows, "MAX_ROWS", 10)
    values = [metrics(PRODUCER, 0, 11), metrics(PRODUCER, 1, 2)]
    found = made("metrics_logged", values)
    assert (found.first, found.last) == (100, 100)
    assert reasons(found) == [(100, Reason.TOO_LARGE)]


def test_a_long_text_beside_many_points_does_not_fill_the_memory() -> None:
    """It would stand in every row: 64 MiB of text from 1 MiB of message."""
    points = [{"name": "m", "step": None, "value": 1.0, "logged_at": NOW}] * 2000
    value = encode(latest("metrics_logged"), record("metrics_logged", PRODUCER, 0, points=points, host="h" * 500_000))
    assert reasons(made("metrics_logged", [value])) == [(100, Reason.TOO_LARGE)]


def test_a_range_of_dead_letters_alone_has_no_rows() -> None:
    """The table is left alone."""
    found = made("metrics_logged", [None, b""])
    assert len(found.table) == 0
    assert len(found.dead_letters) == 2
