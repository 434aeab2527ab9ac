"""Landing a range in a real warehouse, embedded or on a server: once, whatever was tried before."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from collected import NOW, dead_reasons, full_record, identities, metrics, new_producer_id
from servers.warehouses import new_warehouse
from trailhouse_consumer.decode import Decoder
from trailhouse_consumer.duplicates import Duplicates
from trailhouse_consumer.errors import InsertRejectedError
from trailhouse_consumer.landing import Landing
from trailhouse_consumer.ranges import token
from trailhouse_consumer.rows import Rows, make_rows
from trailhouse_consumer.sources import Messages, Partition, Plan, Whole
from trailhouse_consumer.warehouse import Warehouse
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.errors import WarehouseUnavailableError
from trailhouse_schemas.versions import latest
from trailhouse_schemas.wire import encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from servers.warehouses import Warehouse as Database

METRICS = CATALOGUE["metrics_logged"]
PARTITION = Partition(METRICS.topic, "topic-id", 2)
PRODUCER = new_producer_id()


def messages(values: Sequence[bytes | None], first: int) -> Messages:
    """Return messages at these offsets."""
    return Messages(
        np.arange(first, first + len(values)),
        np.full(len(values), int(NOW.timestamp() * 1e6)),
        list(values),
        [None] * len(values),
        [b"key"] * len(values),
        {offset: [("name", b"value")] for offset in range(first, first + len(values))},
    )


def a_range(first: int, last: int, *, dead: Sequence[int] = (), duplicates: Duplicates | None = None) -> Rows:
    """Return a range of events of two points, whose sequences are their offsets; some of them dead."""
    values = [b"junk" if i in dead else metrics(PRODUCER, i) for i in range(first, last + 1)]
    return make_rows(PARTITION, messages(values, first), Decoder(METRICS), duplicates, whole=True)


@pytest.fixture(scope="module", params=["embedded", "server"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A migrated database of either kind, for all tests here: making one takes longer than any of them."""
    made = new_warehouse(request.getfixturevalue({"embedded": "chdb_directory", "server": "clickhouse"}[request.param]))
    yield made
    made.client.command("DROP DATABASE {d:Identifier}", {"d": made.database})
    made.client.close()


