"""Finds the run, project, metric or parameter that somebody means, and says which ones are near when there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trailhouse_analytics.errors import RunsInputError
from trailhouse_analytics.queries import ask
from trailhouse_schemas.names import near

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clickhouse_connect.driver.client import Client

__all__ = ["RunReference", "check_group", "check_metric", "check_parameter", "check_project", "find_run", "find_runs"]


@dataclass(frozen=True, slots=True)
class RunReference:
    """One run that is known."""

    project: str
    run_id: str
    name: str

    @property
    def label(self) -> str:
        """Its name, or the begin of its id where it has none."""
        return self.name or self.run_id[:13]


def check_project(client: Client, project: str | None) -> None:
    """Raise `RunsInputError` unless the project is known or none is named."""
    if not project:
        return
    known = ask(client, "runs_projects").column("project").to_pylist()
    if project not in known:
        raise RunsInputError(f"Project {project!r} is not known{near(project, known)}")


def check_group(client: Client, group: str | None, *, project: str | None) -> None:
    """Raise `RunsInputError` unless a run of the project is of that group, or none is named."""
    if not group:
        return
    known = ask(client, "runs_groups", project=project or "").column("name").to_pylist()
    if group not in known:
        where = f" in project {project!r}" if project else ""
        way_out = near(group, known, otherwise="list runs with 'trailhouse runs list' without --group")
        raise RunsInputError(f"Group {group!r} is not known{where}{way_out}")


def find_run(client: Client, text: str, *, project: str | None = None) -> RunReference:
    """Return the run with that id, with that name, or with an id that begins so; raises `RunsInputError`."""
    rows = ask(client, "runs_find", text=text, project=project or "").to_pylist() if text else []
    found = [RunReference(row["project"], row["run_id"], row["name"]) for row in rows]
    for wanted in (
        [run for run in found if run.run_id == text],
        [run for run in found if run.name == text],
        found,
    ):
        if len(wanted) == 1:
            return wanted[0]
        if wanted:
            some = ", ".join(f"{run.run_id} ({run.project})" for run in wanted[:3])
            raise RunsInputError(f"Run {text!r} may be any of {_many(len(wanted))}: {some}, …; give more of the id")
    where = f" in project {project!r}" if project else ""
    names = ask(client, "runs_names", project=project or "")
    known = [*names.column("name").to_pylist(), *names.column("run_id").to_pylist()]
    way_out = near(text, known, otherwise="list them with 'trailhouse runs list'")
    raise RunsInputError(f"Run {text!r} is not known{where}{way_out}")


def find_runs(client: Client, texts: Iterable[str], *, project: str | None = None) -> list[RunReference]:
    """Return the runs, in the order given, each once; raises `RunsInputError`."""
    return list(dict.fromkeys(find_run(client, text, project=project) for text in texts))


def check_metric(client: Client, name: str, *, project: str | None, run_ids: Sequence[str] = ()) -> list[str]:
    """Return the splits that the metric was measured on in these runs; raises `RunsInputError` when it was on none."""
    known = ask(client, "runs_measured", project=project or "", run_ids=list(run_ids)).to_pylist()
    splits = [row["split"] for row in known if row["name"] == name]
    if not splits:
        where = " in these runs" if run_ids else f" in project {project!r}" if project else ""
        raise RunsInputError(f"Metric {name!r} is not known{where}{near(name, [row['name'] for row in known])}")
    return splits


def check_parameter(client: Client, name: str, *, project: str | None) -> None:
    """Raise `RunsInputError` unless a run of the project has that parameter."""
    known = ask(client, "runs_parameter_names", project=project or "").column("name").to_pylist()
    if name not in known:
        where = f" in project {project!r}" if project else ""
        raise RunsInputError(f"Parameter {name!r} is not known{where}{near(name, known)}")


def _many(count: int) -> str:
    return "many runs" if count >= 20 else f"{count} runs"  # noqa: PLR2004 - runs_find stops there
