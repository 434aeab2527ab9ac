"""Any data in memory as a list of named columns, each NumPy or Arrow, without copying what need not be copied.

Knows pandas, Polars, Arrow, NumPy, PyTorch tensors, SciPy sparse matrices, lists of records, mappings of columns, and
pairs (X, y). Recognises them by the names of their classes and imports none of them, but Arrow where it is installed
and a column is not plain numbers.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from trailhouse.capture.json_values import clean_text

if TYPE_CHECKING:
    from types import ModuleType

__all__ = [
    "FEATURE",
    "TARGET",
    "Column",
    "Table",
    "arrow",
    "arrow_type_name",
    "column_type_name",
    "library_of",
    "read_table",
]

TARGET = "target"
FEATURE = "feature"
_LAYOUTS = re.compile(r"\blarge_|(?<=string|binary)_view\b|(?<=list)_view\b")
_NUMPY_NAMES = {"float64": "double", "float32": "float", "float16": "halffloat", "object": "", "bool": "bool"}


@dataclass(frozen=True)
class Column:
    """A column: its values are read when they are asked for, so that a lazy or sparse one costs nothing before."""

    name: str
    type: str
    """In Arrow's words: int64, double, string, timestamp[us], …; empty where it has none."""
    read: Callable[[], Any]
    """Returns a NumPy array (first axis: rows) or a `pyarrow.ChunkedArray`."""
    role: str = ""


@dataclass(frozen=True)
class Table:
    """Columns of the same length."""

    format: str
    """pandas, polars, arrow, numpy, torch, scipy, python."""
    rows: int
    size_bytes: int
    columns: list[Column]


def library_of(data: Any) -> str:
    """Return the name of the top-level package that the class of `data` is from: pandas, polars, and so on."""
    return type(data).__module__.partition(".")[0]


def arrow() -> ModuleType | None:
    """Return pyarrow where it is installed, else None."""
    try:
        import pyarrow as pa  # noqa: PLC0415  optional, and half a second to import
    except ImportError:
        return None
    return pa  # type: ignore[no-any-return]


def arrow_type_name(dtype: Any) -> str:
    """Return Arrow's name for a NumPy dtype; empty for Python objects."""
    kind = dtype.kind
    if kind == "U":
        return "string"
    if kind == "S":
        return "binary"
    if kind in "mM":
        unit = str(dtype).partition("[")[2].rstrip("]")
        if kind == "M":
            return "date32[day]" if unit == "D" else f"timestamp[{unit}]"
        return f"duration[{unit}]"
    return _NUMPY_NAMES.get(dtype.name, str(dtype.name))


def column_type_name(kind: Any) -> str:
    """Return the name of an Arrow type, the same whichever library chose its layout.

    `large_string` and `string_view` are `string`, all categories of texts `dictionary<values=string>`.
    """
    if hasattr(kind, "index_type"):
        return f"dictionary<values={column_type_name(kind.value_type)}>"
    return _LAYOUTS.sub("", str(kind))


def read_table(data: Any) -> Table | None:
    """Return the columns of `data`, or None where it is nothing that has columns.

    A tuple of two is (X, y): the columns of X get the role feature, those of y the role target. A two-dimensional array
    has columns named 0, 1, …; one of more dimensions is one column of tensors. The index of a pandas object is a column
    only where it has a name.
    """
    if isinstance(data, tuple) and not hasattr(data, "_fields"):
        return _pair(data)
    library = library_of(data)
    reader = _READERS.get(library)
    if reader is not None:
        return reader(data)
    if isinstance(data, Mapping):
        return _from_mapping(data)
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return _from_sequence(data)
    return None


def _pair(data: tuple[Any, ...]) -> Table | None:
    parts = [read_table(part) for part in data if part is not None]
    tables = [part for part in parts if part is not None]
    if len(tables) != len(parts) or not 1 <= len(tables) <= 2:  # noqa: PLR2004  X and y
        return None
    features = [replace(column, role=FEATURE) for column in tables[0].columns]
    if len(tables) == 1:
        return replace(tables[0], columns=features)
    taken = {column.name for column in features}
    targets = []
    for column in tables[1].columns:
        unnamed = column.name in taken or column.name in {"", "0", "values"}
        name = column.name if not unnamed else TARGET if len(tables[1].columns) == 1 else f"{TARGET}.{column.name}"
        targets.append(replace(column, name=name, role=TARGET))
    return Table(tables[0].format, tables[0].rows, sum(table.size_bytes for table in tables), features + targets)


