"""How many bytes records have in Avro's encoding when each is spelt in the shortest way, from their columns.

Avro spells a number, a length, a list in one shortest way, and decoding takes in others. A record whose bytes are as
many as this says was therefore encoded in just this way; so it need not be encoded again to find that out. Two kinds
have several spellings of the same length: booleans, and integers near the limits of their type.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["encoded_sizes"]

#: Bytes of each value, or of every value; and where other bytes of the same number would be read as the same value.
_Sizes = tuple[Any, Any]

_CONSTANT: Final = {"float": 4, "double": 8}
#: An integer with as many bytes may have bits that do not fit its type and are dropped.
_WIDEST_INT: Final = 5
_WIDEST_LONG: Final = 10


def encoded_sizes(batch: pa.RecordBatch, schema: Any) -> tuple[Any, Any] | None:
    """Return the bytes of each record, and which records may have other bytes of the same number.

    Args:
        batch: Decoded records.
        schema: The Avro schema that they were decoded by, a record as JSON.

    Returns:
        Two arrays of int64 and bool, or a number or a bool for all; None where the schema has a kind that this cannot
        tell of.
    """
    try:
        return _of_fields(schema, batch.columns)
    except _UnknownKindError:
        return None


class _UnknownKindError(Exception):
    """A kind of Avro that is not told of here."""


def _of(schema: Any, column: pa.Array) -> _Sizes:
    if isinstance(schema, list):
        return _of_union(schema, column)
    kind = schema["type"] if isinstance(schema, dict) else schema
    if kind in _CONSTANT:
        return _CONSTANT[kind], False
    if kind not in _OF_KIND:
        raise _UnknownKindError(kind)
    return _OF_KIND[kind](schema, column)


def _of_record(schema: Any, column: pa.Array) -> _Sizes:
    return _of_fields(schema, column.flatten())


def _of_fields(schema: Any, columns: list[pa.Array]) -> _Sizes:
    sizes: Any = 0
    odd: Any = False
    for field, column in zip(schema["fields"], columns, strict=True):
        of_field, odd_field = _of(field["type"], column)
        sizes, odd = sizes + of_field, odd | odd_field
    return sizes, odd


def _of_union(schema: list[Any], column: pa.Array) -> _Sizes:
    """Return the sizes for null and one other kind: a byte says which it is."""
    others = [kind for kind in schema if kind != "null"]
    if len(schema) != 2 or len(others) != 1:  # noqa: PLR2004 - null and another
        raise _UnknownKindError(schema)
    if column.null_count == len(column):
        return 1, False
    sizes, odd = _of(others[0], column)
    if not column.null_count:
        return 1 + sizes, odd
    there = column.is_valid().to_numpy(zero_copy_only=False)
    return 1 + there * sizes, there & odd


def _of_long(_schema: Any, column: pa.Array) -> _Sizes:
    return _of_integers(column.view(pa.int64()), _WIDEST_LONG)


def _of_int(_schema: Any, column: pa.Array) -> _Sizes:
    return _of_integers(column.view(pa.int32()), _WIDEST_INT)


def _of_integers(column: pa.Array, widest: int) -> _Sizes:
    numbers = column.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    sizes = _of_varints((numbers << 1 ^ numbers >> 63).view(np.uint64))
    return sizes, sizes >= widest


def _of_text(_schema: Any, column: pa.Array) -> _Sizes:
    lengths = pc.fill_null(pc.binary_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    return lengths + _of_counts(lengths), False


def _of_counts(counts: Any) -> Any:
    """Return the sizes of numbers that are not negative."""
    return _of_varints(counts.astype(np.uint64) << np.uint64(1))


def _of_varints(numbers: Any) -> Any:
    """Return how many groups of seven bits numbers have."""
    if not len(numbers):
        return 1
    least, most = (max(1, -(-int(end).bit_length() // 7)) for end in (numbers.min(), numbers.max()))
    sizes: Any = least
    for groups in range(least, most):
        sizes = sizes + (numbers >= np.uint64(1 << 7 * groups))
    return sizes


def _of_array(schema: Any, column: pa.Array) -> _Sizes:
    return _of_lists(column, *_of(schema["items"], column.values))


def _of_map(schema: Any, column: pa.Array) -> _Sizes:
    keys, odd = _of("string", column.keys)
    values, odd_values = _of(schema["values"], column.items)
    return _of_lists(column, keys + values, odd | odd_values)


def _of_lists(column: pa.Array, sizes: Any, odd: Any) -> _Sizes:
    """Return the sizes of lists whose elements, of all lists, have these: a count, the elements, and an end."""
    ends = column.offsets.to_numpy().astype(np.int64)
    counts = np.diff(ends)
    within = counts * sizes if np.isscalar(sizes) else _sums(sizes, ends)
    odd = odd if np.isscalar(odd) else _sums(odd, ends) > 0
    return 1 + (counts > 0) * (_of_counts(counts) + within), odd


def _sums(values: Any, ends: Any) -> Any:
    """Return the sum of the values of each list."""
    sums = np.concatenate(([0], np.cumsum(values, dtype=np.int64)))
    return sums[ends[1:]] - sums[ends[:-1]]


_OF_KIND: Final = {
    "int": _of_int,
    "long": _of_long,
    "string": _of_text,
    "bytes": _of_text,
    "record": _of_record,
    "array": _of_array,
    "map": _of_map,
}
