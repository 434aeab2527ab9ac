"""Prices with their moments: what was set, and which one holds for a resource when.

Each sku_id is a step function of its own: a price holds from its `valid_from` until the next one of the same sku_id;
one without a unit price withdraws the sku from then on, as if it were not on the list. Of the skus on the list at a
moment those match a resource whose named fields (pool, resource, model, capacity type; empty is any) are its own. The
most specific one holds: the one that names more fields; then the one that names the model, then the pool, then the
capacity type; then the one that holds since later; then the one published later; then the first by sku_id.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from trailhouse_analytics.accounting.moments import LAST, from_micros, to_micros
from trailhouse_analytics.accounting.timelines import Timeline
from trailhouse_analytics.queries import ask

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from clickhouse_connect.driver.client import Client

__all__ = ["PRICE_SCALE", "UNPRICED", "Price", "ResourceClass", "price_timeline", "prices"]

#: Digits after the point that a unit price can have.
PRICE_SCALE: Final = 12
#: The value of a price timeline where no price holds.
UNPRICED: Final = -1

_PER_HOUR: Final = {"unit_hour": 1, "unit_second": 3_600}


@dataclass(frozen=True, slots=True)
class ResourceClass:
    """All that the choice of a price depends on."""

    pool: str
    resource: str
    model: str
    capacity_type: str


@dataclass(frozen=True, slots=True)
class Price:
    """One price of the list. Without `unit_price` it withdraws the sku; `unreadable` is a price that is no number."""

    sku: str
    valid_from: datetime
    pool: str
    resource: str
    model: str
    capacity_type: str
    unit_price: Decimal | None
    currency: str
    pricing_unit: str
    published_at: datetime
    set_by: str
    unreadable: str = ""

    @property
    def per_hour(self) -> int:
        """Price of an hour of one unit, in 10^-12 of the currency: an exact integer."""
        if self.unit_price is None:
            return 0
        return int(self.unit_price.scaleb(PRICE_SCALE)) * _PER_HOUR[self.pricing_unit]

    def matches(self, of: ResourceClass) -> bool:
        """Tell whether this price is for that resource."""
        return (
            self.pool in {"", of.pool}
            and self.resource in {"", of.resource}
            and self.model in {"", of.model}
            and self.capacity_type in {"", of.capacity_type}
        )

    def _precedence(self) -> tuple[int, bool, bool, bool, datetime, datetime]:
        named = sum(map(bool, (self.pool, self.resource, self.model, self.capacity_type)))
        return (
            named,
            bool(self.model),
            bool(self.pool),
            bool(self.capacity_type),
            self.valid_from,
            self.published_at,
        )


def prices(client: Client, *, as_of: datetime | None = None) -> list[Price]:
    """Return all prices that were ever set, as they were believed at `as_of`, by sku and moment.

    Each (sku_id, valid_from) is as it was last stated; voided ones are not there.

    Raises:
        CostInputError: `as_of` has no time zone.
    """
    table = ask(client, "cost_prices", as_of_us=LAST if as_of is None else to_micros(as_of))
    return [_price(row) for row in table.to_pylist()]


def _price(row: dict[str, object]) -> Price:
    text = row["unit_price"]
    unit_price, unreadable = None, ""
    if text is not None:
        try:
            unit_price = Decimal(str(text))
        except InvalidOperation:
            unreadable = str(text)
        else:
            exponent = unit_price.as_tuple().exponent
            if not isinstance(exponent, int) or exponent < -PRICE_SCALE or row["pricing_unit"] not in _PER_HOUR:
                unit_price, unreadable = None, f"{text} a {row['pricing_unit']}"
    return Price(
        sku=str(row["sku"]),
        valid_from=from_micros(int(str(row["valid_from_us"]))),
        pool=str(row["pool"]),
        resource=str(row["resource"]),
        model=str(row["model"]),
        capacity_type=str(row["capacity_type"]),
        unit_price=unit_price,
        currency=str(row["currency"]),
        pricing_unit=str(row["pricing_unit"]),
        published_at=from_micros(int(str(row["published_us"]))),
        set_by=str(row["set_by"]),
        unreadable=unreadable,
    )


def price_timeline(known: Sequence[Price], of: ResourceClass) -> Timeline:
    """Return which price of `known` (its index, or `UNPRICED`) holds for a resource when."""
    by_sku = sorted(range(len(known)), key=lambda i: known[i].sku)
    ours = {known[i].sku for i in by_sku if known[i].matches(of)}
    steps = sorted((i for i in by_sku if known[i].sku in ours), key=lambda i: known[i].valid_from)
    in_force: dict[str, int] = {}
    found: list[tuple[int, int]] = []
    for i in steps:
        in_force[known[i].sku] = i
        best = UNPRICED
        for j in sorted(in_force.values(), key=lambda j: known[j].sku):
            price = known[j]
            if price.unit_price is None or not price.matches(of):
                continue
            if best == UNPRICED or price._precedence() > known[best]._precedence():  # noqa: SLF001 - its own class
                best = j
        found.append((to_micros(known[i].valid_from), best))
    return Timeline.of(found, UNPRICED)
