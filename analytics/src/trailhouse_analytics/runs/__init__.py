"""Runs: which there are, what is known of each, how they differ, and how their metrics went."""

from trailhouse_analytics.runs.comparability import Comparable, Reason
from trailhouse_analytics.runs.comparison import SUBJECTS, Comparison, compare_runs
from trailhouse_analytics.runs.conditions import Condition, Quantity, Sort
from trailhouse_analytics.runs.curves import Curves, Scatter, curves_of, scatter_of
from trailhouse_analytics.runs.details import RunDetails, show_run
from trailhouse_analytics.runs.listing import RunList, list_runs
from trailhouse_analytics.runs.lookup import RunReference, check_project, find_run, find_runs
from trailhouse_analytics.runs.plotting import draw, write_page
from trailhouse_analytics.runs.standing import STATUSES, check_statuses

__all__ = [
    "STATUSES",
    "SUBJECTS",
    "Comparable",
    "Comparison",
    "Condition",
    "Curves",
    "Quantity",
    "Reason",
    "RunDetails",
    "RunList",
    "RunReference",
    "Scatter",
    "Sort",
    "check_project",
    "check_statuses",
    "compare_runs",
    "curves_of",
    "draw",
    "find_run",
    "find_runs",
    "list_runs",
    "scatter_of",
    "show_run",
    "write_page",
]
