"""One digest for the same table, whichever library holds it, however it is chunked, in every process.

The digest (`table1:` and 64 hexadecimal digits) is the SHA-256 of the number of rows and of name and digest of each
column, in order. A column's digest covers its canonical type, which rows are missing, and the values: little-endian
numbers, or lengths and then bytes. Order counts, of rows and of columns: both change what a model learns.

What is made equal: NaN and null (pandas knows no difference); string, large_string, string_view and categories; lists
of all kinds; timestamps, durations and times of all units that microseconds can hold; zones of the same instants. What
stays different: int64 and int32, int64 and double, 0.0 and -0.0.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from trailhouse.capture.json_values import as_json_text
from trailhouse.capture.tables import Column, Table, arrow_type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from hashlib import _Hash

__all__ = ["PREFIX", "column_digest", "sparse_digest", "table_digest"]

PREFIX = "table1"
#: Below this many bytes, starting threads costs more than they save. Hashing releases the interpreter's lock.
WORTH_THREADS_BYTES = 32 * 1024 * 1024
MOST_THREADS = 4
BLOCK = 1 << 18
_MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}


def table_digest(table: Table) -> str:
    """Return the digest of a table, or nothing where a column holds objects that have no bytes of their own."""
    if table.size_bytes >= WORTH_THREADS_BYTES and len(table.columns) > 1:
        with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1), thread_name_prefix="digest") as threads:
            digests = list(threads.map(column_digest, table.columns))
    else:
        digests = [column_digest(column) for column in table.columns]
    if not all(digests):
        return ""
    whole = hashlib.sha256(f"rows {table.rows}\n".encode())
    for column, digest in zip(table.columns, digests, strict=True):
        whole.update(f"{as_json_text(column.name)} {digest}\n".encode())
    return f"{PREFIX}:{whole.hexdigest()}"


def column_digest(column: Column) -> str:
    """Return the digest of one column (64 hexadecimal digits), its name left out; empty where there is none."""
    values = column.read()
    digest = hashlib.sha256()
    try:
        if hasattr(values, "chunks"):
            _add_arrow(digest, values.type, list(values.chunks))
        else:
            _add_numpy(digest, values)
    except _NoBytesError:
        return ""
    return digest.hexdigest()


def sparse_digest(matrix: Any) -> str:
    """Return the digest of a SciPy sparse matrix: shape, dtype and the non-zero entries, whatever its format."""
    rows = matrix.tocsr()
    if rows is matrix or not rows.has_canonical_format:
        rows = rows.copy()
    rows.sum_duplicates()
    rows.eliminate_zeros()
    rows.sort_indices()
    digest = hashlib.sha256(f"sparse {rows.shape} {rows.dtype.name}\n".encode())
    for part in (rows.indptr.astype("<i8"), rows.indices.astype("<i8"), _little(rows.data)):
        digest.update(memoryview(part).cast("B") if part.size else b"")
    return f"sparse1:{digest.hexdigest()}"


class _NoBytesError(Exception):
    """Python objects have no bytes that are the same in every process."""


def _little(values: Any) -> Any:
    import numpy as np  # noqa: PLC0415  loaded already, since there is an array

    return np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False))


def _add_numpy(digest: _Hash, values: Any) -> None:
    kind = values.dtype.kind
    if kind in "fc" and values.dtype.name in {"longdouble", "clongdouble", "float128", "complex256", "float96"}:
        raise _NoBytesError  # what pads an extended double is not set
    if values.ndim > 1:
        digest.update(f"tensor {values.shape[1:]}\n".encode())
        values = values.reshape(-1)
    if kind in "OSU":
        _add_objects(digest, values)
    elif kind == "c":
        digest.update(f"{values.dtype.name}\n".encode())
        digest.update(memoryview(_little(values)).cast("B") if values.size else b"")
    elif kind in "Mm":
        name = arrow_type_name(values.dtype)
        if name == "date32[day]":
            _add_fixed(digest, name, [values.astype("<i8").astype("<i4")], [_nat(values)])
            return
        family, _, unit = name.rstrip("]").partition("[")
        _add_temporal(digest, (family, unit, False), [values.astype("i8")], [_nat(values)])
    elif kind in "biuf":
        _add_fixed(digest, arrow_type_name(values.dtype), [values], [None])
    else:
        raise _NoBytesError


def _nat(values: Any) -> Any:
    import numpy as np  # noqa: PLC0415  loaded already, since there is an array

    missing = np.isnat(values)
    return missing if missing.any() else None


def _add_fixed(digest: _Hash, kind: str, chunks: Sequence[Any], missing: Sequence[Any]) -> None:
    """Add numbers of a fixed width: the type, which of them are missing, the numbers with 0 for the missing ones."""
    import numpy as np  # noqa: PLC0415  loaded already, since there is an array

    digest.update(f"{kind}\n".encode())
    masks = list(missing)
    if chunks and chunks[0].dtype.kind == "f":
        masks = [_missing_floats(values, mask) for values, mask in zip(chunks, masks, strict=True)]
    if any(mask is not None and mask.any() for mask in masks):
        pairs = zip(chunks, masks, strict=True)
        whole = [mask if mask is not None else np.zeros(len(values), bool) for values, mask in pairs]
        digest.update(b"missing\n")
        digest.update(np.packbits(np.concatenate(whole)).tobytes())
    digest.update(b"values\n")
    for values, mask in zip(chunks, masks, strict=True):
        # In blocks, so that a strided, byte-swapped or masked column is never copied as a whole.
        for start in range(0, len(values), BLOCK):
            block = values[start : start + BLOCK]
            if mask is not None:
                block = np.where(mask[start : start + BLOCK], block.dtype.type(0), block)
            digest.update(memoryview(_little(block)).cast("B"))


def _missing_floats(values: Any, mask: Any) -> Any:
    import numpy as np  # noqa: PLC0415  loaded already, since there is an array

    nan = np.isnan(values)
    if mask is not None:
        nan |= mask
    return nan if nan.any() else None


def _add_temporal(digest: _Hash, kind: tuple[str, str, bool], chunks: list[Any], missing: list[Any]) -> None:
    """Add times as whole microseconds where they are that, else in their own unit.

    `kind` is timestamp, duration or time; the unit; and whether it has a time zone.
    """
    family, unit, has_zone = kind
    import numpy as np  # noqa: PLC0415  loaded already, since there is an array

    filled = [
        values if mask is None else np.where(mask, 0, values) for values, mask in zip(chunks, missing, strict=True)
    ]
    largest = max((int(np.abs(values).max()) for values in filled if len(values)), default=0)
    if unit == "ns" and all(not (values % 1000).any() for values in filled):
        filled, unit = [values // 1000 for values in filled], "us"
    elif unit in _MICROSECONDS and 0 <= largest < 2**63 // _MICROSECONDS[unit]:
        filled, unit = [values.astype("i8") * _MICROSECONDS[unit] for values in filled], "us"
    aware = ", UTC" if has_zone else ""
    _add_fixed(digest, f"{family}[{unit}{aware}]", [values.astype("i8") for values in filled], missing)


def _add_objects(digest: _Hash, values: Any) -> None:
    """Add Python texts or byte strings, the way Arrow's are added; other objects have no bytes."""
    import numpy as np  # noqa: PLC0415  loaded already, since there is an array

    listed = values.tolist()
    absent = [value is None or value != value for value in listed]  # noqa: PLR0124  NaN alone differs from itself
    there = [value for value, is_absent in zip(listed, absent, strict=True) if not is_absent]
    if all(isinstance(value, str) for value in there):
        kind = "string"
    elif all(isinstance(value, bytes) for value in there):
        kind = "binary"
    else:
        raise _NoBytesError
    encoded = [
        b"" if gone else value.encode("utf-8", "surrogatepass") if kind == "string" else value
        for value, gone in zip(listed, absent, strict=True)
    ]
    lengths = np.fromiter(map(len, encoded), dtype="<i8", count=len(encoded))
    mask = np.array(absent, bool)
    _add_fixed(digest, kind, [lengths], [mask if mask.any() else None])
    digest.update(b"".join(encoded))


