"""`trailhouse price`: set, list, withdraw and void prices of resources."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from trailhouse_cli.broker import require_answer
from trailhouse_cli.errors import BadInputError
from trailhouse_cli.reporting import (
    Column,
    Report,
    Section,
    format_options,
    open_warehouse,
    print_report,
    warehouse_option,
)
from trailhouse_cli.times import MOMENT

if TYPE_CHECKING:
    from pathlib import Path

    from trailhouse_analytics.accounting import Price

__all__ = ["command"]

_CURRENCY_LETTERS: Final = 3


@click.group()
def command() -> None:
    """Set, list, withdraw and void prices of resources.

    A price belongs to an item of the price list (SKU) and holds from a moment on, until the next one of the same SKU.
    What is set, withdrawn or voided counts once it is collected ('trailhouse collect').
    """


@command.command("set")
@click.argument("sku")
@click.argument("amount")
@click.argument("currency")
@click.option("--resource", "-r", required=True, help="gpu, cpu, memory, storage, …")
@click.option("--pool", default="", help="Only in this pool.")
@click.option("--model", default="", help="Only of this model.")
@click.option(
    "--capacity-type",
    type=click.Choice(["", "on_demand", "reserved", "spot"]),
    default="",
    help="Only on_demand, reserved or spot.",
)
@click.option(
    "--per",
    type=click.Choice(["hour", "second"]),
    default="hour",
    show_default=True,
    help="Time of one unit (GPU, core, GiB).",
)
@click.option("--from", "valid_from", type=MOMENT, default="now", help="From when on it holds [default: now].")
def set_(
    *,
    sku: str,
    amount: str,
    currency: str,
    resource: str,
    pool: str,
    model: str,
    capacity_type: str,
    per: str,
    valid_from: datetime,
) -> None:
    """Set the price AMOUNT in CURRENCY (ISO 4217) of the item SKU: trailhouse price set h100 2.50 EUR -r gpu.

    Of several items that fit a resource, the one that names more of pool, model and capacity type holds. The same SKU
    and moment again corrects what was set before.
    """
    if not (len(currency) == _CURRENCY_LETTERS and currency.isascii() and currency.isalpha()):
        raise BadInputError(f"Currency {currency!r} is none; write the three letters of ISO 4217, such as EUR")
    _emit(
        sku_id=sku,
        pool=pool,
        resource=resource,
        model=model,
        capacity_type=capacity_type,
        unit_price=amount,
        currency=currency.upper(),
        pricing_unit=f"unit_{per}",
        valid_from=valid_from,
    )
    click.echo(f"{sku}: {amount} {currency.upper()} per unit and {per} from {valid_from:%Y-%m-%d %H:%M:%S} UTC on")


@command.command()
@click.argument("sku")
@click.option("--from", "valid_from", type=MOMENT, default="now", help="From when on [default: now].")
@warehouse_option
def withdraw(*, sku: str, valid_from: datetime, warehouse: str | None) -> None:
    """Take the item SKU off the price list from a moment on."""
    known = [price for price in _read(warehouse, None) if price.sku == sku]
    if not known:
        raise BadInputError(f"SKU {sku!r} is not known; see 'trailhouse price list', or collect first what was set")
    _emit(**_restated(known[-1]), unit_price=None, valid_from=valid_from)
    click.echo(f"{sku}: withdrawn from {valid_from:%Y-%m-%d %H:%M:%S} UTC on")


@command.command()
@click.argument("sku")
@click.argument("valid_from", type=MOMENT)
@warehouse_option
def void(*, sku: str, valid_from: datetime, warehouse: str | None) -> None:
    """Take back what was set for SKU from VALID_FROM on, as if it never had been (the moment as 'list' prints it)."""
    known = [price for price in _read(warehouse, None) if price.sku == sku]
    found = [price for price in known if price.valid_from == valid_from]
    if not found:
        moments = ", ".join(price.valid_from.isoformat() for price in known)
        raise BadInputError(
            f"SKU {sku!r} has no price from {valid_from.isoformat()} on; "
            + (f"it has from {moments}" if known else "see 'trailhouse price list', or collect first what was set")
        )
    _emit(**_restated(found[0]), unit_price=None, valid_from=valid_from, voided=True)
    click.echo(f"{sku}: the price from {valid_from:%Y-%m-%d %H:%M:%S} UTC on is void")


@command.command("list")
@click.option("--at", type=MOMENT, help="Only the prices that hold at this moment, such as now.")
@click.option("--as-of", type=MOMENT, help="As it was believed then: only what was published by that moment.")
@warehouse_option
@format_options
def list_(
    *,
    at: datetime | None,
    as_of: datetime | None,
    warehouse: str | None,
    format_: str,
    output: Path | None,
    section: str | None,
) -> None:
    """Print the price list: every price with the time in which it holds."""
    import pyarrow as pa  # noqa: PLC0415 - slow to import

    rows = _rows(_read(warehouse, as_of), at)
    moment, text = pa.timestamp("us", "UTC"), pa.string()
    schema = pa.schema(
        {
            **dict.fromkeys(("sku", "resource", "model", "pool", "capacity_type"), text),
            "unit_price": pa.decimal128(38, 12),
            "currency": text,
            "pricing_unit": text,
            "valid_from": moment,
            "valid_until": moment,
            "set_by": text,
            "published_at": moment,
        }
    )
    shown = [
        Column("sku", "sku"),
        Column("resource", "resource"),
        *(
            Column(name, name.replace("_", " "), show=lambda value: value or "any")
            for name in ("model", "pool", "capacity_type")
            if any(row[name] for row in rows)
        ),
        Column("unit_price", "price", show=lambda value: f"{value.normalize():,f}", style="bold"),
        Column("currency", ""),
        Column("pricing_unit", "per", show=lambda value: value.replace("_", " and ")),
        Column("valid_from", "from (UTC)", show=_moment),
        Column("valid_until", "until (UTC)", show=_moment),
        Column("set_by", "set by"),
    ]
    print_report(
        Report("Prices", [Section("prices", "", pa.Table.from_pylist(rows, schema), shown, empty="no prices")]),
        format_=format_,
        output=output,
        section=section,
    )


def _rows(known: list[Price], at: datetime | None) -> list[dict[str, Any]]:
    rows = []
    for index, price in enumerate(known):
        following = known[index + 1] if index + 1 < len(known) and known[index + 1].sku == price.sku else None
        until = following.valid_from if following else None
        if at is not None and (at < price.valid_from or (until is not None and at >= until)):
            continue
        if at is not None and price.unit_price is None:
            continue
        rows.append(
            {
                "sku": price.sku,
                "resource": price.resource,
                "model": price.model,
                "pool": price.pool,
                "capacity_type": price.capacity_type,
                "unit_price": price.unit_price,
                "currency": price.currency,
                "pricing_unit": price.pricing_unit,
                "valid_from": price.valid_from,
                "valid_until": until,
                "set_by": price.set_by,
                "published_at": price.published_at,
            }
        )
    return rows


def _moment(value: datetime) -> str:
    moment = value.astimezone(UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S") + (f".{moment.microsecond:06d}" if moment.microsecond else "")


def _read(warehouse: str | None, as_of: datetime | None) -> list[Price]:
    from trailhouse_analytics.accounting import prices  # noqa: PLC0415 - slow to import

    client = open_warehouse(warehouse)
    try:
        return prices(client, as_of=as_of)
    finally:
        client.close()


def _restated(price: Price) -> dict[str, Any]:
    return {
        "sku_id": price.sku,
        "pool": price.pool,
        "resource": price.resource,
        "model": price.model,
        "capacity_type": price.capacity_type,
        "currency": price.currency,
        "pricing_unit": price.pricing_unit,
    }


def _emit(**fields: Any) -> None:
    import trailhouse  # noqa: PLC0415 - only who emits
    from trailhouse.control import require_writable  # noqa: PLC0415
    from trailhouse.settings import ProducerSettings  # noqa: PLC0415
    from trailhouse_schemas.events import PriceSet  # noqa: PLC0415 - slow to import

    settings = ProducerSettings.read()
    require_writable(settings)
    if settings.kafka:
        require_answer(settings)
    trailhouse.emit(PriceSet, **fields)
    trailhouse.finish_all()
