"""Families of column types: a change of family is a change of schema, a change within a family is not.

An `int64` column turns into a `double` as soon as one value is missing in pandas, and a file may store the same text
plainly or as a dictionary; none of that says that the data changed. What does is a number that has become text.
"""

from __future__ import annotations

import re
from enum import StrEnum

__all__ = ["Family", "family_of"]


class Family(StrEnum):
    """What kind of thing the values of a column are."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"
    TEXT = "text"
    #: Lists, structs, maps: never compared.
    NESTED = "nested"
    #: Parts of one thing that hold different kinds.
    MIXED = "mixed"
    #: Nothing but missing values, or no type given: goes with every other family.
    UNKNOWN = "unknown"


#: A column whose every row is an array is profiled under its element's type and shape: double[28,28].
_TENSOR = re.compile(r"\[\d+(,\d+)*\]$")

_PREFIXES: tuple[tuple[str, Family], ...] = (
    ("large_list", Family.NESTED),
    ("fixed_size_list", Family.NESTED),
    ("list", Family.NESTED),
    ("struct", Family.NESTED),
    ("map", Family.NESTED),
    ("union", Family.NESTED),
    ("array", Family.NESTED),
    ("uint", Family.NUMBER),
    ("int", Family.NUMBER),
    ("halffloat", Family.NUMBER),
    ("float", Family.NUMBER),
    ("double", Family.NUMBER),
    ("decimal", Family.NUMBER),
    ("duration", Family.NUMBER),
    ("time32", Family.NUMBER),
    ("time64", Family.NUMBER),
    ("bool", Family.BOOLEAN),
    ("timestamp", Family.TIME),
    ("datetime", Family.TIME),
    ("date", Family.TIME),
    ("mixed", Family.MIXED),
    ("null", Family.UNKNOWN),
)


def family_of(arrow_type: str) -> Family:
    """Return the family of a type in Arrow's words; a dictionary's is that of its values, an empty word's UNKNOWN."""
    word = arrow_type.strip().lower()
    if _TENSOR.search(word):
        return Family.NESTED
    if not word:
        return Family.UNKNOWN
    if word.startswith("dictionary"):
        return family_of(word.partition("values=")[2].partition(",")[0])
    for prefix, family in _PREFIXES:
        if word.startswith(prefix):
            return family
    return Family.TEXT
