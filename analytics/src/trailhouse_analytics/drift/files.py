"""CSV and Parquet files as one side of a comparison, read as a stream so that memory does not grow with the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from trailhouse_analytics.drift.accumulate import ColumnAccumulator
from trailhouse_analytics.drift.column import Dataset
from trailhouse_analytics.errors import DriftInputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

__all__ = ["FILE_SUFFIXES", "from_file", "is_csv"]

#: Endings by which a file is known; `.gz` may follow those of CSV.
FILE_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", ".pq")

_PARQUET_SUFFIXES = (".parquet", ".pq")
_PARQUET_MAGIC = b"PAR1"
_BATCH_ROWS = 65_536
_BLOCK_BYTES = 8 << 20
#: What a column of a CSV is read as when a later block shows that the type of the first one is too narrow.
_WIDER = {
    "null": pa.int64(),
    "int64": pa.float64(),
    "date32[day]": pa.timestamp("s"),
    "timestamp[s]": pa.timestamp("ns"),
    "string": pa.binary(),
}
_CONVERSION = re.compile(r"In CSV column #(\d+): .*conversion error to ([\w\[\]]+)", re.DOTALL)


def from_file(
    path: str | Path, *, label: str = "", roles: Mapping[str, str] | None = None, text: Collection[str] = ()
) -> Dataset:
    """Read a CSV (or TSV, by its ending; .gz too) or Parquet file.

    Memory: a block of the file and, of each column, at most `MAX_VALUES` values or `MAX_CATEGORIES` categories. In a
    CSV, empty fields and the usual words (NA, NaN, null, …) are missing values, as pandas has it.

    Args:
        path: The file.
        label: What a report calls it; the path if empty.
        roles: Role of a column by its name.
        text: Columns of a CSV that are text even if all of it looks like numbers (postcodes); others are not minded.

    Raises:
        DriftInputError: The file is missing, empty, without rows, or not what its name says.
    """
    path = Path(path)
    label = label or str(path)
    _check_there(path)
    try:
        with path.open("rb") as file:
            parquet = file.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC
        dataset = _from_parquet(path, label, roles or {}) if parquet else _from_csv(path, label, roles or {}, text)
    except OSError as error:
        raise DriftInputError(f"Cannot read {path}: {_first_line(error)}") from None
    if dataset.rows == 0:
        raise DriftInputError(f"File {path} has a header but no rows; give one with data")
    return dataset


def is_csv(path: str | Path) -> bool:
    """Say whether a path is by its name a CSV, a file that does not say what its columns are."""
    return not str(path).lower().endswith(_PARQUET_SUFFIXES)


def _check_there(path: Path) -> None:
    if not path.exists():
        raise DriftInputError(f"File {path} does not exist; give a CSV or Parquet file")
    if not path.is_file():
        raise DriftInputError(f"{path} is not a file; give one CSV or Parquet file")
    if path.stat().st_size == 0:
        raise DriftInputError(f"File {path} is empty; give a CSV or Parquet file with rows")
    if not path.name.lower().endswith(FILE_SUFFIXES):
        raise DriftInputError(f"File {path} is of no known kind; its name must end in {', '.join(FILE_SUFFIXES)}")


def _from_parquet(path: Path, label: str, roles: Mapping[str, str]) -> Dataset:
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            return _gather(path, label, roles, file.schema_arrow, file.iter_batches(batch_size=_BATCH_ROWS))
    except pa.ArrowException as error:
        raise DriftInputError(f"File {path} is no readable Parquet: {_first_line(error)}") from None


def _from_csv(path: Path, label: str, roles: Mapping[str, str], text: Collection[str]) -> Dataset:
    if not is_csv(path):
        raise DriftInputError(f"File {path} is no Parquet file, whatever its name says; write it again or rename it")
    names: list[str] = []
    types: dict[str, pa.DataType] = dict.fromkeys(text, pa.string())
    while True:
        try:
            with _open_csv(path, types) as reader:
                names = reader.schema.names
                return _gather(path, label, roles, reader.schema, reader)
        except pa.ArrowInvalid as error:
            narrow = _CONVERSION.search(str(error))
            if narrow is None or not names:
                raise DriftInputError(f"File {path} is no readable CSV: {_first_line(error)}") from None
            types[names[int(narrow[1])]] = _WIDER.get(narrow[2], pa.string())
        except UnicodeError:
            raise DriftInputError(f"File {path} is no readable CSV: its header is not UTF-8") from None


def _open_csv(path: Path, types: Mapping[str, pa.DataType]) -> pa.csv.CSVStreamingReader:
    return pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK_BYTES),
        parse_options=pyarrow.csv.ParseOptions(delimiter="\t" if ".tsv" in path.name.lower() else ","),
        convert_options=pyarrow.csv.ConvertOptions(column_types=dict(types), strings_can_be_null=True),
    )


def _gather(
    path: Path, label: str, roles: Mapping[str, str], schema: pa.Schema, batches: Iterable[pa.RecordBatch]
) -> Dataset:
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        raise DriftInputError(f"File {path} has two columns named {twice[0]!r}; rename one")
    gathering = [ColumnAccumulator(field.name, field.type, role=roles.get(field.name, "")) for field in schema]
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        for accumulator, values in zip(gathering, batch.columns, strict=True):
            accumulator.add(values)
    columns = {column.name: column for column in (accumulator.finish() for accumulator in gathering)}
    return Dataset(label=label, rows=rows, columns=columns)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
