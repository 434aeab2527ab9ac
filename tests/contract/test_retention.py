"""How long rows are kept: on the real engine, with rows of long ago; and that what has expired is no loss."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from collected import metrics, new_producer_id
from rows import event, insert_events
from servers.warehouses import new_warehouse
from trailhouse_analytics.loss import Verdict, verify
from trailhouse_consumer.decode import Decoder
from trailhouse_consumer.landing import Landing
from trailhouse_consumer.rows import make_rows
from trailhouse_consumer.sources import Messages, Partition, Plan
from trailhouse_consumer.warehouse import Warehouse
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.errors import SettingsError
from trailhouse_schemas.events import HeartbeatSent, MetricPoint, MetricsLogged
from trailhouse_schemas.warehouse.retention import (
    Change,
    apply_retention,
    expired_before,
    retention_days,
    retention_in_force,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from servers.warehouses import Warehouse as Database
    from trailhouse_schemas.events import Event

NOW = datetime.now(UTC).replace(microsecond=0)
LONG_AGO = NOW - timedelta(days=100)


@pytest.fixture(params=["embedded", "server"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A migrated database of its own, of either kind."""
    made = new_warehouse(request.getfixturevalue({"embedded": "chdb_directory", "server": "clickhouse"}[request.param]))
    yield made
    made.client.command("DROP DATABASE {d:Identifier}", {"d": made.database})
    made.client.close()


def logged(producer: str, sequences: Sequence[int], at: datetime) -> list[Event]:
    """One event of one point for each of these sequences."""
    points = [MetricPoint(name="loss", value=1.0, logged_at=at)]
    return [
        event(MetricsLogged, producer_id=producer, sequence=s, points=points, project="p", run_id="r", occurred_at=at)
        for s in sequences
    ]


def beat(producer: str, sequence: int, at: datetime, phase: str = "alive", dropped: int = 0) -> Event:
    """A heartbeat after that many events."""
    return event(
        HeartbeatSent,
        producer_id=producer,
        sequence=sequence,
        subject_producer_id=producer,
        phase=phase,
        events_emitted=sequence + 1,
        events_dropped=dropped,
        occurred_at=at,
        next_due_at=None if phase == "finished" else at + timedelta(seconds=10),
        project="p",
        run_id="r",
    )


def insert(database: Database, events: Sequence[Event], published_at: datetime) -> None:
    """Put events where the collector would, as published at a time."""
    insert_events(database.client, events, published_at=published_at)


def merged(database: Database, table: str) -> int:
    """Have the engine do now what it would do some time; return the rows that are left."""
    database.client.command("OPTIMIZE TABLE {t:Identifier} FINAL", {"t": table})
    return database.count(table)


def test_rows_expire_by_the_brokers_time_and_only_in_the_tables_that_were_named(database: Database) -> None:
    """What the client says of its time does not count; the sums that a table keeps of itself agree with its rows."""
    producer = new_producer_id()
    assert apply_retention(database.client, {"metrics_logged": 90}) == [Change("metrics_logged", None, 90)]
    insert(database, logged(producer, range(10), NOW), LONG_AGO)
    insert(database, logged(producer, range(10, 15), LONG_AGO), NOW)
    insert(database, [beat(producer, 15, LONG_AGO)], LONG_AGO)
    assert (merged(database, "metrics_logged"), merged(database, "heartbeat_sent")) == (5, 1)
    by_projection = database.client.query(
        "SELECT max(sequence), count() FROM metrics_logged GROUP BY producer_id, _topic_id, _partition",
        settings={"force_optimize_projection": 1},
    )
    assert by_projection.result_rows == [(14, 5)]


