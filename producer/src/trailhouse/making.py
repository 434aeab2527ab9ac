"""From an event's own fields to a record for the buffer: checked by its model, with the envelope filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from trailhouse import clock
from trailhouse.errors import InvalidEventError
from trailhouse.formed import Record
from trailhouse_schemas.catalogue import by_model
from trailhouse_schemas.events.base import Event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trailhouse.formed import Context

__all__ = ["make_record"]

#: Stands in for the producer until the recorder knows the number of the event.
_NO_PRODUCER: Final = "00000000-0000-0000-0000-000000000000"


def make_record(event: type[Event] | Event, fields: Mapping[str, Any], context: Context) -> Record:
    """Return the record of an event type with these fields, or of an event that was made already.

    The envelope comes from `context` and the clock where `fields` do not say otherwise. A made event keeps its own, but
    for producer and sequence, which are always the recorder's.

    Raises:
        InvalidEventError: the fields do not make an event of this type.
        UnknownEventTypeError: the catalogue has no such event type.
    """
    if isinstance(event, Event):
        event_type = by_model(type(event))
        if fields:
            raise InvalidEventError(f"Event {type(event).__name__} is made already; give a class to give fields")
        return Record(event_type.name, event.model_dump())
    if not (isinstance(event, type) and issubclass(event, Event)):
        raise InvalidEventError(f"{event!r} is no event; give a class or an object of trailhouse_schemas.events")
    event_type = by_model(event)
    envelope = {
        "occurred_at": clock.now(),
        "producer_id": _NO_PRODUCER,
        "sequence": 0,
        **context.envelope(),
    }
    try:
        made = event.model_validate(envelope | dict(fields))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        value = "missing" if first["type"] == "missing" else f"{first['input']!r:.200}"
        why = first["msg"].removeprefix("Value error, ")
        raise InvalidEventError(f"Field {where} of {event.__name__} is {value}: {why}") from None
    return Record(event_type.name, made.model_dump())
