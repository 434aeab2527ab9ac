"""Promises of the renderer for clusters: every migration is rendered, and what is not understood is refused."""

from __future__ import annotations

import hashlib
import re

import pytest

from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.errors import WarehouseError
from trailhouse_schemas.warehouse import migrations, parse_url
from trailhouse_schemas.warehouse.cluster_tables import render

_STATEMENTS = [
    pytest.param(statement, id=f"{migration.number:04d}-{place}")
    for migration in migrations()
    for place, statement in enumerate(migration.statements)
]
_EVERYTHING = [
    rendered for each in _STATEMENTS for rendered in render(str(each.values[0]), "trailhouse", "house")
]  # fmt: skip
_TABLE = """CREATE TABLE IF NOT EXISTS run_started (
    run_id String
) ENGINE = MergeTree
ORDER BY run_id
SETTINGS non_replicated_deduplication_window = 10"""

#: What a cluster was made with stays what it is: a change here is a new migration there.
_RENDERED = {
    1: "34dce8143e0c85a5",
    2: "08f120e2f98928da",
    3: "557e7082ab42c673",
    4: "42da0b3b0b21cda8",
    5: "f52bc276a299d897",
    6: "97c5b2446eb387b4",
    7: "4b560ef8e38e1bcb",
    8: "4e3e51fbb0d0771c",
    9: "f1d2540f3f485953",
    10: "5faa3ab834670d9c",
    11: "a44158c0b4d1aae4",
    12: "8fe16d17f5f9ec5a",
}


@pytest.mark.parametrize("statement", _STATEMENTS)
def test_every_statement_of_every_migration_is_rendered_for_a_cluster(statement: str) -> None:
    """Each of them runs on every server, and none makes or changes a table of one server alone."""
    for rendered in render(statement, "trailhouse", "house"):
        assert " ON CLUSTER trailhouse " in rendered
        assert "non_replicated" not in rendered
        assert not re.search(r"(?<!Replicated)(?<!\w)MergeTree", rendered)


def test_a_table_becomes_one_of_a_shard_and_one_over_all() -> None:
    """The name that everybody uses is the one over all shards; tokens and disks are as sure as on one server."""
    local, everywhere = render(_TABLE + ", fsync_after_insert = 1", "trailhouse", "house")
    assert local == (
        "CREATE TABLE IF NOT EXISTS run_started_local ON CLUSTER trailhouse (\n    run_id String\n) "
        "ENGINE = ReplicatedMergeTree('/clickhouse/tables/trailhouse/{shard}/house/run_started_local', '{replica}')\n"
        "ORDER BY run_id\n"
        "SETTINGS replicated_deduplication_window = 10, replicated_deduplication_window_seconds = 604800, "
        "fsync_after_insert = 1, min_compressed_bytes_to_fsync_after_fetch = 1"
    )
    assert everywhere == (
        "CREATE TABLE IF NOT EXISTS run_started ON CLUSTER trailhouse AS run_started_local\n"
        "ENGINE = Distributed(trailhouse, house, run_started_local, sipHash64(if(run_id = '', producer_id, run_id)))"
    )


def test_rows_of_one_run_are_on_one_shard() -> None:
    """Whatever their type; facts outside a run lie by the key of their messages."""
    for event_type in CATALOGUE.values():
        (distributed,) = (s for s in _EVERYTHING if f", {event_type.table}_local, " in s)
        key = "producer_id" if event_type.key == "run_id" else event_type.key
        assert distributed.endswith(f"sipHash64(if(run_id = '', {key}, run_id)))")


def test_what_was_rendered_stays_as_it_is() -> None:
    """A released migration makes the same cluster in every later version."""
    found = {}
    for migration in migrations():
        text = "\n".join(r for s in migration.statements for r in render(s, "trailhouse", "house"))
        found[migration.number] = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert {number: found[number] for number in _RENDERED} == _RENDERED


