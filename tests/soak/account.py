"""The account of a soak: every event that was formed, against every row and dead letter that there is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from soak.publishing import TYPES, Event
from trailhouse_schemas.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Account", "account"]

_SHOWN = 20
Identity = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the events."""

    events: int
    rows: int
    dead_letters: int
    #: Messages that came again and are in no table.
    left_out: int
    #: Events that are nowhere, or not with all their rows.
    lost: list[Identity]
    #: Events that are there more than once, or in two places.
    doubled: list[Identity]
    #: Rows of events that nobody has formed.
    strange: list[Identity]
    #: Good events among the dead letters, and the other way round.
    misplaced: list[Identity]
    reasons: Mapping[str, int]

    @property
    def exact(self) -> bool:
        """Whether each event is there once."""
        return not (self.lost or self.doubled or self.strange)

    def faults(self) -> list[str]:
        """Return a line for each of the first events that are not there once."""
        named = {"lost": self.lost, "doubled": self.doubled, "strange": self.strange, "misplaced": self.misplaced}
        return [
            f"{what}: producer {producer_id}, sequence {sequence}"
            for what, events in named.items()
            for producer_id, sequence in events[:_SHOWN]
        ]


def account(client: Any, events: Mapping[Identity, Event], messages: int) -> Account:
    """Compare what was formed with what the warehouse holds; `messages` is how many the topics hold."""
    there: dict[Identity, dict[str, tuple[int, int]]] = {}
    rows = 0
    for table in TYPES:
        ordinal = "ordinal" if CATALOGUE[table].rows_from else "0"
        answer = client.query(
            f"SELECT producer_id, sequence, count(), uniqExact({ordinal}) FROM {table} GROUP BY 1, 2"  # noqa: S608
        )
        for producer_id, sequence, count, distinct in answer.result_rows:
            there.setdefault((str(producer_id), int(sequence)), {})[table] = (int(count), int(distinct))
            rows += int(count)
    letters: Counter[Identity] = Counter()
    reasons: Counter[str] = Counter()
    answer = client.query("SELECT producer_id, sequence, reason FROM dead_letters")
    for producer_id, sequence, reason in answer.result_rows:
        letters[str(producer_id), int(sequence or 0)] += 1
        reasons[str(reason)] += 1
    lost, doubled, misplaced = [], [], []
    for identity, event in events.items():
        tables = there.get(identity, {})
        count, distinct = tables.get(event.table, (0, 0))
        if not letters[identity] and distinct < max(event.rows, 1):
            lost.append(identity)
        if letters[identity] + len(tables) > 1 or count > max(event.rows, 1):
            doubled.append(identity)
        if bool(letters[identity]) == bool(event.rows):
            misplaced.append(identity)
    strange = [identity for identity in {*there, *letters} if identity not in events]
    landed = sum(map(len, there.values())) + letters.total()
    return Account(
        len(events), rows, letters.total(), messages - landed, lost, doubled, strange, misplaced, dict(reasons)
    )
