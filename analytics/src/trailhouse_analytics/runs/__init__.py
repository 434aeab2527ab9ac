"""Runs: which there are, what is known of each, how they differ, and how their metrics went."""

from trailhouse_analytics.runs.comparability import Comparable, Reason
from trailhouse_analytics.runs.comparison import SUBJECTS, Comparison, compare_runs
from trailhouse_analytics.runs.conditions import Condition, Quantity, Sort
from trailhouse_analytics.runs.details import RunDetails, show_run
from trailhouse_analytics.runs.listing import STATUSES, RunList, check_statuses, list_runs
from trailhouse_analytics.runs.lookup import RunReference, check_project, find_run, find_runs

__all__ = [
    "STATUSES",
    "SUBJECTS",
    "Comparable",
    "Comparison",
    "Condition",
    "Quantity",
    "Reason",
    "RunDetails",
    "RunList",
    "RunReference",
    "Sort",
    "check_project",
    "check_statuses",
    "compare_runs",
    "find_run",
    "find_runs",
    "list_runs",
    "show_run",
]
