"""The tables of the audit: what columns each has, whether or not it has rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd
    import pyarrow as pa

__all__ = ["COLUMNS", "AuditTable", "table_of"]

#: Columns of each table with their types: t text, l list of texts, n whole number, b yes or no, m moment, d duration.
COLUMNS: Final[Mapping[str, Mapping[str, str]]] = {
    "permissions": {
        "principal": "t",
        "effect": "t",
        "actions": "l",
        "resource": "t",
        "through": "l",
        "but_denied": "l",
        "expires_at": "m",
        "grant_ids": "l",
        "granted_at": "m",
    },
    "who_can": {
        "principal": "t",
        "through": "l",
        "expires_at": "m",
        "grant_ids": "l",
    },
    "activity": {
        "principal": "t",
        "action": "t",
        "resource": "t",
        "project": "t",
        "asked": "n",
        "denied": "n",
        "done": "n",
        "not_permitted": "n",
        "runs": "n",
        "first_at": "m",
        "last_at": "m",
    },
    "denials": {
        "moment": "m",
        "principal": "t",
        "action": "t",
        "resource": "t",
        "project": "t",
        "run_id": "t",
        "purpose": "t",
        "reason": "t",
        "grant_ids": "l",
    },
    "unauthorised": {
        "principal": "t",
        "action": "t",
        "resource": "t",
        "project": "t",
        "evidence": "t",
        "times": "n",
        "run_ids": "l",
        "first_at": "m",
        "last_at": "m",
        "denied_before": "b",
        "reason": "t",
    },
    "after_end": {
        "principal": "t",
        "action": "t",
        "resource": "t",
        "project": "t",
        "evidence": "t",
        "how": "t",
        "ended_at": "m",
        "grant_ids": "l",
        "times": "n",
        "run_ids": "l",
        "first_at": "m",
        "last_at": "m",
        "first_after": "d",
        "last_after": "d",
    },
    "unused": {
        "grant_id": "t",
        "grantee": "t",
        "actions": "l",
        "resource": "t",
        "granted_at": "m",
        "expires_at": "m",
        "last_used_at": "m",
        "approved_by": "t",
        "reason": "t",
    },
}


@dataclass(frozen=True, slots=True)
class AuditTable:
    """One answer of the audit. Moments are in UTC."""

    name: str
    table: pa.Table

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.table.num_rows)

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table."""
        return self.table

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a pandas data frame."""
        frame: pd.DataFrame = self.table.to_pandas()
        return frame

    def to_rows(self) -> list[dict[str, Any]]:
        """Return the rows as plain dictionaries."""
        rows: list[dict[str, Any]] = self.table.to_pylist()
        return rows


def table_of(name: str, rows: Iterable[Mapping[str, Any]]) -> AuditTable:
    """Make the table `name` of `COLUMNS` of rows that have exactly its columns."""
    import pyarrow as pa  # noqa: PLC0415 - slow, and the command line imports this

    schema = pa.schema([(column, _types()[kind]) for column, kind in COLUMNS[name].items()])
    return AuditTable(name, pa.Table.from_pylist(list(rows), schema=schema))


@cache
def _types() -> Mapping[str, Any]:
    import pyarrow as pa  # noqa: PLC0415

    return {
        "t": pa.string(),
        "l": pa.list_(pa.string()),
        "n": pa.int64(),
        "b": pa.bool_(),
        "m": pa.timestamp("us", "UTC"),
        "d": pa.duration("us"),
    }
