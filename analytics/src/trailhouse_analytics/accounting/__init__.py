"""What resources were allocated, used and idle, and what they cost."""

from __future__ import annotations

from trailhouse_analytics.accounting.cost import cost
from trailhouse_analytics.accounting.currencies import minor_digits
from trailhouse_analytics.accounting.grouping import DIMENSIONS
from trailhouse_analytics.accounting.prices import Price, prices
from trailhouse_analytics.accounting.report import CostReport, Note

__all__ = ["DIMENSIONS", "CostReport", "Note", "Price", "cost", "minor_digits", "prices"]
