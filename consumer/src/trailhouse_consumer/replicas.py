"""How the collector asks a cluster: every replica of every shard.

One replica alone may not have yet what another one has; taken for lacking, such rows would be inserted again under
another token, and be there twice. So all are asked, and what any of them has is there. A replica that does not answer
makes the question fail, and the collector waits. Rows that an insert left on fewer replicas than its quorum are neither
there nor lacking: they are waited for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from trailhouse_schemas.errors import WarehouseUnavailableError
from trailhouse_schemas.warehouse.cluster import LOCAL

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["everywhere", "on_a_quorum", "quorum"]

#: Tables that the collector decides by; what it only shows to people comes from one replica of each shard.
_TABLE: Final = re.compile(r"\bFROM (?:\{table:Identifier\}|(?P<name>dead_letters_settled)\b)")
_SYSTEM_TABLE: Final = re.compile(r"\bFROM (system\.processes)\b")


def everywhere(sql: str, cluster: str, database: str, table: str) -> tuple[str, dict[str, str]]:
    """Return a question to every replica, with the parameters that it has more.

    Args:
        sql: The question as it is put to one server.
        cluster: Name of the cluster.
        database: The warehouse's database.
        table: The table that the question's parameter `table` names, if it has one.
    """
    asked = _SYSTEM_TABLE.sub(r"FROM clusterAllReplicas({cluster:String}, \1)", sql)
    name = table
    if match := _TABLE.search(asked):
        name = match["name"] or table
    asked = _TABLE.sub("FROM clusterAllReplicas({cluster:String}, {database:String}, {local:String})", asked)
    return asked, {"cluster": cluster, "database": database, "local": f"{name}{LOCAL}"}


def quorum(replicas: int) -> int:
    """Return on how many of so many replicas an acknowledged insert is: the majority, as `insert_quorum = auto`."""
    return replicas // 2 + 1


def on_a_quorum(rows: pa.Table, copies: int) -> pa.Table:
    """Return rows that were found on every replica once.

    Args:
        rows: What the replicas answered, one row for each that has it.
        copies: How many replicas an insert must have reached to count.

    Raises:
        WarehouseUnavailableError: some rows have not reached so many replicas yet.
    """
    counted = rows.group_by(rows.column_names).aggregate([([], "count_all")])
    fewest = min(counted.column("count_all").to_pylist(), default=copies)
    if fewest < copies:
        raise WarehouseUnavailableError(
            f"Rows are on {fewest} replica of the {copies} that an insert needs; replicas are catching up"
        )
    return counted.select(rows.column_names)
