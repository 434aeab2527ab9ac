"""Runs statements on the engine of this process: a handle for each that runs, so that they run side by side.

An answer of rows is written by the engine itself into a pipe, in the format and the compression that were asked for:
no part of it is a Python object but the piece that is being sent. What the engine is given of an insert is a file that
has arrived whole. So a client that hangs up in the middle of an insert has inserted nothing.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import chdb

from trailhouse_consumer.serving.refusals import Refused, from_engine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trailhouse_consumer.serving.statements import Insert, Statement

__all__ = ["Engine", "Handle", "Outcome"]

_SETTING_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: As a server is: a statement is what it says, times are UTC, inserts are done when they return. And an answer is made
#: no further ahead than its client takes it: in parallel, rows of 1 kB made 800 MiB of it, no faster.
_AS_A_SERVER: Final = {
    "implicit_select": "0",
    "session_timezone": "UTC",
    "async_insert": "0",
    "output_format_parallel_formatting": "0",
}
#: May read, set what it likes for itself, and not take this back; 1 may not even set.
_READ_ONLY: Final = "2"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a statement that has ended has done."""

    #: Its answer, unless that went to a pipe.
    body: bytes = b""
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    seconds: float = 0.0


class Engine:
    """The engine of this process, which has this one directory open as long as this object is not closed."""

    def __init__(self, directory: Path, database: str) -> None:
        """Open another handle of a directory that this process has open already.

        Args:
            directory: The warehouse's directory.
            database: What handles use unless they are told otherwise.
        """
        self._directory = str(directory.resolve())
        self.database = database
        self._own = chdb.connect(self._directory)
        self._asking = threading.Lock()
        self._keep_files_out()
        self.version = self._ask("SELECT version()")
        self.table_functions = frozenset(self._ask("SELECT lower(name) FROM system.table_functions").split("\n"))

    def handle(self, *, read_only: bool) -> Handle:
        """Return a new handle, with settings and temporary tables of its own."""
        return Handle(chdb.connect(self._directory), self.database, read_only=read_only)

    def kill(self, mark: str, *, wait: bool = True) -> None:
        """End the statement that has this mark in its text; with `wait`, return when it has ended."""
        sql = "KILL QUERY WHERE position(query, {mark:String}) > 0 AND query_id != queryID()"
        self._ask(f"{sql} SYNC" if wait else sql, {"mark": mark})

    def close(self) -> None:
        """Close the handle that this object holds."""
        self._own.close()

    def _keep_files_out(self) -> None:
        """Put an empty database in the place of the engine's own, in which names of tables are names of files.

        The engine cannot be without one of that name. It comes back when the engine is opened anew, with what is in
        it, as long as nothing on disk says that another is in its place.
        """
        self._own.query(f"USE `{self.database}`")
        if self._ask("SELECT engine FROM system.databases WHERE name = 'default'") != "Overlay":
            return
        said = Path(self._directory, "metadata", "default.sql")
        self._own.query("DETACH DATABASE default")
        said.unlink(missing_ok=True)  # of a process that was killed here
        self._own.query("CREATE DATABASE default ENGINE = Memory")
        said.unlink(missing_ok=True)

    def _ask(self, sql: str, params: Mapping[str, str] | None = None) -> str:
        with self._asking:
            result = self._own.query(sql, "TSVRaw", params=dict(params or {}))
            return (result.bytes() or b"").decode().rstrip("\n")


