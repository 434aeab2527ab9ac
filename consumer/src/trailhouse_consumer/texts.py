"""Finds the rows whose text is not UTF-8: the decoder by columns takes any bytes for text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["broken_texts"]


def broken_texts(batch: pa.RecordBatch) -> dict[int, str]:
    """Return what is wrong with each row that has such text, by row; columns that are sound cost next to nothing."""
    found: dict[int, str] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            for row in _broken(column, np.arange(len(column))):
                found.setdefault(row, f"the text in {name} is not UTF-8")
    return found


def _broken(column: pa.Array, rows: NDArray[np.int64]) -> set[int]:
    """Return the rows of broken texts; `rows` says which row each element of the column is of."""
    kind = column.type
    if pa.types.is_map(kind):
        parents = rows[_parents(column)]
        return _broken(column.keys, parents) | _broken(column.items, parents)
    if pa.types.is_list(kind):
        return _broken(column.flatten(), rows[_parents(column)])
    if pa.types.is_struct(kind):
        return {row for index in range(kind.num_fields) for row in _broken(column.field(index), rows)}
    if not pa.types.is_string(kind):
        return set()
    # Only texts with a byte beyond ASCII can be broken.
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
    data = np.frombuffer(column.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    beyond = np.flatnonzero(data > 0x7F) + offsets[0]  # noqa: PLR2004 - ASCII ends there
    candidates = np.unique(np.searchsorted(offsets, beyond, "right") - 1)
    texts = column.take(pa.array(candidates)).cast(pa.binary()).to_pylist()
    return {row for row, text in zip(rows[candidates].tolist(), texts, strict=True) if _is_broken(text)}


def _parents(column: pa.Array) -> NDArray[np.int64]:
    """Return which element of the column each of its lists' elements is of."""
    return np.repeat(np.arange(len(column)), np.diff(column.offsets.to_numpy()))


def _is_broken(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return True
    return False
