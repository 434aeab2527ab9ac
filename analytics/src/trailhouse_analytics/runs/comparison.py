"""Compares runs: what differs between them, and whether their metrics may be held against each other."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from trailhouse_analytics.errors import RunsInputError
from trailhouse_analytics.queries import ask
from trailhouse_analytics.runs.comparability import Comparable, Evidence, Reason, judge, overall
from trailhouse_analytics.runs.lookup import RunReference, check_metric, find_runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd
    from clickhouse_connect.driver.client import Client

__all__ = ["DIFFERENCES", "SUBJECTS", "Comparison", "compare_runs"]

#: What runs are compared in, in order.
SUBJECTS: Final = ("parameters", "metrics", "data", "models", "code", "packages")

#: One row a thing that any of the runs has; `values` in the order of the runs, null where a run does not have it.
DIFFERENCES: Final = pa.schema(
    [
        ("subject", pa.string()),
        ("name", pa.string()),
        ("differs", pa.bool_()),
        ("values", pa.list_(pa.string())),
    ]
)

_CODE: Final = (
    "git_remote",
    "git_commit",
    "git_branch",
    "git_dirty",
    "git_diff_digest",
    "entry_point",
    "command",
    "python_version",
    "platform",
    "container_image_digest",
    "drivers",
    "seeds",
    "determinism",
    "parallelism",
    "world_size",
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """How runs differ, and whether their metrics may be held against each other."""

    runs: tuple[RunReference, ...]
    verdict: Comparable
    reasons: tuple[Reason, ...]
    #: With the schema `DIFFERENCES`; what is the same in all runs is there, too.
    table: pa.Table

    @property
    def labels(self) -> tuple[str, ...]:
        """A name for each run, all different."""
        names = [run.label for run in self.runs]
        return tuple(
            name if names.count(name) == 1 else f"{name} ({run.run_id})"
            for name, run in zip(names, self.runs, strict=True)
        )

    def of(self, subject: str, *, differing: bool = True) -> pa.Table:
        """Return one subject's rows, a column a run: name, then the values under the runs' labels."""
        chosen = self.table.filter(pc.equal(self.table.column("subject"), subject))
        if differing:
            chosen = chosen.filter(chosen.column("differs"))
        columns: dict[str, pa.ChunkedArray] = {"name": chosen.column("name")}
        for at, label in enumerate(self.labels):
            columns[label] = pc.list_element(chosen.column("values"), at)
        return pa.table(columns)

    def to_arrow(self) -> pa.Table:
        """Return the table."""
        return self.table

    def to_pandas(self) -> pd.DataFrame:
        """Return the table as a data frame."""
        frame: pd.DataFrame = self.table.to_pandas()
        return frame


def compare_runs(
    client: Client, runs: Iterable[str], *, project: str | None = None, metric: str | None = None
) -> Comparison:
    """Compare runs, given by ids, unique begins of ids or unique names.

    Args:
        client: The warehouse.
        runs: Two or more.
        project: Where names are looked for.
        metric: The metric that has to be comparable; None: all that the runs have in common.

    Raises:
        RunsInputError: a run is not known, there are fewer than two, or none has the metric.
    """
    found = find_runs(client, runs, project=project)
    if len(found) < 2:  # noqa: PLR2004 - what a comparison is
        raise RunsInputError("A comparison needs two different runs; name another one")
    ids = [run.run_id for run in found]
    if metric is not None:
        check_metric(client, metric, project=project, run_ids=ids)
    rows = {name: _by_run(ask(client, f"runs_{name}", run_ids=ids, **more)) for name, more in _QUESTIONS.items()}
    reasons = judge([_evidence(run, rows["measured_on"], rows["datasets"]) for run in found], metric)
    things = {
        "parameters": _parameters,
        "metrics": _metrics,
        "data": _data,
        "models": _models,
        "code": _code,
        "packages": _packages,
    }
    differences = [
        row for subject, of_run in things.items() for row in _differences(subject, [dict(of_run(rows, i)) for i in ids])
    ]
    table = pa.Table.from_pylist(differences, schema=DIFFERENCES)
    return Comparison(tuple(found), overall(reasons), tuple(reasons), table)


#: What is asked about the runs, with the parameters besides their ids.
_QUESTIONS: Final[dict[str, dict[str, Any]]] = {
    "started": {},
    "datasets": {},
    "models": {},
    "parameters": {"project": "", "names": []},
    "summaries": {"project": "", "names": []},
    "measured_on": {"project": ""},
}

_Rows = dict[str, defaultdict[str, list[dict[str, Any]]]]


def _by_run(table: pa.Table) -> defaultdict[str, list[dict[str, Any]]]:
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in table.to_pylist():
        found[row["run_id"]].append(row)
    return found


def _evidence(
    run: RunReference,
    measured: Mapping[str, list[dict[str, Any]]],
    datasets: Mapping[str, list[dict[str, Any]]],
) -> Evidence:
    return Evidence(
        label=run.label,
        measured={(row["name"], row["split"]): row["digests"] for row in measured[run.run_id]},
        inputs=[row for row in datasets[run.run_id] if row["direction"] == "input"],
    )


def _differences(subject: str, of_runs: Sequence[Mapping[str, str]]) -> Iterator[dict[str, Any]]:
    for name in dict.fromkeys(name for of_run in of_runs for name in of_run):
        values = [of_run.get(name) for of_run in of_runs]
        yield {"subject": subject, "name": name, "differs": len(set(values)) > 1, "values": values}


def _parameters(rows: _Rows, run_id: str) -> Iterator[tuple[str, str]]:
    for row in rows["parameters"][run_id]:
        yield row["name"], row["value"]


def _metrics(rows: _Rows, run_id: str) -> Iterator[tuple[str, str]]:
    for row in rows["summaries"][run_id]:
        if not row["finite_points"]:
            continue
        name = f"{row['name']}@{row['split']}" if row["split"] else row["name"]
        yield f"{name} last", f"{row['last_value']:.6g}"
        if row["points"] > 1:
            yield f"{name} min", f"{row['min_value']:.6g}"
            yield f"{name} max", f"{row['max_value']:.6g}"


def _data(rows: _Rows, run_id: str) -> Iterator[tuple[str, str]]:
    for row in rows["datasets"][run_id]:
        fold = "" if row["split_fold"] is None else f" fold {row['split_fold']}"
        what = f"{row['direction']} {row['dataset_id']} {row['split']}{fold}".rstrip()
        for name, value in (
            ("version", row["version"]),
            ("digest", row["digest"]),
            ("rows", "" if row["rows"] is None else str(row["rows"])),
            ("columns", ", ".join(column["name"] for column in row["columns"])),
            ("scheme", row["split_scheme"]),
            ("splitter", _json(dict(row["split_settings"]))),
            ("members", row["split_membership_digest"]),
        ):
            if value:
                yield f"{what}: {name}", value


def _models(rows: _Rows, run_id: str) -> Iterator[tuple[str, str]]:
    for row in rows["models"][run_id]:
        what = row["name"] or row["class_name"].rpartition(".")[2]
        yield f"{what}: class", row["class_name"]
        for name, value in row["arguments"]:
            yield f"{what}: {name}", value
        for step in row["preprocessing"]:
            settings = ", ".join(f"{name}={value}" for name, value in sorted(step["settings"]))
            yield f"{what}: step {step['path']}", f"{step['class_name'].rpartition('.')[2]}({settings})"
        if row["features"]:
            yield f"{what}: features", ", ".join(feature["name"] for feature in row["features"])


def _code(rows: _Rows, run_id: str) -> Iterator[tuple[str, str]]:
    for row in rows["started"][run_id]:
        for name in _CODE:
            value = row[name]
            if isinstance(value, list):
                value = " ".join(value) if name == "command" else _json(dict(value))
            if value not in ("", None):
                yield name.replace("_", " "), str(value)


def _packages(rows: _Rows, run_id: str) -> Iterator[tuple[str, str]]:
    for row in rows["started"][run_id]:
        yield from sorted(row["packages"])


def _json(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(settings.items()))
