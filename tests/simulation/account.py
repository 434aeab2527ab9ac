"""What must be true at the end of every schedule: each message that was ever in a log is accounted for, once."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from simulation.world import EVENTS
from trailhouse_consumer.dead_letters import DEAD_LETTERS_TABLE, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulation.broker import Message
    from simulation.warehouse import Row
    from simulation.world import World

__all__ = ["hidden", "wrong"]

Place = tuple[str, int, int]
_RANGE = re.compile(r"Offsets (\d+) to (\d+) ")


def wrong(world: World) -> list[str]:
    """Return what is lost or doubled, in words."""
    return [*_doubled(world), *_lost(world)]


def hidden(world: World) -> list[str]:
    """Return what is wrong at every moment: a dead letter that is not there, below a row of its partition that is.

    Whoever counts sequences in the tables would take it for lost.
    """
    highest: dict[tuple[str, int], int] = {}
    for row in world.server.rows(EVENTS.table):
        log = row.topic_id, row.partition
        highest[log] = max(row.offset, highest.get(log, -1))
    letters = world.server.rows(DEAD_LETTERS_TABLE)
    there = set(map(_place, letters)) | set(_missing(letters))
    return [
        f"{place} is not among the dead letters, but {highest[place[:2]]} is in the table"
        for place in world.junk
        if place[2] < highest.get(place[:2], -1) and place not in there
    ]


def _doubled(world: World) -> Iterator[str]:
    table = world.server.rows(EVENTS.table)
    letters = [row for row in world.server.rows(DEAD_LETTERS_TABLE) if row.reason != Reason.OFFSETS_MISSING]
    places = Counter(map(_place, table)) + Counter(map(_place, letters))
    yield from (f"{place} is there {times} times" for place, times in places.items() if times > 1)
    events = Counter((row.topic_id, row.producer, row.sequence) for row in table)
    yield from (f"event {event} is there {times} times" for event, times in events.items() if times > 1)


def _lost(world: World) -> Iterator[str]:
    table = world.server.rows(EVENTS.table)
    letters = world.server.rows(DEAD_LETTERS_TABLE)
    there = set(map(_place, table)) | {_place(row) for row in letters if row.reason != Reason.OFFSETS_MISSING}
    missing = set(_missing(letters))
    lowest: dict[tuple[str, int, str], int] = {}
    for row in table:
        event = row.topic_id, row.partition, f"{row.producer}:{row.sequence}"
        lowest[event] = min(row.offset, lowest.get(event, row.offset))
    for partition, log in world.broker.every_log:
        for offset, message in enumerate(log.messages):
            place = log.topic_id, partition, offset
            if place in there:
                if place in missing:
                    yield f"{place} is said to be missing, and is there"
            elif message is not None and place not in missing and not log.deleted:
                original = lowest.get((log.topic_id, partition, _text(message)), offset)
                if original >= offset:
                    yield f"{place} is nowhere: {_text(message)}"


def _missing(letters: list[Row]) -> Iterator[Place]:
    for row in letters:
        if row.reason == Reason.OFFSETS_MISSING and (found := _RANGE.match(row.detail)):
            yield from ((row.topic_id, row.partition, each) for each in range(int(found[1]), int(found[2]) + 1))


def _place(row: Row) -> Place:
    return row.topic_id, row.partition, row.offset


def _text(message: Message) -> str:
    return (message.value() or b"").decode()
