"""A dataset is described from whatever holds it, and the same data has the same digest."""

from __future__ import annotations

import copy
import hashlib
import random
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

from envelopes import in_envelope
from trailhouse.capture import tables
from trailhouse.capture.datasets import describe_dataset
from trailhouse_schemas.errors import TrailhouseError
from trailhouse_schemas.events import DatasetLogged

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COLUMNS: dict[str, list[Any]] = {
    "i": [1, 2, 3, 4],
    "f": [1.5, None, -0.25, 1e300],
    "s": ["a", None, "", "ü𝄞"],
    "b": [True, False, True, True],
    "t": [datetime(2024, 1, 1), None, datetime(1969, 12, 31, 23, 59, 59, 999999), datetime(2100, 1, 1)],  # noqa: DTZ001
    "z": [datetime(2024, 6, 1, tzinfo=UTC), None, datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)],
    "d": [date(2024, 1, 1), None, date(1950, 1, 1), date(2024, 1, 2)],
    "l": [[1, 2], [], None, [3]],
    "r": [{"x": 1, "y": "a"}, None, {"x": None, "y": "b"}, {"x": 2, "y": None}],
    "n": [Decimal("1.50"), None, Decimal("-2.25"), Decimal("0.00")],
    "e": [timedelta(seconds=1), None, timedelta(microseconds=1), timedelta(days=-1)],
}


def digest(data: Any, **said: Any) -> str:
    """Return the digest of data."""
    found = describe_dataset(data, dataset_id="tests/data", **said)
    in_envelope(DatasetLogged, found)
    return str(found["digest"])


@pytest.fixture
def table() -> pa.Table:
    """Give an Arrow table with a column of every common type."""
    return pa.table({name: pa.array(values) for name, values in COLUMNS.items()})


def test_pandas_polars_and_arrow_have_the_same_digest(table: pa.Table) -> None:
    """Whichever library reads the data, it is the same data."""
    flat = table.drop_columns(["r"])  # pandas makes floats of the integers in records with missing values
    assert digest(flat) == digest(flat.to_pandas())
    assert digest(table) == digest(pl.from_arrow(table))
    assert digest(table) == digest(table.to_pandas(types_mapper=pd.ArrowDtype))
    assert digest(table) == digest(table.to_pylist())
    assert digest(table) == digest(COLUMNS)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: pa.concat_tables([t.slice(0, 1), t.slice(1, 2), t.slice(3)]),
        lambda t: pa.concat_tables([t.slice(3), t, t]).slice(1, 4),
        lambda t: t.take(pa.array([0, 1, 2, 3])),
        lambda t: t.set_column(2, "s", t["s"].cast(pa.large_string())),
        lambda t: t.set_column(2, "s", t["s"].cast(pa.string_view())),
        lambda t: t.set_column(2, "s", t["s"].dictionary_encode()),
        lambda t: t.set_column(4, "t", t["t"].cast(pa.timestamp("ns"))),
        lambda t: t.set_column(5, "z", t["z"].cast(pa.timestamp("ms", "Asia/Tokyo"))),
        lambda t: t.set_column(10, "e", t["e"].cast(pa.duration("ns"))),
        lambda t: t.set_column(7, "l", t["l"].cast(pa.large_list(pa.int64()))),
        lambda t: t.to_batches()[0],
    ],
)
def test_layout_does_not_count(table: pa.Table, change: Callable[[pa.Table], Any]) -> None:
    """Chunks, slices, wide offsets, categories, units of time and zones are not content."""
    assert digest(table) == digest(change(table))


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.slice(0, 3),
        lambda t: t.take(pa.array([1, 0, 2, 3])),
        lambda t: t.select(["f", "i", *t.column_names[2:]]),
        lambda t: t.rename_columns(["j", *t.column_names[1:]]),
        lambda t: t.set_column(0, "i", t["i"].cast(pa.int32())),
        lambda t: t.set_column(0, "i", pa.array([1, 2, 3, None])),
        lambda t: t.set_column(1, "f", pa.array([1.5, 0.0, -0.25, 1e300])),
        lambda t: t.set_column(2, "s", pa.array(["a", "", "", "ü𝄞"])),
        lambda t: t.set_column(2, "s", pa.array(["", None, "a", "ü𝄞"])),
        lambda t: t.set_column(4, "t", t["t"].cast(pa.timestamp("us", "UTC"))),
        lambda t: t.set_column(7, "l", pa.array([[1], [2], None, [3]])),
        lambda t: t.set_column(7, "l", pa.array([[1, 2], None, None, [3]])),
        lambda t: t.set_column(8, "r", pa.array([{"x": 1, "y": "a"}, None, {"x": None, "y": "b"}, {"x": 2, "y": "c"}])),
    ],
)
def test_content_counts(table: pa.Table, change: Callable[[pa.Table], Any]) -> None:
    """Rows, their order, columns, their order, names, types, values and what is missing."""
    assert digest(table) != digest(change(table))


