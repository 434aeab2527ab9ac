"""Which partitions may take up memory: the bound is kept, and yet nothing stands still."""

from __future__ import annotations

import random
from dataclasses import dataclass

from trailhouse_consumer.sources import Limits, Partition, Plan
from trailhouse_consumer.sources.buffers import MESSAGE_OVERHEAD_BYTES, Buffer, Key, crowded

BOUND = 8 << 20
#: How many messages come at a time, and how large each is in memory.
BATCH = 100
SIZE = 400 + MESSAGE_OVERHEAD_BYTES


@dataclass(frozen=True)
class Came:
    """A message, as far as a buffer looks at it."""

    at: int

    def offset(self) -> int:
        """Return its place in the partition."""
        return self.at

    def __len__(self) -> int:
        """Return the bytes of its value."""
        return SIZE - MESSAGE_OVERHEAD_BYTES


def partition(number: int) -> tuple[Key, Partition]:
    """Return a partition under its key."""
    return ("trailhouse.metrics_logged", number), Partition("trailhouse.metrics_logged", "id", number)


def comes(buffer: Buffer) -> None:
    """Let the next messages of a partition come."""
    run = [Came(buffer.position + i) for i in range(BATCH)]
    buffer.add(run, BATCH * len(run[0]))


def test_a_partition_completes_its_plan_though_that_is_more_than_its_share() -> None:
    """It is never paused before, not even when memory is full of it; after that it is."""
    key, one = partition(0)
    buffer = Buffer(one, 0, Plan(0, 2 * BOUND // SIZE))
    buffers, paused = {key: buffer}, set[Key]()
    while buffer.lacks_of_plan:
        paused = crowded(buffers, paused, BOUND)
        assert not paused
        comes(buffer)
    assert buffer.is_due(Limits())
    assert crowded(buffers, paused, BOUND) == {key}


def test_a_partition_without_a_plan_has_a_quarter_of_the_memory() -> None:
    """And goes on when half of that is free."""
    (key, one), (other, another) = partition(0), partition(1)
    buffers = {key: Buffer(one, 0), other: Buffer(another, 0)}
    paused = set[Key]()
    while not (paused := crowded(buffers, paused, BOUND)):
        comes(buffers[key])
    assert paused == {key}
    assert BOUND // 4 <= buffers[key].bytes < BOUND // 4 + 2 * BATCH * SIZE
    buffers[key].drop_through(BATCH)
    assert crowded(buffers, paused, BOUND) == {key}
    buffers[key].drop_through(buffers[key].position // 2 + BATCH)
    assert crowded(buffers, paused, BOUND) == set()


def test_many_partitions_with_a_backlog_keep_to_the_bound_and_all_are_landed() -> None:
    """Some with plans, some without: never more than the bound, a range, and what came with the last poll."""
    seed = random.randrange(1 << 32)  # noqa: S311 - moments, not secrets
    print(f"seed {seed}")  # noqa: T201 - to find it again
    chance = random.Random(seed)  # noqa: S311
    a_range = BOUND // 3 // SIZE
    limits = Limits(rows=a_range, bytes=1 << 40, seconds=3600)
    buffers = {}
    for number in range(40):
        key, one = partition(number)
        buffers[key] = Buffer(one, 0, Plan(0, a_range - 1) if chance.random() < 0.8 else None)
    open_plans = {key for key, buffer in buffers.items() if buffer.plan}
    paused = set[Key]()
    for _ in range(20_000):
        paused = crowded(buffers, paused, BOUND)
        for key in chance.sample(sorted(buffers.keys() - paused), min(3, len(buffers) - len(paused))):
            comes(buffers[key])
        used = sum(buffer.bytes for buffer in buffers.values())
        assert used <= BOUND + (a_range + 3 * BATCH) * SIZE
        for key, buffer in buffers.items():
            if buffer.is_due(limits) or (used >= BOUND and buffer.messages and not buffer.plan):
                buffer.drop_through(buffer.plan.last if buffer.plan else buffer.position)
                buffer.plan = None
                open_plans.discard(key)
        if not open_plans:
            return
    raise AssertionError(open_plans)
