"""Serving beside other work: where it cannot be done, that is said, and the work goes on."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from trailhouse_consumer.serving.server import Serving
from trailhouse_schemas.errors import WarehouseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["serving_beside"]

_log = structlog.get_logger()


@contextmanager
def serving_beside(directory: Path, database: str, port: int, *, for_long: bool) -> Iterator[None]:
    """Serve a directory that this process has open, as long as the context lasts, if that can be done.

    Where is said aloud only when it is `for_long`; who needs it finds it in the directory.
    """
    try:
        serving = Serving(directory, database=database, port=port)
    except WarehouseError as error:
        _log.warning("not serving", reason=str(error))
        yield
        return
    if for_long:
        _log.info("serving", warehouse=f"chdb://{directory}", at=str(serving.served))
    with serving:
        yield
