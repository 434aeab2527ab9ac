"""`trailhouse cost`: what was allocated, used and idle, and what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from trailhouse_cli.reporting import (
    Column,
    Report,
    Section,
    format_options,
    open_warehouse,
    period_options,
    print_report,
    warehouse_option,
)
from trailhouse_cli.times import MOMENT

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from decimal import Decimal
    from pathlib import Path

    import pyarrow as pa

    from trailhouse_analytics.accounting import CostReport

__all__ = ["command"]

_SECONDS_AN_HOUR: Final = 3_600
_TITLES: Final = {"capacity_type": "capacity"}


@click.command(short_help="What was allocated, used and idle, and what it cost.")
@click.option(
    "--by",
    "-b",
    multiple=True,
    metavar="WHAT",
    default=("project", "resource"),
    show_default="project, resource",
    help="Group by: project, team, principal, run, node, pool, resource, model, capacity_type, state, sku, currency, "
    "hour, day, week, month, …; may be given again, or several with commas.",
)
@period_options
@click.option("--team", help="Only what counts for this team.")
@click.option("--principal", help="Only this principal.")
@click.option("--run", help="Only this run.")
@click.option("--node", help="Only this node.")
@click.option("--pool", help="Only this pool.")
@click.option("--resource", help="Only this kind of resource: gpu, cpu, memory, ….")
@click.option("--model", help="Only this model of resource.")
@click.option("--capacity-type", help="Only on_demand, reserved or spot.")
@click.option("--as-of", type=MOMENT, help="As it was believed then: only what was published by that moment.")
@click.option(
    "--digits", type=click.IntRange(0, 12), help="Digits after the point of money [default: the currency's own]."
)
@warehouse_option
@format_options
def command(
    *,
    by: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    as_of: datetime | None,
    digits: int | None,
    warehouse: str | None,
    format_: str,
    output: Path | None,
    section: str | None,
    **only: Any,
) -> None:
    """Print what resources were allocated, used and idle, and what they cost.

    Hours are of one unit: two GPUs for three hours are six GPU h, half a GPU for three hours is one and a half.
    Prices are those of the moment ('trailhouse price list'). docs/cost.md says exactly what counts as what.
    """
    from trailhouse_analytics.accounting import cost  # noqa: PLC0415 - slow to import

    client = open_warehouse(warehouse)
    try:
        found = cost(
            client,
            by=[name for text in by for name in text.split(",")],
            since=since,
            until=until,
            as_of=as_of,
            digits=digits,
            **only,
        )
    finally:
        client.close()
    people = format_ in {"table", "html"}
    print_report(_report(found, digits, people=people), format_=format_, output=output, section=section)


def _report(found: CostReport, digits: int | None, *, people: bool) -> Report:
    rows, totals = _with_shares(found.rows), _with_shares(found.totals)
    columns = _columns(found, digits)
    single = totals.num_rows == 1 and people
    sections = [
        Section(
            "rows",
            "",
            rows,
            columns=columns,
            totals=_totals(totals.to_pylist()[0], columns) if single else None,
            empty="no allocations in this period",
        )
    ]
    if not single and (totals.num_rows or not people):
        names = set(totals.column_names)
        sections.append(Section("totals", "Totals", totals, [c for c in columns if c.name in names]))
    return Report(title=_title(found), sections=sections, notes=[str(note) for note in found.warnings])


def _title(found: CostReport) -> str:
    until = min(found.until, found.now) if found.until else found.now
    since = f"from {found.since:%Y-%m-%d %H:%M} " if found.since else ""
    believed = f", as believed at {found.as_of:%Y-%m-%d %H:%M:%S}" if found.as_of else ""
    by = " by " + ", ".join(name.replace("_", " ") for name in found.by) if found.by else ""
    return f"Cost{by}, {since}to {until:%Y-%m-%d %H:%M} (UTC){believed}"


def _with_shares(table: pa.Table) -> pa.Table:
    """Add which share of allocated time was used, idle and unmeasured."""
    import pyarrow as pa  # noqa: PLC0415 - slow to import

    whole = table.column("allocated_seconds").to_pylist()
    for part in ("used", "idle", "unmeasured"):
        parts = table.column(f"{part}_seconds").to_pylist()
        shares = [float(a / b) if b else None for a, b in zip(parts, whole, strict=True)]
        table = table.append_column(f"{part}_share", pa.array(shares, pa.float64()))
    return table


def _columns(found: CostReport, digits: int | None) -> list[Column]:
    money = _money(found, digits)
    some = {
        name: any(found.rows.column(name).to_pylist())
        for name in ("open", "lost", "unpriced_seconds", "double_booked_seconds", "cost")
    }
    moments: dict[str, Callable[[Any], str]] = {"hour": lambda value: f"{value:%Y-%m-%d %H:%M}"}
    columns = [
        Column(name, _TITLES.get(name, name), show=moments.get(name, lambda value: str(value) or "(none)"))
        for name in found.by
        if name != "currency"
    ]
    columns += [
        Column("allocations", "allocs"),
        Column("allocated_seconds", "allocated", show=_hours),
        Column("unit", "", show=lambda unit: f"{unit} h"),
        Column("used_share", "used", show=_share),
        Column("idle_share", "idle", show=_share),
        Column("unmeasured_share", "unmeas.", show=_share, style="dim"),
    ]
    if some["unpriced_seconds"]:
        columns.append(Column("unpriced_seconds", "unpriced", show=_hours_or_none, style="yellow"))
    if some["double_booked_seconds"]:
        columns.append(Column("double_booked_seconds", "double", show=_hours_or_none, style="yellow"))
    columns += [Column(name, name, show=_count_or_none) for name in ("open", "lost") if some[name]]
    return [
        *columns,
        Column("idle_cost", "idle cost", show=money),
        Column("cost", "cost", show=money, style="bold"),
        Column("currency", ""),
    ]


def _totals(row: dict[str, Any], columns: list[Column]) -> dict[str, Any]:
    totals = {column.name: row[column.name] for column in columns if column.name in row}
    if columns[0].name not in row:
        totals[columns[0].name] = "total"
    if row["unit"] == "mixed":  # hours of unlike things have no sum that means anything
        for name in ("allocated_seconds", "used_share", "idle_share", "unmeasured_share", "unpriced_seconds", "unit"):
            totals.pop(name, None)
    return totals


def _money(found: CostReport, digits: int | None) -> Callable[[Any], str]:
    from trailhouse_analytics.accounting import minor_digits  # noqa: PLC0415 - slow to import

    currencies = [name for name in found.totals.column("currency").to_pylist() if name]
    places = digits if digits is not None else max(map(minor_digits, currencies), default=2)
    return lambda value: f"{value:,.{places}f}"


def _hours(seconds: Decimal) -> str:
    hours = seconds / _SECONDS_AN_HOUR
    return f"{hours:,.2f}" if hours >= 1 or not hours else f"{hours:.4f}"


def _hours_or_none(seconds: Decimal) -> str:
    return _hours(seconds) if seconds else ""


def _count_or_none(count: int) -> str:
    return f"{count:,}" if count else ""


def _share(share: float) -> str:
    return f"{share:.1%}" if share else "0 %"
