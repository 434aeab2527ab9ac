"""The value of a metric or a hyper-parameter in every run that has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.compute as pc

from trailhouse_analytics.errors import RunsInputError
from trailhouse_analytics.queries import ask
from trailhouse_analytics.runs.conditions import Quantity, Value, parameter_value
from trailhouse_analytics.runs.lookup import check_metric, check_parameter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clickhouse_connect.driver.client import Client

__all__ = ["one_split", "values_of"]


def values_of(
    client: Client, quantity: Quantity, *, project: str | None, run_ids: Sequence[str] = ()
) -> dict[tuple[str, str], Value]:
    """Return the value of a quantity by (project, run id); runs without it are not there.

    Raises:
        RunsInputError: no run has it, or the metric has several splits and none is named.
    """
    ids = list(run_ids)
    if quantity.kind == "param":
        check_parameter(client, quantity.name, project=project)
        table = ask(client, "runs_parameters", project=project or "", names=[quantity.name], run_ids=ids)
        values = [parameter_value(text) for text in table.column("value").to_pylist()]
    else:
        split = one_split(quantity, check_metric(client, quantity.name, project=project, run_ids=ids))
        table = ask(client, "runs_summaries", project=project or "", names=[quantity.name], run_ids=ids)
        table = table.filter(
            pc.and_(pc.equal(table.column("split"), split), pc.greater(table.column("finite_points"), 0))
        )
        values = table.column(f"{quantity.resolved_statistic}_value").to_pylist()
    found = zip(table.column("project").to_pylist(), table.column("run_id").to_pylist(), values, strict=True)
    return {(of, run_id): value for of, run_id, value in found if value is not None}


def one_split(quantity: Quantity, splits: Sequence[str]) -> str:
    """Return the split that a metric is meant on, of those that it was measured on; raises `RunsInputError`."""
    if quantity.split is not None:
        if quantity.split in splits:
            return quantity.split
        known = ", ".join(split or "none" for split in splits)
        raise RunsInputError(
            f"Metric {quantity.name!r} was not measured on split {quantity.split!r}; it was on {known}"
        )
    if len(splits) > 1:
        some = " or ".join(f"{quantity.name}@{split}" for split in splits if split)
        raise RunsInputError(f"Metric {quantity.name!r} was measured on {len(splits)} splits; write {some}")
    return splits[0]
