"""How a soak is run, and what it has come to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from soak.faults import ALL_KILLS

if TYPE_CHECKING:
    from collections import Counter

    from soak.account import Account
    from soak.faults import Kill

__all__ = ["How", "Outcome"]


@dataclass(frozen=True, slots=True)
class How:
    """How a soak is run."""

    seed: int
    kills: int = 200
    #: Longest that kills go on; 0: until there were enough.
    minutes: float = 0.0
    collectors: int = 3
    events_per_second: int = 300
    #: Messages in a range at most.
    flush_rows: int = 150
    session_seconds: float = 6.0
    #: Longest rest between two kills: something is to be done that can be spoilt.
    rest_seconds: float = 3.0
    #: Kills as they are dealt, shuffled, again and again.
    deck: tuple[Kill, ...] = ALL_KILLS
    protocol: str = "classic"
    #: A way in which the collectors are broken, to see that it is found.
    broken: str = ""


@dataclass(slots=True)
class Outcome:
    """What a soak has come to."""

    how: How
    account: Account
    kills: Counter[Kill]
    #: Kills of collectors by their moment.
    moments: Counter[str]
    #: Requests that met a fault of the warehouse, by its name.
    befallen: Counter[str]
    #: Collectors that ended with an error that nobody had asked for.
    fallen: list[str]
    partitions_added: int
    resent: int
    seconds: float
