"""Which columns a table has: messages with a field that has none are kept aside until it is migrated."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trailhouse_consumer.warehouse import Warehouse

__all__ = ["table_columns"]


def table_columns(warehouse: Warehouse, table: str) -> frozenset[str]:
    """Return the names of the columns of a table; raises `WarehouseUnavailableError`."""
    return frozenset(warehouse.ask("table_columns", {"table": table}).column("name").to_pylist())
