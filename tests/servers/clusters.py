"""Clusters in one engine, for machines that have no other: what the engine of the tests knows is in clusters.xml.

The engine of chDB reads and writes distributed tables whose shards are itself. It cannot run a statement `ON CLUSTER`
and cannot replicate; so the rendered statements are made ready for it by taking out just that.
"""

from __future__ import annotations

import re
import sys
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trailhouse_schemas.warehouse import connect, migrations
from trailhouse_schemas.warehouse.cluster import cluster_settings
from trailhouse_schemas.warehouse.cluster_tables import render

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CONFIG", "in_one_engine", "new_cluster", "new_shards", "of_cluster", "open_engine", "rendered"]

CONFIG: Final = Path(__file__).with_name("clusters.xml")

_REPLICATED: Final = re.compile(r"Replicated(\w*MergeTree)\('[^']*', '[^']*'(?:, )?([^()]*)\)")
_WINDOW: Final = re.compile(r"replicated_deduplication_window = (\d+), replicated_deduplication_window_seconds = \d+")

_SHARDED: Final = re.compile(r"Distributed\(two_shards, \w+, (?P<local>\w+), (?P<key>.*)\)$")


def open_engine(directory: Path) -> Any:
    """Open the engine of this process, which then knows the clusters; whoever opens it later gets the same one."""
    import clickhouse_connect  # noqa: PLC0415 - slow

    engine = clickhouse_connect.get_client(
        interface="chdb", path=str(directory), chdb_options={"config-file": str(CONFIG)}
    )
    engine.command("CREATE DATABASE IF NOT EXISTS trailhouse")  # from here on the directory is a warehouse
    sys.modules[connect.__module__]._opened.add(directory.resolve())  # by this process, that is
    return engine


def rendered(cluster: str, database: str) -> Iterator[str]:
    """Yield every statement of every migration as a cluster has it."""
    for migration in migrations():
        for statement in migration.statements:
            yield from render(statement, cluster, database)


def in_one_engine(statement: str, cluster: str) -> str:
    """Return a rendered statement for an engine that has no coordinator: not everywhere, and not replicated."""
    here = statement.replace(f" ON CLUSTER {cluster}", "")
    return _WINDOW.sub(r"non_replicated_deduplication_window = \1", _REPLICATED.sub(r"\1(\2)", here))


def of_cluster(client: Any, cluster: str) -> Any:
    """Return the client as `connect` makes it where the URL names that cluster."""
    for name, value in cluster_settings(cluster).items():
        client.set_client_setting(name, value)
    return client


@contextmanager
def new_cluster(directory: Path) -> Iterator[Any]:
    """Lend a client of a database that has the tables of a cluster of one shard, as they are rendered."""
    database = f"test_{uuid.uuid4().hex[:12]}"
    client = of_cluster(connect(f"chdb://{directory}?database={database}", create=True), "one_shard")
    for statement in rendered("one_shard", database):
        client.command(in_one_engine(statement, "one_shard"))
    yield client
    client.command(f"DROP DATABASE {database}")
    client.close()


@contextmanager
def new_shards(directory: Path) -> Iterator[Any]:
    """Lend a client of a database that has the tables of a cluster of two shards.

    Both shards keep their rows in the same tables of the one engine; what a shard reads of them is what lies in it. So
    the tables of the shards must remember no tokens, for a token is one shard's.
    """
    database = f"test_{uuid.uuid4().hex[:12]}"
    client = of_cluster(connect(f"chdb://{directory}?database={database}", create=True), "two_shards")
    shards = {}
    for statement in rendered("two_shards", database):
        here = in_one_engine(statement, "two_shards")
        client.command(
            re.sub(r"non_replicated_deduplication_window = \d+", "non_replicated_deduplication_window = 0", here)
        )
        if match := _SHARDED.search(here):
            shards[f"{database}.{match['local']}"] = f"{match['key']} % 2 + 1 = shardNum()"
    client.set_client_setting("additional_table_filters", _map(shards))
    yield client
    client.command(f"DROP DATABASE {database}")
    client.close()


def _map(values: dict[str, str]) -> str:
    """Return a literal of a map of texts."""
    return (
        "{"
        + ", ".join(f"'{key}': '{value.replace(chr(39), chr(92) + chr(39))}'" for key, value in values.items())
        + "}"
    )
