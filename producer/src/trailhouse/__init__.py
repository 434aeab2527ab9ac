"""Log runs, metrics, data, models and resources of machine-learning training, without getting in its way.

    import trailhouse

    with trailhouse.start_run(project="digits", params={"eta": 0.1}) as run:
        for step in range(100):
            run.log({"loss": loss(step)}, step=step)

Importing is light: what a name needs is imported when the name is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from trailhouse.access import authorize, require
    from trailhouse.api import current_run, emit, finish_all, start_run
    from trailhouse.grants import grant, revoke
    from trailhouse.run import Run

__all__ = [
    "Run",
    "authorize",
    "current_run",
    "emit",
    "finish_all",
    "grant",
    "require",
    "revoke",
    "start_run",
]

_HOMES: Final = {
    "Run": "trailhouse.run",
    "authorize": "trailhouse.access",
    "current_run": "trailhouse.api",
    "emit": "trailhouse.api",
    "finish_all": "trailhouse.api",
    "grant": "trailhouse.grants",
    "require": "trailhouse.access",
    "revoke": "trailhouse.grants",
    "start_run": "trailhouse.api",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = found
    return found
