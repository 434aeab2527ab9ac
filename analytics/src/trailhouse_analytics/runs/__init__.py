"""Runs: which there are, what is known of each, how they differ, and how their metrics went."""

from trailhouse_analytics.runs.conditions import Condition, Quantity, Sort
from trailhouse_analytics.runs.listing import STATUSES, RunList, check_statuses, list_runs
from trailhouse_analytics.runs.lookup import RunReference, check_project, find_run, find_runs

__all__ = [
    "STATUSES",
    "Condition",
    "Quantity",
    "RunList",
    "RunReference",
    "Sort",
    "check_project",
    "check_statuses",
    "find_run",
    "find_runs",
    "list_runs",
]