def test_a_retention_that_is_lengthened_or_taken_away_is_no_more_and_repeating_changes_nothing(
    database: Database,
) -> None:
    """Rows of before the change are gone, later ones stay; since when rows must be there is still known."""
    client = database.client
    assert apply_retention(client, {"metrics_logged": 30, "dead_letters": 400})
    for _ in range(2):
        assert apply_retention(client, {"metrics_logged": 30, "dead_letters": 400}) == []
    assert retention_in_force(client) == {"metrics_logged": 30, "dead_letters": 400}
    then = expired_before(client)["metrics_logged"]
    assert NOW - timedelta(days=31) < then < NOW
    assert apply_retention(client, {"metrics_logged": 365}) == [
        Change("dead_letters", 400, None),
        Change("metrics_logged", 30, 365),
    ]
    assert apply_retention(client, {}) == [Change("metrics_logged", 365, None)]
    assert retention_in_force(client) == {}
    insert(database, logged(new_producer_id(), range(10), LONG_AGO), LONG_AGO)
    assert merged(database, "metrics_logged") == 10
    later = expired_before(client)["metrics_logged"]
    assert then <= later < then + timedelta(minutes=5)
    assert apply_retention(client, {}) == []
    assert database.count("retention_changes") == 5


def test_what_was_interrupted_is_taken_up_again(database: Database) -> None:
    """A promise that was written down and not put in force; and a TTL that was set and is not written down."""
    client = database.client
    client.command("INSERT INTO retention_changes VALUES ('metrics_logged', 30, now64(6, 'UTC'))")
    assert apply_retention(client, {"metrics_logged": 30}) == [Change("metrics_logged", None, 30)]
    assert database.count("retention_changes") == 1
    client.command("ALTER TABLE metrics_logged REMOVE TTL")
    assert apply_retention(client, {}) == []
    assert database.count("retention_changes") == 2


def test_a_ttl_that_somebody_else_has_set_is_left_until_one_is_wanted(database: Database) -> None:
    """It is shown as it is."""
    client = database.client
    client.command("ALTER TABLE steps_timed MODIFY TTL toDateTime(occurred_at) + toIntervalYear(3)")
    assert retention_in_force(client) == {"steps_timed": "toDateTime(occurred_at) + toIntervalYear(3)"}
    assert apply_retention(client, {}) == []
    assert retention_in_force(client)["steps_timed"] == "toDateTime(occurred_at) + toIntervalYear(3)"
    apply_retention(client, {"steps_timed": 30})
    assert retention_in_force(client) == {"steps_timed": 30}


def test_what_has_expired_is_not_called_lost_and_what_is_missing_since_is(database: Database) -> None:
    """Nor is what has expired called dropped; also after the retention was taken away again."""
    expiring, losing, dropping = (new_producer_id() for _ in range(3))
    apply_retention(database.client, {"metrics_logged": 90})
    for producer in (expiring, losing, dropping):
        dropped = 3 if producer == dropping else 0
        insert(database, [beat(producer, 0, LONG_AGO, "started")], LONG_AGO)
        insert(database, [beat(producer, 20, LONG_AGO, dropped=dropped)], LONG_AGO)
        insert(database, [beat(producer, 21, NOW, dropped=dropped)], NOW)
        there = range(22, 30) if producer != losing else range(24, 30)
        insert(database, logged(producer, there, NOW), NOW)
        insert(database, [beat(producer, 30, NOW, "finished", dropped)], NOW)
    for wanted in ({"metrics_logged": 90}, {}):
        apply_retention(database.client, wanted)
        found = verify(database.client)
        accounts = {account.producer_id: account for account in found.accounts}
        account = accounts[expiring]
        assert (account.verdict, account.reason) == (Verdict.COMPLETE, "19 expired by retention")
        assert [(f.kind, f.first, f.last) for f in account.findings] == [("expired", 1, 19)]
        account = accounts[dropping]
        assert (account.verdict, account.dropped, account.expired) == (Verdict.COMPLETE, 3, 16)
        account = accounts[losing]
        assert (account.verdict, account.lost, account.expired) == (Verdict.LOST, 2, 19)
        assert [(f.kind, f.first, f.last) for f in account.findings] == [("expired", 1, 19), ("lost", 22, 23)]
        for account in accounts.values():
            assert account.landed + account.dropped + account.expired + account.lost == account.emitted
        assert (found.totals.lost, found.totals.expired) == (2, 54)


