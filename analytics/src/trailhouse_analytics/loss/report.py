"""What `verify` returns: one verdict, totals, an account for each producer, every stretch not just landed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import reduce
from typing import TYPE_CHECKING

import pyarrow as pa

from trailhouse_analytics.loss.account import Finding, ProducerAccount, Verdict
from trailhouse_analytics.ranks import SilentRanks, ranks_in_words

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import pandas as pd

__all__ = [
    "FINDINGS",
    "PRODUCERS",
    "SILENT_RANKS",
    "Accounting",
    "Totals",
    "accounts_table",
    "findings_table",
    "silent_ranks_table",
    "total",
    "worst",
]

#: The table of producers, one row a producer, ordered by producer.
PRODUCERS = pa.schema(
    [
        ("producer_id", pa.string()),
        ("project", pa.string()),
        ("run_id", pa.string()),
        ("attempt", pa.int64()),
        ("rank", pa.int64()),
        ("host", pa.string()),
        ("verdict", pa.string()),
        ("end", pa.string()),
        ("emitted", pa.int64()),
        ("landed", pa.int64()),
        ("dead_letters", pa.int64()),
        ("waiting", pa.int64()),
        ("refused", pa.int64()),
        ("dropped", pa.int64()),
        ("expired", pa.int64()),
        ("lost", pa.int64()),
        ("doubled", pa.int64()),
        ("points_dropped", pa.int64()),
        ("unknown_seconds", pa.float64()),
        ("last_heard_at", pa.timestamp("us", tz="UTC")),
        ("found_dead_at", pa.timestamp("us", tz="UTC")),
        ("reason", pa.string()),
    ]
)

#: The table of findings, one row a stretch of sequences.
FINDINGS = pa.schema(
    [
        ("producer_id", pa.string()),
        ("kind", pa.string()),
        ("first", pa.int64()),
        ("last", pa.int64()),
        ("events", pa.int64()),
        ("detail", pa.string()),
    ]
)

#: The table of silent ranks, one row a run; ranks as 3, 5-7.
SILENT_RANKS = pa.schema(
    [
        ("project", pa.string()),
        ("run_id", pa.string()),
        ("attempt", pa.int64()),
        ("world_size", pa.int64()),
        ("never_heard_of", pa.string()),
        ("lost_contact", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Numbers of events over all producers; see `ProducerAccount`."""

    producers: int = 0
    emitted: int = 0
    landed: int = 0
    dead_letters: int = 0
    waiting: int = 0
    refused: int = 0
    dropped: int = 0
    expired: int = 0
    lost: int = 0
    doubled: int = 0
    points_dropped: int = 0
    #: Producers whose end is not known.
    ends_unknown: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounting:
    """The accounting of loss."""

    verdict: Verdict
    totals: Totals
    accounts: tuple[ProducerAccount, ...]
    #: When signs of life were held against the clock.
    as_of: datetime
    notes: tuple[str, ...] = ()
    #: The runs with ranks that never reported or do not report any more.
    silent_ranks: tuple[SilentRanks, ...] = ()
    #: Why spools could not be read, one line each: what they hold, and of whom, is in no account.
    unreadable: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether nothing is known to be lost or doubled."""
        return self.totals.lost == 0 and self.totals.doubled == 0

    @property
    def whole(self) -> bool:
        """Whether all that was to be accounted for could be read."""
        return not self.unreadable

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every stretch of sequences that is not just landed."""
        return tuple(finding for account in self.accounts for finding in account.findings)

    def to_arrow(self) -> pa.Table:
        """Return the accounts: one row a producer, with the schema `PRODUCERS`."""
        return accounts_table(self.accounts)

    def findings_to_arrow(self) -> pa.Table:
        """Return the findings: one row a stretch, with the schema `FINDINGS`."""
        return findings_table(self.findings)

    def silent_ranks_to_arrow(self) -> pa.Table:
        """Return the silent ranks: one row a run, with the schema `SILENT_RANKS`."""
        return silent_ranks_table(self.silent_ranks)

    def to_pandas(self) -> pd.DataFrame:
        """Return the accounts as a data frame."""
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame


def total(accounts: Sequence[ProducerAccount]) -> Totals:
    """Return the sums over all accounts."""
    counted = [f.name for f in fields(Totals) if f.name not in {"producers", "ends_unknown"}]
    sums = {name: sum(getattr(account, name) for account in accounts) for name in counted}
    unknown = sum(account.unknown_seconds is not None for account in accounts)
    return Totals(producers=len(accounts), ends_unknown=unknown, **sums)


def worst(accounts: Sequence[ProducerAccount], silent: Sequence[SilentRanks] = ()) -> Verdict:
    """Return the verdict of the whole: the first of `Verdict` that any account has.

    A rank that was never heard of has an end that is not known, and a beginning too.
    """
    order = list(Verdict)
    verdicts = [account.verdict for account in accounts]
    verdicts += [Verdict.END_UNKNOWN for run in silent if run.never_heard_of]
    return reduce(lambda a, b: min(a, b, key=order.index), verdicts, Verdict.COMPLETE)


def accounts_table(accounts: Sequence[ProducerAccount]) -> pa.Table:
    """Return accounts as a table with the schema `PRODUCERS`."""
    return _table(accounts, PRODUCERS)


def findings_table(findings: Sequence[Finding]) -> pa.Table:
    """Return findings as a table with the schema `FINDINGS`."""
    return _table(findings, FINDINGS)


def silent_ranks_table(runs: Sequence[SilentRanks]) -> pa.Table:
    """Return silent ranks as a table with the schema `SILENT_RANKS`."""
    shown = {"never_heard_of", "lost_contact"}
    rows = [
        {n: ranks_in_words(getattr(run, n)) if n in shown else getattr(run, n) for n in SILENT_RANKS.names}
        for run in runs
    ]
    return pa.Table.from_pylist(rows, schema=SILENT_RANKS)


def _table(rows: Sequence[object], schema: pa.Schema) -> pa.Table:
    columns = {name: [getattr(row, name) for row in rows] for name in schema.names}
    return pa.Table.from_pydict(columns, schema=schema)
