"""How long rows of a table are kept: the setting `retention`, as TTLs of the tables, applied by `trailhouse migrate`.

A row's age is that of `_published_at`, the broker's clock: what a client says of its time neither ends a row nor keeps
it. What has expired is no loss, so every change is written down too, and `rows_expired` tells who misses a row since
when rows must be there. What accounts rest on is not given a TTL by accident: such a table is refused with the reason,
unless it is forced.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Final

from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.errors import SettingsError
from trailhouse_schemas.names import near
from trailhouse_schemas.warehouse.cluster import LOCAL, cluster_of
from trailhouse_schemas.warehouse.migrate import define

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from clickhouse_connect.driver.client import Client

__all__ = ["Change", "apply_retention", "expired_before", "retention_days", "retention_in_force"]

#: Why the rows of a table are to stay, where it is not enough that somebody asks.
_STAYS: Final = {
    "permission_changed": "who may do what follows from the grants of all times",
    "price_set": "what was used is paid at the price of its time",
    "attribute_changed": "owners, budgets and tags are read as of any moment",
    "capacity_reported": "what was idle is what there was, less what was used",
    "resources_allocated": "what runs cost rests on it",
    "resources_released": "what runs cost rests on it",
    "heartbeat_sent": "the accounting of loss rests on what producers said of themselves",
}
#: Tables that may have a TTL.
_TABLES: Final = frozenset({*(event_type.table for event_type in CATALOGUE.values()), "dead_letters"})
_WRITTEN: Final = re.compile(r"([1-9][0-9]{0,4})(d|w|y)( forced)?")
_DAYS: Final = {"d": 1, "w": 7, "y": 365}
#: The TTL that we set, as the engine shows it.
_OURS: Final = re.compile(r"toDateTime\(_published_at\) \+ toIntervalDay\((?:_CAST\()?(\d+)(?:, 'UInt32'\))?\)")
_TTL: Final = re.compile(r" TTL (.*?)(?= SETTINGS |$)", re.DOTALL)

_TTLS: Final = """
SELECT name, engine_full FROM system.tables
WHERE database = currentDatabase() AND name IN {tables:Array(String)} AND engine LIKE '%MergeTree'
"""
_SET: Final = "MODIFY TTL toDateTime(_published_at) + toIntervalDay({days:UInt32})"
_REMOVE: Final = "REMOVE TTL"
_SAID: Final = """
SELECT table_name, argMax(keep_days, applied_at) FROM retention_changes GROUP BY table_name
"""
_SAY: Final = "INSERT INTO retention_changes SELECT {table:String}, {days:Int64}, now64(6, 'UTC')"


@dataclass(frozen=True, slots=True)
class Change:
    """A table whose rows are kept for another time than before; None for ever."""

    table: str
    before: int | None
    days: int | None


def retention_days(written: Mapping[str, str]) -> dict[str, int]:
    """Return the days that rows are kept, by table, from `{"metrics_logged": "400d"}`.

    Raises:
        SettingsError: no such table, no time, or a table whose rows must stay.
    """
    found = {}
    for table, text in written.items():
        if table not in _TABLES:
            way_out = near(table, _TABLES, otherwise="list tables with 'trailhouse schemas list'")
            raise SettingsError(f"Setting TRAILHOUSE_RETENTION names {table!r}, which is no table of events{way_out}")
        match = _WRITTEN.fullmatch(text.strip())
        if match is None:
            raise SettingsError(
                f"Setting TRAILHOUSE_RETENTION keeps {table} for {text!r}; write days, weeks or years: 400d, 26w or 2y"
            )
        if table in _STAYS and match[3] is None:
            raise SettingsError(
                f"Setting TRAILHOUSE_RETENTION would delete rows of {table}: {_STAYS[table]}; "
                f"take it out, or write '{text.strip()} forced'"
            )
        found[table] = int(match[1]) * _DAYS[match[2]]
    return found


def retention_in_force(client: Client) -> dict[str, int | str]:
    """Return the days that rows are kept, by table; the TTL itself where it is none of ours."""
    found: dict[str, int | str] = {}
    kept_in = {f"{table}{LOCAL}" if cluster_of(client) else table: table for table in _TABLES}
    for name, engine in client.query(_TTLS, {"tables": sorted(kept_in)}).result_rows:
        if (ttl := _TTL.search(engine)) is not None:
            ours = _OURS.fullmatch(ttl[1])
            found[kept_in[name]] = int(ours[1]) if ours else ttl[1]
    return found


def apply_retention(client: Client, wanted: Mapping[str, int]) -> list[Change]:
    """Give the tables these TTLs and no others; return what changed.

    A TTL that is none of ours is replaced where one is wanted, else left. May be repeated after it was interrupted.
    """
    there, said = retention_in_force(client), _said(client)
    changes = []
    for table in sorted(_TABLES):
        have, days = there.get(table), wanted.get(table)
        if isinstance(have, str) and days is None:
            continue
        told = said.get(table) or None
        shorter = days is not None and (told is None or days < told)
        if shorter:
            client.command(_SAY, {"table": table, "days": days})
        if days is not None and have != days:
            define(client, f"ALTER TABLE {table} {_SET}", {"days": days})
        elif days is None and have is not None:
            define(client, f"ALTER TABLE {table} {_REMOVE}")
        if not shorter and told != days:
            client.command(_SAY, {"table": table, "days": days or 0})
        if have != days:
            changes.append(Change(table, have if isinstance(have, int) else None, days))
    return changes


def expired_before(client: Client) -> dict[str, datetime]:
    """Return, by table, the moment (UTC) before which published rows may have expired; nothing where none may have."""
    rows = client.query("SELECT table_name, published_before FROM rows_expired").result_rows
    return {str(table): moment.replace(tzinfo=UTC) for table, moment in rows}  # the client leaves UTC out


def _said(client: Client) -> dict[str, int]:
    """Return the days that were written down last, by table; 0 for ever."""
    return {str(table): int(days) for table, days in client.query(_SAID).result_rows}
