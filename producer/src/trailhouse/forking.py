"""What makes fork() safe: no thread of ours holds a lock meanwhile, and no child closes what is its parent's.

SQLite has locks that all connections of a process share, and so have `functools.cached_property` and others. A child
that is forked while another thread holds one would wait for it for ever. So the threads work under `unforked`, which
fork() takes first.
"""

from __future__ import annotations

import ctypes
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["may_destroy", "never_destroy", "unforked"]

#: fork() waits no longer than this for such work to end; a child of a process whose disk hangs may then not record.
_LONGEST_WAIT_SECONDS: Final = 2.0


class _Gate:
    lock = threading.Lock()
    held = False


@contextmanager
def unforked() -> Iterator[None]:
    """Do a short piece of work such that no fork() comes in between; not to be nested."""
    with _Gate.lock:
        yield


def never_destroy(thing: object) -> None:
    """Keep an object until the process ends, without finalising it then.

    A connection to SQLite or Kafka that a forked child has inherited must not be closed by the child's end: the locks
    inside are in any state, and the file and the broker's connection are the parent's.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def may_destroy(thing: object) -> None:
    """Take `never_destroy` back, in the process that said it: the object goes with its last reference."""
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(thing))


def _before() -> None:
    _Gate.held = _Gate.lock.acquire(timeout=_LONGEST_WAIT_SECONDS)


def _in_parent() -> None:
    if _Gate.held:
        _Gate.held = False
        _Gate.lock.release()


def _in_child() -> None:
    _Gate.held = False
    _Gate.lock = threading.Lock()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
