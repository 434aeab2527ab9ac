"""The question with which Go's client of ClickHouse begins, Grafana's data source with it: which revision is spoken.

The engine writes Native as of revision 0, as into files; a server writes it as of the revision that a request names
(`client_protocol_version`). The client takes what is answered here for all that follows, so it is told 0. That one
answer is as of the revision that it has named.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from trailhouse_consumer.serving.asked import Asked
    from trailhouse_consumer.serving.statements import Statement

__all__ = ["hello"]

_QUESTION: Final = "SELECT DISPLAYNAME ( ) , VERSION ( ) , REVISION ( ) , TIMEZONE ( )"
#: From here on blocks say how each of their columns is written.
_WITH_SERIALIZATIONS: Final = 54454
#: Fields of a block: 1 and 2, as they are of a block that is no part of an aggregation; then their end.
_BLOCK_INFO: Final = b"\x01\x00\x02\xff\xff\xff\xff\x00"


def hello(statement: Statement | None, asked: Asked, version: str) -> bytes | None:
    """Return the answer to that question; None when a request asks another, or in another way."""
    if statement is None or statement.format or asked.default_format != "Native" or not asked.protocol:
        return None
    if " ".join(token.word or token.text.decode("utf-8", "replace") for token in statement.tokens) != _QUESTION:
        return None
    columns = (
        ("displayName()", "String", _text("trailhouse")),
        ("version()", "String", _text(version)),
        ("revision()", "UInt32", struct.pack("<I", 0)),
        ("timezone()", "String", _text("UTC")),
    )
    said = b"\x00" if asked.protocol >= _WITH_SERIALIZATIONS else b""
    block = b"".join(_text(name) + _text(kind) + said + value for name, kind, value in columns)
    return _BLOCK_INFO + bytes((len(columns), 1)) + block


def _text(text: str) -> bytes:
    data = text.encode()
    assert len(data) < 128  # noqa: PLR2004, S101 - the length is one byte
    return bytes((len(data),)) + data
