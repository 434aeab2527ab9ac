"""What a request asks for beside its statement: the parameters of ClickHouse's HTTP interface, each in its place."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from trailhouse_consumer.serving.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Asked"]

#: Parameters of the interface that are neither settings nor parameters of the statement.
_NAMES: Final = (
    "add_http_cors_header buffer_size cancel_http_readonly_queries_on_client_close client_protocol_version "
    "close_session compress database decompress default_format enable_http_compression "
    "http_headers_progress_interval_ms http_response_buffer_size "
    "http_write_exception_in_output_format http_zlib_compression_level password query "
    "query_id quota_key role send_progress_in_http_headers session_check session_id session_timeout stacktrace user "
    "wait_end_of_query"
)
_OF_THE_INTERFACE: Final = frozenset(_NAMES.split())
#: The compressions of answers and their names in HTTP and in the engine, the one that costs least first.
_COMPRESSIONS: Final = {"lz4": "lz4", "zstd": "zstd", "gzip": "gzip", "deflate": "deflate", "br": "br"}
_DEFAULT_SESSION_SECONDS: Final = 60.0
_MAX_SESSION_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters of one request."""

    query: str
    query_id: str
    database: str
    settings: dict[str, str]
    #: Parameters of the statement, by name.
    params: dict[str, str]
    #: The format of answers to statements that name none.
    default_format: str
    #: The revision of the native protocol that the client knows; 0 when it does not say.
    protocol: int
    #: The engine's clause of the answer's compression, and its name in HTTP; both empty without.
    compression: str
    content_coding: str
    session: str
    session_seconds: float
    #: The session must be there already.
    session_check: bool
    close_session: bool
    #: The answer is sent when the statement has ended, so that its status says how.
    wait_end: bool
    #: A GET changes nothing.
    may_change: bool

    @classmethod
    def of(cls, method: str, headers: Mapping[str, str], given: Mapping[str, str]) -> Self:
        """Read them; raises `Refused`."""
        for name in ("compress", "decompress"):
            if _flag(given.get(name, "")):
                raise Refused(
                    48,
                    "NOT_IMPLEMENTED",
                    f"{name}=1 is not spoken here; use enable_http_compression=1 or Content-Encoding",
                )
        if given.get("role"):
            raise Refused(512, "SET_NON_GRANTED_ROLE", f"Role {given['role']} is not there: this engine has none")
        clause, coding = _compression(headers.get("accept-encoding", ""), given)
        return cls(
            query=given.get("query", ""),
            query_id=given.get("query_id") or str(uuid.uuid4()),
            database=given.get("database") or headers.get("x-clickhouse-database", ""),
            settings={
                name: value
                for name, value in given.items()
                if name not in _OF_THE_INTERFACE and not name.startswith("param_")
            },
            params={name.removeprefix("param_"): value for name, value in given.items() if name.startswith("param_")},
            default_format=given.get("default_format") or headers.get("x-clickhouse-format") or "TabSeparated",
            protocol=int(protocol) if (protocol := given.get("client_protocol_version", "")).isdecimal() else 0,
            compression=clause,
            content_coding=coding,
            session=given.get("session_id", ""),
            session_seconds=_seconds(given.get("session_timeout", "")),
            session_check=_flag(given.get("session_check", "")),
            close_session=_flag(given.get("close_session", "")),
            wait_end=_flag(given.get("wait_end_of_query", "")),
            may_change=method == "POST",
        )


def _flag(value: str) -> bool:
    return value not in {"", "0", "false"}


def _seconds(value: str) -> float:
    if not value:
        return _DEFAULT_SESSION_SECONDS
    try:
        seconds = float(int(value))
    except ValueError:
        raise Refused(374, "INVALID_SESSION_TIMEOUT", f"Invalid session timeout: '{value}'") from None
    if not 0 <= seconds <= _MAX_SESSION_SECONDS:
        raise Refused(
            374,
            "INVALID_SESSION_TIMEOUT",
            f"Session timeout '{value}' is larger than max_session_timeout: {_MAX_SESSION_SECONDS:.0f}",
        )
    return seconds


def _compression(accepted: str, given: Mapping[str, str]) -> tuple[str, str]:
    """Return the engine's clause and HTTP's name of the compression that a client takes and has asked for."""
    if not _flag(given.get("enable_http_compression", "")):
        return "", ""
    names = set()
    for part in accepted.lower().split(","):
        name, _, parameters = part.partition(";")
        if parameters.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}:
            names.add(name.strip())
    for coding, name in _COMPRESSIONS.items():
        if coding in names:
            level = given.get("http_zlib_compression_level", "")
            return f"'{name}'" + (f" LEVEL {int(level)}" if level.isdigit() else ""), coding
    return "", ""
