"""The catalogue: the one list of all event types, with what producing, publishing and storing them needs.

Record, topic, table and schema file follow from an event type's name; nothing else in the code repeats the list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trailhouse_schemas import events
from trailhouse_schemas.errors import UnknownEventTypeError
from trailhouse_schemas.events.base import event_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trailhouse_schemas.events.base import Event

__all__ = ["CATALOGUE", "NAMESPACE", "EventType", "by_model", "by_name", "by_topic"]

#: Namespace of the Avro records, and prefix of the topics.
NAMESPACE: Final = "trailhouse"


@dataclass(frozen=True, slots=True)
class EventType:
    """One event type: one Avro record, one topic, one table."""

    model: type[Event]
    #: Field whose value is the message key; the producer's id stands in where it is empty.
    key: str
    #: Number of partitions that the topic is created with.
    partitions: int = 6
    #: Control facts may be published by the control service only, and their spools keep what has landed.
    control: bool = False
    #: The field whose elements become rows of their own, with their ordinal; empty for one row a record.
    rows_from: str = ""

    @property
    def name(self) -> str:
        """Name of the type: the schema's file and the table."""
        return event_name(self.model)

    @property
    def topic(self) -> str:
        """Name of the topic."""
        return f"{NAMESPACE}.{self.name}"

    @property
    def table(self) -> str:
        """Name of the warehouse's table."""
        return self.name

    @property
    def record(self) -> str:
        """Full name of the Avro record."""
        return f"{NAMESPACE}.{self.model.__name__}"


#: All event types by name.
CATALOGUE: Final[Mapping[str, EventType]] = {
    event_type.name: event_type
    for event_type in (
        EventType(events.RunStarted, key="run_id"),
        EventType(events.RunFinished, key="run_id"),
        EventType(events.HeartbeatSent, key="producer_id"),
        EventType(events.ParametersLogged, key="run_id"),
        EventType(events.MetricsLogged, key="producer_id", partitions=12, rows_from="points"),
        EventType(events.DatasetLogged, key="run_id"),
        EventType(events.DatasetProfiled, key="dataset_id"),
        EventType(events.ModelLogged, key="run_id"),
        EventType(events.ArtifactLogged, key="run_id"),
        EventType(events.ResourcesAllocated, key="allocation_id"),
        EventType(events.ResourcesReleased, key="allocation_id"),
        EventType(events.ResourcesSampled, key="producer_id", partitions=12),
        EventType(events.CapacityReported, key="node", partitions=1, control=True),
        EventType(events.StepsTimed, key="producer_id", partitions=12),
        EventType(events.PriceSet, key="sku_id", partitions=1, control=True),
        EventType(events.PermissionChanged, key="grantee", partitions=1, control=True),
        EventType(events.AccessDecided, key="subject"),
        EventType(events.AttributeChanged, key="entity_id", partitions=1, control=True),
    )
}

_BY_TOPIC: Final = {event_type.topic: event_type for event_type in CATALOGUE.values()}
_BY_MODEL: Final = {event_type.model: event_type for event_type in CATALOGUE.values()}


def by_name(name: str) -> EventType:
    """Return the event type of that name (`metrics_logged`); raises `UnknownEventTypeError`."""
    try:
        return CATALOGUE[name]
    except KeyError:
        raise UnknownEventTypeError(name, sorted(CATALOGUE)) from None


def by_topic(topic: str) -> EventType:
    """Return the event type of that topic (`trailhouse.metrics_logged`); raises `UnknownEventTypeError`."""
    try:
        return _BY_TOPIC[topic]
    except KeyError:
        raise UnknownEventTypeError(topic, sorted(_BY_TOPIC)) from None


def by_model(model: type[Event]) -> EventType:
    """Return the event type of that model; raises `UnknownEventTypeError`."""
    try:
        return _BY_MODEL[model]
    except KeyError:
        raise UnknownEventTypeError(model.__name__, sorted(m.__name__ for m in _BY_MODEL)) from None
