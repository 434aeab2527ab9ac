"""docker-compose.cluster.yml, started: replicas and collectors die in the middle, and every event is there, once."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pytest

from servers.composed import Composed, composed
from trailhouse_cli.servers.waiting import wait_until
from trailhouse_consumer.warehouse import Warehouse
from trailhouse_schemas.errors import WarehouseError, WarehouseUnavailableError
from trailhouse_schemas.warehouse import check, connect, migrate, migrations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.docker, pytest.mark.long, pytest.mark.timeout(1800)]

_NAMED: Final = "?cluster=trailhouse"
#: Ports of this machine: shard 1 in two replicas, shard 2 in two replicas.
_PORTS: Final = (8123, 8124, 8125, 8126)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Composed]:
    """The services of the cluster."""
    with composed("docker-compose.cluster.yml") as services:
        yield services


@pytest.fixture
def client(cluster: Composed) -> Iterator[Any]:
    """A client of the warehouse by the first server, as the URL with the cluster's name makes it."""
    opened = cluster.client(more=_NAMED)
    yield opened
    opened.close()


def _one(client: Any, question: str, parameters: dict[str, Any] | None = None) -> Any:
    return client.query(question, parameters).result_rows[0][0]


def _prices(topic_id: str, count: int = 100) -> pa.Table:
    """Return rows of the table of prices, whose shards differ."""
    return pa.table(
        {
            "sku_id": [f"sku-{i}" for i in range(count)],
            "_topic": ["trailhouse.price_set"] * count,
            "_topic_id": [topic_id] * count,
            "_partition": pa.array([0] * count, pa.int32()),
            "_offset": pa.array(range(count), pa.int64()),
        }
    )


def _range(topic_id: str, last: int = 99) -> dict[str, Any]:
    return {
        "table": "price_set",
        "topic": "trailhouse.price_set",
        "topic_id": topic_id,
        "partition": 0,
        "first": 0,
        "last": last,
    }


def test_every_server_has_every_table(cluster: Composed, client: Any) -> None:
    """And says that nothing is lacking."""
    tables = client.query(
        "SELECT hostName(), count() FROM clusterAllReplicas(trailhouse, system.tables) "
        "WHERE database = 'trailhouse' GROUP BY ALL"
    ).result_rows
    assert len(tables) == len(_PORTS)
    assert len({count for _, count in tables}) == 1
    for port in _PORTS:
        other = cluster.client(port, more=_NAMED)
        check(other)
        other.close()


def test_a_url_without_the_cluster_is_refused(cluster: Composed) -> None:
    """Its inserts would not wait for the shards."""
    plain = cluster.client()
    with pytest.raises(WarehouseError, match="is a cluster's"):
        check(plain)
    plain.close()
    with pytest.raises(WarehouseError, match="knows no cluster 'nowhere'"):
        connect(cluster.warehouse(more="?cluster=nowhere"), password=cluster.password)


def test_two_who_migrate_at_the_same_time_make_one_warehouse(cluster: Composed) -> None:
    """By servers of different shards."""
    database = f"twice_{uuid.uuid4().hex[:8]}"
    clients = [cluster.client(port, database, _NAMED, create=True) for port in (8123, 8126)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(migrate, clients))
    for port in _PORTS:
        other = cluster.client(port, database, _NAMED)
        check(other)
        assert _one(other, "SELECT count() FROM schema_migrations FINAL") == len(migrations())
        other.close()
    clients[0].command(f"DROP DATABASE {database} ON CLUSTER trailhouse SYNC")
    for each in clients:
        each.close()