def test_random_cells_count() -> None:
    """Any one changed cell of a random table changes the digest, however both are chunked."""
    seed = random.randrange(2**32)  # noqa: S311  not for secrets
    print(f"seed {seed}")  # noqa: T201  to repeat a failure
    dice = random.Random(seed)  # noqa: S311  not for secrets
    rows = 500
    makers: dict[str, Callable[[], Any]] = {
        "i": lambda: dice.randrange(100),
        "f": lambda: dice.choice([None, dice.gauss(0, 1)]),
        "s": lambda: dice.choice([None, "", "a", "b" * dice.randrange(40)]),
        "b": lambda: dice.choice([None, True, False]),
    }
    columns = {name: [make() for _ in range(rows)] for name, make in makers.items()}
    expected = digest(pa.table(columns))
    for _ in range(20):
        cut = dice.randrange(rows)
        whole = pa.table(columns)
        assert expected == digest(pa.concat_tables([whole.slice(0, cut), whole.slice(cut)]))
        name, row = dice.choice(list(makers)), dice.randrange(rows)
        changed = {**columns, name: list(columns[name])}
        while changed[name][row] == columns[name][row]:
            changed[name][row] = makers[name]()
        assert expected != digest(pa.table(changed))


def test_numpy_is_a_table_with_numbered_columns() -> None:
    """In either memory order, as float and as records."""
    values = np.random.default_rng(0).random((100, 3))
    values[5, 1] = np.nan
    frame = pd.DataFrame(values, columns=["0", "1", "2"])
    assert digest(values) == digest(np.asfortranarray(values))
    assert digest(values) == digest(values.astype(">f8"))
    assert digest(values) == digest(frame)
    assert digest(values) == digest(pl.DataFrame(values, schema=["0", "1", "2"]))
    assert digest(values) == digest(pa.Table.from_pandas(frame))
    assert digest(values) != digest(values.astype("f4"))
    assert digest(np.array([(1, 2.0)], dtype=[("a", "i8"), ("b", "f8")])) == digest(pa.table({"a": [1], "b": [2.0]}))
    assert digest(np.array(["a", "b"])) == digest(np.array(["a", "b"], dtype=object))


def test_types_are_named_alike_whatever_their_layout(table: pa.Table) -> None:
    """Texts, wide texts and views are texts; how categories are numbered does not show."""

    def types(data: Any) -> list[str]:
        return [column["type"] for column in describe_dataset(data, dataset_id="tests/types")["columns"]]

    texts = table.select(["s"])
    assert types(texts) == types(texts.cast(pa.schema([("s", pa.large_string())]))) == ["string"]
    assert types(pl.from_arrow(texts)) == types(texts.to_pandas()) == ["string"]
    categories = texts.to_pandas().astype("category")
    assert types(categories) == ["dictionary<values=string>"]
    assert types(pl.from_pandas(categories)) == ["dictionary<values=string>"]
    assert types(pa.Table.from_pandas(categories)) == ["dictionary<values=string>"]


def test_images_are_one_column_of_tensors() -> None:
    """The shape counts, and so does every value."""
    images = np.zeros((4, 2, 3), "uint8")
    found = describe_dataset(images, dataset_id="tests/images")
    assert found["columns"] == [{"name": "values", "type": "uint8[2,3]", "role": ""}]
    assert digest(images) != digest(images.reshape(4, 3, 2))


def test_a_pair_has_features_and_a_target() -> None:
    """(X, y) is the table that has y for its last column."""
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]})
    target = pd.Series([0, 1], name="label")
    found = describe_dataset((frame, target), dataset_id="tests/pair", split="train")
    assert [(c["name"], c["role"]) for c in found["columns"]] == [
        ("a", "feature"),
        ("b", "feature"),
        ("label", "target"),
    ]
    assert digest((frame, target)) == digest(frame.assign(label=target))
    assert digest((frame, target)) == digest((pl.from_pandas(frame), pl.from_pandas(target)))
    arrays = describe_dataset((frame.to_numpy(), [0, 1]), dataset_id="tests/pair")
    assert [column["name"] for column in arrays["columns"]] == ["0", "1", "target"]
    assert digest(frame) == digest((frame, None))


