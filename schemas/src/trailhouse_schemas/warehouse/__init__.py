"""The warehouse: how to connect to it, and what tables it has."""

from trailhouse_schemas.warehouse.backups import back_up, restore
from trailhouse_schemas.warehouse.connect import WarehouseUrl, connect, parse_url
from trailhouse_schemas.warehouse.migrate import Migration, check, migrate, migrations
from trailhouse_schemas.warehouse.retention import apply_retention, retention_days, retention_in_force
from trailhouse_schemas.warehouse.tables import TRANSPORT_COLUMNS, row_columns

__all__ = [
    "TRANSPORT_COLUMNS",
    "Migration",
    "WarehouseUrl",
    "apply_retention",
    "back_up",
    "check",
    "connect",
    "migrate",
    "migrations",
    "parse_url",
    "restore",
    "retention_days",
    "retention_in_force",
    "row_columns",
]
