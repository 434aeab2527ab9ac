"""The ranks of a run that nobody hears of: those that never said anything, and those that do not any more.

A rank that never came up tells nobody; the others do, as each says how many of them there are.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from trailhouse_analytics.queries import ask

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clickhouse_connect.driver.client import Client

__all__ = ["SilentRanks", "ranks_in_words", "silent_ranks"]

_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2261, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentRanks:
    """The silent ranks of the latest attempt of one run, sorted."""

    project: str
    run_id: str
    attempt: int
    #: As the ranks say that were heard of.
    world_size: int
    #: No event of theirs is known, and the first of the others was heard of longer ago than the grace.
    never_heard_of: tuple[int, ...] = ()
    #: Found dead, or their next sign of life is overdue.
    lost_contact: tuple[int, ...] = ()


def silent_ranks(
    client: Client,
    *,
    now: datetime,
    grace: timedelta,
    project: str = "",
    run_id: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    elsewhere: Iterable[tuple[str, int, int]] = (),
) -> list[SilentRanks]:
    """Return the runs with silent ranks in their latest attempt, the first started first.

    Args:
        client: The warehouse.
        now: What signs of life are held against.
        grace: How long a sign of life, and the first one of a rank after that of the others, may be late.
        project: Only runs of this project.
        run_id: Only this run.
        since: Only runs that were heard of from then on.
        until: Only runs that were heard of before then.
        elsewhere: (run, attempt, rank) of ranks that are heard of where the warehouse does not see it, as in spools.
    """
    grace_ms = round(grace.total_seconds() * 1000)
    rows = ask(
        client,
        "ranks_silent",
        now=now,
        grace_ms=grace_ms,
        project=project,
        run_id=run_id,
        since=since or _EARLIEST,
        until=until or _LATEST,
    ).to_pylist()
    lacking = [row for row in rows if row["all_due"] and len(row["heard"]) < row["world_size"]]
    known: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    for of, attempt, rank in elsewhere:
        known[of, attempt].add(rank)
    if lacking:
        projects, run_ids = ([*{row[name] for row in lacking}] for name in ("project", "run_id"))
        for row in ask(client, "ranks_logged", projects=projects, run_ids=run_ids).to_pylist():
            known[row["run_id"], row["attempt"]].add(row["rank"])
    found = []
    for row in rows:
        heard = {*row["heard"], *known[row["run_id"], row["attempt"]]}
        never = [rank for rank in range(row["world_size"]) if rank not in heard] if row["all_due"] else []
        if never or row["lost_contact"]:
            found.append(
                SilentRanks(
                    project=row["project"],
                    run_id=row["run_id"],
                    attempt=row["attempt"],
                    world_size=row["world_size"],
                    never_heard_of=tuple(never),
                    lost_contact=tuple(sorted(row["lost_contact"])),
                )
            )
    return found


def ranks_in_words(ranks: Sequence[int]) -> str:
    """Return sorted ranks in a line: 3, 5-7."""
    breaks = [0, *(at for at, (a, b) in enumerate(pairwise(ranks), 1) if b != a + 1), len(ranks)]
    stretches = [ranks[begin:end] for begin, end in pairwise(breaks) if begin < end]
    return ", ".join(f"{s[0]}-{s[-1]}" if len(s) > 1 else f"{s[0]}" for s in stretches)
