"""The spool: a producer's local write-ahead queue on disk, one SQLite file a producer.

This is the contract between who writes a spool (the producer) and who empties it (a forwarder to Kafka, or the
collector). What is appended survives the death of the process: the file is in WAL mode, and only a crash of the
machine can take the last commits.

Who may do what is decided by two OS locks on files beside the spool, never by a process id. The locks go with the
process that holds them, however it dies, and are not inherited by a forked child.

- `NAME.spool.writer` is held by the producer for as long as it may append.
- `NAME.spool.drainer` is held by whoever empties the spool: one forwarder or one collector at a time.

An event leaves the spool only when it is where it should be: acknowledged by the broker, landed in the warehouse, or
in the table `refused`, which the accounting of loss reads. A spool that is marked to be retained keeps its events after
that too; `done_through` says how far it has been drained.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from trailhouse_schemas.errors import SpoolError, SpoolLockedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

__all__ = [
    "SPOOL_SUFFIX",
    "FileLock",
    "RefusedEvent",
    "Spool",
    "SpoolPlan",
    "SpooledEvent",
    "spool_files",
]

SPOOL_SUFFIX: Final = ".spool"
FORMAT_VERSION: Final = 1
_BUSY_TIMEOUT_SECONDS: Final = 10.0

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    sequence     INTEGER PRIMARY KEY,
    event_type   TEXT    NOT NULL,
    message_key  TEXT    NOT NULL,
    appended_us  INTEGER NOT NULL,
    partition    INTEGER,
    value        BLOB    NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_type ON events (event_type, sequence);
CREATE TABLE IF NOT EXISTS refused (
    sequence     INTEGER PRIMARY KEY,
    event_type   TEXT    NOT NULL,
    message_key  TEXT    NOT NULL,
    appended_us  INTEGER NOT NULL,
    value        BLOB    NOT NULL,
    reason       TEXT    NOT NULL,
    refused_us   INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS plans (
    event_type     TEXT    PRIMARY KEY,
    first_sequence INTEGER NOT NULL,
    last_sequence  INTEGER NOT NULL,
    tries          INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS done (event_type TEXT PRIMARY KEY, through_sequence INTEGER NOT NULL) WITHOUT ROWID;
"""
#: Names in `meta` that say how far the writer is begin so.
_PROGRESS: Final = "progress."
#: Made with the first plan: the spools of earlier versions lack it.
_WHOLES_TABLE: Final = """
CREATE TABLE IF NOT EXISTS wholes (
    event_type         TEXT    PRIMARY KEY,
    first_sequence     INTEGER NOT NULL,
    last_sequence      INTEGER NOT NULL,
    letter_tokens_used INTEGER NOT NULL,
    row_tokens_used    INTEGER NOT NULL
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class SpooledEvent:
    """One event in a spool. `value` is in single-object encoding."""

    sequence: int
    event_type: str
    message_key: str
    appended_us: int
    value: bytes
    #: The partition that it was first sent to; None while it was not sent.
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class RefusedEvent:
    """An event that the broker refused for good, with its reason."""

    sequence: int
    event_type: str
    message_key: str
    appended_us: int
    value: bytes
    reason: str
    refused_us: int


@dataclass(frozen=True, slots=True)
class SpoolPlan:
    """The promise of a collector to land the events of one type with sequences in [first, last]."""

    event_type: str
    first_sequence: int
    last_sequence: int
    tries: int
    #: Where it is a part of a range: the range's first and last, and how many of its tokens are used up in
    #: dead_letters and in the table.
    whole: tuple[int, int, int, int] | None = None


class FileLock:
    """An exclusive lock of the operating system on a file; gone when its holder is, however it ends.

    A forked child does not hold it: `os.register_at_fork` closes the child's descriptor of every lock.
    """

    _held: Final[set[FileLock]] = set()

    def __init__(self, path: Path) -> None:
        """Make the lock on `path`, not yet taken."""
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def acquire(self) -> bool:
        """Take the lock if it is free; return whether this object holds it now."""
        if self._descriptor is not None:
            return True
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        if not _same_file(descriptor, self.path):
            os.close(descriptor)
            return self.acquire()
        self._descriptor = descriptor
        FileLock._held.add(self)
        return True

    @property
    def descriptor(self) -> int | None:
        """The file descriptor that holds the lock: who inherits it, holds it too."""
        return self._descriptor

    def adopt(self, descriptor: int) -> None:
        """Hold the lock by a descriptor that was inherited from who held it."""
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor
        FileLock._held.add(self)

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            FileLock._held.discard(self)

    @classmethod
    def _close_in_child(cls) -> None:
        for lock in list(cls._held):
            lock.release()


os.register_at_fork(after_in_child=FileLock._close_in_child)  # noqa: SLF001 - the class's own hook


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        on_disk = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (held.st_dev, held.st_ino) == (on_disk.st_dev, on_disk.st_ino)


def spool_files(directory: Path) -> list[Path]:
    """Return the spools in `directory`, the oldest first (names are UUIDv7); none when there is no directory.

    Raises:
        SpoolError: this user may not look into the directory.
    """
    try:
        if not directory.is_dir():
            return []
        return sorted(file for file in directory.iterdir() if file.name.endswith(SPOOL_SUFFIX))
    except PermissionError as error:
        raise SpoolError(
            f"Spool directory {directory} cannot be read ({error.strerror}); ask its owner for that right"
        ) from error


class Spool:
    """One open spool. Not for use by several threads at once, and not across fork()."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """Wrap an open connection; use `create` or `open`."""
        self.path = path
        self._connection = connection
        self._meta = dict(connection.execute("SELECT name, value FROM meta"))
        on_disk = path.stat()
        self._file = (on_disk.st_dev, on_disk.st_ino)
        self.writer_lock = FileLock(path.with_name(path.name + ".writer"))
        self.drainer_lock = FileLock(path.with_name(path.name + ".drainer"))

    @classmethod
    def create(
        cls,
        directory: Path,
        producer_id: str,
        *,
        retained: bool = False,
        ring: str = "",
        check_same_thread: bool = True,
    ) -> Spool:
        """Make the spool of a producer in `directory`, or open it again, and take its writer's lock.

        Args:
            directory: where; made if need be.
            producer_id: whose it is.
            retained: whether events stay after they are done.
            ring: file of the buffer that is emptied into it; as long as that is there, more may come.
            check_same_thread: whether SQLite refuses other threads.

        Raises:
            SpoolError: it cannot be written there.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
            path = directory / f"{producer_id}{SPOOL_SUFFIX}"
            writer = FileLock(path.with_name(path.name + ".writer"))
            if not writer.acquire():
                raise SpoolLockedError(f"Spool {path} is being written by another process; use another producer_id")
            try:
                if not path.exists():
                    meta = {"format_version": FORMAT_VERSION, "producer_id": producer_id, "retained": int(retained)}
                    meta |= {"ring": ring} if ring else {}
                    _make(path, meta)
                spool = cls(path, _connect(path, check_same_thread=check_same_thread))
            except BaseException:
                writer.release()  # or the next try, when the disk has room again, would find it taken
                raise
        except (OSError, sqlite3.Error) as error:
            raise SpoolError(
                f"Spool directory {directory} cannot be written ({error}); set TRAILHOUSE_SPOOL"
            ) from error
        spool.writer_lock = writer
        return spool

    @classmethod
    def open(cls, path: Path, *, check_same_thread: bool = True, read_only: bool = False) -> Spool:
        """Open an existing spool to read or drain it; raises `SpoolError`.

        With `read_only` nothing is written, and no right to write is needed, to the file nor to its directory. Where
        nobody has the spool open, its writer may come back while it is read, and what was read may be no whole; who
        wants to be sure looks whether the file is as it was.
        """
        if not path.is_file():
            raise SpoolError(f"Spool {path} is not there")
        try:
            connection = (
                _connect_to_read(path, check_same_thread=check_same_thread)
                if read_only
                else _connect(path, mode="rw", check_same_thread=check_same_thread)
            )
            spool = cls(path, connection)
        except sqlite3.Error as error:
            raise SpoolError(f"Spool {path} cannot be read ({error}); move it away to go on without it") from error
        found = spool._meta.get("format_version", "none")
        if found != str(FORMAT_VERSION):
            connection.close()
            raise SpoolError(f"Spool {path} has format {found}; this version reads {FORMAT_VERSION}: upgrade it")
        return spool

    def __enter__(self) -> Self:
        """Return the spool itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the spool."""
        self.close()

    def close(self) -> None:
        """Close the file and give back the locks that this object holds."""
        self._connection.close()
        self.drainer_lock.release()
        self.writer_lock.release()

    @property
    def producer_id(self) -> str:
        """The producer whose events these are."""
        return str(self._meta["producer_id"])

    @property
    def ring(self) -> str:
        """The file from which more may come into this spool; empty where there is none, or none any more."""
        path = self._meta.get("ring", "")
        return path if path and os.path.exists(path) else ""  # noqa: PTH110 - a text

    @property
    def process_lock(self) -> FileLock:
        """The lock that the producer's process holds: with a ring it is not the one that writes the spool."""
        return FileLock(Path(f"{self.ring}.writer")) if self.ring else self.writer_lock

    @property
    def retained(self) -> bool:
        """Whether events stay in the spool after they are done."""
        return bool(self._meta["retained"] == "1")

    @property
    def end(self) -> str:
        """What is known of the end of its producer: finished, found dead, or empty; see `trailhouse_schemas.deaths`."""
        with self._reading() as connection:
            row = connection.execute("SELECT value FROM meta WHERE name = 'end'").fetchone()
        return "" if row is None else str(row[0])

    def set_end(self, end: str) -> None:
        """Note how its producer ended: what says so may have left the spool."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('end', ?)", (end,))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has ended it already
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise SpoolError(
                f"Spool {self.path} cannot be written ({error}); free disk space or mend the disk"
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._connection
        except sqlite3.Error as error:
            raise SpoolError(f"Spool {self.path} cannot be read ({error}); move it away to go on without it") from error

    def append(self, events: Sequence[SpooledEvent], progress: Mapping[str, int] | None = None) -> None:
        """Append events in one transaction: all are there, or none; raises `SpoolError`.

        Args:
            events: the events.
            progress: how far their writer is with them, by name; stored with them, and returned by `progress`.
        """
        with self._transaction() as connection:
            if progress:
                connection.executemany(
                    "INSERT OR REPLACE INTO meta VALUES (?, ?)",
                    [(_PROGRESS + name, str(value)) for name, value in progress.items()],
                )
            connection.executemany(
                "INSERT INTO events (sequence, event_type, message_key, appended_us, value) VALUES (?, ?, ?, ?, ?)",
                [(e.sequence, e.event_type, e.message_key, e.appended_us, e.value) for e in events],
            )

    def progress(self) -> dict[str, int]:
        """Return what was stored with the events that were appended last; raises `SpoolError`."""
        with self._reading() as connection:
            rows = connection.execute("SELECT name, value FROM meta WHERE name LIKE ?", (_PROGRESS + "%",)).fetchall()
        return {name.removeprefix(_PROGRESS): int(value) for name, value in rows}

    def is_there(self) -> bool:
        """Return whether the file that is open is still the one of its name."""
        try:
            found = self.path.stat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._file

    def backlog(self) -> int:
        """Return the number of events that are not done."""
        with self._reading() as connection:
            (count,) = connection.execute(
                "SELECT count(*) FROM events e LEFT JOIN done d USING (event_type) "
                "WHERE d.through_sequence IS NULL OR e.sequence > d.through_sequence"
            ).fetchone()
        return int(count)

    def waiting(self, event_type: str) -> tuple[int, int | None]:
        """Return how many events of a type are not done, and when the first was appended (microseconds since 1970)."""
        chosen = (event_type, self.done_through(event_type))
        with self._reading() as connection:
            (count,) = connection.execute(
                "SELECT count(*) FROM events WHERE event_type = ? AND sequence > ?", chosen
            ).fetchone()
            first = connection.execute(
                "SELECT appended_us FROM events WHERE event_type = ? AND sequence > ? ORDER BY sequence LIMIT 1", chosen
            ).fetchone()
        return int(count), None if first is None else int(first[0])

    def undone_ranges(self) -> list[tuple[int, int]]:
        """Return the sequences that are not done as ranges (first, last), in order."""
        with self._reading() as connection:
            ranges = connection.execute(
                "SELECT min(sequence), max(sequence) FROM ("
                " SELECT sequence, sequence - row_number() OVER (ORDER BY sequence) AS island"
                " FROM events LEFT JOIN done USING (event_type)"
                " WHERE through_sequence IS NULL OR sequence > through_sequence"
                ") GROUP BY island ORDER BY 1"
            ).fetchall()
        return [(int(first), int(last)) for first, last in ranges]

    def last_sequence(self) -> int | None:
        """Return the highest sequence in the spool, done or not; None when it is empty."""
        with self._reading() as connection:
            (found,) = connection.execute("SELECT max(sequence) FROM events").fetchone()
        return None if found is None else int(found)

    def event_types(self) -> list[str]:
        """Return the types of the events in the spool."""
        with self._reading() as connection:
            return [name for (name,) in connection.execute("SELECT DISTINCT event_type FROM events ORDER BY 1")]

    def read(
        self,
        event_type: str | None = None,
        *,
        after: int = -1,
        through: int | None = None,
        limit_events: int = 5_000,
        limit_bytes: int = 16 << 20,
    ) -> list[SpooledEvent]:
        """Return events in order of sequence, of one type or of all, from `after` (excluded) to `through` (included).

        At least one event is returned if there is one, however large; then as many as fit both limits.
        """
        found: list[SpooledEvent] = []
        total = 0
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT sequence, event_type, message_key, appended_us, value, partition FROM events "
                "WHERE (?1 IS NULL OR event_type = ?1) AND sequence > ?2 AND (?3 IS NULL OR sequence <= ?3) "
                "ORDER BY sequence LIMIT ?4",
                (event_type, after, through, limit_events),
            )
            for row in rows:
                event = SpooledEvent(*row)
                total += len(event.value)
                if found and total > limit_bytes:
                    break
                found.append(event)
        return found

    def choose_partitions(self, chosen: Iterable[tuple[int, int]]) -> None:
        """Store the partition of events that are about to be sent, as (sequence, partition); the first choice stays."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE events SET partition = ?2 WHERE sequence = ?1 AND partition IS NULL", list(chosen)
            )

    def plan(self, event_type: str) -> SpoolPlan | None:
        """Return the open plan for the events of one type, if there is one."""
        return next((plan for plan in self.plans() if plan.event_type == event_type), None)

    def plans(self) -> list[SpoolPlan]:
        """Return all open plans."""
        with self._reading() as connection:
            plans = connection.execute("SELECT * FROM plans ORDER BY event_type").fetchall()
            has_wholes = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'wholes'").fetchone()
            wholes = {row[0]: row[1:] for row in connection.execute("SELECT * FROM wholes")} if has_wholes else {}
        return [SpoolPlan(name, first, last, tries, wholes.get(name)) for name, first, last, tries in plans]

    def set_plan(self, plan: SpoolPlan) -> None:
        """Store a plan, in place of the one for the same event type."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO plans VALUES (?, ?, ?, ?)",
                (plan.event_type, plan.first_sequence, plan.last_sequence, plan.tries),
            )
            connection.execute(_WHOLES_TABLE)
            if plan.whole is None:
                connection.execute("DELETE FROM wholes WHERE event_type = ?", (plan.event_type,))
            else:
                connection.execute(
                    "INSERT OR REPLACE INTO wholes VALUES (?, ?, ?, ?, ?)", (plan.event_type, *plan.whole)
                )

    def done_through(self, event_type: str) -> int:
        """Return the sequence up to which events of that type are done; -1 when none is."""
        with self._reading() as connection:
            row = connection.execute("SELECT through_sequence FROM done WHERE event_type = ?", (event_type,)).fetchone()
        return -1 if row is None else int(row[0])

    def set_done(self, event_type: str, through: int) -> None:
        """Declare the events of a type up to `through` done, close its plan, delete them unless retained."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM plans WHERE event_type = ?", (event_type,))
            connection.execute(
                "INSERT INTO done VALUES (?1, ?2) ON CONFLICT (event_type) "
                "DO UPDATE SET through_sequence = max(through_sequence, ?2)",
                (event_type, through),
            )
            if not self.retained:
                connection.execute("DELETE FROM events WHERE event_type = ? AND sequence <= ?", (event_type, through))

    def drain_again(self) -> int:
        """Declare nothing done of a retained spool, published types left out; return how many events wait again.

        Nothing happens, and 0 is returned, while somebody drains it, or where it is not retained.
        """
        if not self.retained or not self.drainer_lock.acquire():
            return 0
        with self._transaction() as connection:
            published = "SELECT event_type FROM events WHERE partition IS NOT NULL"
            connection.execute(f"DELETE FROM done WHERE event_type NOT IN ({published})")  # noqa: S608 - constants
            waiting = f"SELECT count(*) FROM events WHERE event_type NOT IN ({published})"  # noqa: S608 - constants
            ((count,),) = connection.execute(waiting)
        return int(count)

    def delete(self, sequences: Iterable[int]) -> None:
        """Delete single events, whose place is elsewhere now."""
        with self._transaction() as connection:
            connection.executemany("DELETE FROM events WHERE sequence = ?", [(s,) for s in sequences])

    def refuse(self, sequence: int, reason: str) -> None:
        """Move one event to the refused ones, where the accounting finds it."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO refused SELECT sequence, event_type, message_key, appended_us, value, ?2, ?3 "
                "FROM events WHERE sequence = ?1",
                (sequence, reason, time.time_ns() // 1000),
            )
            connection.execute("DELETE FROM events WHERE sequence = ?", (sequence,))

    def refused(self) -> list[RefusedEvent]:
        """Return the events that were refused for good, in order of sequence."""
        with self._reading() as connection:
            return [RefusedEvent(*row) for row in connection.execute("SELECT * FROM refused ORDER BY sequence")]

    def remove_if_finished(self) -> bool:
        """Delete the file when nobody will ever need it again; return whether it is gone.

        That is so when its writer is gone, this object holds the drainer's lock, nothing is left in it or refused, and
        it is not retained.
        """
        if self.retained or not self.drainer_lock.held or not self.writer_lock.acquire():
            return False
        if self.last_sequence() is not None or self.plans() or self.refused() or self.ring:
            self.writer_lock.release()
            return False
        self._connection.close()
        for file in (self.path, *(self.path.with_name(self.path.name + end) for end in ("-wal", "-shm"))):
            file.unlink(missing_ok=True)
        for lock in (self.drainer_lock, self.writer_lock):
            lock.path.unlink(missing_ok=True)
            lock.release()
        return True


def _make(path: Path, meta: dict[str, object]) -> None:
    """Make an empty spool; it has its name only when it is whole, so that nobody opens half of one."""
    half = path.with_name(path.name + ".new")
    half.unlink(missing_ok=True)
    with closing(_connect(half)) as connection:
        connection.executescript(_TABLES)
        with connection:
            connection.executemany(
                "INSERT INTO meta VALUES (?, ?)", [(name, str(value)) for name, value in meta.items()]
            )
    half.rename(path)


def _connect(path: Path, *, mode: str = "rwc", check_same_thread: bool = True) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_TIMEOUT_SECONDS,
        isolation_level=None,
        check_same_thread=check_same_thread,
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _connect_to_read(path: Path, *, check_same_thread: bool) -> sqlite3.Connection:
    # Without a log of writes there is no index to it either, which SQLite would want to make beside the file.
    immutable = "" if path.with_name(path.name + "-wal").exists() else "&immutable=1"
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro{immutable}",
        uri=True,
        timeout=_BUSY_TIMEOUT_SECONDS,
        isolation_level=None,
        check_same_thread=check_same_thread,
    )
