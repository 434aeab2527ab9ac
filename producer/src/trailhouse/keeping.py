"""The keeper of a producer's ring: the thread that sees to it that the ring is emptied, and its end.

In the process's first second, and where no helper comes, the thread empties the ring itself; else it says that the
process lives, hears what the helper has to say, and looks that there is one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from trailhouse.draining import Drainer
from trailhouse.forking import unforked
from trailhouse.once import warn_once
from trailhouse.ring import BEAT, CLOSING, DONE
from trailhouse.ring_reader import RingReader
from trailhouse.rings import remove_ring
from trailhouse.starting import start_helper

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trailhouse.ring import Ring
    from trailhouse.rings import RingLocks
    from trailhouse.settings import ProducerSettings

__all__ = ["Keeper"]

#: A process that is over sooner is not worth a helper.
_ALONE_SECONDS: Final = 1.0
#: Nor does a process wait for that long whose ring is full to this part: it logs faster than it can write.
_SHARE_ALONE: Final = 16
#: Between two looks at the ring, by a process that empties it itself.
_POLL_SECONDS: Final = 0.05
#: Between two looks at the ring, by a process that does not empty it itself.
_LOOK_SECONDS: Final = 0.5
#: A helper that has not taken the ring by then does not come.
_HELPER_COMES_SECONDS: Final = 15.0
_END_SECONDS: Final = 0.005


class Keeper:
    """Sees to it that one ring is emptied, from `start` to `stop`."""

    def __init__(
        self, ring: Ring, locks: RingLocks | None, settings: ProducerSettings, on_spool: Callable[[Path], None] | None
    ) -> None:
        """Take the ring; nothing runs yet.

        Args:
            ring: to be emptied.
            locks: of the ring, the writer's held; None for a ring that no other process sees.
            settings: how long to wait.
            on_spool: called with the spool's path when this process writes it.
        """
        self._ring = ring
        self._locks = locks
        self._settings = settings
        self._on_spool = on_spool
        #: Messages that the ring has no room for: events that are never dropped.
        self._waiting: deque[bytes] = deque()
        self._putting = threading.Lock()
        self._wake = threading.Event()
        self._stop_at = 0.0
        self._thread: threading.Thread | None = None
        self._drainer: Drainer | None = None
        self._announced = False
        self._helper_comes = True

    # What any thread may call.

    def start(self) -> None:
        """Start the thread; where there can be none, `stop` does it all."""
        self._thread = threading.Thread(target=self._main, name="trailhouse-recorder", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._thread = None
            warn_once(f"events are written only at the end of the process ({error})", key=("no thread",))

    def put(self, message: bytes) -> None:
        """Write a message into the ring, or keep it until there is room."""
        if self._waiting or not self._ring.put(message):
            self._waiting.append(message)

    def hear(self) -> None:
        """Warn about what whoever empties the ring has found."""
        said = self._ring.said()
        if said is not None:
            warn_once(said[1], key=said[0])

    def stop(self, deadline: float) -> int:
        """See to it that all is in the spool; return how many calls and events could not be written by then.

        Args:
            deadline: on `time.monotonic()`'s scale.
        """
        self._stop_at = deadline
        self._ring.set(CLOSING, 1)
        self._wake.set()
        if self._thread is not None:
            self._thread.join(min(max(0.0, deadline - time.monotonic()) + 0.5, threading.TIMEOUT_MAX))
            if self._thread.is_alive():
                return self._left()
        else:
            self._finish()
        if not self._ring.get(DONE):
            if self._locks is not None:
                self._locks.release()
            return max(1, self._left())
        if self._locks is not None and self._ring.path is not None:
            remove_ring(self._ring.path, self._locks)
        return 0

    def _left(self) -> int:
        pending = self._drainer.pending if self._drainer is not None else 0
        return int(self._ring.waiting) + len(self._waiting) + pending

    # What the thread alone does, and the end where there is none.

    def _main(self) -> None:
        while True:
            try:
                self._keep()
                self._finish()
            except Exception as error:  # noqa: BLE001 - whatever happens here, the thread must outlive it
                warn_once(f"events are written only later ({type(error).__name__}: {error})", key=("recorder",))
                self._leave()
                time.sleep(_POLL_SECONDS)
            if self._stop_at and (self._ring.get(DONE) or time.monotonic() >= self._stop_at):
                return

    def _keep(self) -> None:
        """Empty the ring at first, then see to it that a helper does."""
        alone, since = True, time.monotonic()
        while not self._stop_at:
            self._put_waiting()
            self._ring.set(BEAT, time.monotonic_ns())
            if not alone:
                if not self._is_free():
                    since = time.monotonic()
                elif time.monotonic() - since > _HELPER_COMES_SECONDS or not self._start_helper():
                    alone, self._helper_comes = True, False
            elif self._take_over():
                self._drain()
                if not self._may_have_helper():
                    self._announce()
                elif time.monotonic() - since >= _ALONE_SECONDS or self._is_behind():
                    self._leave()
                    alone, since = False, time.monotonic()
                    continue
            self.hear()
            self._wake.wait(min(self._settings.flush_interval_seconds, _POLL_SECONDS) if alone else _LOOK_SECONDS)

    def _finish(self) -> None:
        """Wait until whoever empties the ring has emptied it, or do it."""
        while True:
            self._put_waiting()
            self.hear()
            self._ring.set(BEAT, time.monotonic_ns())
            if self._ring.get(DONE):
                return
            if not self._waiting and self._take_over():
                with unforked():
                    ended = self._made_drainer().end("finished", writer_gone=False)
                self._announce()
                if ended:
                    self._leave()
                    return
            elif self._waiting and self._take_over():
                with unforked():
                    self._made_drainer().turn()
            if time.monotonic() >= self._stop_at:
                if self._drainer is not None:
                    self._leave()
                return
            time.sleep(_END_SECONDS)

    def _start_helper(self) -> bool:
        return self._ring.path is not None and start_helper(self._ring.path.parent)

    def _is_behind(self) -> bool:
        return self._ring.waiting > self._ring.capacity // _SHARE_ALONE

    def _may_have_helper(self) -> bool:
        return self._locks is not None and self._settings.helper and self._helper_comes

    def _take_over(self) -> bool:
        return self._locks is None or self._locks.drainer.acquire()

    def _is_free(self) -> bool:
        """Return whether nobody empties the ring."""
        if self._locks is None or not self._locks.drainer.acquire():
            return False
        self._locks.drainer.release()
        return True

    def _made_drainer(self) -> Drainer:
        if self._drainer is None:
            self._drainer = Drainer(RingReader.of(self._ring))
        return self._drainer

    def _announce(self) -> None:
        """Say where the spool is, once: a helper would have said so to itself."""
        path = None if self._drainer is None else self._drainer.spool_path
        if path is not None and self._on_spool is not None and not self._announced:
            self._announced = True
            self._on_spool(path)

    def _drain(self) -> None:
        drainer = self._made_drainer()
        more = drainer.is_due()
        until = time.monotonic() + _ALONE_SECONDS
        while more and not self._stop_at and time.monotonic() < until:
            with unforked():
                more = drainer.turn()

    def _leave(self) -> None:
        """Let another go on with the ring."""
        if self._drainer is not None:
            with unforked():
                self._drainer.close()
            self._drainer = None
        if self._locks is not None:
            self._locks.drainer.release()

    def _put_waiting(self) -> None:
        with self._putting:
            while self._waiting and self._ring.put(self._waiting[0]):
                self._waiting.popleft()
