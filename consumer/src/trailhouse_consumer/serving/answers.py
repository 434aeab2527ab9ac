"""The answers' headers, and the messages that send an answer piece by piece."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import Send

    from trailhouse_consumer.serving.asked import Asked
    from trailhouse_consumer.serving.engine import Outcome

__all__ = ["common_headers", "format_headers", "send_body", "start", "summary_headers", "without_coding"]

_CONTENT_TYPES: Final = {
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "Arrow": "application/vnd.apache.arrow.file",
    "ArrowStream": "application/vnd.apache.arrow.stream",
    "Parquet": "application/vnd.apache.parquet",
}


def common_headers(asked: Asked) -> dict[str, str]:
    """Return what every answer says."""
    return {
        "X-ClickHouse-Query-Id": asked.query_id,
        "X-ClickHouse-Timezone": "UTC",
        "X-ClickHouse-Server-Display-Name": "trailhouse",
        "Cache-Control": "no-store",
    }


def format_headers(answer_format: str) -> dict[str, str]:
    """Return what an answer of rows in that format says."""
    return {
        "X-ClickHouse-Format": answer_format,
        "Content-Type": _CONTENT_TYPES.get(answer_format, "text/plain; charset=UTF-8"),
    }


def without_coding(headers: dict[str, str]) -> dict[str, str]:
    """Return the headers for an answer that turned out to be empty: nothing is not compressed."""
    return {name: value for name, value in headers.items() if name != "Content-Encoding"}


def summary_headers(outcome: Outcome) -> dict[str, str]:
    """Return what a statement that has ended did."""
    said = {
        "read_rows": outcome.read_rows,
        "read_bytes": outcome.read_bytes,
        "written_rows": outcome.written_rows,
        "written_bytes": outcome.written_bytes,
        "total_rows_to_read": 0,
        "result_rows": outcome.written_rows,
        "result_bytes": outcome.written_bytes,
        "elapsed_ns": int(outcome.seconds * 1e9),
    }
    return {"X-ClickHouse-Summary": json.dumps({name: str(value) for name, value in said.items()})}


async def start(send: Send, headers: dict[str, str]) -> None:
    """Begin an answer that is sent piece by piece."""
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 200, "headers": raw})


async def send_body(send: Send, body: bytes, *, last: bool = False) -> None:
    """Send a piece; returns when the client has taken enough of what was sent before."""
    await send({"type": "http.response.body", "body": body, "more_body": not last})