def _from_pandas(data: Any) -> Table | None:
    kind = type(data).__name__
    if kind == "Series":
        data = data.to_frame(name=data.name if data.name is not None else "values")
    elif hasattr(data, "to_frame"):  # an Index
        data = data.to_frame(index=False)
    if not hasattr(data, "dtypes") or not hasattr(data, "columns"):
        return None
    columns: list[Column] = []
    names = [name for name in getattr(data.index, "names", []) if name is not None]
    columns += [_pandas_column(str(name), data.index.get_level_values(name).to_series()) for name in names]
    for position, name in enumerate(data.columns):
        text = ".".join(map(str, name)) if isinstance(name, tuple) else str(name)
        columns.append(_pandas_column(text, data.iloc[:, position]))
    size = sum(int(values.nbytes) for values in (column.read() for column in columns))
    return Table("pandas", len(data), size, columns)


def _pandas_column(name: str, series: Any) -> Column:
    if type(series.dtype).__name__ == "SparseDtype":
        return _object_column(name, series.to_numpy())
    if library_of(series.dtype) == "numpy" and series.dtype.kind in "biufcmM":
        return _numpy_column(name, series.to_numpy(copy=False))
    return _any_column(name, series, lambda: series.to_numpy(dtype=object))


def _from_polars(data: Any) -> Table | None:
    kind = type(data).__name__
    if kind == "LazyFrame":
        # Running somebody's query is not ours to do: the columns are named, their values are not read.
        schema = data.collect_schema()
        return Table("polars", -1, -1, [Column(clean_text(name), str(t).lower(), list) for name, t in schema.items()])
    if kind == "Series":
        data = data.to_frame()
    if not hasattr(data, "get_columns"):
        return None
    columns = [_polars_column(series) for series in data.get_columns()]
    return Table("polars", int(data.height), int(data.estimated_size()), columns)


def _polars_column(series: Any) -> Column:
    pa = arrow()
    if pa is None:
        return _object_column(series.name, series.to_numpy())
    if str(series.dtype) == "Object":  # Arrow would get the objects' addresses
        return _any_column(series.name, series.to_list())
    try:
        return _arrow_column(series.name, pa.chunked_array([series.to_arrow()]))
    except pa.ArrowException:  # a type that Arrow does not have, such as Int128
        return _any_column(series.name, series.to_list())


def _from_arrow(data: Any) -> Table | None:
    pa = arrow()
    if pa is None:
        return None
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    elif isinstance(data, pa.ChunkedArray | pa.Array):
        data = pa.table({"values": data})
    if isinstance(data, pa.Table):
        return _from_arrow_table(data)
    schema = getattr(data, "schema", None)  # a dataset or a stream: reading it would use it up
    if not isinstance(schema, pa.Schema):
        return None
    return Table(
        "arrow", -1, -1, [Column(clean_text(field.name), column_type_name(field.type), list) for field in schema]
    )


def _from_arrow_table(table: Any) -> Table:
    columns = [_arrow_column(name, table.column(position)) for position, name in enumerate(table.column_names)]
    return Table("arrow", int(table.num_rows), int(table.nbytes), columns)


def _from_numpy(data: Any) -> Table | None:
    if not hasattr(data, "dtype") or not hasattr(data, "ndim") or data.ndim == 0:
        return None
    if type(data).__name__ == "matrix":
        data = data.A
    if data.dtype.names:
        columns = [_object_column(name, data[name]) for name in data.dtype.names]
    elif data.ndim == 2:  # noqa: PLR2004  rows and columns
        columns = [_object_column(str(position), data[:, position]) for position in range(data.shape[1])]
    else:
        columns = [_object_column("values", data)]
    return Table("numpy", int(data.shape[0]), int(data.nbytes), columns)


