"""Schedules: lists of steps, each a word and what it is about, that shrink to the shortest which still fails."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st

from simulation.account import hidden, wrong
from simulation.broker import PARTITIONS
from simulation.processes import Fate
from simulation.rest import Rests
from simulation.world import PRODUCERS, SLOTS, StandstillError, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["AT_ONCE", "STEPS", "Step", "play", "schedules"]

#: A word, and its subjects.
Step = tuple[object, ...]

_NAMES: Final = list(PRODUCERS)
_CALLS: Final = ("consume", "committed", "commit", "ask", "insert", "inserting")
#: A collector that does not get to the call it was sent to stops after so many.
_LONGEST: Final = 40
#: Steps of a schedule, on average.
_USUAL_LENGTH: Final = 12
_FATES: Final = (Fate.REFUSED, Fate.LOST, Fate.LATER, Fate.BEGUN, Fate.HOLLOW)


def _all_steps() -> Iterable[Step]:
    """Yield every step there is, simple ones first; what is to happen more often, more often."""
    for slot in range(len(SLOTS)):
        yield from (("go", slot, calls) for calls in (40, 40, 5, 1))
        yield from (("until", slot, call) for call in _CALLS)
        yield from (("until", slot, call) for call in ("commit", "insert", "insert"))
        yield from (("fate", slot, fate) for fate in _FATES)
        yield from (("other", slot),) * 3
        yield from (("both", slot),) * 2
        yield from (("kill", slot),) * 3
        yield from (("expire", slot),) * 3
    for producer in range(len(_NAMES)):
        yield from (("publish", producer, events) for events in (1, 2, 5))
        yield from (("resend", producer, events) for events in (1, 3))
        yield ("refuse", producer)
        yield ("send refused", producer)
    yield ("poison", 0)
    for partition in range(PARTITIONS):
        yield ("junk", partition)
        yield ("hole", partition)
        yield from (("retain", partition, kept) for kept in (0, 1, 3))
        yield ("lose offset", partition)
        yield ("reset offset", partition)
    yield from (("finish",), ("finish",), ("crash",), ("forget",), ("forget",), ("new month",), *(("new topic",),) * 3)


STEPS: Final = tuple(_all_steps())
_END: Final = ("end",)
_NOTHING: Final = ("nothing",)
#: How much more often than usual a step is taken that a fault is known to be about.
_OFTEN: Final = 20
#: Schedules that are drawn at once: to draw one takes Hypothesis a good part of the time that it takes to play it.
AT_ONCE: Final = 16
_BYTES: Final = 2


def schedules(longest: int, often: Sequence[str] = (), at_once: int = AT_ONCE) -> st.SearchStrategy[list[list[Step]]]:
    """Draw schedules of at most that many steps, with some words more often than usual.

    Two bytes a step, and "nothing" and the end are among the choices: so any step can be left out without changing the
    others, and schedules that do not fail shrink to nothing.
    """
    steps = STEPS + tuple(step for step in STEPS if step[0] in often) * _OFTEN
    choices = (_NOTHING, *steps, *(_END,) * (len(steps) // _USUAL_LENGTH))
    size = longest * _BYTES

    def schedule(drawn: bytes) -> list[Step]:
        numbers = (int.from_bytes(drawn[at : at + _BYTES]) for at in range(0, size, _BYTES))
        taken = takewhile(lambda step: step != _END, (choices[number % len(choices)] for number in numbers))
        return [step for step in taken if step != _NOTHING]

    drawn = st.binary(min_size=at_once * size, max_size=at_once * size)
    return drawn.map(lambda all_: [schedule(all_[at : at + size]) for at in range(0, len(all_), size)])


def play(schedule: Iterable[Step], of: type[World] = World, rests: Rests | None = None) -> list[str]:
    """Play a schedule, let things settle, and return what is wrong then, in words.

    `rests` remembers what states have settled to, of schedules that were played with the same protocol.
    """
    world, rests = of(), rests or Rests()
    try:
        _begin(world)
        for step in schedule:
            changes = world.server.changes
            _take(world, step)
            if world.server.changes != changes and (found := hidden(world)):
                return found
        rests.settle(world)
        if found := wrong(world):
            return found
        if not world.wake_all():
            return []
        rests.settle(world)
        return wrong(world)
    except StandstillError as error:
        return [str(error)]
    finally:
        world.end()


def _begin(world: World) -> None:
    for producer in _NAMES[:PARTITIONS]:
        world.publish_next(producer)
        world.publish_junk(PRODUCERS[producer])
        world.publish_next(producer)


def _take(world: World, step: Step) -> None:
    word, *subjects = step
    _DOES[str(word)](world, *subjects)


def _go(world: World, slot: int, calls: int) -> None:
    world.process(slot).go_on(calls)


def _until(world: World, slot: int, call: str) -> None:
    world.process(slot).go_on(_LONGEST, until=call)


def _fate(world: World, slot: int, fate: Fate) -> None:
    world.process(slot).go_on(1, fate)


def _publish(world: World, producer: int, events: int) -> None:
    for _ in range(events):
        world.publish_next(_NAMES[producer])


def _resend(world: World, producer: int, events: int) -> None:
    for sequence in world.published[_NAMES[producer]][-events:]:
        world.publish(_NAMES[producer], sequence)


def _new_topic(world: World) -> None:
    world.make_topic_again()
    _begin(world)


_DOES: Final[dict[str, Callable[..., object]]] = {
    "go": _go,
    "until": _until,
    "fate": _fate,
    "other": World.other,
    "both": lambda world, slot: world.both(slot, _LONGEST),
    "kill": World.kill,
    "expire": lambda world, slot: world.expire(world.slots[slot]),
    "publish": _publish,
    "resend": _resend,
    "refuse": lambda world, producer: world.refuse(_NAMES[producer]),
    "send refused": lambda world, producer: world.send_refused(_NAMES[producer]),
    "poison": lambda world, producer: world.publish_poison(_NAMES[producer]),
    "junk": World.publish_junk,
    "hole": World.make_hole,
    "retain": World.retain,
    "lose offset": World.lose_offset,
    "reset offset": World.reset_offset,
    "finish": lambda world: world.server.finish(),
    "crash": lambda world: world.server.crash(),
    "forget": World.forget_tokens,
    "new month": World.begin_month,
    "new topic": _new_topic,
}
