"""The helper: one process for the rings of one spool directory, so that no training process encodes or writes.

Whoever needs one starts it (`trailhouse.starting`); a lock says whether there is one. It ends by itself when no ring is
left. A helper that dies loses nothing: rings stay, and the next one goes on.
"""

from __future__ import annotations

import contextlib
import logging
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trailhouse.draining import Drainer
from trailhouse.forwarding import ForwarderThread
from trailhouse.once import LOGGER, warn_once
from trailhouse.ring import CLOSING, DONE
from trailhouse.ring_reader import RingReader
from trailhouse.rings import HELPER_LOCK, RING_SUFFIX, RingLocks, remove_ring
from trailhouse.settings import ProducerSettings
from trailhouse_schemas.errors import SpoolError
from trailhouse_schemas.spool import FileLock

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Helper", "main"]

#: Between two looks for what is new; how soon the end of a run is noticed.
_POLL_SECONDS: Final = 0.05
#: Between two looks at whether a ring's process is still there.
_ALIVE_SECONDS: Final = 0.2
#: A dead process's ring whose spool cannot be written for as long is left to the next who looks.
_GIVE_UP_SECONDS: Final = 60.0
#: A helper stays for as long when there is nothing to do: runs often follow one another.
_IDLE_SECONDS: Final = 3.0
#: Between two looks for new rings.
_SCAN_SECONDS: Final = 0.2


def main(directory: str, lock_descriptor: int) -> None:
    """Empty the rings in `directory` until there are none; the program of a helper process, which inherits the lock."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))  # what the process that started it had set for itself
    place = Path(directory)
    lock = FileLock(place / HELPER_LOCK)
    lock.adopt(lock_descriptor)
    given_up: set[Path] = set()
    while _acquired(lock):
        given_up |= Helper(place, given_up).serve()
        lock.path.unlink(missing_ok=True)
        lock.release()
        if given_up.issuperset(place.glob(f"*{RING_SUFFIX}")):
            break
    with contextlib.suppress(OSError):
        place.rmdir()


def _acquired(lock: FileLock) -> bool:
    try:
        return lock.acquire()
    except OSError:  # the directory is gone: so are its rings
        return False


class _Served:
    """One ring that a helper empties."""

    def __init__(self, path: Path, locks: RingLocks, start_forwarder: Callable[[Path, ProducerSettings], None]) -> None:
        self.path = path
        self.locks = locks
        self.reader = RingReader.open(path)
        self.settings = ProducerSettings(**self.reader.owner["settings"])

        def forward(spool: Path) -> None:
            start_forwarder(spool, self.settings)

        self.drainer = Drainer(self.reader, on_spool=forward if self.settings.kafka else None)
        #: After an error, when it is tried again.
        self.not_before = 0.0
        self.look_at = 0.0
        self.gone = False
        #: Whether there was more than is taken out in one turn.
        self.busy = False
        self._ending_since = 0.0

    @property
    def is_given_up(self) -> bool:
        """Whether it is gone, or its process is and its spool could not be written for long: it is left to others."""
        late = self.gone and self._ending_since and time.monotonic() - self._ending_since > _GIVE_UP_SECONDS
        return bool(late) or not self.path.exists()

    def serve(self) -> bool:
        """Empty it if it is time; return whether it has ended, and all is in the spool."""
        now = time.monotonic()
        if now >= self.look_at and not self.gone:
            self.look_at = now + _ALIVE_SECONDS
            self.gone = self.locks.writer.acquire()
        closing = bool(self.reader.get(CLOSING))
        if (closing or self.gone) and now >= self.not_before:
            self._ending_since = self._ending_since or now
            return self.drainer.end("finished" if closing else "found_dead", writer_gone=self.gone)
        self.busy = now >= self.not_before and self.drainer.is_due() and self.drainer.turn()
        return False

    def leave(self) -> None:
        """Close everything; the files go with their process, or with it gone, now."""
        self.drainer.close()
        if self.reader.get(DONE) and (self.gone or self.locks.writer.acquire()):
            remove_ring(self.path, self.locks)
        else:
            self.locks.leave(self.path)


class Helper:
    """Empties all rings of one directory that no other process empties."""

    def __init__(self, directory: Path, given_up: set[Path]) -> None:
        """Take the directory, and the rings in it that are left to others.

        What is warned about goes to the processes whose rings are open.
        """
        self._directory = directory
        self._served: dict[Path, _Served] = {}
        self._forwarders: dict[Path, ForwarderThread] = {}
        #: Rings whose processes can still be told something, by spool.
        self._readers: dict[Path, RingReader] = {}
        self._given_up = set(given_up)
        LOGGER.addHandler(_ToRings(self._readers))

    def serve(self) -> set[Path]:
        """Empty rings until there have been none for a while; return those that cannot be, and are left to others."""
        idle_since = time.monotonic()
        scan_at = 0.0
        while time.monotonic() < idle_since + _IDLE_SECONDS:
            if time.monotonic() >= scan_at:
                scan_at = time.monotonic() + _SCAN_SECONDS
                self._scan()
            for path, served in list(self._served.items()):
                if self._has_ended(served):
                    self._end(path, served)
                elif served.is_given_up:
                    self._given_up.add(path)
                    self._end(path, served)
            for spool, forwarder in list(self._forwarders.items()):
                if not forwarder.is_alive:
                    del self._forwarders[spool]
                    self._readers.pop(spool, None)
            if self._served or self._forwarders:
                idle_since = time.monotonic()
            if not any(served.busy for served in self._served.values()):
                time.sleep(_POLL_SECONDS)
        return self._given_up

    def _scan(self) -> None:
        for path in sorted(self._directory.glob(f"*{RING_SUFFIX}")):
            if path in self._served or path in self._given_up:
                continue
            locks = RingLocks(path)
            try:
                if not locks.drainer.acquire():
                    locks.leave(path)
                    continue
                served = _Served(path, locks, self._forward)
            except Exception as error:  # noqa: BLE001 - one ring must not keep the others
                locks.leave(path)
                if path.exists():
                    self._given_up.add(path)
                    warn_once(
                        str(error) if isinstance(error, SpoolError) else f"Ring {path} cannot be read ({error!r})"
                    )
                continue
            if served.reader.get(DONE):
                served.leave()
            else:
                self._served[path] = served
                self._readers[served.drainer.new_spool_path] = served.reader

    def _has_ended(self, served: _Served) -> bool:
        try:
            return served.serve()
        except Exception as error:  # noqa: BLE001 - one ring must not keep the others
            warn_once(f"ring {served.path} cannot be emptied ({type(error).__name__}: {error})")
            served.not_before = time.monotonic() + _ALIVE_SECONDS
            return False

    def _end(self, path: Path, served: _Served) -> None:
        spool = served.drainer.new_spool_path
        if spool in self._forwarders:
            self._forwarders[spool].finish_by(time.monotonic() + served.settings.finish_timeout_seconds)
        else:
            del self._readers[spool]
        served.leave()
        del self._served[path]

    def _forward(self, spool: Path, settings: ProducerSettings) -> None:
        if spool not in self._forwarders:
            thread = self._forwarders[spool] = ForwarderThread(spool, settings)
            thread.start()


class _ToRings(logging.Handler):
    """Leaves warnings in the rings, for their processes to show."""

    def __init__(self, readers: dict[Path, RingReader]) -> None:
        super().__init__(logging.WARNING)
        self._readers = readers

    def emit(self, record: logging.LogRecord) -> None:
        for reader in list(self._readers.values()):
            reader.say(list(getattr(record, "said_once_for", ())), record.getMessage().removeprefix("trailhouse: "))
