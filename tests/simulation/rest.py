"""Remembers what a world comes to when one collector is left undisturbed in it, so that no state is played out twice.

A new collector knows nothing but what the broker and the warehouse have, and nobody else runs meanwhile: so the same
state always comes to the same end, and many schedules lead to the same few states.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from simulation.warehouse import Row
    from simulation.world import World

__all__ = ["Rests"]

#: Ends that are remembered: a few kilobytes each.
_MOST: Final = 5_000


class _End(NamedTuple):
    committed: dict[int, tuple[int, str]]
    tables: dict[str, list[Row]]
    tokens: set[tuple[str, int, str]]


class Rests:
    """What states come to, with the real parts or with one broken protocol: each has its own."""

    def __init__(self) -> None:
        """Know nothing."""
        self._known: dict[int, _End] = {}

    def settle(self, world: World) -> None:
        """Do what `World.undisturbed` does."""
        state = hash(_state(world))
        if (end := self._known.get(state)) is not None:
            world.expire_all()
            _put(world, end)
            return
        world.undisturbed()
        if len(self._known) < _MOST and not world.server.running:
            self._known[state] = _end(world)


def _state(world: World) -> tuple[object, ...]:
    """Return all that a new collector may depend on."""
    broker, server = world.broker, world.server
    return (
        tuple(
            (log.topic_id, log.low, tuple((m.body, m.published_ms) if m else None for m in log.messages))
            for log in broker.logs
        ),
        frozenset(broker.committed.items()),
        tuple((table, frozenset(Counter(rows).items())) for table, rows in sorted(server.tables.items()) if rows),
        frozenset(server.tokens),
        tuple((insert.table, tuple(insert.rows), insert.token) for insert in server.running),
        frozenset(server.refused),
    )


def _end(world: World) -> _End:
    server = world.server
    return _End(dict(world.broker.committed), {t: list(rows) for t, rows in server.tables.items()}, set(server.tokens))


def _put(world: World, end: _End) -> None:
    server = world.server
    world.broker.committed = dict(end.committed)
    server.tables = {table: list(rows) for table, rows in end.tables.items()}
    server.tokens = set(end.tokens)
    server.running.clear()