def test_a_new_column_comes_to_the_shards_first() -> None:
    """Or the table over them would name one that they lack; how it is stored is their matter."""
    change = "ALTER TABLE run_started ADD COLUMN IF NOT EXISTS x Map(String, String) CODEC(Delta, ZSTD(1)) AFTER run_id"
    assert render(change, "c", "house") == [
        (
            "ALTER TABLE run_started_local ON CLUSTER c "
            "ADD COLUMN IF NOT EXISTS x Map(String, String) CODEC(Delta, ZSTD(1)) AFTER run_id"
        ),
        "ALTER TABLE run_started ON CLUSTER c ADD COLUMN IF NOT EXISTS x Map(String, String) AFTER run_id",
    ]


@pytest.mark.parametrize(
    "action",
    [
        "MODIFY SETTING merge_selector_base = 16, fsync_after_insert = 1",
        "ADD INDEX IF NOT EXISTS i name TYPE minmax GRANULARITY 1",
        "ADD PROJECTION IF NOT EXISTS p (SELECT run_id, count() GROUP BY run_id)",
        "MODIFY TTL toDateTime(_published_at) + toIntervalDay(30)",
    ],
)
def test_how_rows_are_kept_is_the_matter_of_the_shards(action: str) -> None:
    """The table over them keeps none."""
    (only,) = render(f"ALTER TABLE run_started {action}", "c", "house")
    assert only.startswith("ALTER TABLE run_started_local ON CLUSTER c " + action.split(",", maxsplit=1)[0])


def test_a_summary_is_made_by_each_shard_of_its_own_rows() -> None:
    """Fed by inserts into the shard's table, kept in the shard's table."""
    view = (
        "CREATE MATERIALIZED VIEW IF NOT EXISTS v TO sums AS\nSELECT run_id, count() FROM run_started GROUP BY run_id"
    )
    assert render(view, "c", "house") == [
        (
            "CREATE MATERIALIZED VIEW IF NOT EXISTS v ON CLUSTER c TO sums_local AS\n"
            "SELECT run_id, count() FROM run_started_local GROUP BY run_id"
        )
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE run_started",
        "CREATE TABLE run_started (x UInt8) ENGINE = MergeTree ORDER BY x",
        "CREATE DICTIONARY d (x UInt8) PRIMARY KEY x",
        "INSERT INTO run_started SELECT * FROM old",
        "ALTER TABLE run_started UPDATE name = '' WHERE true",
        "ALTER TABLE run_started ADD COLUMN a String, ADD COLUMN b String",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS v TO s AS\nSELECT 1 FROM run_started JOIN run_finished USING (run_id)",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS v TO s AS\nSELECT 1 FROM (SELECT 1 FROM run_started)",
        _TABLE.replace("ENGINE = MergeTree", "ENGINE = Log"),
        _TABLE.replace("ORDER BY run_id", "SAMPLE BY run_id"),
        _TABLE.replace("non_replicated_deduplication_window = 10", "fsync_after_insert = 1"),
        _TABLE.replace("non_replicated_deduplication_window = 10", "storage_policy = 'x'"),
        _TABLE.replace("run_started", "unheard_of"),
    ],
)
def test_what_is_not_understood_is_refused(statement: str) -> None:
    """One that was understood by half would make tables that look right."""
    with pytest.raises(WarehouseError, match="cluster"):
        render(statement, "trailhouse", "house")


def test_a_url_names_the_cluster() -> None:
    """As part of the address, which people see too; nothing else is taken for a name."""
    where = parse_url("clickhouse://me:secret@db:8123/house?cluster=trailhouse")
    assert (where.database, where.cluster) == ("house", "trailhouse")
    assert str(where) == "clickhouse://me@db:8123/house?cluster=trailhouse"
    assert not parse_url("clickhouse://me@db/house").cluster
    for bad in ("", "a b", "x';DROP"):
        with pytest.raises(WarehouseError, match="no name of a server's cluster"):
            parse_url(f"clickhouse://me@db/house?cluster={bad}")
    with pytest.raises(WarehouseError, match="cluster"):
        parse_url("chdb:///tmp/x?cluster=trailhouse")
