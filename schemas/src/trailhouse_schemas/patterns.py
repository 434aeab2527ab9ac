"""Patterns over names: `*` is any text, `/` included and also none; nothing else is special, and case counts.

No regular expression is behind them, so that no pattern is dangerous and none is slow.
"""

from __future__ import annotations

__all__ = ["matches", "overlap"]


def matches(pattern: str, text: str) -> bool:
    """Return whether `text` is what `pattern` says; its `*` stand for any text. Linear in the lengths of both.

    With a pattern for `text` it says whether everything that `text` matches is matched by `pattern`.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    *middle, last = rest
    at, end = len(first), len(text) - len(last)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return False
    for piece in middle:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def overlap(one: str, other: str) -> bool:
    """Return whether there is a text that both patterns match. Takes time in the product of their lengths."""
    # Places in `other` at which the part of `one` read so far can have been matched.
    places = _past_stars(other, {0})
    for character in one:
        if character == "*":
            places = set(range(min(places, default=len(other) + 1), len(other) + 1))
            continue
        step = {place + 1 for place in places if other[place : place + 1] == character}
        places = _past_stars(other, step | {place for place in places if other[place : place + 1] == "*"})
    return len(other) in places


def _past_stars(pattern: str, places: set[int]) -> set[int]:
    reached = set(places)
    for place in places:
        while pattern[place : place + 1] == "*":
            place += 1  # noqa: PLW2901 - walks on
            reached.add(place)
    return reached
