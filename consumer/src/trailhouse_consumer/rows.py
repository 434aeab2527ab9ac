"""Makes the rows of one range: what goes into the table, what into dead_letters, and how far the range reaches.

The same messages give the same rows whenever and by whomever they are made; only what the table held at lower offsets
(see `duplicates`) is asked for, and that does not change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trailhouse_consumer.dead_letters import Dead, Reason, dead_letter_rows
from trailhouse_consumer.ranges import MAX_ARROW_BYTES, MAX_ROWS, fitting, within_one_month
from trailhouse_consumer.validate import validate
from trailhouse_schemas.warehouse.tables import ORDINAL_COLUMN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from trailhouse_consumer.decode import Decoder
    from trailhouse_consumer.duplicates import Duplicates
    from trailhouse_consumer.sources import Messages, Partition
    from trailhouse_schemas.catalogue import EventType

__all__ = ["Rows", "make_rows"]

#: Text is sent as a dictionary when each word occurs as often on average.
_WORTH_REPEATS: Final = 8

#: Arrow bytes that a row is taken for at least: its transport columns.
_ROW_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Rows:
    """What one range comes to."""

    first: int
    last: int
    #: Messages that the range covers.
    messages: int
    #: Rows of the event type's table.
    table: pa.Table
    #: Rows of the table `dead_letters`.
    dead_letters: pa.Table
    #: Producer and sequence of each event in `table`, one an event.
    producer_ids: pa.Array
    sequences: NDArray[np.int64]
    duplicates: int


def make_rows(
    partition: Partition, messages: Messages, decoder: Decoder, duplicates: Duplicates | None, *, whole: bool
) -> Rows:
    """Return the rows of the longest range that begins with these messages and fits one block.

    Args:
        partition: Where they are from.
        messages: At least one.
        decoder: Of the partition's event type.
        duplicates: What the partition has landed; None where nothing can be sent twice.
        whole: The range is given by a plan and must not be cut again.

    Raises:
        RegistryUnavailableError: not all of it can be decoded now.
        WarehouseUnavailableError: it could not be asked for duplicates.
    """
    event_type = partition.event_type
    if not whole:
        messages = messages[: within_one_month(messages.published_us)]
    decoded = decoder.decode(messages.values)
    records, places, dead = decoded.records, decoded.places, decoded.dead
    counts, sizes = _weights(event_type, records)
    if not whole and len(records) and (counts.sum() > MAX_ROWS or sizes.sum() > MAX_ARROW_BYTES):
        keep = fitting(counts, sizes)
        end = int(places[keep]) if keep < len(places) else len(messages)
        messages = messages[:end]
        records, places, counts, sizes = records.slice(0, keep), places[:keep], counts[:keep], sizes[:keep]
        dead = [letter for letter in dead if letter.place < end]
    too_large = (counts > MAX_ROWS) | (sizes > MAX_ARROW_BYTES)
    invalid = [
        Dead(
            int(row), Reason.TOO_LARGE, f"The record comes to {counts[row]} rows, {sizes[row]} bytes: send it in parts"
        )
        for row in np.flatnonzero(too_large)
    ]
    decoded_all = len(places) == len(messages)
    identities = messages.identities if decoded_all else [messages.identities[place] for place in places.tolist()]
    invalid += validate(event_type, records, messages.published_us[places], identities)
    good = np.ones(len(records), bool)
    for letter in invalid:
        if good[letter.place]:
            good[letter.place] = False
            dead.append(Dead(int(places[letter.place]), letter.reason, letter.detail))
    if not good.all():
        records, places = records.filter(pa.array(good)), places[good]
    first = int(messages.offsets[0])
    again = np.zeros(len(records), bool)
    if duplicates is not None and len(records):
        again = duplicates.find(records.column("producer_id"), records.column("sequence").to_numpy(), first)
        if again.any():
            records, places = records.filter(pa.array(~again)), places[~again]
    return Rows(
        first,
        int(messages.offsets[-1]),
        len(messages),
        _with_transport(partition, messages, *_exploded(event_type, records, places)),
        dead_letter_rows(partition, messages, dead),
        records.column("producer_id"),
        records.column("sequence").to_numpy(),
        int(again.sum()),
    )


def _weights(event_type: EventType, records: pa.RecordBatch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many rows each record becomes, and about how many bytes of Arrow they take."""
    count = len(records)
    if not count:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    average = records.nbytes // count + _ROW_BYTES
    if not event_type.rows_from:
        return np.ones(count, np.int64), np.full(count, average)
    counts = pc.list_value_length(records.column(event_type.rows_from)).to_numpy(zero_copy_only=False).astype(np.int64)
    shared = np.full(count, _ROW_BYTES, np.int64)
    for column in records.columns:
        if pa.types.is_string(column.type):
            shared += pc.binary_length(column).to_numpy(zero_copy_only=False)
        elif not pa.types.is_list(column.type):
            shared += column.nbytes // count
    return counts, counts * shared + average


def _exploded(
    event_type: EventType, records: pa.RecordBatch, places: NDArray[np.int64]
) -> tuple[dict[str, pa.Array], NDArray[np.int64]]:
    """Return the columns of the rows, and the place of each row's message; a row an element where there are some."""
    columns = {name: _narrow(column) for name, column in zip(records.schema.names, records.columns, strict=True)}
    if not event_type.rows_from:
        return columns, places
    lists = columns.pop(event_type.rows_from)
    parents = pc.list_parent_indices(lists).cast(pa.int64())
    elements = pc.list_flatten(lists)
    counts = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    begins = np.cumsum(counts) - counts
    of_row = parents.to_numpy()
    exploded = {name: column.take(parents) for name, column in columns.items()}
    exploded[ORDINAL_COLUMN] = pa.array((np.arange(len(of_row)) - begins[of_row]).astype(np.int32))
    for index in range(elements.type.num_fields):
        exploded[elements.type.field(index).name] = _narrow(elements.field(index))
    return exploded, places[of_row]


def _narrow(column: pa.Array) -> pa.Array:
    """Return text that repeats itself as a dictionary: the warehouse takes that in several times as fast."""
    if not pa.types.is_string(column.type):
        return column
    words = column.dictionary_encode()
    return words if len(words.dictionary) * _WORTH_REPEATS <= len(column) else column


def _with_transport(
    partition: Partition, messages: Messages, columns: dict[str, pa.Array], places: NDArray[np.int64]
) -> pa.Table:
    rows = len(places)
    constants = {
        "_topic": partition.topic,
        "_topic_id": partition.topic_id,
        "_principal": messages.principal,
        "_principal_source": messages.principal_source,
    }
    columns |= {name: _constant(value, rows) for name, value in constants.items()}
    columns["_partition"] = pa.repeat(pa.scalar(partition.number, pa.int32()), rows)
    columns["_offset"] = pa.array(messages.offsets[places])
    columns["_published_at"] = pa.array(messages.published_us[places]).cast(pa.timestamp("us", "UTC"))
    for name, column in columns.items():
        if pa.types.is_timestamp(column.type) and column.type.tz is None:
            columns[name] = column.cast(pa.timestamp("us", "UTC"))
    return pa.table(columns)


def _constant(value: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), rows), pa.array([value], pa.string()))
