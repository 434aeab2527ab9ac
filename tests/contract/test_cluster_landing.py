"""Landing on a cluster: what any replica has is there, what too few have is waited for, and a token reaches the shards.

The replicas are views of the engine's own tables that show what each of them has; docs/deploy.md says what is left.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from collected import NOW, dead_reasons, metrics, new_producer_id
from servers.clusters import new_cluster, of_cluster
from servers.warehouses import fresh
from trailhouse_consumer.decode import Decoder
from trailhouse_consumer.duplicates import Duplicates
from trailhouse_consumer.gaps import record
from trailhouse_consumer.landing import Landing
from trailhouse_consumer.ranges import token
from trailhouse_consumer.replicas import quorum
from trailhouse_consumer.rows import Rows, make_rows
from trailhouse_consumer.sources import Gap, Messages, Partition, Plan
from trailhouse_consumer.warehouse import Warehouse
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.errors import WarehouseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

METRICS = CATALOGUE["metrics_logged"]
PRODUCER = new_producer_id()


@pytest.fixture
def partition() -> Partition:
    """A partition of a topic whose id no token has."""
    return Partition(METRICS.topic, f"topic-{uuid.uuid4()}", 2)


@pytest.fixture
def sharded(chdb_directory: Path) -> Iterator[Any]:
    """A client of a database with the tables of a cluster of one shard."""
    with new_cluster(chdb_directory) as client:
        yield client


@pytest.fixture
def replicas(chdb_directory: Path) -> Iterator[Any]:
    """A client of a cluster of two replicas: `seen_by` says which rows each of them has."""
    with fresh(chdb_directory) as made:
        yield of_cluster(made.client, "two_replicas")


def seen_by(client: Any, table: str, second: str, first: str = "1") -> None:
    """Have each replica show the rows of a table for which its condition holds."""
    client.command(  # the conditions are the tests' own
        f"CREATE OR REPLACE VIEW {table}_local AS SELECT * FROM {table} WHERE if(shardNum() = 1, {first}, {second})"  # noqa: S608
    )


def a_range(partition: Partition, first: int, last: int, *, dead: tuple[int, ...] = ()) -> Rows:
    """Return a range of events of two points, whose sequences are their offsets; some of them dead."""
    values = [b"junk" if i in dead else metrics(PRODUCER, i) for i in range(first, last + 1)]
    messages = Messages(
        np.arange(first, last + 1),
        np.full(len(values), int(NOW.timestamp() * 1e6)),
        list(values),
        [None] * len(values),
        [b"key"] * len(values),
        {},
    )
    return make_rows(partition, messages, Decoder(METRICS), None, whole=True)


def count(client: Any, table: str) -> int:
    """Return the number of rows of a table."""
    return int(client.query("SELECT count() FROM {t:Identifier}", {"t": table}).first_row[0])


def test_a_range_is_landed_once_through_the_table_over_all_shards(sharded: Any, partition: Partition) -> None:
    """By a zombie that knows no doubt, and by a successor that asks; the token reaches the shard's table."""
    landing, rows = Landing(Warehouse(sharded)), a_range(partition, 0, 99, dead=(7, 8))
    for doubt in (False, False, True, True):
        landing.land(partition, Plan(0, 99), rows, doubt=doubt)
    assert count(sharded, "metrics_logged") == count(sharded, "metrics_logged_local") == 196
    assert dead_reasons(sharded) == {7: "no_header", 8: "no_header"}
    assert count(sharded, "dead_letters") == 2
    assert landing.highest_offset(partition) == 99


def test_a_token_that_a_shard_remembers_without_its_rows_loses_nothing(sharded: Any, partition: Partition) -> None:
    """As after a crash between the two: inserted under the token, and deleted."""
    rows, warehouse = a_range(partition, 0, 99), Warehouse(sharded)
    warehouse.insert("metrics_logged", rows.table, token(partition, Plan(0, 99)))
    sharded.command("ALTER TABLE metrics_logged_local DELETE WHERE 1", settings={"mutations_sync": 2})
    assert Landing(warehouse).land(partition, Plan(0, 99), rows, doubt=True).repairs == 1
    assert count(sharded, "metrics_logged") == 200


