"""Reads of a statement what the interface must know: what kind it is, its format, where the data of an insert begin."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from trailhouse_consumer.serving.refusals import Refused
from trailhouse_consumer.serving.tokens import Incomplete, Token, tokens

__all__ = ["MAX_HEAD_BYTES", "Insert", "Statement", "read", "read_insert"]

#: As much of a request's body is looked at for the beginning of an insert's data; ClickHouse's max_query_size.
MAX_HEAD_BYTES: Final = 262_144
#: What starts a statement whose answer can be written to a pipe while it is made.
_STREAMED: Final = {"SELECT", "WITH", "FROM", "("}
#: What answers with rows, if only none.
_ANSWERING: Final = _STREAMED | {"SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "CHECK"}
_BEFORE_DATA: Final = re.compile(rb"[ \t\f]*(?:\r?\n)?")


@dataclass(frozen=True, slots=True)
class Statement:
    """A whole statement without data behind it."""

    #: Its tokens.
    tokens: tuple[Token, ...]
    #: Its first word in upper case, or `(`.
    kind: str
    #: The statement up to its FORMAT clause, and what stands behind that (SETTINGS).
    before_format: str
    after_format: str
    #: The format that it asks for; empty when it leaves that to the request.
    format: str

    @property
    def text(self) -> str:
        """The statement as it was written, without a semicolon at its end."""
        clause = f" FORMAT {self.format}" if self.format else ""
        return f"{self.before_format}{clause}{self.after_format}"

    @property
    def streamed(self) -> bool:
        """Whether its answer can be sent while it is made."""
        return self.kind in _STREAMED

    @property
    def answering(self) -> bool:
        """Whether it has an answer, be it of no rows."""
        return self.kind in _ANSWERING


@dataclass(frozen=True, slots=True)
class Insert:
    """The beginning of an insert that brings its data with it."""

    tokens: tuple[Token, ...]
    #: What stands before FORMAT or VALUES.
    into: str
    format: str
    #: Where the data begin in the text.
    data_at: int


def read(text: bytes) -> Statement:
    """Return the parts of a statement; raises `Refused` when it is none, or several."""
    try:
        found = tuple(tokens(text))
    except Incomplete:
        raise Refused(62, "SYNTAX_ERROR", "A string or a comment in the statement is not closed") from None
    while found and found[-1].text == b";":
        found = found[:-1]
    if not found:
        raise Refused(62, "SYNTAX_ERROR", "Empty query")
    if any(token.text == b";" and token.kind == "sign" for token in found):
        raise Refused(62, "SYNTAX_ERROR", "Multi-statements are not allowed")
    end = found[-1].end
    kind = found[0].word or found[0].text.decode("utf-8", "replace")
    at = _format_clause(found)
    if at is None:
        return Statement(found, kind, _decoded(text[:end]), "", "")
    name = found[at + 1]
    return Statement(
        found, kind, _decoded(text[: found[at].start]).rstrip(), _decoded(text[name.end : end]), name.text.decode()
    )


def read_insert(text: bytes) -> Insert | None:
    """Return the beginning of an insert with data; None when the statement is no insert, or has no data of its own.

    Raises:
        Incomplete: the text ends before that can be told.
        Refused: it cannot be read.
    """
    found: list[Token] = []
    for token in tokens(text):
        found.append(token)
        if found[0].word != "INSERT":
            return None
        if token.depth or token.end == len(text):
            continue  # the last word may go on
        if token.word in {"SELECT", "WITH", "WATCH"} or (token.text == b"(" and _is_select(text, token.end)):
            return None
        if token.word == "VALUES" and len(found) > 2:  # noqa: PLR2004 - INSERT INTO values is a table
            return Insert(tuple(found), _decoded(text[: token.start]), "Values", token.end)
        if len(found) > 1 and found[-2].word == "FORMAT" and found[-2].depth == 0 and token.kind == "word":
            gap = _BEFORE_DATA.match(text, token.end)
            assert gap is not None  # noqa: S101 - it matches nothing too
            into = _decoded(text[: found[-2].start])
            return Insert(tuple(found), into, token.text.decode(), gap.end())
    if not found or found[0].word == "INSERT":
        raise Incomplete
    return None


def _is_select(text: bytes, at: int) -> bool:
    return text[at : at + 64].lstrip()[:6].upper() in {b"SELECT", b"WITH"}


def _format_clause(found: tuple[Token, ...]) -> int | None:
    """Return the place of FORMAT in the clause `FORMAT name [SETTINGS …]` that ends a statement."""
    for at in range(len(found) - 2, 0, -1):
        if found[at].word == "FORMAT" and found[at].depth == 0 and found[at + 1].kind == "word":
            behind = found[at + 2 :]
            if not behind or behind[0].word == "SETTINGS":
                return at
    return None


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise Refused(62, "SYNTAX_ERROR", "The statement is not UTF-8") from None
