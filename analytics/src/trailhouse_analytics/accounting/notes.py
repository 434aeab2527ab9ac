"""What to know about a cost report, in a line each: what is still open, lost, without a price or promised twice."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from trailhouse_analytics.accounting.allocations import STATES
from trailhouse_analytics.accounting.moments import HOUR
from trailhouse_analytics.accounting.prices import UNPRICED
from trailhouse_analytics.accounting.report import Note

if TYPE_CHECKING:
    import pyarrow as pa

    from trailhouse_analytics.accounting.cost import Account

__all__ = ["notes"]

_NAMED_AT_MOST = 3


def notes(found: Account, rows: pa.Table, totals: pa.Table) -> tuple[Note, ...]:
    """Return the notes of a report, of what is in it."""
    said = [*_ends(found), *_prices(found, totals), *_double_booked(totals)]
    mixed = rows.column("unit").to_pylist().count("mixed")
    if mixed:
        text = (
            f"{_number(mixed, 'row')} of several kinds of resource: their hours add up unlike things; group by resource"
        )
        said.append(Note("mixed_units", mixed, text))
    currencies = [name for name in totals.column("currency").to_pylist() if name]
    if len(currencies) > 1:
        text = f"{len(currencies)} currencies ({', '.join(currencies)}): a total each, they never add up"
        said.append(Note("currencies", len(currencies), text))
    return tuple(said)


def _ends(found: Account) -> list[Note]:
    owners = np.unique(found.pieces.owner)
    by_state = Counter(STATES[code] for code in found.allocations.state[owners].tolist())
    texts = {
        "open": "still held: counted up to now",
        "lost": "of lost runs, never released: counted up to the last sign of life",
        "finished": "never released: counted up to the end of the run",
    }
    said = [
        Note(state, by_state[state], f"{_number(by_state[state], 'allocation')} {text}")
        for state, text in texts.items()
        if by_state[state]
    ]
    released = found.allocations.table.column("released_us").to_numpy(zero_copy_only=False)
    started = found.allocations.table.column("started_us").to_numpy()
    reversed_ = int(np.count_nonzero(released < started))
    if reversed_:
        text = f"{_number(reversed_, 'allocation')} released before the start: counted as nothing; restate them"
        said.append(Note("reversed", reversed_, text))
    return said


def _prices(found: Account, totals: pa.Table) -> list[Note]:
    said = []
    unpriced = found.price == UNPRICED
    if unpriced.any():
        table = found.allocations.table
        owners = found.pieces.owner[unpriced]
        kinds = Counter(
            " ".join(filter(None, parts))
            for parts in zip(
                *(
                    table.column(name).take(np.unique(owners)).to_pylist()
                    for name in ("resource", "model", "pool", "capacity_type")
                ),
                strict=True,
            )
        )
        named = ", ".join(name for name, _ in kinds.most_common(_NAMED_AT_MOST))
        more = ", …" if len(kinds) > _NAMED_AT_MOST else ""
        hours = _hours(totals, "unpriced_seconds")
        count = len(np.unique(owners))
        text = f"{hours} h of {_number(count, 'allocation')} lack a price ({named}{more}); see 'trailhouse price set'"
        said.append(Note("unpriced", count, text))
    unreadable = [price for price in found.prices if price.unreadable]
    if unreadable:
        text = (
            f"{_number(len(unreadable), 'price')} unreadable ({unreadable[0].sku}: {unreadable[0].unreadable}); restate"
        )
        said.append(Note("unreadable_price", len(unreadable), text))
    return said


def _double_booked(totals: pa.Table) -> list[Note]:
    seconds = sum(totals.column("double_booked_seconds").to_pylist(), Decimal(0))
    if not seconds:
        return []
    text = (
        f"{_hours(totals, 'double_booked_seconds')} h double-booked: allocations of one device overlap; all are counted"
    )
    return [Note("double_booked", 1, text)]


def _hours(totals: pa.Table, column: str) -> str:
    seconds = sum(totals.column(column).to_pylist(), Decimal(0))
    return f"{seconds / (HOUR // 1_000_000):,.2f}"


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