def test_roles_that_are_said_win() -> None:
    """By column."""
    found = describe_dataset(pd.DataFrame({"a": [1], "w": [1.0]}), dataset_id="tests/roles", roles={"w": "weight"})
    assert [column["role"] for column in found["columns"]] == ["", "weight"]


def test_a_named_index_is_a_column() -> None:
    """An index without a name is only a numbering."""
    frame = pd.DataFrame({"a": [1, 2]}, index=[7, 8])
    assert digest(frame) == digest(frame.reset_index(drop=True))
    named = frame.rename_axis("customer")
    assert digest(named) == digest(named.reset_index())


def test_sparse_matrices_have_a_digest_of_their_entries() -> None:
    """The format does not count, and neither do entries that are zero."""
    matrix: Any = sp.random(50, 20, density=0.1, random_state=0, format="csr")
    with_zero: Any = matrix.tocoo()
    with_zero = sp.coo_matrix(
        (np.append(with_zero.data, 0.0), (np.append(with_zero.row, 0), np.append(with_zero.col, 0))), matrix.shape
    )
    assert digest(matrix).startswith("sparse1:")
    assert digest(matrix) == digest(matrix.tocsc()) == digest(matrix.tocoo()) == digest(with_zero)
    assert digest(matrix) != digest(matrix * 2)
    assert digest(matrix) != digest(sp.csr_matrix((50, 20)))
    pair = describe_dataset((matrix, np.arange(50)), dataset_id="tests/sparse")
    assert (pair["rows"], len(pair["columns"])) == (50, 21)
    assert digest((matrix, np.arange(50))) == digest((matrix.tocoo(), list(range(50))))
    assert digest((matrix, np.arange(50))) != digest((matrix, np.arange(50) + 1))


