"""Who forwards: a thread beside the training loop for its own spool, or one service a node for all that it finds.

Both hold the spool's drainer lock while they do, so that they never meet.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from trailhouse.forking import never_destroy, unforked
from trailhouse.forwarder import Forwarder
from trailhouse.once import inform, warn_once
from trailhouse.publisher import publisher_of
from trailhouse.taking_up import take_up_rings
from trailhouse_schemas.deaths import tell_death
from trailhouse_schemas.errors import SpoolError
from trailhouse_schemas.spool import Spool, spool_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from trailhouse_schemas.registry import Registry
    from trailhouse_schemas.settings import Settings

__all__ = ["ForwarderThread", "forward_all", "forward_paths", "registry_of", "wait_until_forwarded"]

_IDLE_SECONDS: Final = 0.1
#: A helper that has a dead process's ring is done with it by then.
_TAKEN_UP_SECONDS: Final = 5.0
#: Between tries while the spool itself cannot be read or written.
_PAUSE_SECONDS: Final = 1.0


def registry_of(settings: Settings) -> Registry | None:
    """Return the registry of the settings, if they name one."""
    if not settings.registry:
        return None
    from trailhouse_schemas.registry import Registry  # noqa: PLC0415 - the extra `registry`

    return Registry.of(settings)


class ForwarderThread:
    """Forwards one spool of this process until it is told to finish; training never waits for it."""

    def __init__(self, path: Path, settings: Settings) -> None:
        """Take the spool's path; `start` opens it."""
        self._path = path
        self._settings = settings
        self._deadline: float | None = None
        self._thread = threading.Thread(target=self._main, name="trailhouse-forwarder", daemon=True)

    def start(self) -> None:
        """Start forwarding; never raises."""
        try:
            self._thread.start()
        except RuntimeError as error:
            warn_once(f"events stay in spool {self._path} ({error}); run 'trailhouse forward'")

    def finish(self, deadline: float) -> int:
        """Forward what is left until `deadline` (on the monotonic clock); return how many events are still there."""
        self._deadline = deadline
        if self._thread.is_alive():
            self._thread.join(max(0.0, deadline - time.monotonic()) + 0.5)
        return _left(self._path)

    def finish_by(self, deadline: float) -> None:
        """Forward what is left until `deadline` at most; does not wait for it."""
        self._deadline = deadline

    @property
    def is_alive(self) -> bool:
        """Whether it is not over."""
        return self._thread.is_alive()

    def _main(self) -> None:
        try:
            with unforked():
                spool = Spool.open(self._path)
            never_destroy(spool)
            try:
                self._forward(spool)
            finally:
                with unforked():
                    spool.close()
        except Exception as error:  # noqa: BLE001 - the training goes on, the events are in the spool
            warn_once(f"events stay in spool {self._path} ({error}); run 'trailhouse forward'")

    def _forward(self, spool: Spool) -> None:
        forwarder = Forwarder(publisher_of(self._settings), registry_of(self._settings))
        while not self._should_stop():
            finishing = self._deadline is not None
            if spool.drainer_lock.acquire():
                try:
                    forwarder.forward(spool, self._should_stop)
                    if finishing:
                        with unforked():
                            spool.remove_if_finished()
                        return
                except SpoolError as error:
                    warn_once(f"{error}; trying again", key=("forward", str(self._path)))
                    time.sleep(_PAUSE_SECONDS)
            time.sleep(_IDLE_SECONDS)

    def _should_stop(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline


def wait_until_forwarded(path: Path, deadline: float, while_waiting: Callable[[], None]) -> int:
    """Wait until a helper has forwarded a spool; return how many events are in it at `deadline` (monotonic)."""
    while (left := _left(path)) and time.monotonic() < deadline:
        while_waiting()
        time.sleep(_IDLE_SECONDS)
    while_waiting()
    return left


def forward_all(
    directories: Iterable[Path],
    forwarder: Forwarder,
    *,
    should_stop: Callable[[], bool],
    on_forwarded: Callable[[Path, int], None],
) -> int:
    """Forward every spool in `directories` as `forward_paths` does; a directory that cannot be read is named once."""
    left = 0
    for directory in directories:
        try:
            left += take_up_rings(directory)
            paths = spool_files(directory)
        except (SpoolError, OSError) as error:
            warn_once(str(error))
            continue
        left += _forward_each(paths, forwarder, should_stop, on_forwarded)
    return left


def forward_paths(
    paths: Iterable[Path],
    forwarder: Forwarder,
    *,
    should_stop: Callable[[], bool],
    on_forwarded: Callable[[Path, int], None],
) -> int:
    """Forward each of these spools that nobody else holds, once; return how many events are left in them all.

    Of a spool whose process died it is said that it was found dead, once, by an event of its own, which is forwarded
    too. Finished spools are removed. A spool that cannot be read is named once and left alone.
    """
    due = list(paths)
    directories = {path.parent for path in due}
    until = time.monotonic() + _TAKEN_UP_SECONDS
    while (left := sum(map(take_up_rings, directories))) and time.monotonic() < until and not should_stop():
        time.sleep(_IDLE_SECONDS)  # a helper is at it
    return left + _forward_each(due, forwarder, should_stop, on_forwarded)


def _forward_each(
    paths: Iterable[Path],
    forwarder: Forwarder,
    should_stop: Callable[[], bool],
    on_forwarded: Callable[[Path, int], None],
) -> int:
    left = 0
    due = list(paths)
    for path in due:  # which grows by what is said of the dead
        if should_stop():
            break
        try:
            left += _forward_one(path, forwarder, should_stop, on_forwarded, on_death=due.append)
        except SpoolError as error:
            if path.exists():
                warn_once(str(error))
        except (OSError, ValueError, KeyError) as error:  # of a lock, of what is no producer's id
            warn_once(f"Spool {path} cannot be forwarded ({error}); move it away to go on without it")
    return left


def _forward_one(
    path: Path,
    forwarder: Forwarder,
    should_stop: Callable[[], bool],
    on_forwarded: Callable[[Path, int], None],
    *,
    on_death: Callable[[Path], None],
) -> int:
    spool = Spool.open(path)
    try:
        if not spool.drainer_lock.acquire():
            return spool.backlog()
        _tell_death(spool, on_death)
        sent = forwarder.forward(spool, should_stop)
        if sent:
            on_forwarded(path, sent)
        left = spool.backlog()
        _tell_death(spool, on_death)  # it may have died meanwhile, and an empty spool is removed
        spool.remove_if_finished()
        return left
    finally:
        spool.close()


def _tell_death(spool: Spool, on_death: Callable[[Path], None]) -> None:
    said_in = tell_death(spool)
    if said_in is not None:
        inform(f"the process of spool {spool.path} was found dead; {spool.backlog():,} events are left in it")
        on_death(said_in)


def _left(path: Path) -> int:
    if not path.is_file():
        return 0
    try:
        with unforked(), Spool.open(path) as spool:
            return spool.backlog()
    except SpoolError:
        return 0
