"""The accounting of loss: what producers say they emitted, held against where each event is now.

result = verify(client, spools=[settings.spool_directory])
result.verdict, result.totals.lost, result.to_pandas()
"""

from trailhouse_analytics.loss.account import End, Finding, ProducerAccount, Verdict
from trailhouse_analytics.loss.accounting import verify
from trailhouse_analytics.loss.report import Accounting, Totals, accounts_table, findings_table, silent_ranks_table
from trailhouse_analytics.loss.spool_check import SpoolCheck, check_spool

__all__ = [
    "Accounting",
    "End",
    "Finding",
    "ProducerAccount",
    "SpoolCheck",
    "Totals",
    "Verdict",
    "accounts_table",
    "check_spool",
    "findings_table",
    "silent_ranks_table",
    "verify",
]