@pytest.fixture
def any_warehouse(database: Database, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The database with nothing in it, and a topic whose id no token has."""
    monkeypatch.setattr(request.module, "PARTITION", Partition(METRICS.topic, f"topic-{uuid.uuid4()}", 2))
    for table in ("metrics_logged", "dead_letters"):
        database.client.command("TRUNCATE TABLE {t:Identifier}", {"t": table})
    return database


@pytest.fixture
def landing(any_warehouse: Database) -> Landing:
    """Lands in either warehouse."""
    return Landing(Warehouse(any_warehouse.client))


def test_a_range_landed_twice_is_landed_once(landing: Landing, any_warehouse: Database) -> None:
    """The second time in doubt: nothing is inserted."""
    rows = a_range(0, 99, dead=[7, 8])
    for doubt in (False, True, True):
        landing.land(PARTITION, Plan(0, 99), rows, doubt=doubt)
    assert any_warehouse.count("metrics_logged") == 196
    assert dead_reasons(any_warehouse.client) == {7: "no_header", 8: "no_header"}
    assert any_warehouse.count("dead_letters") == 2


def test_a_zombie_that_lands_a_range_again_is_fenced_by_the_token(landing: Landing, any_warehouse: Database) -> None:
    """It does not know that there is doubt."""
    rows = a_range(0, 99, dead=[7])
    landing.land(PARTITION, Plan(0, 99), rows, doubt=False)
    landing.land(PARTITION, Plan(0, 99), rows, doubt=False)
    assert any_warehouse.count("metrics_logged") == 198
    assert any_warehouse.count("dead_letters") == 1


def test_a_token_that_is_remembered_without_its_rows_loses_nothing(landing: Landing, any_warehouse: Database) -> None:
    """As after a crash between the two: inserted under the token, and deleted."""
    rows = a_range(0, 99, dead=[7])
    plan = Plan(0, 99)
    warehouse = Warehouse(any_warehouse.client)
    for table, wanted in (("dead_letters", rows.dead_letters), ("metrics_logged", rows.table)):
        warehouse.insert(table, wanted, token(PARTITION, plan))
        any_warehouse.client.command(f"ALTER TABLE {table} DELETE WHERE 1", settings={"mutations_sync": 2})
        assert any_warehouse.count(table) == 0
    landed = landing.land(PARTITION, plan, rows, doubt=True)
    assert landed.repairs == 2
    assert any_warehouse.count("metrics_logged") == 198
    assert dead_reasons(any_warehouse.client) == {7: "no_header"}


def test_a_repair_whose_token_is_remembered_too_is_repaired_again(landing: Landing, any_warehouse: Database) -> None:
    """As many times as it takes."""
    rows = a_range(0, 99)
    plan = Plan(0, 99)
    warehouse = Warehouse(any_warehouse.client)
    for end in ("", ":r1", ":r2"):
        warehouse.insert("metrics_logged", rows.table, f"{token(PARTITION, plan)}{end}")
    any_warehouse.client.command("ALTER TABLE metrics_logged DELETE WHERE 1", settings={"mutations_sync": 2})
    assert landing.land(PARTITION, plan, rows, doubt=True).repairs == 3
    assert any_warehouse.count("metrics_logged") == 200


def test_parts_of_a_range_and_a_zombie_that_inserts_the_whole_land_it_once(
    landing: Landing, any_warehouse: Database
) -> None:
    """The zombie stood before inserting the whole, under its first token and the next, while parts were landed."""
    warehouse, whole = Warehouse(any_warehouse.client), a_range(0, 99, dead=[7, 60])

    def zombie(end: str) -> None:
        for table, rows in (("dead_letters", whole.dead_letters), ("metrics_logged", whole.table)):
            warehouse.insert(table, rows, f"{token(PARTITION, Plan(0, 99))}{end}")

    first = Plan(0, 49, 1, Whole(0, 99))
    used = landing.land(PARTITION, first, a_range(0, 49, dead=[7]), doubt=True).used
    assert used == (1, 1)
    zombie("")
    assert any_warehouse.count("metrics_logged") == 98
    second = Plan(50, 74, 1, Whole(0, 99, used))
    used = landing.land(PARTITION, second, a_range(50, 74, dead=[60]), doubt=True).used
    assert used == (2, 2)
    zombie(":r1")
    landing.land(PARTITION, Plan(75, 99, 1, Whole(0, 99, used)), a_range(75, 99), doubt=True)
    assert any_warehouse.count("metrics_logged") == 196
    assert any_warehouse.count("dead_letters") == 2


def test_a_part_that_does_not_know_of_used_tokens_finds_the_next(landing: Landing, any_warehouse: Database) -> None:
    """Its predecessor died before it could say so."""
    for number, (begin, end) in enumerate([(0, 24), (25, 49), (50, 99)]):
        part = Plan(begin, end, 1, Whole(0, 99))
        assert landing.land(PARTITION, part, a_range(begin, end), doubt=True).used == (0, number + 1)
    assert any_warehouse.count("metrics_logged") == 200


def test_rows_of_half_a_range_are_completed_to_the_point(landing: Landing, any_warehouse: Database) -> None:
    """What is there is told by offset and ordinal."""
    rows = a_range(0, 99)
    landing.land(PARTITION, Plan(0, 99), rows, doubt=False)
    any_warehouse.client.command(
        "ALTER TABLE metrics_logged DELETE WHERE _offset >= 50 OR ordinal = 1", settings={"mutations_sync": 2}
    )
    assert any_warehouse.count("metrics_logged") == 50
    landing.land(PARTITION, Plan(0, 99), rows, doubt=True)
    found = any_warehouse.client.query("SELECT _offset, ordinal FROM metrics_logged ORDER BY 1, 2").result_rows
    assert found == [(offset, ordinal) for offset in range(100) for ordinal in (0, 1)]


def test_a_range_that_is_cut_differently_the_second_time_is_landed_once(
    landing: Landing, any_warehouse: Database
) -> None:
    """The group's offsets were reset: the tokens are others, the table proves."""
    landing.land(PARTITION, Plan(0, 49), a_range(0, 49), doubt=False)
    landing.land(PARTITION, Plan(50, 69), a_range(50, 69), doubt=False)
    assert landing.highest_offset(PARTITION) == 69
    landing.land(PARTITION, Plan(30, 99), a_range(30, 99), doubt=True)
    landing.land(PARTITION, Plan(0, 99), a_range(0, 99), doubt=True)
    assert identities(any_warehouse.client, "metrics_logged") == [(PRODUCER, i) for i in range(100)]
    assert any_warehouse.count("metrics_logged") == 200


def test_the_highest_offset_may_be_a_dead_letter(landing: Landing) -> None:
    """Of a partition that nothing was landed of it is -1."""
    assert landing.highest_offset(PARTITION) == -1
    landing.land(PARTITION, Plan(0, 9), a_range(0, 9, dead=[9]), doubt=False)
    assert landing.highest_offset(PARTITION) == 9
    assert landing.highest_offset(Partition(METRICS.topic, PARTITION.topic_id, 3)) == -1
    assert landing.highest_offset(Partition(METRICS.topic, "another", 2)) == -1


def test_a_topic_that_was_made_again_is_landed_anew(landing: Landing, any_warehouse: Database) -> None:
    """Its offsets are the same, its events are not."""
    landing.land(PARTITION, Plan(0, 9), a_range(0, 9), doubt=False)
    again = Partition(METRICS.topic, "made-again", 2)
    values = [metrics(new_producer_id(), i) for i in range(10)]
    rows = make_rows(again, messages(values, 0), Decoder(METRICS), None, whole=True)
    landing.land(again, Plan(0, 9), rows, doubt=False)
    assert any_warehouse.count("metrics_logged") == 20 + 2 * (10 - len(rows.dead_letters))


def test_rows_that_the_table_refuses_are_told_from_a_warehouse_that_fails(any_warehouse: Database) -> None:
    """A null where there can be none is in the rows; a table that is not there is not."""
    warehouse = Warehouse(any_warehouse.client)
    rows = a_range(0, 0).table
    nulls = rows.set_column(rows.column_names.index("value"), "value", pa.nulls(len(rows), pa.float64()))
    with pytest.raises(InsertRejectedError):
        warehouse.insert("metrics_logged", nulls, "token")
    with pytest.raises(WarehouseUnavailableError):
        warehouse.insert("no_such_table", rows, "token")
    assert any_warehouse.count("metrics_logged") == 0


def test_resent_events_are_left_out_only_when_they_are_in_the_table(landing: Landing, any_warehouse: Database) -> None:
    """Proven at a lower offset, or earlier in the range; a sequence that is merely lower is new."""
    warehouse = Warehouse(any_warehouse.client)
    duplicates = Duplicates(PARTITION, warehouse, fresh=True)
    decoder = Decoder(METRICS)

    def land(first: int, sequences: Sequence[int], *, knowing: Duplicates) -> Rows:
        values = [metrics(PRODUCER, sequence) for sequence in sequences]
        rows = make_rows(PARTITION, messages(values, first), decoder, knowing, whole=True)
        landing.land(PARTITION, Plan(first, first + len(values) - 1), rows, doubt=False)
        knowing.landed(rows.producer_ids, rows.sequences)
        return rows

    assert land(0, [0, 1, 2, 6, 7], knowing=duplicates).duplicates == 0
    late = land(5, [3, 4, 5, 4, 6, 8, 8], knowing=duplicates)
    assert late.duplicates == 3
    assert late.sequences.tolist() == [3, 4, 5, 8]
    forgetful = Duplicates(PARTITION, warehouse, fresh=False)
    assert land(12, [8, 9, 0], knowing=forgetful).sequences.tolist() == [9]
    assert identities(any_warehouse.client, "metrics_logged") == [(PRODUCER, i) for i in range(10)]


def test_a_range_that_is_landed_again_is_not_a_duplicate_of_itself(any_warehouse: Database) -> None:
    """Its own rows lie at its own offsets."""
    warehouse = Warehouse(any_warehouse.client)
    landing = Landing(warehouse)
    rows = a_range(0, 9, duplicates=Duplicates(PARTITION, warehouse, fresh=True))
    landing.land(PARTITION, Plan(0, 9), rows, doubt=False)
    again = a_range(0, 9, duplicates=Duplicates(PARTITION, warehouse, fresh=False))
    assert again.duplicates == 0
    assert again.table.equals(rows.table)
    landing.land(PARTITION, Plan(0, 9), again, doubt=True)
    assert any_warehouse.count("metrics_logged") == 20


def test_every_table_takes_its_rows_as_they_are(landing: Landing, any_warehouse: Database) -> None:
    """Of all types: what nests in them, times, texts, numbers, and nulls where there may be some."""
    for name, event_type in CATALOGUE.items():
        fields = full_record(name, PRODUCER, 0)
        nulls = {f["name"]: None for f in latest(name).schema["fields"] if isinstance(f["type"], list)}
        values = [encode(latest(name), fields), encode(latest(name), fields | nulls | {"sequence": 1})]
        partition = Partition(event_type.topic, "topic-id", 0)
        rows = make_rows(partition, messages(values, 5), Decoder(event_type), None, whole=True)
        assert len(rows.dead_letters) == 0, rows.dead_letters.to_pylist()
        landing.land(partition, Plan(5, 6), rows, doubt=True)
        columns = ", ".join(f"`{column}`" for column in rows.table.column_names)
        found = any_warehouse.client.query_arrow(f"SELECT {columns} FROM {name} ORDER BY sequence", use_strings=True)  # noqa: S608
        for column in rows.table.column_names:
            assert plain(found.column(column)) == plain(rows.table.column(column)), (name, column)


def plain(column: pa.ChunkedArray) -> list[Any]:
    """Return values without what differs by type alone: maps as lists of pairs."""
    return [[list(pair) for pair in value] if pa.types.is_map(column.type) else value for value in column.to_pylist()]