@dataclass
class Handle:
    """One handle of the engine: one statement at a time. What it was set to outlives the statement, as in a session."""

    connection: Any
    database: str
    read_only: bool
    #: The database that it is in by itself, and the one that it is in now.
    _base: str = field(init=False)
    _now: str | None = field(init=False, default=None)
    #: Settings of the request at hand, and what they were before it (None: the default).
    _applied: dict[str, str] = field(init=False, default_factory=dict)
    _before: dict[str, str | None] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Bring it to what a server's session begins with."""
        self._base = self.database
        self._set(_AS_A_SERVER)
        if self.read_only:
            self._set({"readonly": _READ_ONLY})

    def prepare(self, database: str, settings: Mapping[str, str], *, lasting: bool) -> None:
        """Bring it to the database and the settings of a request, and away from those of the one before.

        Args:
            database: The request's; empty for the one that the session is in.
            settings: The request's.
            lasting: Whether the handle serves a session: then what they were is remembered.
        """
        for name in settings:
            if not _SETTING_NAME.fullmatch(name):
                raise Refused(115, "UNKNOWN_SETTING", f"Unknown setting {name!r}")
        target = database or self._base
        if target != self._now:
            self.run("USE `" + target.replace("\\", "\\\\").replace("`", "\\`") + "`")
            self._now = target
        if settings == self._applied:
            return
        self.restore()
        if lasting and settings:
            self._before = self._values(settings)
        self._set(settings)
        self._applied = dict(settings)

    def restore(self) -> None:
        """Set what the request before has set to what it was."""
        for name, value in self._before.items():
            self.run(f"SET {name} = {'DEFAULT' if value is None else _quoted(value)}")
        self._before = {}
        self._applied = {}

    def moved(self) -> None:
        """Take notice that a statement has changed the database."""
        self._base = self._now = self.run("SELECT currentDatabase()", "TSVRaw").body.decode().rstrip("\n")

    def run(self, sql: str, answer_format: str = "TabSeparated", params: Mapping[str, str] | None = None) -> Outcome:
        """Run a statement; raises `Refused` with what the engine says."""
        try:
            result = self.connection.query(sql, answer_format, params=dict(params or {}))
        except RuntimeError as error:
            raise from_engine(error) from None
        return Outcome(
            result.bytes() or b"",
            result.storage_rows_read() or result.rows_read(),
            result.storage_bytes_read() or result.bytes_read(),
            result.rows_written(),
            result.bytes_written(),
            result.elapsed(),
        )

    def write(
        self, statement: Statement, pipe: Path, answer_format: str, compression: str, params: Mapping[str, str]
    ) -> Outcome:
        """Run a statement that answers with rows, its answer into a pipe; raises `Refused`."""
        into = f"INTO OUTFILE {_quoted(str(pipe))} TRUNCATE"
        if compression:
            into += f" COMPRESSION {compression}"
        return self.run(
            f"{statement.before_format} {into} FORMAT {answer_format}{statement.after_format}", params=params
        )

    def insert(self, insert: Insert, data: Path, params: Mapping[str, str]) -> Outcome:
        """Insert a file of data; raises `Refused`. It is on disk when this returns, if the table is made so."""
        into, settings = _settings_apart(insert)
        return self.run(
            f"{into} FROM INFILE {_quoted(str(data))} COMPRESSION 'none' {settings} FORMAT {insert.format}",
            params=params,
        )

    def is_read_only(self, text: str) -> bool:
        """Whether the engine takes a statement for one that changes nothing."""
        found = self.connection._conn.classify_query(text)  # noqa: SLF001 - what the engine offers no other way
        return str(found["query_class"]).rpartition(".")[2] in {"READ_ONLY", "CONTROL"}

    def close(self) -> None:
        """Close it: its temporary tables are gone."""
        self.connection.close()

    def _set(self, settings: Mapping[str, str]) -> None:
        # `readonly` last: after it, others may be refused.
        for name in sorted(settings, key=lambda name: name == "readonly"):
            self.run(f"SET {name} = {_quoted(settings[name])}")

    def _values(self, settings: Mapping[str, str]) -> dict[str, str | None]:
        names = ", ".join(_quoted(name) for name in settings)
        found = self.run(
            f"SELECT name, value, changed FROM system.settings WHERE name IN ({names})",  # noqa: S608 - quoted
            "JSONCompactEachRow",
        ).body
        rows = [json.loads(line) for line in found.splitlines()]
        return {name: value if int(changed) else None for name, value, changed in rows}


def _settings_apart(insert: Insert) -> tuple[str, str]:
    """Return the beginning of an insert without its SETTINGS clause, and that clause, which goes behind the file."""
    for token in insert.tokens:
        if token.word == "SETTINGS" and token.depth == 0:
            text = insert.into.encode()
            return text[: token.start].decode(), text[token.start :].decode()
    return insert.into, ""


def _quoted(text: str) -> str:
    """Return a literal of SQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
