"""Whether control facts (prices, permissions, attributes, capacity) can be written from here, asked before one is made.

A training loop goes on where nothing can be written; who sets a price or gives a permission wants to know at once.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from trailhouse.errors import ControlUnavailableError

if TYPE_CHECKING:
    from trailhouse.settings import ProducerSettings

__all__ = ["require_writable"]


def require_writable(settings: ProducerSettings) -> None:
    """Make the directory that control facts are spooled in.

    Raises:
        ControlUnavailableError: it cannot be made, or this user may not write to it.
    """
    directory = settings.spool_directory if settings.kafka else settings.control_directory
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ControlUnavailableError(
            f"Directory {directory} cannot be made ({error.strerror}); set TRAILHOUSE_HOME to another"
        ) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ControlUnavailableError(f"Directory {directory} cannot be written by you; ask its owner for that right")
