"""Promises of a warehouse on a cluster, as far as the engine of chDB can: docs/deploy.md says what is left."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from servers.clusters import in_one_engine, new_cluster, new_shards, of_cluster, rendered
from trailhouse_schemas.errors import WarehouseError
from trailhouse_schemas.warehouse import check, migrate
from trailhouse_schemas.warehouse.cluster import LOCAL, cluster_of, cluster_settings
from trailhouse_schemas.warehouse.cluster_tables import render_ledger
from trailhouse_schemas.warehouse.migrate import LEDGER
from trailhouse_schemas.warehouse.retention import Change, apply_retention, expired_before, retention_in_force

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.warehouses import Warehouse


@pytest.fixture
def sharded(chdb_directory: Path) -> Iterator[Any]:
    """A client of a database with the tables of a cluster of one shard."""
    with new_cluster(chdb_directory) as client:
        yield client


def _tables(client: Any) -> set[str]:
    return {row[0] for row in client.query("SHOW TABLES").result_rows}


def test_every_rendered_statement_is_sql(warehouse: Warehouse) -> None:
    """The engine parses it."""
    for statement in [render_ledger(LEDGER, "trailhouse", "house"), *rendered("trailhouse", "house")]:
        assert warehouse.client.query(f"EXPLAIN AST {statement}").row_count


def test_the_tables_are_those_of_one_server(warehouse: Warehouse, sharded: Any) -> None:
    """The same columns under the same names; the shards' have the same codecs, indexes and projections too."""
    names = _tables(warehouse.client) - {"schema_migrations"}
    views = {"dead_letters_standing", "rows_expired"}
    assert _tables(sharded) == names | {f"{name}{LOCAL}" for name in names - views}

    def columns(client: Any, table: str, more: str = "") -> list[tuple[Any, ...]]:
        asked = (
            f"SELECT name, type, default_kind, default_expression{more} FROM system.columns "  # noqa: S608 - constants
            "WHERE database = currentDatabase() AND table = {table:String} ORDER BY position"
        )
        return [tuple(row) for row in client.query(asked, {"table": table}).result_rows]

    def parts(client: Any, table: str) -> list[list[tuple[Any, ...]]]:
        """Return what else makes a table: its keys, indexes and projections."""
        return [
            [tuple(row) for row in client.query(asked, {"table": table}).result_rows]
            for asked in (
                (
                    "SELECT partition_key, sorting_key, primary_key FROM system.tables "
                    "WHERE database = currentDatabase() AND name = {table:String}"
                ),
                (
                    "SELECT name, type_full, expr, granularity FROM system.data_skipping_indices "
                    "WHERE database = currentDatabase() AND table = {table:String} ORDER BY name"
                ),
                (
                    "SELECT name, type, sorting_key, query FROM system.projections "
                    "WHERE database = currentDatabase() AND table = {table:String} ORDER BY name"
                ),
            )
        ]

    for name in names:
        assert columns(sharded, name) == columns(warehouse.client, name), name
    for name in names - views:
        codecs = ", compression_codec"
        assert columns(sharded, f"{name}{LOCAL}", codecs) == columns(warehouse.client, name, codecs), name
        assert parts(sharded, f"{name}{LOCAL}") == parts(warehouse.client, name), name


def test_every_setting_is_one_of_the_engine(warehouse: Warehouse) -> None:
    """A misspelt one would be dropped without a word, by the client or by the server."""
    known = {name for (name,) in warehouse.client.query("SELECT name FROM system.settings").result_rows}
    assert set(cluster_settings("trailhouse")) <= known
    asked = "SELECT name FROM system.replicated_merge_tree_settings"
    of_tables = {name for (name,) in warehouse.client.query(asked).result_rows}
    used = {
        name
        for statement in rendered("trailhouse", "house")
        for settings in re.findall(r"SETTINGS? (.*)", statement)
        for name in re.findall(r"(\w+) =", settings)
    }
    assert used
    assert used <= of_tables


def test_a_token_lands_once_through_the_table_over_all_shards(sharded: Any) -> None:
    """It reaches the tables of the shards; another token is another insert, whatever the rows."""
    for token in ("one", "one", "two"):
        sharded.command(
            "INSERT INTO price_set (sku_id, _offset) SELECT toString(number), number FROM numbers(100) "
            "SETTINGS insert_deduplication_token = {token:String}",
            {"token": token},
        )
    assert sharded.query("SELECT count(), uniqExact(_offset) FROM price_set").first_row == (200, 100)


def test_a_shard_that_is_down_is_not_read_as_empty(sharded: Any) -> None:
    """Half of an answer is none."""
    local = f"clusterAllReplicas('a_shard_down', {sharded.database}, price_set{LOCAL})"
    with pytest.raises(DatabaseError, match=r"NETWORK_ERROR|ALL_CONNECTION_TRIES_FAILED|ALL_REPLICAS_ARE_STALE"):
        sharded.query(f"SELECT count() FROM {local}")  # noqa: S608 - constants


def test_tables_of_one_server_are_not_taken_for_a_clusters(warehouse: Warehouse) -> None:
    """Nor filled as such: rows would be on one server, and nobody would miss the others."""
    assert not cluster_of(warehouse.client)
    of_cluster(warehouse.client, "one_shard")
    assert cluster_of(warehouse.client) == "one_shard"
    for refused in (check, migrate):
        with pytest.raises(WarehouseError, match="is one server's, not cluster one_shard's"):
            refused(warehouse.client)


def test_how_long_rows_are_kept_is_set_in_every_shard(sharded: Any) -> None:
    """The table over the shards keeps none; what was said of it is read there as on one server."""
    client: Any = _OneEngine(sharded)
    assert apply_retention(client, {"metrics_logged": 400}) == [Change("metrics_logged", None, 400)]
    assert any(f"ALTER TABLE metrics_logged{LOCAL} ON CLUSTER one_shard MODIFY TTL" in sql for sql in client.said)
    assert retention_in_force(client) == {"metrics_logged": 400}
    assert set(expired_before(client)) == {"metrics_logged"}
    assert apply_retention(client, {"metrics_logged": 400}) == []
    assert apply_retention(client, {}) == [Change("metrics_logged", 400, None)]
    assert retention_in_force(client) == {}


class _OneEngine:
    """A client whose engine has no coordinator."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.said: list[str] = []

    def command(self, sql: str, *arguments: Any) -> Any:
        self.said.append(sql)
        return self._client.command(in_one_engine(sql, "one_shard"), *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def test_a_join_over_two_shards_counts_as_on_one_server(chdb_directory: Path) -> None:
    """What is looked up comes from all shards; looked up in each alone, it would count less."""
    with new_shards(chdb_directory) as shards:
        shards.command(
            "INSERT INTO price_set (sku_id, producer_id, _offset) "
            "SELECT toString(number), toString(number + 1), number FROM numbers(100)"
        )
        assert shards.query("SELECT uniqExact(_shard_num) FROM price_set").result_rows == [(2,)]
        joined = "SELECT count() FROM price_set AS a JOIN price_set AS b ON a.sku_id = b.producer_id"
        among = "SELECT count() FROM price_set WHERE sku_id IN (SELECT producer_id FROM price_set)"
        for question in (joined, among):
            assert shards.query(question).result_rows == [(99,)]
            alone = shards.query(f"{question} SETTINGS distributed_product_mode = 'local'").result_rows
            assert alone[0][0] < 99