def _add_arrow(digest: _Hash, kind: Any, chunks: list[Any]) -> None:  # noqa: C901, PLR0912  one case a type
    import pyarrow as pa  # noqa: PLC0415  loaded already, since there is an array of it
    import pyarrow.compute as pc  # noqa: PLC0415  loaded already, since there is an array of it

    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        _add_arrow(digest, kind.storage_type, [chunk.storage for chunk in chunks])
    elif types.is_dictionary(kind):
        _add_arrow(digest, kind.value_type, [chunk.dictionary_decode() for chunk in chunks])
    elif types.is_run_end_encoded(kind):
        _add_arrow(digest, kind.value_type, [pc.run_end_decode(chunk) for chunk in chunks])
    elif types.is_list_view(kind) or types.is_large_list_view(kind):
        wide = pa.large_list(kind.value_type)
        _add_arrow(digest, wide, [chunk.cast(wide) for chunk in chunks])
    elif types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        name = arrow_type_name(kind.to_pandas_dtype()(0).dtype)
        _add_fixed(digest, name, [_numbers(chunk) for chunk in chunks], [_nulls(chunk) for chunk in chunks])
    elif types.is_date(kind):
        days = [_numbers(chunk.cast(pa.date32()).cast(pa.int32())) for chunk in chunks]
        _add_fixed(digest, "date32[day]", days, [_nulls(chunk) for chunk in chunks])
    elif types.is_timestamp(kind) or types.is_duration(kind) or types.is_time(kind):
        family = str(kind).partition("[")[0].replace("time32", "time").replace("time64", "time")
        integer = pa.int32() if types.is_time32(kind) else pa.int64()
        numbers = [_numbers(chunk.cast(integer)).astype("i8") for chunk in chunks]
        _add_temporal(digest, (family, kind.unit, bool(getattr(kind, "tz", None))), numbers, [*map(_nulls, chunks)])
    elif _is_text(kind) or _is_binary(kind):
        wide = pa.large_string() if _is_text(kind) else pa.large_binary()
        _add_texts(digest, "string" if _is_text(kind) else "binary", [chunk.cast(wide) for chunk in chunks])
    elif types.is_decimal(kind):
        texts = [chunk.cast(pa.string()).cast(pa.large_string()) for chunk in chunks]
        _add_texts(digest, f"decimal[{kind.scale}]", texts)
    elif types.is_fixed_size_list(kind) or types.is_list(kind) or types.is_large_list(kind):
        _add_lists(digest, kind.value_type, chunks)
    elif types.is_struct(kind):
        digest.update(f"struct {kind.num_fields}\n".encode())
        _add_missing(digest, chunks)
        parts = [chunk.flatten() for chunk in chunks]
        for position in range(kind.num_fields):
            field = kind.field(position)
            digest.update(f"{as_json_text(field.name)}\n".encode())
            _add_arrow(digest, field.type, [part[position] for part in parts])
    elif types.is_null(kind):
        digest.update(f"null {sum(map(len, chunks))}\n".encode())
    else:  # maps, unions, run-end encodings, intervals: rare enough to go by their values
        texts = [pa.array([as_json_text(v, exact=True) for v in c.to_pylist()], pa.large_string()) for c in chunks]
        _add_texts(digest, "json", texts)


