"""How runs stand: running, ended in some way, or not heard of any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from trailhouse_analytics.errors import RunsInputError
from trailhouse_analytics.queries import ask

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from clickhouse_connect.driver.client import Client

__all__ = ["DEFAULT_GRACE", "STATUSES", "check_statuses", "overview"]

#: How late a run's sign of life may be.
DEFAULT_GRACE: Final = timedelta(seconds=30)

#: What a run can be: how it ended, in Slurm's terms, or what is known of one that nobody said the end of.
STATUSES: Final = (
    "running",
    "completed",
    "failed",
    "cancelled",
    "timeout",
    "preempted",
    "node_fail",
    "out_of_memory",
    "ended",
    "lost contact",
)

_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2261, 1, 1, tzinfo=UTC)


def check_statuses(statuses: Sequence[str]) -> None:
    """Raise `RunsInputError` unless all of these are in `STATUSES`."""
    for status in statuses:
        if status not in STATUSES:
            raise RunsInputError(f"Status {status!r} is none; write one of {', '.join(STATUSES)}")


def overview(
    client: Client,
    *,
    project: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    statuses: Sequence[str] = (),
    group: str | None = None,
    run_ids: Sequence[str] = (),
    now: datetime,
    grace: timedelta = DEFAULT_GRACE,
) -> pa.Table:
    """Return how runs stand, one row a run, the latest started first; see `list_runs`."""
    return ask(
        client,
        "runs_overview",
        project=project or "",
        since=since or _EARLIEST,
        until=until or _LATEST,
        statuses=list(statuses),
        group=group or "",
        run_ids=list(run_ids),
        now=now,
        grace_ms=round(grace.total_seconds() * 1000),
    )