def test_a_token_lands_once_by_whichever_server(cluster: Composed, client: Any) -> None:
    """In each shard, on both replicas; and rows of both shards are read by any server."""
    topic_id = f"topic-{uuid.uuid4()}"
    for port in (*_PORTS, *_PORTS):
        other = cluster.client(port, more=_NAMED)
        Warehouse(other).insert("price_set", _prices(topic_id), f"{topic_id}:0:0-99")
        other.close()
    places = client.query(
        "SELECT hostName(), count(), uniqExact(_offset) "
        "FROM clusterAllReplicas(trailhouse, trailhouse, price_set_local) WHERE _topic_id = {id:String} GROUP BY ALL",
        {"id": topic_id},
    ).result_rows
    assert len(places) == len(_PORTS)
    assert all(rows == distinct for _, rows, distinct in places)
    assert sum(rows for _, rows, _ in places) == 200
    for port in _PORTS:
        other = cluster.client(port, more=_NAMED)
        asked = "SELECT count() FROM price_set WHERE _topic_id = {id:String}"
        assert _one(other, asked, {"id": topic_id}) == 100
        other.close()


def test_a_replica_that_is_catching_up_is_not_read_as_missing(cluster: Composed, client: Any) -> None:
    """Rows that one replica has not fetched yet are waited for, and not taken for lacking."""
    topic_id = f"topic-{uuid.uuid4()}"
    warehouse = Warehouse(client)
    behind = [cluster.client(port, more=_NAMED) for port in (8124, 8126)]
    try:
        for each in behind:
            each.command("SYSTEM STOP FETCHES price_set_local")
        # Without a quorum, as an insert leaves it that was given up while it waited for one.
        client.insert_arrow(
            "price_set",
            _prices(topic_id),
            settings={"insert_quorum": 0, "insert_deduplication_token": topic_id, "load_balancing": "in_order"},
        )
        with pytest.raises(WarehouseUnavailableError, match="catching up"):
            warehouse.ask("landed_offsets", _range(topic_id))
        highest = warehouse.ask("highest_offset", {"table": "price_set", "topic_id": topic_id, "partition": 0})
        assert highest.column("highest").to_pylist() == [99]
    finally:
        for each in behind:
            each.command("SYSTEM START FETCHES price_set_local")

    def caught_up() -> bool:
        try:
            return len(warehouse.ask("landed_offsets", _range(topic_id))) == 100
        except WarehouseUnavailableError:
            return False

    assert wait_until(caught_up, seconds=60)
    for each in behind:
        each.close()


def test_nothing_is_lost_when_a_replica_and_a_collector_die_while_events_land(
    cluster: Composed, client: Any, tmp_path: Path
) -> None:
    """They come back, and every event is there, once; what is asked meanwhile is answered or refused, never halved."""
    runs, steps = 6, 600
    count = "SELECT count() FROM metrics_logged WHERE project = 'docker'"
    scripts = cluster.runs(tmp_path, runs, steps, 0.1, _NAMED)
    assert wait_until(lambda: int(_one(client, count)) > runs * 10, seconds=180)
    cluster.kill("clickhouse-1-2", "collector-1")
    before = int(_one(client, count))
    assert before > runs * 10
    cluster.start("clickhouse-1-2", "collector-1")
    cluster.kill("clickhouse-2-1", "collector-2")
    cluster.start("clickhouse-2-1", "collector-2")
    assert [script.wait(600) for script in scripts] == [0] * runs
    assert wait_until(lambda: int(_one(client, count)) >= runs * steps, seconds=300)
    verified = cluster.command(tmp_path, ["verify", "--project", "docker"], _NAMED)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert int(_one(client, count)) == runs * steps
    together = "SELECT max(shards) FROM (SELECT uniqExact(_shard_num) AS shards FROM metrics_logged GROUP BY run_id)"
    assert _one(client, together) == 1


@pytest.mark.parametrize(
    "words",
    [["runs", "list"], ["cost"], ["audit", "denials"], ["dead-letters", "list"], ["doctor"]],
    ids="-".join,
)
def test_reports_are_answered_by_the_cluster(cluster: Composed, tmp_path: Path, words: list[str]) -> None:
    """The same SQL, joins and temporary tables too."""
    done = cluster.command(tmp_path, words, _NAMED)
    assert done.returncode == 0, done.stdout + done.stderr
