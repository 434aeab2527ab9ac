"""What a dataset is: rows, bytes, columns with types and roles, and a digest that says whether two are the same.

Data in memory is digested by content (see `content_digest`: the same table in pandas, Polars or Arrow has the same
digest), files and directories by their bytes. What `digest_scope` says is what the digest covers: `content` or `file`.
"""

from __future__ import annotations

import csv
import hashlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trailhouse.capture.artifacts import content_of, local_path, uri_of
from trailhouse.capture.content_digest import sparse_digest, table_digest
from trailhouse.capture.json_values import clean_text, qualified_name
from trailhouse.capture.splits import describe_splitter, membership_digest
from trailhouse.capture.tables import FEATURE, TARGET, Column, Table, arrow, column_type_name, library_of, read_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["describe_dataset"]

#: An event has to stay well below what a broker takes: of wider data only the first columns are named.
MOST_COLUMNS = 4096
FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "text",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".feather": "arrow",
    ".arrow": "arrow",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".avro": "avro",
    ".orc": "orc",
    ".npy": "npy",
    ".npz": "npz",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".tfrecord": "tfrecord",
    ".tar": "tar",
    ".zip": "zip",
}

_log = logging.getLogger(__name__)


def describe_dataset(
    data: Any,
    *,
    dataset_id: str,
    direction: Literal["input", "output"] = "input",
    uri: str = "",
    version: str = "",
    digest: str | None = None,
    roles: Mapping[str, str] | None = None,
    split: str = "",
    splitter: Any = None,
    fold: int | None = None,
    members: Any = None,
    members_uri: str = "",
    lineage: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Return the fields of `DatasetLogged`.

    Args:
        data: pandas, Polars, Arrow, NumPy, PyTorch, SciPy sparse, a list of records, a mapping of columns, a pair
            (X, y); the path of a file or directory, or a URI of something elsewhere (which is not read); None for
            nothing at hand.
        dataset_id: the dataset, as namespace/name.
        direction: input (the run reads it) or output (the run writes it).
        uri: where the data is; a path's own by default.
        version: the dataset's own version.
        digest: a digest that is known already (algorithm:hex), so that the data is not read for one; "" for none.
        roles: role by column: feature, target, weight, id, prediction.
        split: train, validation, test, …
        splitter: what `describe_splitter` takes.
        fold: number of the fold, from 0.
        members: who is in the split: what `membership_digest` takes.
        members_uri: where the list of members is kept.
        lineage: for each column of an output, the columns that it was made of, as dataset_id#column.

    Raises:
        TrailhouseError: `data` is a local path that is not there.
    """
    found = _from_path(data, digest) if isinstance(data, str | os.PathLike) else _from_memory(data, digest)
    columns = found.pop("columns")
    if len(columns) > MOST_COLUMNS:
        _log.warning("Dataset %s has %d columns; the first %d are named", dataset_id, len(columns), MOST_COLUMNS)
    given = {str(name): str(role) for name, role in (roles or {}).items()}
    return {
        "direction": direction,
        "uri": clean_text(uri or found.pop("uri", "")),
        "dataset_id": clean_text(dataset_id),
        "version": clean_text(version),
        **{name: value for name, value in found.items() if name != "uri"},
        "columns": [
            {"name": column.name, "type": clean_text(column.type), "role": given.get(column.name, column.role)}
            for column in columns[:MOST_COLUMNS]
        ],
        "split": clean_text(split),
        **describe_splitter(splitter),
        "split_fold": fold,
        "split_membership_digest": membership_digest(members) if members is not None else "",
        "split_membership_uri": clean_text(members_uri),
        "column_lineage": [
            {"column": clean_text(str(column)), "sources": [clean_text(str(source)) for source in sources]}
            for column, sources in (lineage or {}).items()
        ],
    }


def _from_memory(data: Any, digest: str | None) -> dict[str, Any]:
    try:
        table = read_table(data)
    except Exception:  # noqa: BLE001  a type that is new to us has no digest, and the run goes on
        _log.warning("Data of %s cannot be looked into; only its class is recorded", qualified_name(type(data)))
        table = None
    if table is None:
        return _known(digest) | {
            "format": "" if data is None else qualified_name(type(data)),
            "rows": _length_of(data),
            "size_bytes": None,
            "columns": [],
        }
    return (_known(digest) if digest is not None else _digested(data, table)) | {
        "format": table.format,
        "rows": table.rows if table.rows >= 0 else None,
        "size_bytes": table.size_bytes if table.size_bytes >= 0 else None,
        "columns": table.columns,
    }


def _length_of(data: Any) -> int | None:
    try:
        return None if isinstance(data, tuple) else len(data)
    except Exception:  # noqa: BLE001  it has none, or will not tell
        return None


def _known(digest: str | None) -> dict[str, Any]:
    return {"digest": clean_text(digest or ""), "digest_scope": "content" if digest else ""}


def _digested(data: Any, table: Table) -> dict[str, Any]:
    if table.rows < 0:
        return _known(None)
    try:
        digest = _digest_with_sparse(data, table) if _holds_sparse(data) else table_digest(table)
    except Exception:  # noqa: BLE001  a type that is new to us has no digest, and the run goes on
        _log.warning("A column of the data has a type that cannot be digested; the dataset has no digest")
        return _known(None)
    return _known(digest)


def _holds_sparse(data: Any) -> bool:
    return any(library_of(part) == "scipy" for part in (data if isinstance(data, tuple) else (data,)))


def _digest_with_sparse(data: Any, table: Table) -> str:
    """Return the digest of a sparse matrix, alone or as X of a pair; a sparse one is never written out in full."""
    if not isinstance(data, tuple):
        return sparse_digest(data)
    whole = hashlib.sha256()
    for part, role in zip(data, (FEATURE, TARGET), strict=False):
        columns = [column for column in table.columns if column.role == role]
        alone = Table(table.format, table.rows, 0, columns)
        whole.update(f"{role} {sparse_digest(part) if _holds_sparse(part) else table_digest(alone)}\n".encode())
    return f"sparse1:{whole.hexdigest()}"


def _from_path(data: str | os.PathLike[str], digest: str | None) -> dict[str, Any]:
    path = local_path(data)
    if path is None:
        text = os.fspath(data)
        return (
            _known(digest)
            | {"uri": text, "format": _format_of(Path(text)), "rows": None, "size_bytes": None}
            | {"columns": []}
        )
    content = content_of(path)
    rows, columns = _inside(path)
    return {
        "uri": uri_of(path),
        "digest": clean_text(digest) if digest is not None else content.digest,
        "digest_scope": ("content" if digest else "") if digest is not None else ("file" if content.digest else ""),
        "format": _format_of(path),
        "rows": rows,
        "size_bytes": content.size_bytes,
        "columns": columns,
    }


def _format_of(path: Path) -> str:
    """Return the format by the name's ending; that of a directory by the only ending that is in it."""
    if path.is_dir():
        found = {FORMATS.get(file.suffix.lower(), "") for file in path.rglob("*") if file.is_file()}
        inside = next(iter(found), "") if len(found) == 1 else ""
        return f"directory of {inside}" if inside else "directory"
    endings = [suffix.lower() for suffix in path.suffixes if suffix.lower() in FORMATS]
    return FORMATS[endings[-1]] if endings else path.suffix.lower().removeprefix(".")


def _inside(path: Path) -> tuple[int | None, list[Column]]:
    """Return rows and columns of a file or directory, as far as its format is one that we can read."""
    form = _format_of(path).removeprefix("directory of ")
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    reader = {"parquet": _inside_parquet, "csv": _inside_csv, "tsv": _inside_csv}.get(form)
    if reader is None:
        return None, []
    try:
        found = [reader(file) for file in files]
    except Exception as error:  # noqa: BLE001  a file that is not what it says is recorded by its bytes
        _log.warning("%s cannot be read as %s (%s); its rows and columns are not recorded", path, form, error)
        return None, []
    if any(rows is None for rows, _ in found):
        return None, found[0][1]
    return sum(rows or 0 for rows, _ in found), found[0][1] if found else []


def _inside_parquet(path: Path) -> tuple[int | None, list[Column]]:
    if arrow() is None:
        return None, []
    from pyarrow import parquet  # noqa: PLC0415  optional

    with parquet.ParquetFile(path) as file:
        columns = [Column(field.name, column_type_name(field.type), list) for field in file.schema_arrow]
        return int(file.metadata.num_rows), columns


def _inside_csv(path: Path) -> tuple[int | None, list[Column]]:
    delimiter = "\t" if ".tsv" in path.suffixes else ","
    if arrow() is None or path.suffix.lower() not in {".csv", ".tsv"}:
        return _inside_csv_slowly(path, delimiter)
    import pyarrow as pa  # noqa: PLC0415  optional
    import pyarrow.csv as pc  # noqa: PLC0415  optional

    # Types are those that Arrow infers from the first block. Rows are counted by one column of bytes, block by block:
    # a later value that does not fit the type must not be in the way.
    form = pc.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    with pc.open_csv(path, parse_options=form) as begin:
        columns = [Column(field.name, column_type_name(field.type), list) for field in begin.schema]
    first = columns[0].name
    as_bytes = pc.ConvertOptions(include_columns=[first], column_types={first: pa.binary()})
    with pc.open_csv(path, parse_options=form, convert_options=as_bytes) as batches:
        return sum(int(batch.num_rows) for batch in batches), columns


def _inside_csv_slowly(path: Path, delimiter: str) -> tuple[int | None, list[Column]]:
    if path.suffix.lower() not in {".csv", ".tsv"}:
        return None, []  # compressed
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        lines = csv.reader(file, delimiter=delimiter)
        header = next(lines, [])
        return sum(1 for line in lines if line), [Column(clean_text(name), "", list) for name in header]
