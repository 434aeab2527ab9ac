"""Errors as ClickHouse's HTTP interface says them: a number, a text that ends with a name, an HTTP status."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

__all__ = ["Refused", "from_engine"]

_CODE: Final = re.compile(r"Code: (\d+)\. DB::Exception: ")
_NAME: Final = re.compile(r"\(([A-Z][A-Z0-9_]+)\)\s*$")
_VERSION: Final = re.compile(r"\s*\(version [^)]*\)+\.?\s*(\([A-Z][A-Z0-9_]+\))?\s*$")

#: Which HTTP status a ClickHouse server answers with, by the error's name; all others are 500.
_STATUSES: Final = {
    HTTPStatus.UNAUTHORIZED: "REQUIRED_PASSWORD",
    HTTPStatus.FORBIDDEN: "UNKNOWN_USER WRONG_PASSWORD AUTHENTICATION_FAILED SET_NON_GRANTED_ROLE ACCESS_DENIED",
    HTTPStatus.BAD_REQUEST: "BAD_ARGUMENTS CANNOT_COMPILE_REGEXP CANNOT_PARSE_TEXT CANNOT_PARSE_ESCAPE_SEQUENCE "
    "CANNOT_PARSE_QUOTED_STRING CANNOT_PARSE_DATE CANNOT_PARSE_DATETIME CANNOT_PARSE_NUMBER "
    "CANNOT_PARSE_DOMAIN_VALUE_FROM_STRING CANNOT_PARSE_IPV4 CANNOT_PARSE_IPV6 CANNOT_PARSE_UUID "
    "CANNOT_PARSE_INPUT_ASSERTION_FAILED DUPLICATE_COLUMN ILLEGAL_COLUMN THERE_IS_NO_COLUMN UNKNOWN_ELEMENT_IN_AST "
    "UNKNOWN_TYPE_OF_AST_NODE TOO_DEEP_AST TOO_BIG_AST UNEXPECTED_AST_STRUCTURE SYNTAX_ERROR INCORRECT_DATA "
    "TYPE_MISMATCH VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    HTTPStatus.NOT_FOUND: "UNKNOWN_TABLE UNKNOWN_FUNCTION UNKNOWN_IDENTIFIER UNKNOWN_TYPE UNKNOWN_STORAGE "
    "UNKNOWN_DATABASE UNKNOWN_SETTING UNKNOWN_DIRECTION_OF_SORTING UNKNOWN_AGGREGATE_FUNCTION UNKNOWN_FORMAT "
    "UNKNOWN_DATABASE_ENGINE UNKNOWN_TYPE_OF_QUERY UNKNOWN_ROLE",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "QUERY_IS_TOO_LARGE",
    HTTPStatus.NOT_IMPLEMENTED: "NOT_IMPLEMENTED",
    HTTPStatus.SERVICE_UNAVAILABLE: "SOCKET_TIMEOUT CANNOT_OPEN_FILE CANNOT_SCHEDULE_TASK",
    HTTPStatus.REQUEST_TIMEOUT: "TIMEOUT_EXCEEDED",
}
_STATUS_OF: Final = {name: status for status, names in _STATUSES.items() for name in names.split()}


class Refused(Exception):  # noqa: N818 - it is what the client is told, not what went wrong here
    """What a client is told instead of an answer."""

    def __init__(self, code: int, name: str, message: str, *, status: HTTPStatus | None = None) -> None:
        """Take ClickHouse's number and name of the error, and what is wrong; the status follows from the name."""
        super().__init__(message)
        self.code = code
        self.name = name
        self.status = status or _STATUS_OF.get(name, HTTPStatus.INTERNAL_SERVER_ERROR)

    def body(self, version: str) -> str:
        """Return the text of the answer, as a server of that version words it."""
        return f"Code: {self.code}. DB::Exception: {self} ({self.name}) (version {version})\n"


def from_engine(error: BaseException) -> Refused:
    """Return what the engine's error is to a client: its code said once, without the engine's version."""
    said = str(error)
    codes = list(_CODE.finditer(said))
    if not codes:
        return Refused(1002, "UNKNOWN_EXCEPTION", said.strip() or type(error).__name__)
    # The engine wraps errors of streams and of inserted files in one of the same code, sometimes twice.
    last = codes[0]
    for following in codes[1:]:
        if following.start() != last.end() or following.group(1) != last.group(1):
            break
        last = following
    text = said[last.end() :].strip()
    while (stripped := _VERSION.sub("", text)) != text:
        text = stripped
    name = _NAME.search(text) or _NAME.search(said.strip())
    return Refused(
        int(last.group(1)),
        name.group(1) if name else "UNKNOWN_EXCEPTION",
        _NAME.sub("", text).strip() if name else text,
    )
