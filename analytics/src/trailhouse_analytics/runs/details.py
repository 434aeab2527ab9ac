"""All that is known of one run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from trailhouse_analytics.queries import ask
from trailhouse_analytics.ranks import ranks_in_words, silent_ranks
from trailhouse_analytics.runs.attributes import tags_of
from trailhouse_analytics.runs.log_calls import log_calls_in_words
from trailhouse_analytics.runs.lookup import find_run
from trailhouse_analytics.runs.standing import DEFAULT_GRACE, overview

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clickhouse_connect.driver.client import Client

__all__ = ["RunDetails", "show_run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetails:
    """One run. The tables have a row for each thing that their name says, and are empty where nothing was logged."""

    run_id: str
    #: What it is, how it stands, what code it ran and where: single values by name.
    facts: Mapping[str, Any]
    #: name, value (JSON).
    parameters: pa.Table
    #: name, split, last_value, last_step, min_value, max_value, points, not_finite.
    metrics: pa.Table
    #: A row a dataset, version and split: direction, split, dataset_id, digest, the splitter, rows, columns, …
    datasets: pa.Table
    models: pa.Table
    #: A row a step before a model, in order; `path` gives the tree.
    preprocessing: pa.Table
    #: name, version.
    packages: pa.Table
    #: A row an allocation.
    resources: pa.Table
    #: A row a process (rank, or a child of one): its state, its last sign of life, its own count of events.
    processes: pa.Table
    artifacts: pa.Table

    def to_arrow(self) -> dict[str, pa.Table]:
        """Return the tables by name."""
        return {name: getattr(self, name) for name in TABLES}


#: The tables of `RunDetails`, in the order in which they are shown.
TABLES = (
    "parameters",
    "metrics",
    "datasets",
    "models",
    "preprocessing",
    "resources",
    "processes",
    "artifacts",
    "packages",
)

_PREPROCESSING = pa.schema(
    [
        ("model", pa.string()),
        ("path", pa.string()),
        ("class_name", pa.string()),
        ("settings", pa.map_(pa.string(), pa.string())),
        ("input_columns", pa.list_(pa.string())),
        ("output_columns", pa.list_(pa.string())),
        ("fitted_digest", pa.string()),
    ]
)


def show_run(
    client: Client,
    run: str,
    *,
    project: str | None = None,
    now: datetime | None = None,
    grace: timedelta = DEFAULT_GRACE,
) -> RunDetails:
    """Return all that is known of a run, given by its id, a unique begin of it, or a unique name.

    Raises:
        RunsInputError: there is no such run, or there are several.
    """
    as_of = now or datetime.now(UTC)
    found = find_run(client, run, project=project)
    of_run: dict[str, Any] = {"run_ids": [found.run_id]}
    (stands,) = overview(client, project=found.project, now=as_of, grace=grace, run_ids=[found.run_id]).to_pylist()
    started = ask(client, "runs_started", **of_run).to_pylist()
    summaries = ask(client, "runs_summaries", project=found.project, names=[], **of_run)
    models = ask(client, "runs_models", **of_run)
    silent = silent_ranks(client, now=as_of, grace=grace, project=found.project, run_id=found.run_id)
    ranks = {
        "ranks_never_heard_of": ranks_in_words(silent[0].never_heard_of) if silent else "",
        "ranks_lost_contact": ranks_in_words(silent[0].lost_contact) if silent else "",
    }
    grace_ms = round(grace.total_seconds() * 1000)
    return RunDetails(
        run_id=found.run_id,
        facts=_facts(
            stands | ranks,
            started[0] if started else {},
            tags_of(client, [found.run_id], as_of)[found.run_id],
            _log_calls(ask(client, "runs_log_calls", **of_run)),
        ),
        parameters=ask(client, "runs_parameters", project=found.project, names=[], **of_run).select(["name", "value"]),
        metrics=_metrics(summaries),
        datasets=ask(client, "runs_datasets", **of_run).drop_columns(["project", "run_id"]),
        models=models.drop_columns(["run_id", "preprocessing"]),
        preprocessing=_preprocessing(models),
        packages=_packages(started[0]["packages"] if started else []),
        resources=ask(client, "runs_resources", **of_run).drop_columns(["run_id"]),
        processes=ask(client, "runs_processes", now=as_of, grace_ms=grace_ms, **of_run).drop_columns(["run_id"]),
        artifacts=ask(client, "runs_artifacts", **of_run).drop_columns(["run_id"]),
    )


def _facts(stands: Mapping[str, Any], started: Mapping[str, Any], tags: list[str], log_calls: str) -> dict[str, Any]:
    facts = {
        **{name: stands[name] for name in ("run_id", "name", "project", "group", "kind", "status")},
        **{name: stands[name] for name in ("started_at", "ended_at", "duration_seconds", "attempts", "world_size")},
        **{name: stands[name] for name in ("ranks_never_heard_of", "ranks_lost_contact")},
        **{name: stands[name] for name in ("error_type", "error_message", "parent_run_id", "principal", "host")},
        **{
            name: started[name]
            for name in (
                "resumed_from",
                "entry_point",
                "command",
                "git_remote",
                "git_commit",
                "git_branch",
                "git_dirty",
                "git_diff_digest",
                "git_diff_uri",
                "python_version",
                "platform",
                "container_image_digest",
            )
            if name in started
        },
        **{name: dict(started[name]) for name in ("drivers", "seeds", "determinism", "parallelism") if name in started},
        "log_calls": log_calls,
        "tags": tags,
    }
    return {name: value for name, value in facts.items() if value not in ("", None, [], {})}


def _log_calls(table: pa.Table) -> str:
    return "".join(log_calls_in_words(each) for each in table.column("by_duration").to_pylist())


def _metrics(summaries: pa.Table) -> pa.Table:
    finite = summaries.column("finite_points")
    points = summaries.column("points")
    table = summaries.select(["name", "split", "last_value", "last_step", "min_value", "max_value", "points"])
    for name in ("last_value", "min_value", "max_value"):  # no finite value: none, not the 0 of an empty aggregate
        at = table.column_names.index(name)
        values = pc.if_else(pc.greater(finite, 0), table.column(name), pa.scalar(None, pa.float64()))
        table = table.set_column(at, name, values)
    steps = table.column("last_step")
    step = pc.if_else(pc.less(steps, 0), pa.scalar(None, pa.int64()), steps)
    table = table.set_column(table.column_names.index("last_step"), "last_step", step)
    return table.append_column("not_finite", pc.subtract(points, finite))


def _preprocessing(models: pa.Table) -> pa.Table:
    rows = [
        {"model": model["name"] or model["model_id"], **step}
        for model in models.select(["name", "model_id", "preprocessing"]).to_pylist()
        for step in model["preprocessing"]
    ]
    return pa.Table.from_pylist(rows, schema=_PREPROCESSING)


def _packages(packages: list[tuple[str, str]]) -> pa.Table:
    in_order = sorted(packages, key=lambda package: package[0].lower())
    return pa.table(
        {"name": [name for name, _ in in_order], "version": [version for _, version in in_order]},
        schema=pa.schema([("name", pa.string()), ("version", pa.string())]),
    )
