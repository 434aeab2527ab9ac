"""Asks the warehouse one question: a .sql file of this distribution, with parameters that the server binds."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    from clickhouse_connect.driver.client import Client

__all__ = ["ask", "text"]


@cache
def text(name: str) -> str:
    """Return the text of the question `name`: the file sql/NAME.sql."""
    return (resources.files("trailhouse_analytics") / "sql" / f"{name}.sql").read_text("utf-8")


def ask(client: Client, name: str, /, **parameters: Any) -> pa.Table:
    """Return the answer to the question `name`; it has its columns when it has no rows, too."""
    return client.query_arrow(text(name), parameters=parameters)