def _is_text(kind: Any) -> bool:
    from pyarrow import types  # noqa: PLC0415  loaded already

    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_binary(kind: Any) -> bool:
    from pyarrow import types  # noqa: PLC0415  loaded already

    tests: tuple[Callable[[Any], bool], ...] = (
        types.is_binary,
        types.is_large_binary,
        types.is_fixed_size_binary,
        types.is_binary_view,
    )
    return any(test(kind) for test in tests)


def _numbers(chunk: Any) -> Any:
    """Return a chunk's numbers as NumPy, without a copy where there are no nulls, with 0 for the nulls."""
    import pyarrow as pa  # noqa: PLC0415  loaded already, since there is an array of it

    if pa.types.is_boolean(chunk.type):
        chunk = chunk.cast(pa.uint8())
    if chunk.null_count:
        zero = pa.scalar(0, pa.int64()).cast(chunk.type)
        chunk = chunk.fill_null(zero)
    return chunk.to_numpy(zero_copy_only=False)


def _nulls(chunk: Any) -> Any:
    return chunk.is_null().to_numpy(zero_copy_only=False) if chunk.null_count else None


def _add_missing(digest: _Hash, chunks: Sequence[Any]) -> None:
    """Add which rows are missing, and how many rows there are."""
    import numpy as np  # noqa: PLC0415  loaded already, since there is an array

    digest.update(f"rows {sum(map(len, chunks))}\n".encode())
    if any(chunk.null_count for chunk in chunks):
        mask = np.concatenate([chunk.is_null().to_numpy(zero_copy_only=False) for chunk in chunks])
        digest.update(np.packbits(mask).tobytes())


def _add_texts(digest: _Hash, kind: str, chunks: Sequence[Any]) -> None:
    """Add texts or byte strings with 64-bit offsets: their lengths, then their bytes."""
    import numpy as np  # noqa: PLC0415  loaded already, since there is an array
    import pyarrow as pa  # noqa: PLC0415  loaded already, since there is an array of it

    missing = [_nulls(chunk) for chunk in chunks]
    empty = {pa.large_string(): "", pa.large_binary(): b""}
    filled = [chunk.fill_null(empty[chunk.type]) if chunk.null_count else chunk for chunk in chunks]
    offsets = []
    for chunk in filled:
        buffer = chunk.buffers()[1]
        held = np.frombuffer(buffer, "<i8") if buffer is not None and buffer.size else np.zeros(1, "<i8")
        offsets.append(held[chunk.offset : chunk.offset + len(chunk) + 1])
    _add_fixed(digest, kind, [np.diff(offset) for offset in offsets], missing)
    for chunk, offset in zip(filled, offsets, strict=True):
        data = chunk.buffers()[2]
        if data is not None and len(offset):
            digest.update(memoryview(data)[int(offset[0]) : int(offset[-1])])


def _add_lists(digest: _Hash, inner: Any, chunks: Sequence[Any]) -> None:
    """Add lists: which are missing, their lengths, then all their members as one column."""
    import numpy as np  # noqa: PLC0415  loaded already, since there is an array
    import pyarrow.compute as pc  # noqa: PLC0415  loaded already, since there is an array of it

    digest.update(b"list\n")
    _add_missing(digest, chunks)
    for chunk in chunks:
        lengths = pc.list_value_length(chunk).fill_null(0).to_numpy(zero_copy_only=False)
        digest.update(np.ascontiguousarray(lengths, "<i8").tobytes())
    _add_arrow(digest, inner, [chunk.flatten() for chunk in chunks])
