"""Two columns made comparable: the same measure on both sides, or the reason why they are not compared.

The decision looks at both sides at once, so it is the same for both and does not change when they are swapped.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from trailhouse_analytics.drift.column import CategoryCounts, Column, NumericSample
from trailhouse_analytics.drift.families import Family

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "FEW_LEVELS",
    "IDENTIFIER_CATEGORIES",
    "CategoryPair",
    "NotCompared",
    "NumericPair",
    "TypeChanged",
    "pair_columns",
]

#: Whole numbers with at most this many different values on both sides together are categories: labels, flags, grades.
FEW_LEVELS = 10
#: Text with more categories than this, and with more than one for every two rows, is taken for an identifier.
IDENTIFIER_CATEGORIES = 100

#: Roles that say that a column of moments is data about the rows' subject, not about when the rows were made.
_MODELLED_ROLES = frozenset({"feature", "target", "prediction"})
#: Beyond this a category count is not unfolded into single values.
_MAX_UNFOLDED = 1_000_000


@dataclass(frozen=True, slots=True)
class NumericPair:
    """Both sides are numbers on a scale."""

    reference: NumericSample
    current: NumericSample


@dataclass(frozen=True, slots=True)
class CategoryPair:
    """Both sides are categories, counted over the same list: `reference[i]` and `current[i]` belong to `names[i]`."""

    names: tuple[str, ...]
    #: Shape (len(names),).
    reference: tuple[int, ...]
    current: tuple[int, ...]
    #: Values of categories that one of the sides does not count singly.
    reference_other: int
    current_other: int
    #: Categories of one side that the other, which lists all of its own, does not have; the most frequent first.
    new: tuple[str, ...]
    vanished: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TypeChanged:
    """The columns hold different kinds of things."""

    reference: str
    current: str


@dataclass(frozen=True, slots=True)
class NotCompared:
    """The column is left out, for this reason."""

    reason: str


def pair_columns(
    reference: Column, current: Column, role: str = ""
) -> NumericPair | CategoryPair | TypeChanged | NotCompared | None:
    """Bring two columns of one name to one measure; None where neither side has a single value.

    `role` overrides the role that the columns have: "id" leaves the column out, any other compares it even if it
    looks like an identifier.
    """
    left_out = _left_out(reference, current, role)
    if left_out is not None:
        return left_out
    numbers = Family.NUMBER in {reference.family, current.family}
    contents = _same_measure(reference.content, current.content, numbers=numbers)
    match contents:
        case None:
            return None
        case NumericSample(), NumericSample():
            return NumericPair(*contents)
        case CategoryCounts(), CategoryCounts():
            if not role and _is_identifier(contents[0]) and _is_identifier(contents[1]):
                return NotCompared("nearly every value occurs once: it looks like an identifier")
            return _align(*contents)


def _left_out(reference: Column, current: Column, role: str) -> TypeChanged | NotCompared | None:
    roles = {role} if role else {reference.role, current.role}
    families = {reference.family, current.family} - {Family.UNKNOWN}
    if "id" in roles:
        return NotCompared("it is an identifier (role id)")
    if len(families) > 1:
        return TypeChanged(reference=reference.type, current=current.type)
    if Family.MIXED in families:
        return NotCompared("its parts are of different types on both sides")
    if Family.NESTED in families:
        return NotCompared("lists, structs and maps have no distribution to compare; compare their parts")
    if Family.TIME in families and not roles & _MODELLED_ROLES:
        return NotCompared("moments in time move by nature; give it the role feature to compare it")
    return None


def _same_measure(
    reference: NumericSample | CategoryCounts | None,
    current: NumericSample | CategoryCounts | None,
    *,
    numbers: bool,
) -> tuple[NumericSample, NumericSample] | tuple[CategoryCounts, CategoryCounts] | None:
    if reference is None and current is None:
        return None
    if reference is None:
        reference = _empty_like(current)
    if current is None:
        current = _empty_like(reference)
    if isinstance(reference, CategoryCounts) and isinstance(current, CategoryCounts):
        return (_in_number_texts(reference), _in_number_texts(current)) if numbers else (reference, current)
    left, right = _unfolded(reference), _unfolded(current)
    if left is None or right is None:  # a list of categories that are no numbers, or that is not whole
        return _in_number_texts(_as_categories(reference)), _in_number_texts(_as_categories(current))
    if _few_levels(left, right):
        return _as_categories(reference), _as_categories(current)
    return left, right


def _empty_like(content: NumericSample | CategoryCounts | None) -> NumericSample | CategoryCounts:
    if isinstance(content, CategoryCounts):
        return CategoryCounts(counts={})
    return NumericSample(values=np.empty(0), population=0)


def _unfolded(content: NumericSample | CategoryCounts) -> NumericSample | None:
    """Counted numbers as single values; None where the categories are no numbers or not all known."""
    if isinstance(content, NumericSample):
        return content
    if not content.complete or content.total > _MAX_UNFOLDED:
        return None
    try:
        levels = np.array([float(text) for text in content.counts], dtype=np.float64)
    except ValueError:
        return None
    values = np.repeat(levels, np.fromiter(content.counts.values(), dtype=np.int64, count=len(levels)))
    return NumericSample(values=np.sort(values), population=len(values))


def _few_levels(reference: NumericSample, current: NumericSample) -> bool:
    both = np.union1d(reference.values, current.values)
    return 0 < len(both) <= FEW_LEVELS and bool(np.all(both == np.floor(both)))


def _as_categories(content: NumericSample | CategoryCounts) -> CategoryCounts:
    if isinstance(content, CategoryCounts):
        return content
    levels, counts = np.unique(content.values, return_counts=True)
    return CategoryCounts(
        counts={number_text(level): int(count) for level, count in zip(levels, counts, strict=True)},
        sampled=not content.complete,
    )


def _in_number_texts(content: CategoryCounts) -> CategoryCounts:
    """Numbers that were counted as categories, written alike: 1 and 1.0 are one category."""
    counts: Counter[str] = Counter()
    for text, count in content.counts.items():
        try:
            counts[number_text(float(text))] += count
        except (ValueError, OverflowError):
            counts[text] += count
    return replace(content, counts=counts)


def number_text(value: float) -> str:
    """Return a number as a category is written: whole numbers without a point."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _is_identifier(content: CategoryCounts) -> bool:
    distinct = max(content.distinct, len(content.counts))
    return distinct > IDENTIFIER_CATEGORIES and distinct > content.total / 2


def _align(reference: CategoryCounts, current: CategoryCounts) -> CategoryPair:
    names = [
        name
        for name in sorted(reference.counts.keys() | current.counts.keys())
        if (reference.complete or name in reference.counts) and (current.complete or name in current.counts)
    ]
    left = tuple(reference.counts.get(name, 0) for name in names)
    right = tuple(current.counts.get(name, 0) for name in names)
    return CategoryPair(
        names=tuple(names),
        reference=left,
        current=right,
        reference_other=reference.total - sum(left),
        current_other=current.total - sum(right),
        new=() if reference.sampled else _only(names, right, left),
        vanished=() if current.sampled else _only(names, left, right),
    )


def _only(names: Sequence[str], here: Sequence[int], there: Sequence[int]) -> tuple[str, ...]:
    found = [(-count, name) for name, count, other in zip(names, here, there, strict=True) if other == 0 < count]
    return tuple(name for _, name in sorted(found))
