"""Which partitions may take up memory: the bound is kept, and yet nothing stands still; what a range is cut from."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np

from trailhouse_consumer.sources import Headers, Limits, Messages, Partition, Plan
from trailhouse_consumer.sources.buffers import MESSAGE_OVERHEAD_BYTES, Buffer, Key, crowded

if TYPE_CHECKING:
    import pytest

BOUND = 8 << 20
#: How many messages come at a time, and how large each is in memory.
BATCH = 100
SIZE = 400 + MESSAGE_OVERHEAD_BYTES


def partition(number: int) -> tuple[Key, Partition]:
    """Return a partition under its key."""
    return ("trailhouse.metrics_logged", number), Partition("trailhouse.metrics_logged", "id", number)


def some(offsets: list[int], sizes: list[int]) -> Messages:
    """Return messages with values of these sizes; each names its offset in its value, key and a header of its own."""
    names = [b"%d" % offset for offset in offsets]
    values: list[bytes | None] = [name.ljust(size, b".") for name, size in zip(names, sizes, strict=True)]
    odd: dict[int, Headers] = {offset: [("name", name)] for offset, name in zip(offsets, names, strict=True)}
    return Messages(np.array(offsets), np.array(offsets) * 10, values, list(values), [*names], odd)


def comes(buffer: Buffer) -> None:
    """Let the next messages of a partition come."""
    buffer.add(some([buffer.position + i for i in range(BATCH)], [SIZE - MESSAGE_OVERHEAD_BYTES] * BATCH))


def used(buffers: dict[Key, Buffer]) -> int:
    """Return the bytes that they take."""
    return sum(buffer.bytes for buffer in buffers.values())


def test_a_partition_completes_its_plan_though_that_is_more_than_the_bound() -> None:
    """It is never paused before; after that it is."""
    key, one = partition(0)
    buffer = Buffer(one, 0, Plan(0, 2 * BOUND // SIZE))
    buffers = {key: buffer}
    while buffer.lacks_of_plan:
        assert not crowded(buffers, used(buffers), BOUND, full=False)
        comes(buffer)
    assert buffer.is_due(Limits())
    assert crowded(buffers, used(buffers), BOUND, full=False) == {key}


def test_when_memory_is_full_all_wait_until_half_of_it_is_free() -> None:
    """Who goes on earlier would be stopped again with the next message."""
    (key, one), (other, another) = partition(0), partition(1)
    buffers = {key: Buffer(one, 0), other: Buffer(another, 0)}
    while not (paused := crowded(buffers, used(buffers), BOUND, full=False)):
        comes(buffers[key])
    assert paused == {key, other}
    buffers[key].drop_through(BATCH)
    assert crowded(buffers, used(buffers), BOUND, full=True) == {key, other}
    buffers[key].drop_through(buffers[key].position // 2 + BATCH)
    assert crowded(buffers, used(buffers), BOUND, full=True) == set()


def test_a_partition_that_cannot_be_landed_does_not_take_the_memory_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its schema is not to be had, say: it has a quarter; one that has just come has what it needs."""
    (key, one), (other, another) = partition(0), partition(1)
    buffers = {key: Buffer(one, 0), other: Buffer(another, 0)}
    for _ in range(BOUND // 4 // SIZE // BATCH + 1):
        comes(buffers[key])
        comes(buffers[other])
    assert crowded(buffers, used(buffers), BOUND, full=False) == set()
    monkeypatch.setattr("trailhouse_consumer.sources.buffers._LONG_SECONDS", -1.0)
    buffers[other].drop_through(BATCH)
    assert crowded(buffers, used(buffers), BOUND, full=False) == {key}


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
        paused = crowded(buffers, used(buffers), BOUND, full=bool(paused))
        for key in chance.sample(sorted(buffers.keys() - paused), min(3, len(buffers) - len(paused))):
            comes(buffers[key])
        assert used(buffers) <= BOUND + (a_range + 3 * BATCH) * SIZE
        full = used(buffers) >= BOUND
        for key, buffer in buffers.items():
            if buffer.is_due(limits) or (full and buffer.count and not buffer.plan):
                buffer.drop_through(buffer.plan.last if buffer.plan else buffer.position)
                buffer.plan = None
                open_plans.discard(key)
        if not open_plans:
            return
    raise AssertionError(open_plans)


def test_a_first_message_that_is_larger_than_the_limit_is_a_range_alone() -> None:
    """Also where the next one, which came apart from it, would be within the limit."""
    buffer = Buffer(partition(0)[1], 0)
    buffer.add(some([0], [40]))
    buffer.add(some([1], [5]))
    head = buffer.head(Limits(rows=10, bytes=30))
    assert head is not None
    assert head.offsets.tolist() == [0]


def test_ranges_are_cut_from_what_came_in_any_pieces() -> None:
    """Held against the plain list of all messages: by rows, by bytes, and by plans; what is left stays whole."""
    seed = random.randrange(1 << 32)  # noqa: S311
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)  # noqa: S311
    for _ in range(200):
        buffer, offset, left = Buffer(partition(0)[1], 0), 0, list[tuple[int, int]]()
        while offset < 300:
            offsets = []
            for _ in range(chance.randint(1, 40)):
                offset += chance.choice([1, 1, 1, 5])
                offsets.append(offset)
            sizes = [chance.randint(3, 40) for _ in offsets]
            buffer.add(some(offsets, sizes))
            left += zip(offsets, sizes, strict=True)
            assert buffer.bytes == sum(size + MESSAGE_OVERHEAD_BYTES for _, size in left)
            assert (buffer.count, buffer.first, buffer.position) == (len(left), left[0][0], left[-1][0] + 1)
            limits = Limits(chance.randint(1, 60), chance.randint(1, 900))
            buffer.plan = None
            if chance.random() < 0.3:
                buffer.plan = Plan(left[0][0], chance.choice(left)[0])
                expected = [each for each in left if each[0] <= buffer.plan.last]
            else:
                expected, total = [], 0
                for each in left[: limits.rows]:
                    total += each[1]
                    if expected and total > limits.bytes:
                        break
                    expected.append(each)
            head = buffer.head(limits)
            assert head is not None
            assert head.offsets.tolist() == [at for at, _ in expected]
            assert head.published_us.tolist() == [at * 10 for at, _ in expected]
            assert head.values == head.identities == [(b"%d" % at).ljust(size, b".") for at, size in expected]
            assert head.keys == [b"%d" % at for at, _ in expected]
            assert [head.headers_of(i) for i in range(len(head))] == [[("name", key)] for key in head.keys]
            if chance.random() < 0.7:
                buffer.drop_through(expected[-1][0])
                buffer.plan = None
                left = left[len(expected) :]
            if not left:
                assert buffer.head(limits) is None
                offset += 1
                buffer.add(some([offset], [5]))
                left.append((offset, 5))