def test_half_of_a_range_that_one_shard_took_is_completed(sharded: Any, partition: Partition) -> None:
    """The other shard did not answer: its rows are inserted, and no other again."""
    rows, warehouse = a_range(partition, 0, 99), Warehouse(sharded)
    warehouse.insert("metrics_logged", rows.table.slice(0, 80), "of the first shard")
    Landing(warehouse).land(partition, Plan(0, 99), rows, doubt=True)
    assert count(sharded, "metrics_logged") == 200


def test_what_one_replica_has_is_not_inserted_again(replicas: Any, partition: Partition) -> None:
    """A replica that is catching up lacks rows that are there; they are waited for, and then the range is landed."""
    landing, rows = Landing(Warehouse(replicas)), a_range(partition, 0, 99)
    for table in ("metrics_logged", "dead_letters"):
        seen_by(replicas, table, second="_offset < 40")
    landing.land(partition, Plan(0, 99), rows, doubt=False)
    for _ in range(3):
        with pytest.raises(WarehouseUnavailableError, match="on 1 replica of the 2"):
            landing.land(partition, Plan(0, 99), rows, doubt=True)
    assert landing.highest_offset(partition) == 99
    assert landing.holds(partition, Plan(0, 30))
    seen_by(replicas, "metrics_logged", second="1")
    landing.land(partition, Plan(0, 99), rows, doubt=True)
    assert count(replicas, "metrics_logged") == 200


def test_whichever_replica_is_behind(replicas: Any, partition: Partition) -> None:
    """The first as well as the second."""
    landing, rows = Landing(Warehouse(replicas)), a_range(partition, 0, 9)
    seen_by(replicas, "dead_letters", second="1")
    seen_by(replicas, "metrics_logged", first="0", second="1")
    landing.land(partition, Plan(0, 9), rows, doubt=False)
    with pytest.raises(WarehouseUnavailableError, match="catching up"):
        landing.land(partition, Plan(0, 9), rows, doubt=True)
    assert landing.highest_offset(partition) == 9
    assert count(replicas, "metrics_logged") == 20


def test_a_resent_event_is_known_by_the_replica_that_has_it(replicas: Any, partition: Partition) -> None:
    """Asked of the other alone, it would be landed twice."""
    seen_by(replicas, "metrics_logged", first="0", second="1")
    Landing(Warehouse(replicas)).land(partition, Plan(0, 9), a_range(partition, 0, 9), doubt=False)
    again = Duplicates(partition, Warehouse(replicas), fresh=False)
    messages = Messages(
        np.arange(10, 20),
        np.full(10, int(NOW.timestamp() * 1e6)),
        [metrics(PRODUCER, sequence) for sequence in range(10)],
        [None] * 10,
        [b"key"] * 10,
        {},
    )
    assert len(make_rows(partition, messages, Decoder(METRICS), again, whole=True).table) == 0


def test_offsets_that_one_replica_has_are_no_gap(replicas: Any, partition: Partition) -> None:
    """What the log no longer has is only missing when no replica has it."""
    for table in ("metrics_logged", "dead_letters"):
        seen_by(replicas, table, first="0", second="1")
    warehouse = Warehouse(replicas)
    Landing(warehouse).land(partition, Plan(0, 9), a_range(partition, 0, 9), doubt=False)
    assert record(warehouse, Gap(partition, 0, 9), 0) == []
    assert [(gap.first, gap.last) for gap in record(warehouse, Gap(partition, 5, 14), 0)] == [(10, 14)]


def test_a_replica_that_is_down_is_waited_for(sharded: Any, partition: Partition) -> None:
    """It may have what the others lack."""
    landing, rows = Landing(Warehouse(of_cluster(sharded, "a_shard_down"))), a_range(partition, 0, 9)
    with pytest.raises(WarehouseUnavailableError, match="does not take or answer"):
        landing.land(partition, Plan(0, 9), rows, doubt=True)
    assert count(of_cluster(sharded, "one_shard"), "metrics_logged") == 0


@pytest.mark.parametrize(("replicas", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_a_quorum_is_a_majority(replicas: int, needed: int) -> None:
    """As ClickHouse counts it where insert_quorum is auto."""
    assert quorum(replicas) == needed
