"""Permissions: who may do what as of a moment, who did what, and whether it was permitted when it was done.

    from trailhouse_analytics import permissions

    report = permissions.audit(client)
    print(report.findings, report.unauthorised.to_pandas())

What is asked for is named `dataset:DATASET_ID`, `model:NAME`, `artifact:NAME`, `project:NAME`; see docs/permissions.md.
"""

from __future__ import annotations

from trailhouse_analytics.permissions.effective import effective_permissions, who_can
from trailhouse_analytics.permissions.known import check_principal
from trailhouse_analytics.permissions.ledger import Ending, Ledger, read_ledger
from trailhouse_analytics.permissions.report import DEFAULT_UNUSED_DAYS, AuditReport, audit
from trailhouse_analytics.permissions.tables import AuditTable
from trailhouse_analytics.permissions.unused import unused
from trailhouse_analytics.permissions.uses import Scope, Use, activity, after_end, denials, read_uses, unauthorised

__all__ = [
    "DEFAULT_UNUSED_DAYS",
    "AuditReport",
    "AuditTable",
    "Ending",
    "Ledger",
    "Scope",
    "Use",
    "activity",
    "after_end",
    "audit",
    "check_principal",
    "denials",
    "effective_permissions",
    "read_ledger",
    "read_uses",
    "unauthorised",
    "unused",
    "who_can",
]
