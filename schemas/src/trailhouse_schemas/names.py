"""What to say of a name that is not known: which ones are near, or which there are."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["near"]

#: As many names as fit a line.
_MOST_NAMES: Final = 8


def near(text: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """Return the way out for an unknown name, to be put behind `… is not known`; `otherwise` where no name is near."""
    candidates = sorted({name for name in known if name})
    close = get_close_matches(text, candidates, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(map(repr, close))}?"
    if 0 < len(candidates) <= _MOST_NAMES:
        return f"; known are {', '.join(candidates)}"
    return f"; {otherwise}" if otherwise else ""
