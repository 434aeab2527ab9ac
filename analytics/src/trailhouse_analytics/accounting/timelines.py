"""What holds from when on (a price, a team, a day), and cutting stretches of time where it changes.

All stretches are half-open, [begin, end), in whole microseconds: cut anywhere, the parts sum to the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from trailhouse_analytics.accounting.moments import FIRST

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

__all__ = ["Integers", "Pieces", "Timeline", "cut", "grid"]

Integers: TypeAlias = "NDArray[np.int64]"


@dataclass(frozen=True, slots=True)
class Timeline:
    """A step function: `values[i]` holds from `starts[i]` until `starts[i + 1]`, the last one for ever."""

    starts: Integers
    values: Integers

    @staticmethod
    def of(steps: Iterable[tuple[int, int]], before: int) -> Timeline:
        """Make one of (moment, value from then on) in order of time, with `before` ahead of the first.

        Of several at one moment the last holds; a step to the value that holds already is no step.
        """
        starts, values = [FIRST], [before]
        for moment, value in steps:
            if moment <= starts[-1]:
                values[-1] = value
            else:
                starts.append(moment)
                values.append(value)
        kept = [i for i in range(len(values)) if i == 0 or values[i] != values[i - 1]]
        return Timeline(np.array(starts, np.int64)[kept], np.array(values, np.int64)[kept])


@dataclass(frozen=True, slots=True)
class Pieces:
    """Stretches of time: of which allocation each is (`owner`), its begin and end."""

    owner: Integers
    begin: Integers
    end: Integers

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.owner)

    def only(self, which: NDArray[np.bool_]) -> Pieces:
        """Return those that are marked."""
        return Pieces(self.owner[which], self.begin[which], self.end[which])


def cut(pieces: Pieces, timelines: Sequence[Timeline], which: Integers) -> tuple[Pieces, Integers, Integers]:
    """Cut each piece where its timeline steps.

    Args:
        pieces: Each longer than nothing.
        timelines: The timelines.
        which: The index of each piece's timeline.

    Returns:
        The smaller pieces, grouped as the ones that they are cut from; the index of the piece that each is cut from;
        and the value of the timeline that holds in it.
    """
    first = np.zeros(len(pieces), np.int64)
    last = np.zeros(len(pieces), np.int64)
    base = np.cumsum([0, *(len(timeline.starts) for timeline in timelines)])
    order = np.argsort(which, kind="stable")
    edges = np.searchsorted(which[order], np.arange(len(timelines) + 1))
    for index, timeline in enumerate(timelines):
        of = order[edges[index] : edges[index + 1]]
        first[of] = base[index] + np.searchsorted(timeline.starts, pieces.begin[of], "right") - 1
        last[of] = base[index] + np.searchsorted(timeline.starts, pieces.end[of], "left") - 1
    count = last - first + 1
    source = np.repeat(np.arange(len(pieces)), count)
    within = np.arange(len(source)) - np.repeat(np.cumsum(count) - count, count)
    step = first[source] + within
    starts = np.concatenate([timeline.starts for timeline in timelines]) if timelines else np.zeros(0, np.int64)
    values = np.concatenate([timeline.values for timeline in timelines]) if timelines else np.zeros(0, np.int64)
    begin = np.where(within == 0, pieces.begin[source], starts[step])
    following = starts[np.minimum(step + 1, len(starts) - 1)] if len(starts) else step
    end = np.where(within == count[source] - 1, pieces.end[source], following)
    return Pieces(pieces.owner[source], begin, end), source, values[step]


def grid(pieces: Pieces, width: int) -> Timeline:
    """Return a timeline of steps `width` microseconds apart that spans all pieces; its values are their begins."""
    if not len(pieces):
        return Timeline(np.zeros(1, np.int64), np.zeros(1, np.int64))
    first = int(pieces.begin.min()) // width * width
    starts = np.arange(first, int(pieces.end.max()), width, dtype=np.int64)
    return Timeline(starts, starts)
