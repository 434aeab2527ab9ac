"""How what is known of runs is said to people: durations, digests, settings."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["digest", "duration", "in_words", "pairs", "some"]

_MINUTE: Final = 60
_HOUR: Final = 3600


def duration(seconds: float) -> str:
    """Return a duration: 9.0 s, 5 min 0 s, 1,204 h 5 min."""
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{int(seconds // _MINUTE)} min {int(seconds % _MINUTE)} s"
    return f"{int(seconds // _HOUR):,} h {int(seconds % _HOUR // _MINUTE)} min"


_DIGEST_SHOWN: Final = 20
_LIST_SHOWN: Final = 6


def digest(text: str) -> str:
    """Return the begin of a digest or another long text."""
    return f"{text[:_DIGEST_SHOWN]}…" if len(text) > _DIGEST_SHOWN else text


def pairs(pairs: list[tuple[str, str]]) -> str:
    """Return settings in a line: with_mean=true, copy=false."""
    return ", ".join(f"{name}={value}" for name, value in pairs)


def some(names: list[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = len(names) - _LIST_SHOWN
    return ", ".join(names[:_LIST_SHOWN]) + (f" and {more} more" if more > 0 else "")


def in_words(name: str, value: Any) -> Any:
    """Return a fact of a run for people; other values stay what they are."""
    if name == "duration_seconds":
        return duration(value)
    if isinstance(value, dict):
        return pairs(list(value.items()))
    return " ".join(value) if isinstance(value, list) else value