def _from_torch(data: Any) -> Table | None:
    if not hasattr(data, "detach"):
        return None
    found = _from_numpy(data.detach().cpu().numpy())
    return replace(found, format="torch") if found is not None else None


def _from_jax(data: Any) -> Table | None:
    numpy = sys.modules.get("numpy")
    found = _from_numpy(numpy.asarray(data)) if numpy is not None and hasattr(data, "dtype") else None
    return replace(found, format="jax") if found is not None else None


def _from_scipy(data: Any) -> Table | None:
    if not hasattr(data, "tocsc") or len(data.shape) != 2:  # noqa: PLR2004  rows and columns
        return None
    by_column = data.tocsc()

    def dense(position: int) -> Callable[[], Any]:
        return lambda: by_column[:, [position]].toarray().ravel()

    kind = arrow_type_name(data.dtype)
    columns = [Column(str(position), kind, dense(position)) for position in range(data.shape[1])]
    parts = (by_column.data, by_column.indices, by_column.indptr)
    return Table("scipy", int(data.shape[0]), sum(int(part.nbytes) for part in parts), columns)


def _from_huggingface(data: Any) -> Table | None:
    if not hasattr(data, "with_format") or not hasattr(data, "num_rows"):
        return None
    found = _from_arrow(data.with_format("arrow")[:])
    return replace(found, format="datasets") if found is not None else None


def _from_mapping(data: Mapping[Any, Any]) -> Table | None:
    columns = []
    rows = 0
    for name, values in data.items():
        if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
            return None
        found = read_table(values)
        if found is None or len(found.columns) != 1:
            return None
        rows = found.rows
        columns.append(replace(found.columns[0], name=clean_text(str(name))))
    return Table("python", rows, sum(_size_of(column) for column in columns), columns)


def _from_sequence(data: Sequence[Any]) -> Table | None:
    if data and all(isinstance(record, Mapping) for record in data):
        names = list(dict.fromkeys(name for record in data for name in record))
        columns = [_any_column(str(name), [record.get(name) for record in data]) for name in names]
    elif data and all(isinstance(record, list | tuple) and len(record) == len(data[0]) for record in data):
        columns = [_any_column(str(place), [record[place] for record in data]) for place in range(len(data[0]))]
    else:
        columns = [_any_column("values", list(data))]
    return Table("python", len(data), sum(_size_of(column) for column in columns), columns)


def _size_of(column: Column) -> int:
    return int(getattr(column.read(), "nbytes", 0))


def _arrow_column(name: Any, values: Any) -> Column:
    return Column(clean_text(str(name)), column_type_name(values.type), lambda: values)


def _numpy_column(name: Any, values: Any) -> Column:
    kind = arrow_type_name(values.dtype)
    if values.ndim > 1:
        kind = f"{kind}[{','.join(map(str, values.shape[1:]))}]"
    return Column(clean_text(str(name)), kind, lambda: values)


def _object_column(name: Any, values: Any) -> Column:
    if hasattr(values, "mask") and hasattr(values, "filled"):  # a masked array: what is masked is missing
        return _any_column(name, values.tolist()) if values.ndim == 1 else _numpy_column(name, values.filled())
    if values.dtype.kind in "biufcmM" or values.ndim > 1:
        return _numpy_column(name, values)
    return _any_column(name, values)


def _any_column(name: Any, values: Any, fallback: Callable[[], Any] | None = None) -> Column:
    """Return a column of Python values: Arrow where Arrow can tell their type, else NumPy objects."""
    pa = arrow()
    if pa is not None:
        try:
            found = pa.array(values, from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            found = None
        if found is not None:
            return _arrow_column(name, found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found]))
    if fallback is not None:
        return _numpy_column(name, fallback())
    import numpy as np  # noqa: PLC0415  optional

    objects = np.empty(len(values), dtype=object)
    objects[:] = list(values)
    return _numpy_column(name, objects)


_READERS: dict[str, Callable[[Any], Table | None]] = {
    "pandas": _from_pandas,
    "polars": _from_polars,
    "pyarrow": _from_arrow,
    "numpy": _from_numpy,
    "torch": _from_torch,
    "jax": _from_jax,
    "jaxlib": _from_jax,
    "scipy": _from_scipy,
    "datasets": _from_huggingface,
}
