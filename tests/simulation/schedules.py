"""Schedules: lists of steps, each a word and what it is about, that shrink to the shortest which still fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st

from simulation.account import hidden, wrong
from simulation.broker import PARTITIONS
from simulation.processes import Fate
from simulation.world import PRODUCERS, SLOTS, StandstillError, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["STEPS", "Step", "play", "schedules"]

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
        yield from (("kill", slot),) * 3
        yield from (("expire", slot),) * 3
    for producer in range(len(_NAMES)):
        yield from (("publish", producer, events) for events in (1, 2, 5))
        yield from (("resend", producer, events) for events in (1, 3))
        yield ("refuse", producer)
        yield ("send refused", producer)
        yield ("poison", producer)
    for partition in range(PARTITIONS):
        yield ("junk", partition)
        yield ("hole", partition)
        yield from (("retain", partition, kept) for kept in (0, 1, 3))
        yield ("lose offset", partition)
        yield ("reset offset", partition)
    yield from (("finish",), ("finish",), ("crash",), ("forget",), ("forget",), ("new month",), *(("new topic",),) * 3)


STEPS: Final = tuple(_all_steps())
_END: Final = ("end",)
#: How much more often than usual a step is taken that a fault is known to be about.
_OFTEN: Final = 20


@st.composite
def schedules(draw: st.DrawFn, longest: int, often: Sequence[str] = ()) -> list[Step]:
    """Draw a schedule of at most that many steps, with some words more often than usual.

    One choice a step, and the end is one of the choices: so any step can be left out without changing the others.
    """
    steps = STEPS + tuple(step for step in STEPS if step[0] in often) * _OFTEN
    choices = st.sampled_from((_END,) * (len(steps) // _USUAL_LENGTH) + steps)
    schedule: list[Step] = []
    while len(schedule) < longest and (step := draw(choices)) != _END:
        schedule.append(step)
    return schedule


def play(schedule: Iterable[Step], of: type[World] = World) -> list[str]:
    """Play a schedule, let things settle, and return what is wrong then, in words."""
    world = of()
    try:
        _begin(world)
        for step in schedule:
            _take(world, step)
            if found := hidden(world):
                return found
        world.undisturbed()
        if found := wrong(world):
            return found
        if world.wake_all():
            world.undisturbed()
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
