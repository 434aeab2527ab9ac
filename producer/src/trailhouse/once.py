"""Warnings that a training loop survives: each is said once a process, however often its cause comes back."""

from __future__ import annotations

import logging
from typing import Final

__all__ = ["LOGGER", "forget_warnings", "inform", "warn_once"]

LOGGER: Final = logging.getLogger("trailhouse")
#: More different warnings are neither remembered nor said: a name made up anew at each step must not fill memory.
_MOST: Final = 1_000
_said: Final[set[tuple[str, ...]]] = set()


def warn_once(text: str, *, key: tuple[str, ...] = ()) -> None:
    """Log `text` as a warning unless one with the same `key` (the text by default) was logged before; never raises."""
    key = key or (text,)
    if key in _said:
        return
    if len(_said) >= _MOST:
        if len(_said) > _MOST:
            return
        _said.add(())
        text = "there are too many different warnings; no more of them will be shown"
    _said.add(key)
    LOGGER.warning("trailhouse: %s", text, extra={"said_once_for": key})


def inform(text: str) -> None:
    """Log something that a person may want to know, but need not act on."""
    LOGGER.info("trailhouse: %s", text)


def forget_warnings() -> None:
    """Say all warnings again; for tests."""
    _said.clear()
