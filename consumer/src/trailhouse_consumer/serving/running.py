"""The statements that run, by the ids that clients gave them: the engine gives its own, so it could not find them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trailhouse_consumer.serving.refusals import Refused

if TYPE_CHECKING:
    from trailhouse_consumer.serving.statements import Statement

__all__ = ["Running", "named_to_kill"]

_KILL: Final = ("KILL", "QUERY", "WHERE", "QUERY_ID", "=")


@dataclass(frozen=True, slots=True)
class _Statement:
    mark: str
    read_only: bool


class Running:
    """What runs now; used from the event loop alone, but for `marks`."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._statements: dict[str, _Statement] = {}

    def begin(self, query_id: str, *, read_only: bool) -> str:
        """Take a statement in; return a mark that is nowhere else, to find it by in the engine.

        Raises:
            Refused: another of that id runs.
        """
        if query_id in self._statements:
            raise Refused(
                216, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", f"Query with id = {query_id} is already running."
            )
        mark = f"trailhouse-{secrets.token_hex(16)}"
        self._statements[query_id] = _Statement(mark, read_only)
        return mark

    def end(self, query_id: str) -> None:
        """Say that it runs no more."""
        del self._statements[query_id]

    def mark(self, query_id: str, *, read_only: bool) -> str | None:
        """Return the mark of a statement that this client may end; those who only read, only those of such."""
        found = self._statements.get(query_id)
        return found.mark if found and (found.read_only or not read_only) else None

    def marks(self) -> list[str]:
        """Return the marks of all; from any thread."""
        return [statement.mark for statement in list(self._statements.values())]


def named_to_kill(statement: Statement) -> str | None:
    """Return the id in `KILL QUERY WHERE query_id = 'id' [SYNC | ASYNC]`; None when a statement is no such."""
    found = statement.tokens
    words = tuple(token.word or token.text.decode("utf-8", "replace") for token in found[:5])
    if words != _KILL or len(found) not in {6, 7} or found[5].kind != "string":
        return None
    if len(found) == 7 and found[6].word not in {"SYNC", "ASYNC"}:  # noqa: PLR2004 - the word behind the id
        return None
    return found[5].text[1:-1].decode("utf-8", "replace")
