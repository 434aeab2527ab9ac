"""Cuts a statement into the tokens that ClickHouse's own lexer finds in it.

Whatever decides by the words of a statement decides by these, never by its raw text: a word in a string or a comment is
none. What could be read in two ways (here-documents, typographic quotes) is refused, so that nothing is seen here
otherwise than the engine sees it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from trailhouse_consumer.serving.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Incomplete", "Token", "tokens"]

_SPACE: Final = b" \t\n\r\f\v"
_LINE_COMMENT: Final = re.compile(rb"--[^\n]*|//[^\n]*|#[ !][^\n]*")
_MARK: Final = re.compile(rb"/\*|\*/")
_QUOTED: Final = re.compile(rb"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"|`(?:[^`\\]|\\.|``)*`", re.DOTALL)
_WORD: Final = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9_$]*")
_ODD: Final = (*("‘", "’", "“", "”", "\ufeff", "\u00a0"),)  # noqa: RUF001 - these are the ones
_ODD_BYTES: Final = tuple(character.encode() for character in _ODD)


class Incomplete(Exception):  # noqa: N818 - a state, not an error
    """The text ends within a string or a comment: more of it may come."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token: where it stands in the text, and how deep in brackets."""

    kind: Literal["word", "string", "quoted", "sign"]
    text: bytes
    start: int
    end: int
    depth: int

    @property
    def word(self) -> str:
        """A bare word in upper case; empty for anything else."""
        return self.text.decode("ascii").upper() if self.kind == "word" else ""

    @property
    def identifier(self) -> str:
        """The name that a bare or quoted word is, in lower case; empty for anything else."""
        if self.kind == "word":
            return self.text.decode("ascii").lower()
        if self.kind == "quoted":
            return self.text[1:-1].decode("utf-8", "replace").lower()
        return ""


def tokens(text: bytes) -> Iterator[Token]:  # noqa: C901 - one branch a kind of token
    """Yield the tokens of a statement, comments left out.

    Raises:
        Incomplete: it ends within a string or a comment.
        Refused: it holds what could be read in two ways.
    """
    at = depth = 0
    while at < len(text):
        character = text[at : at + 1]
        if character in _SPACE:  # a byte of it
            at += 1
            continue
        if comment := _LINE_COMMENT.match(text, at):
            at = comment.end()
            continue
        if text.startswith(b"/*", at):
            at = _after_comment(text, at)
            continue
        if character in b"'\"`":
            quoted = _QUOTED.match(text, at)
            if quoted is None:
                raise Incomplete
            kind: Literal["string", "quoted"] = "string" if character == b"'" else "quoted"
            yield Token(kind, quoted.group(), at, quoted.end(), depth)
            at = quoted.end()
            continue
        if word := _WORD.match(text, at):
            yield Token("word", word.group(), at, word.end(), depth)
            at = word.end()
            continue
        if character == b"$":
            raise Refused(62, "SYNTAX_ERROR", "Here-documents ($tag$) are not taken over HTTP; write a string in '…'")
        if text.startswith(_ODD_BYTES, at):
            raise Refused(62, "SYNTAX_ERROR", "Typographic quotes and spaces are not taken; write ', \" or `")
        if character in b")]}":
            depth -= 1
        yield Token("sign", character, at, at + 1, depth)
        if character in b"([{":
            depth += 1
        at += 1


def _after_comment(text: bytes, start: int) -> int:
    """Return where a comment ends; they nest."""
    level = 0
    at = start
    while mark := _MARK.search(text, at):
        level += 1 if mark.group() == b"/*" else -1
        at = mark.end()
        if level == 0:
            return at
    raise Incomplete