def test_a_producer_of_which_only_heartbeats_are_left_is_complete(database: Database) -> None:
    """It ended long ago."""
    producer = new_producer_id()
    insert(database, [beat(producer, 0, LONG_AGO, "started")], LONG_AGO)
    insert(database, logged(producer, range(1, 9), LONG_AGO), LONG_AGO)
    insert(database, [beat(producer, 10, LONG_AGO, "finished")], LONG_AGO)
    (account,) = verify(database.client).accounts
    assert (account.verdict, account.lost) == (Verdict.LOST, 1)
    apply_retention(database.client, {"metrics_logged": 90})
    assert merged(database, "metrics_logged") == 0
    (account,) = verify(database.client).accounts
    assert (account.verdict, account.landed, account.expired) == (Verdict.COMPLETE, 2, 9)


def test_a_range_of_rows_that_expire_at_once_is_landed_and_holds_nobody_up(database: Database) -> None:
    """As from a topic that keeps messages for longer than the table does; what is not so old is there."""
    apply_retention(database.client, {"metrics_logged": 90})
    partition = Partition("trailhouse.metrics_logged", f"topic-{uuid.uuid4()}", 0)
    producer = new_producer_id()
    published = [int(t.timestamp() * 1e6) for t in (LONG_AGO, LONG_AGO, NOW, NOW)]
    messages = Messages(
        np.arange(4),
        np.array(published),
        [metrics(producer, sequence, occurred_at=LONG_AGO) for sequence in range(4)],
        [None] * 4,
        [b"key"] * 4,
        {},
    )
    rows = make_rows(partition, messages, Decoder(CATALOGUE["metrics_logged"]), None, whole=True)
    landing = Landing(Warehouse(cast("Any", _Merging(database))))
    landed = landing.land(partition, Plan(0, 3), rows, doubt=True)
    assert landed.repairs <= 1
    assert landing.land(partition, Plan(0, 3), rows, doubt=True).repairs <= 1
    left = database.client.query("SELECT DISTINCT _offset FROM metrics_logged ORDER BY 1").result_rows
    assert left == [(2,), (3,)]


class _Merging:
    """A client of an engine that merges, and so lets rows expire, right after every insert."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert_arrow(self, table: str, *arguments: Any, **more: Any) -> None:
        self._database.client.insert_arrow(table, *arguments, **more)
        merged(self._database, table)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database.client, name)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"metrics_loged": "400d"}, "did you mean 'metrics_logged'"),
        ({"schema_migrations": "400d"}, "which is no table of events"),
        ({"metrics_logged": "400"}, "write days, weeks or years"),
        ({"metrics_logged": "0d"}, "write days, weeks or years"),
        ({"metrics_logged": "-1d"}, "write days, weeks or years"),
        ({"price_set": "400d"}, "paid at the price of its time; take it out, or write '400d forced'"),
        ({"heartbeat_sent": "2y"}, "the accounting of loss rests on"),
    ],
)
def test_a_retention_that_must_not_be_is_refused(written: dict[str, str], said: str) -> None:
    """With the reason and the way out."""
    with pytest.raises(SettingsError, match="TRAILHOUSE_RETENTION") as refused:
        retention_days(written)
    assert said in str(refused.value)


def test_days_weeks_and_years_are_days() -> None:
    """And what is forced is not refused."""
    written = {"metrics_logged": "400d", "dead_letters": "26w", "run_started": "2y", "price_set": "10y forced"}
    assert retention_days(written) == {
        "metrics_logged": 400,
        "dead_letters": 182,
        "run_started": 730,
        "price_set": 3650,
    }
