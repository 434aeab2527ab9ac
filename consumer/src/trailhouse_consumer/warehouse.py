"""What the collector asks of the warehouse, and what its answers mean: wait, or never."""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import cache
from importlib import resources
from queue import LifoQueue
from typing import TYPE_CHECKING, Any, Final

from trailhouse_consumer.errors import InsertRejectedError
from trailhouse_consumer.replicas import everywhere, on_a_quorum, quorum
from trailhouse_schemas.errors import WarehouseUnavailableError
from trailhouse_schemas.warehouse.cluster import cluster_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa
    from clickhouse_connect.driver.client import Client

__all__ = ["Warehouse", "brief", "said_plainly"]

#: ClickHouse's codes for errors that lie in the rows: the same rows will be refused again.
_IN_THE_ROWS: Final = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        26,  # CANNOT_PARSE_QUOTED_STRING
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        38,  # CANNOT_PARSE_DATE
        41,  # CANNOT_PARSE_DATETIME
        53,  # TYPE_MISMATCH
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        72,  # CANNOT_PARSE_NUMBER
        117,  # INCORRECT_DATA
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        407,  # DECIMAL_OVERFLOW
        469,  # VIOLATED_CONSTRAINT
        691,  # UNKNOWN_ELEMENT_OF_ENUM
    }
)
#: Questions whose answer decides that a row is landed, so that it must be as safe as an acknowledged insert.
_PROOFS: Final = frozenset({"landed_offsets", "landed_rows"})
_CODE: Final = re.compile(r"Code: (\d+)")


class Warehouse:
    """The warehouse as the collector uses it. Every method raises `WarehouseUnavailableError` when it has to wait.

    Several threads may use it: each call takes a client that nobody else has, and waits where there is none.
    """

    def __init__(self, *clients: Client) -> None:
        """Use open clients of one migrated database, at least one."""
        self._free: LifoQueue[Client] = LifoQueue()
        self._copies = 0
        for client in clients:
            self._free.put(client)

    def insert(self, table: str, rows: pa.Table, token: str) -> None:
        """Insert rows as one block under a deduplication token; raises `InsertRejectedError` for what is in them.

        The number of Arrow batches belongs to the token's identity, so there is always one.
        """
        with self._client() as client, said_plainly():
            client.insert_arrow(
                table,
                rows.combine_chunks(),
                settings={
                    "insert_deduplication_token": token,
                    "insert_deduplicate": 1,
                    "async_insert": 0,
                    "input_format_null_as_default": 0,
                },
            )

    def ask(self, question: str, parameters: Mapping[str, Any]) -> pa.Table:
        """Return the answer to the question in `sql/QUESTION.sql`; on a cluster, of all its replicas."""
        sql, given = _sql(question), dict(parameters)
        with self._client() as client, said_plainly():
            if cluster := cluster_of(client):
                sql, more = everywhere(sql, cluster, str(client.database), str(given.get("table", "")))
                given |= more
            answer: pa.Table = client.query_arrow(sql, given, use_strings=True)
            if cluster and question in _PROOFS:
                answer = on_a_quorum(answer, self._quorum(client, cluster))
        return answer

    def _quorum(self, client: Client, cluster: str) -> int:
        if not self._copies:
            (row,) = client.query(_sql("replicas"), {"cluster": cluster}).result_rows
            self._copies = quorum(int(row[0]))
        return self._copies

    @contextmanager
    def _client(self) -> Iterator[Client]:
        client = self._free.get()
        try:
            yield client
        finally:
            self._free.put(client)


@cache
def _sql(question: str) -> str:
    return (resources.files("trailhouse_consumer") / "sql" / f"{question}.sql").read_text("utf-8")


def brief(error: BaseException) -> str:
    """Return what an error of ClickHouse's client says, in one line.

    Of a server that is not there that is what the operating system said: the libraries between say it at length.
    """
    line = (str(error).splitlines() or [type(error).__name__])[0]
    behind: BaseException | None = None if _CODE.search(line) else error
    while behind is not None:
        if isinstance(behind, OSError) and behind.strerror:
            return behind.strerror
        behind = behind.__cause__ or behind.__context__
    return line[:500]


@contextmanager
def said_plainly() -> Iterator[None]:
    """Raise `WarehouseUnavailableError`, or `InsertRejectedError`, for what ClickHouse's client raises."""
    from clickhouse_connect.driver.exceptions import Error  # noqa: PLC0415 - slow to import

    try:
        yield
    except (Error, OSError) as error:
        text = brief(error)
        code = _CODE.search(text)
        if code and int(code[1]) in _IN_THE_ROWS:
            raise InsertRejectedError(f"The warehouse refuses rows: {text}") from error
        raise WarehouseUnavailableError(f"The warehouse does not take or answer: {text}") from error
