"""The cluster of ClickHouse servers that a warehouse is on: its name, and the settings that every statement has there.

docs/deploy.md gives the reasons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

__all__ = ["LOCAL", "cluster_of", "cluster_settings"]

#: What the table of a shard is called, after the name of the table over all shards.
LOCAL: Final = "_local"

#: Which setting of the client names the cluster; parallel replicas themselves stay off.
_NAMES_THE_CLUSTER: Final = "cluster_for_parallel_replicas"


def cluster_settings(cluster: str) -> dict[str, Any]:
    """Return the settings that every statement has on a cluster; see docs/deploy.md."""
    return {
        _NAMES_THE_CLUSTER: cluster,
        "enable_parallel_replicas": 0,
        # An insert is done when every shard has its rows, on a majority of its replicas; not queued for later.
        "distributed_foreground_insert": 1,
        "insert_quorum": "auto",
        "insert_quorum_parallel": 1,
        "insert_quorum_timeout": 60_000,
        # A read counts every shard, by a replica that is not behind, or it fails.
        "skip_unavailable_shards": 0,
        "max_replica_delay_for_distributed_queries": 10,
        "fallback_to_stale_replicas_for_distributed_queries": 0,
        # Rows stay where they are when shards are added, so that no shard may be left out for its hash.
        "optimize_skip_unused_shards": 0,
        "optimize_distributed_group_by_sharding_key": 0,
        # What is joined or looked up is collected from all shards first.
        "distributed_product_mode": "global",
        "distributed_ddl_output_mode": "throw",
        "alter_sync": 2,
    }


def cluster_of(client: Client) -> str:
    """Return the name of the cluster that `connect` was told of; empty where the warehouse is one server."""
    return str(client.get_client_setting(_NAMES_THE_CLUSTER) or "")