def test_the_digest_is_the_same_in_another_process(table: pa.Table, tmp_path: Path) -> None:
    """Whatever its hash seed."""
    path = tmp_path / "data.parquet"
    pq.write_table(table.drop_columns(["e"]), path)
    code = (
        "import sys, polars\nfrom trailhouse.capture.datasets import describe_dataset\n"
        "print(describe_dataset(polars.read_parquet(sys.argv[1]), dataset_id='x/y')['digest'])"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    assert digest(table.drop_columns(["e"])) == ran.stdout.strip()


def test_without_arrow_plain_data_has_the_same_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training image that lacks pyarrow tells the same of numbers, texts and times."""
    frame = pd.DataFrame(
        {"i": [1, 2], "f": [0.5, None], "s": ["a", None], "t": pd.to_datetime(pd.Series(["2024-01-01", None]))}
    )
    values = frame.astype({"s": object})
    expected = digest(frame)
    monkeypatch.setattr(tables, "arrow", lambda: None)
    assert expected == digest(frame)
    assert expected == digest(values)


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame({"a": pd.array([1, None], "Int64")}),
        pd.DataFrame({"a": pd.array(["x", None], "string")}),
        pd.DataFrame({"a": pd.period_range("2024-01", periods=2, freq="M")}),
        pd.DataFrame({"a": pd.interval_range(0, 2)}),
        pd.DataFrame({"a": pd.arrays.SparseArray([0, 0, 1])}),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])),
        pl.DataFrame({"a": pl.Series(["x", None], dtype=pl.Enum(["x"]))}),
        pl.DataFrame({"a": pl.Series([[1, 2], None], dtype=pl.Array(pl.Int64, 2))}),
        pl.DataFrame({"a": pl.Series([1], dtype=pl.Int128)}),
        pa.table({"a": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64()))}),
        pa.table({"a": pa.array([[1, 2], None], pa.list_view(pa.int64()))}),
        pa.table({"a": pa.RunEndEncodedArray.from_arrays([2, 3], [1, 2])}),
        pa.table({"a": pa.array([2**62], pa.timestamp("s"))}),
        pa.table({"a": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}),
        np.ma.array([1.0, 2.0], mask=[False, True]),
        np.array(["2024", "NaT"], "M8[Y]"),
        np.array([1j, 2]),
        np.array([1.5, None], dtype=object),
    ],
    ids=lambda data: f"{type(data).__module__.partition('.')[0]}",
)
def test_rarer_types_have_a_digest_too(data: Any) -> None:
    """The same each time, and it depends on the content."""
    assert digest(data).startswith("table1:")
    assert digest(data) == digest(copy.deepcopy(data))
    assert digest(data) != digest(data[:0])


def test_memory_that_nobody_set_is_not_digested() -> None:
    """The padding of extended doubles, and the addresses of objects in Polars."""
    assert digest(np.array([1.5], "longdouble")) == ""
    assert digest(pl.DataFrame({"a": pl.Series([object()], dtype=pl.Object)})) == ""


def test_objects_have_no_digest_and_do_no_harm() -> None:
    """Values that differ from process to process are not digested."""
    frame = pd.DataFrame({"a": [object(), {1, 2}]})
    found = describe_dataset(frame, dataset_id="tests/objects")
    assert (found["rows"], found["digest"], found["digest_scope"]) == (2, "", "")


@pytest.mark.parametrize(
    "data", [object(), None, 3, [], {}, pd.DataFrame(), np.empty((0, 3)), [1, "a", None], "s3://b/x.csv"]
)
def test_odd_data_is_described_as_far_as_it_goes(data: Any) -> None:
    """Nothing raises, and everything fits the event."""
    in_envelope(DatasetLogged, describe_dataset(data, dataset_id="tests/odd"))


def test_lazy_data_is_not_read() -> None:
    """The columns of a query are named; it is not run."""
    found = describe_dataset(pl.LazyFrame({"a": [1]}).with_columns(b=pl.col("a") * 2), dataset_id="tests/lazy")
    assert [column["name"] for column in found["columns"]] == ["a", "b"]
    assert (found["rows"], found["digest"]) == (None, "")
    in_envelope(DatasetLogged, found)


@pytest.mark.parametrize("name", ["data.csv", "data.parquet", "data.tsv"])
def test_a_file_tells_rows_columns_and_its_bytes(tmp_path: Path, name: str) -> None:
    """The digest is that of the file."""
    path = tmp_path / name
    frame = pl.DataFrame({"a": [1, 2, 3], "b": ["x", "y\nz", None]})
    if name.endswith("parquet"):
        frame.write_parquet(path)
    else:
        frame.write_csv(path, separator="\t" if name.endswith("tsv") else ",")
    found = describe_dataset(path, dataset_id="tests/file")
    assert f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" == found["digest"]
    assert ("file", 3, path.stat().st_size) == (found["digest_scope"], found["rows"], found["size_bytes"])
    assert [(column["name"], column["type"]) for column in found["columns"]] == [("a", "int64"), ("b", "string")]
    assert path.as_uri() == found["uri"]
    in_envelope(DatasetLogged, found)


def test_a_csv_whose_types_change_late_has_all_its_rows(tmp_path: Path) -> None:
    """Numbers for megabytes, then a text."""
    path = tmp_path / "late.csv"
    path.write_text("a,b\n" + "123456789,1\n" * 300_000 + "none,x\n")
    found = describe_dataset(path, dataset_id="tests/late")
    assert (found["rows"], found["columns"][0]["type"]) == (300_001, "int64")


def test_a_directory_of_parquet_is_one_dataset(tmp_path: Path) -> None:
    """Rows are those of all files."""
    for part in range(3):
        pl.DataFrame({"a": [part]}).write_parquet(tmp_path / f"part-{part}.parquet")
    found = describe_dataset(str(tmp_path), dataset_id="tests/directory")
    assert (found["format"], found["rows"], [c["name"] for c in found["columns"]]) == ("directory of parquet", 3, ["a"])
    in_envelope(DatasetLogged, found)


def test_a_file_that_is_not_what_it_says_is_recorded_by_its_bytes(tmp_path: Path) -> None:
    """A broken Parquet file has a digest, but no rows."""
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"no parquet")
    found = describe_dataset(path, dataset_id="tests/broken")
    assert (found["rows"], found["columns"]) == (None, [])
    assert found["digest"]


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A wrong argument is the caller's to know."""
    with pytest.raises(TrailhouseError, match=r"gone\.csv.* is not there"):
        describe_dataset(tmp_path / "gone.csv", dataset_id="tests/gone")


def test_the_split_is_recorded_with_the_data() -> None:
    """Scheme, settings, seed, fold and members."""
    found = describe_dataset(
        np.arange(4),
        dataset_id="tests/split",
        split="validation",
        splitter={"test_size": 0.5, "random_state": 1},
        fold=2,
        members=[1, 3],
        lineage={"sum": ["tests/a#x", "tests/a#y"]},
    )
    event = in_envelope(DatasetLogged, found)
    assert (event.split, event.split_scheme, event.split_seed, event.split_fold) == ("validation", "hold-out", 1, 2)
    assert event.split_membership_digest.startswith("sha256:")
    assert event.column_lineage[0].sources == ["tests/a#x", "tests/a#y"]


def test_a_digest_that_is_known_is_not_computed() -> None:
    """Nor where the caller wants none."""
    assert digest(np.arange(3), digest="dvc:1234") == "dvc:1234"
    assert digest(np.arange(3), digest="") == ""
