"""Rounding so that the parts still sum to the whole: the method of largest remainder (Hamilton), in exact integers.

A total is rounded half to even. Its parts are rounded down, and what then lacks goes, one unit each, to the parts that
lost most by that (the first of equals). In a table with totals both ways the margins are rounded first, each by this
method; the cells then fill up the margins in the order of what they lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["apportion", "round_half_even", "round_table"]


def round_half_even(numerator: int, denominator: int) -> int:
    """Return the integer nearest to the quotient, the even one of two that are equally near; denominator above 0."""
    quotient, rest = divmod(numerator, denominator)
    if 2 * rest > denominator or (2 * rest == denominator and quotient % 2):
        return quotient + 1
    return quotient


def apportion(total: int, numerators: Sequence[int], denominator: int) -> list[int]:
    """Round each quotient down or up so that they sum to `total`, which is their exact sum rounded down or up."""
    floors, rests = [], []
    for numerator in numerators:
        quotient, rest = divmod(numerator, denominator)
        floors.append(quotient)
        rests.append(rest)
    lacking = total - sum(floors)
    if lacking:
        for index in sorted(range(len(rests)), key=lambda i: -rests[i])[:lacking]:
            floors[index] += 1
    return floors


def round_table(cells: Sequence[Sequence[int]], denominator: int, total: int | None = None) -> list[list[int]]:
    """Round all cells of a table of numerators so that its rows and its columns sum to their rounded sums.

    All sum to `total`, which is their exact sum rounded down or up; half to even where it is not given.

    A row differs from its exact sum by less than one unit, a column too, a cell by less than two.
    """
    if not cells:
        return []
    row_sums = [sum(row) for row in cells]
    column_sums = [sum(column) for column in zip(*cells, strict=True)]
    if total is None:
        total = round_half_even(sum(row_sums), denominator)
    rows = apportion(total, row_sums, denominator)
    columns = apportion(total, column_sums, denominator)
    floors = [[cell // denominator for cell in row] for row in cells]
    rows_lack = [want - sum(have) for want, have in zip(rows, floors, strict=True)]
    columns_lack = [want - sum(have) for want, have in zip(columns, zip(*floors, strict=True), strict=True)]
    if not any(rows_lack):
        return floors
    lost = sorted(
        ((row[j] % denominator, -i, -j) for i, row in enumerate(cells) if rows_lack[i] for j in range(len(row))),
        reverse=True,
    )
    for once_only in (True, False):
        for rest, minus_i, minus_j in lost:
            i, j = -minus_i, -minus_j
            gets = min(rows_lack[i], columns_lack[j])
            if gets > 0 and (rest or not once_only):
                gets = 1 if once_only else gets
                floors[i][j] += gets
                rows_lack[i] -= gets
                columns_lack[j] -= gets
    return floors
