"""The faults of a soak: what may be done to a collector, and how the warehouse may behave."""

from __future__ import annotations

from enum import StrEnum

from soak.proxy import Deed, Weather

__all__ = ["ALL_KILLS", "FEW_KILLS", "WEATHERS", "Kill"]


class Kill(StrEnum):
    """Ends of processes, told apart in the report."""

    COLLECTOR_KILLED = "collectors killed (SIGKILL)"
    COLLECTOR_STOPPED = "collectors stopped past their session and resumed (SIGSTOP, SIGCONT)"
    COLLECTOR_ENDED = "collectors ended (SIGTERM)"
    BROKER_KILLED = "broker killed and started again"
    BROKER_STOPPED = "broker stopped and started again"
    WAREHOUSE_KILLED = "warehouse killed and started again"


#: Kills as they are dealt, shuffled, again and again.
ALL_KILLS = (
    *[Kill.COLLECTOR_KILLED] * 15,
    *[Kill.COLLECTOR_STOPPED] * 3,
    *[Kill.COLLECTOR_ENDED] * 3,
    *[Kill.WAREHOUSE_KILLED] * 2,
    Kill.BROKER_KILLED,
    Kill.BROKER_STOPPED,
)
#: For a test that has seconds: one of each, but for the broker's slow end in order, and collectors killed.
FEW_KILLS = (
    *[Kill.COLLECTOR_KILLED] * 4,
    Kill.COLLECTOR_STOPPED,
    Kill.COLLECTOR_ENDED,
    Kill.WAREHOUSE_KILLED,
    Kill.BROKER_KILLED,
)

#: What the warehouse does to requests for a while, with ClickHouse's own codes.
WEATHERS = (
    Weather("out of memory", Deed.REFUSED, 241, "Memory limit (total) exceeded. (MEMORY_LIMIT_EXCEEDED)", 0.7, False),
    Weather("too many parts", Deed.REFUSED, 252, "Too many parts (300). Merges are slower. (TOO_MANY_PARTS)", 0.7),
    Weather("out of disk", Deed.REFUSED, 243, "Cannot reserve 1.00 MiB, not enough space. (NOT_ENOUGH_SPACE)"),
    Weather("read-only", Deed.REFUSED, 242, "Table is in readonly mode. (TABLE_IS_READ_ONLY)"),
    Weather("an error after the insert", Deed.BELIED, 159, "Timeout exceeded. (TIMEOUT_EXCEEDED)", 0.5),
    Weather("cut off before the insert", Deed.CUT_BEFORE, share=0.5),
    Weather("cut off after the insert", Deed.CUT_AFTER, share=0.5),
    Weather("no answer after the insert", Deed.TIMED_OUT, share=0.3),
    Weather("cut off at any request", Deed.CUT_AFTER, share=0.3, inserts_alone=False),
)
