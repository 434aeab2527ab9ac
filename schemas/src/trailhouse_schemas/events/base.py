"""The envelope every event carries, and the field types that all event models share.

An event is one immutable fact. The models here are the source of everything else: the Avro schemas are generated
from them, and a test holds the warehouse's tables against those schemas. Two rules keep the path to the warehouse
simple and fast:

- Only Avro types that decode to Arrow without a Python object per value: null, boolean, long, double, string,
  timestamp-micros, arrays, maps and records. Money is a decimal string (`DecimalText`), a digest is a string.
- Arrays and maps are never null: empty means none. What was not measured or is not known is null, never 0.

Words with a small vocabulary (a status, a phase) are plain strings on the wire and in the warehouse, so that a new
word never breaks an old reader; the models check them where an event is made.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = ["DecimalText", "Event", "Fields", "Timestamp", "event_name"]

#: `Decimal(38, 12)` in the warehouse: 26 digits before the point, 12 after it.
DECIMAL_SCALE = 12
DECIMAL_INTEGER_DIGITS = 26


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"{value.isoformat()} has no time zone; write datetime(…, tzinfo=UTC)")
    return value.astimezone(UTC)


def _is_decimal(value: str) -> str:
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a decimal number; write it like '2.50'") from None
    if not number.is_finite():
        raise ValueError(f"{value!r} is not finite; an amount of money must be")
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 - of finite numbers it is
    if -exponent > DECIMAL_SCALE:
        raise ValueError(f"{value!r} has more than {DECIMAL_SCALE} digits after the point; round it first")
    if len(digits) + exponent > DECIMAL_INTEGER_DIGITS:
        raise ValueError(f"{value!r} has more than {DECIMAL_INTEGER_DIGITS} digits before the point")
    return f"{number:f}"


#: A moment in UTC with microseconds (Avro `timestamp-micros`).
Timestamp = Annotated[datetime, AfterValidator(_in_utc)]

#: An exact decimal number as text, at most 26 digits before the point and 12 after it.
DecimalText = Annotated[str, AfterValidator(_is_decimal)]


class Fields(BaseModel):
    """What all models have in common: immutable, and no field that the schema does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=True)


class Event(Fields):
    """The envelope: where an event comes from. (`producer_id`, `sequence`) identifies it for ever.

    A producer fills the whole envelope in by itself; whoever makes an event gives only the event's own fields.
    """

    #: Names of the envelope's fields, in the order in which they stand in every schema and table.
    ENVELOPE: ClassVar[tuple[str, ...]] = (
        "occurred_at",
        "producer_id",
        "sequence",
        "project",
        "run_id",
        "attempt",
        "rank",
        "world_size",
        "host",
        "principal",
    )

    occurred_at: Timestamp = Field(
        description="When it happened: the producer's wall clock at process start plus monotonic time since (UTC)."
    )
    producer_id: str = Field(description="The producer: one incarnation of one process (UUIDv7).")
    sequence: int = Field(
        description="Number of this event among its producer's, from 0; dropped events use up a number.", ge=0
    )
    project: str = Field(description="The project, or empty for facts that belong to none.")
    run_id: str = Field(description="The run, or empty for facts outside a run.")
    attempt: int = Field(description="Restart of the run, from 0.", ge=0)
    rank: int = Field(description="Rank of the process among the run's processes, from 0.", ge=0)
    world_size: int = Field(description="Number of processes that the run has.", ge=1)
    host: str = Field(description="Host name of the producer.")
    principal: str = Field(
        description="Who the producer says it acts for: a claim; see _principal for what was verified."
    )


def event_name(model: type[Event]) -> str:
    """Return the snake-case name of an event type: `MetricsLogged` is `metrics_logged`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", model.__name__).lower()
