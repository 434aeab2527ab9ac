"""Short ways to state facts of cost in tests: hours after a first moment, one unit of a GPU unless said otherwise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from rows import event
from trailhouse_schemas.events import (
    AttributeChanged,
    HeartbeatSent,
    PriceSet,
    ResourcesAllocated,
    ResourcesReleased,
    ResourcesSampled,
    RunFinished,
)

if TYPE_CHECKING:
    from servers.warehouses import Warehouse
    from trailhouse_schemas.events import Event

__all__ = [
    "START",
    "allocated",
    "at",
    "dropped",
    "emptied",
    "finished",
    "heartbeat",
    "held",
    "priced",
    "released",
    "sampled",
    "team",
]

_TABLES: Final = (
    "attribute_changed",
    "heartbeat_sent",
    "price_set",
    "resources_allocated",
    "resources_released",
    "resources_sampled",
    "run_finished",
)

#: A Sunday, at midnight.
START: Final = datetime(2026, 3, 1, tzinfo=UTC)


def emptied(warehouse: Warehouse) -> Warehouse:
    """Take all facts of cost out of a warehouse: quicker than a new one."""
    for table in _TABLES:
        warehouse.client.command("TRUNCATE TABLE {t:Identifier}", {"t": table})
    return warehouse


def dropped(warehouse: Warehouse) -> None:
    """Drop a warehouse that tests had in common."""
    warehouse.client.command("DROP DATABASE {d:Identifier}", {"d": warehouse.database})
    warehouse.client.close()


def at(hours: float) -> datetime:
    """Return the moment so many hours after `START`."""
    return START + timedelta(hours=hours)


def allocated(allocation_id: str, start: float, **fields: Any) -> ResourcesAllocated:
    """State that something is held from `start` on."""
    own = {"project": "p", "resource": "gpu", "quantity": 1, "started_at": at(start), "occurred_at": at(start)}
    return event(ResourcesAllocated, allocation_id=allocation_id, **(own | fields))


def released(allocation_id: str, end: float, **fields: Any) -> ResourcesReleased:
    """State that an allocation ended."""
    own = {"project": "p", "ended_at": at(end), "occurred_at": at(end)}
    return event(ResourcesReleased, allocation_id=allocation_id, **(own | fields))


def held(allocation_id: str, start: float, end: float, **fields: Any) -> list[Event]:
    """State that something was held from `start` to `end`."""
    return [allocated(allocation_id, start, **fields), released(allocation_id, end)]


def sampled(
    allocation_id: str, start: float, hours: float, utilization: float | None, **fields: Any
) -> ResourcesSampled:
    """State how a device was used."""
    own = {"resource": "gpu", "device": "0", "occurred_at": at(start + hours)}
    return event(
        ResourcesSampled,
        allocation_id=allocation_id,
        interval_start=at(start),
        interval_seconds=hours * 3600,
        utilization=utilization,
        **(own | fields),
    )


def priced(sku_id: str, start: float, unit_price: str | None, **fields: Any) -> PriceSet:
    """State a price of an hour of a GPU."""
    own = {"resource": "gpu", "currency": "EUR", "valid_from": at(start), "occurred_at": at(start)}
    return event(PriceSet, sku_id=sku_id, unit_price=unit_price, **(own | fields))


def team(kind: str, entity: str, start: float, name: str, **fields: Any) -> AttributeChanged:
    """State whose team something is of."""
    own = {"value": f'"{name}"' if name else "", "valid_from": at(start), "occurred_at": at(start)}
    return event(AttributeChanged, entity_kind=kind, entity_id=entity, attribute="team", **(own | fields))


def heartbeat(producer_id: str, moment: float, due: float | None, **fields: Any) -> HeartbeatSent:
    """State a sign of life of a producer, and when the next one is due."""
    own = {
        "phase": "alive",
        "subject_producer_id": producer_id,
        "occurred_at": at(moment),
        "next_due_at": None if due is None else at(due),
    }
    return event(HeartbeatSent, producer_id=producer_id, **(own | fields))


def finished(run_id: str, moment: float, **fields: Any) -> RunFinished:
    """State that an attempt of a run ended."""
    return event(RunFinished, **({"run_id": run_id, "status": "completed", "occurred_at": at(moment)} | fields))
