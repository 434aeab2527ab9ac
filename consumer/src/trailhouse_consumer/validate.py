"""Decides which decoded records are facts that the warehouse can hold.

It looks only at the message and at its broker's time, never at the present: the same message is valid or not whenever
it is landed. Unknown words of small vocabularies, NaN and infinities are valid; a time that the table cannot hold, an
amount of money that it would cut, or an identity that contradicts the message's header are not.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from functools import cache
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trailhouse_consumer.dead_letters import IDENTITY_BYTES, Dead, Reason
from trailhouse_schemas.events.base import DECIMAL_INTEGER_DIGITS, DECIMAL_SCALE, DecimalText

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from trailhouse_schemas.catalogue import EventType

__all__ = ["validate"]

_DAY_US: Final = 86_400_000_000
_EARLIEST_OCCURRED_US: Final = int(np.datetime64("2000-01-01", "us").astype(np.int64))
#: What DateTime64(6) holds.
_EARLIEST_US: Final = int(np.datetime64("1900-01-01", "us").astype(np.int64))
_LATEST_US: Final = int(np.datetime64("2262-01-01", "us").astype(np.int64))


def validate(
    event_type: EventType,
    records: pa.RecordBatch,
    published_us: NDArray[np.int64],
    identities: Sequence[bytes | None],
) -> list[Dead]:
    """Return the records that are not valid, each once, by row; the arguments run along the rows."""
    found: dict[int, Dead] = {}
    for row, reason, detail in _problems(event_type, records, published_us, identities):
        found.setdefault(row, Dead(row, reason, detail))
    return list(found.values())


_Problem = tuple[int, Reason, str]


def _problems(
    event_type: EventType,
    records: pa.RecordBatch,
    published_us: NDArray[np.int64],
    identities: Sequence[bytes | None],
) -> Iterator[_Problem]:
    yield from _broker_times(published_us)
    yield from _identity(records, identities)
    yield from _occurred_at(records, published_us)
    for name, kind in zip(records.schema.names, records.schema.types, strict=True):
        if pa.types.is_timestamp(kind):
            yield from _times(name, records.column(name))
    if event_type.rows_from:
        yield from _rows(event_type.rows_from, records)
    for name in _money(event_type):
        yield from _decimals(name, records.column(name))


def _broker_times(published_us: NDArray[np.int64]) -> Iterator[_Problem]:
    for row in np.flatnonzero((published_us < _EARLIEST_OCCURRED_US) | (published_us > _LATEST_US)):
        yield int(row), Reason.INVALID_TIME, "The broker's time is not one; set message.timestamp.type=LogAppendTime"


def _identity(records: pa.RecordBatch, identities: Sequence[bytes | None]) -> Iterator[_Problem]:
    producers = records.column("producer_id").dictionary_encode()
    as_bytes = [_uuid_bytes(text) for text in producers.dictionary.to_pylist()]
    codes = producers.indices.to_numpy(zero_copy_only=False)
    wrong = np.array([value is None for value in as_bytes], bool)
    for row in np.flatnonzero(wrong[codes]) if wrong.any() else ():
        text = producers.dictionary[int(codes[row])].as_py()
        yield int(row), Reason.INVALID_VALUE, f"producer_id {text[:80]!r} is not a UUID in its usual form"
    sequences = records.column("sequence").to_numpy()
    for row in np.flatnonzero(sequences < 0):
        yield int(row), Reason.INVALID_VALUE, f"sequence {sequences[row]} is negative"
    rows = np.arange(len(identities))
    whole: Sequence[Any] = identities
    if None in whole or set(map(len, whole)) != {IDENTITY_BYTES}:
        stated = [(row, identity) for row, identity in enumerate(identities) if identity is not None]
        for place, identity in stated:
            if len(identity) != IDENTITY_BYTES:
                detail = f"The header that identifies the event has {len(identity)} bytes, not 24"
                yield place, Reason.WRONG_IDENTITY, detail
        stated = [(row, identity) for row, identity in stated if len(identity) == IDENTITY_BYTES]
        rows, whole = np.array([row for row, _ in stated], np.int64), [identity for _, identity in stated]
    if not len(rows):
        return
    header = np.frombuffer(b"".join(whole), np.uint8).reshape(-1, IDENTITY_BYTES)
    table = np.frombuffer(b"".join(value or bytes(16) for value in as_bytes), np.uint8).reshape(-1, 16)
    same = (header[:, :16] == table[codes[rows]]).all(axis=1)
    same &= header[:, 16:].copy().view(">u8").ravel() == sequences[rows].astype(np.uint64)
    for row in rows[~same]:
        yield int(row), Reason.WRONG_IDENTITY, "The message's header names another event than its value"


def _occurred_at(records: pa.RecordBatch, published_us: NDArray[np.int64]) -> Iterator[_Problem]:
    occurred = _microseconds(records.column("occurred_at"))
    bad = (occurred < _EARLIEST_OCCURRED_US) | (occurred > published_us + _DAY_US)
    rows = np.flatnonzero(bad)
    for row, said, broker in zip(rows.tolist(), _said(occurred[rows]), _said(published_us[rows]), strict=True):
        detail = f"occurred_at is {said}; expected 2000-01-01 to a day after the broker's time, {broker}"
        yield row, Reason.INVALID_TIME, detail


def _times(name: str, column: pa.Array) -> Iterator[_Problem]:
    values = _microseconds(column.fill_null(0))
    rows = np.flatnonzero((values < _EARLIEST_US) | (values > _LATEST_US))
    for row, said in zip(rows.tolist(), _said(values[rows]), strict=True):
        yield row, Reason.INVALID_TIME, f"{name} is {said}; the warehouse holds 1900 to 2262"


def _rows(name: str, records: pa.RecordBatch) -> Iterator[_Problem]:
    column = records.column(name)
    counts = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(counts == 0):
        yield int(row), Reason.NO_ROWS, f"{name} is empty; such an event has at least one"
    parents = pc.list_parent_indices(column).to_numpy()
    struct = pc.list_flatten(column)
    for index in range(struct.type.num_fields):
        field = struct.type.field(index)
        if pa.types.is_timestamp(field.type):
            for place, reason, detail in _times(f"{name}.{field.name}", struct.field(index)):
                yield int(parents[place]), reason, detail


@cache
def _money(event_type: EventType) -> tuple[str, ...]:
    """Return the fields that hold amounts of money as text."""
    marker = get_args(DecimalText)[1]
    return tuple(
        name
        for name, field in event_type.model.model_fields.items()
        if marker in field.metadata or any(marker in get_args(option) for option in get_args(field.annotation))
    )


def _decimals(name: str, column: pa.Array) -> Iterator[_Problem]:
    words = column.dictionary_encode()
    wrong = [text is not None and not _is_exact(text) for text in words.dictionary.to_pylist()]
    for place, code in enumerate(words.indices.to_pylist()) if any(wrong) else ():
        if code is not None and wrong[code]:
            text = words.dictionary[code].as_py()
            yield (
                place,
                Reason.INVALID_VALUE,
                f"{name} {text[:80]!r} is not an amount that Decimal(38, 12) holds exactly",
            )


def _is_exact(text: str) -> bool:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return False
    _, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int) or not text.isascii() or "_" in text or text != text.strip():
        return False
    return -exponent <= DECIMAL_SCALE and len(digits) + exponent <= DECIMAL_INTEGER_DIGITS


def _uuid_bytes(text: str) -> bytes | None:
    """Return the bytes of a UUID in its usual form; a tenth of the time that `uuid.UUID` takes over a wrong one."""
    try:
        found = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        return None
    digits = found.hex()
    usual = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    return found if len(found) == IDENTITY_BYTES - 8 and usual == text else None


def _microseconds(column: pa.Array) -> NDArray[np.int64]:
    values: NDArray[np.int64] = column.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy(zero_copy_only=False)
    return values


def _said(microseconds: NDArray[np.int64]) -> list[str]:
    """Return moments as people write them, UTC."""
    said: list[str] = np.datetime_as_string(microseconds.astype("datetime64[us]"), timezone="UTC").tolist()
    return said
