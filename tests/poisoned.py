"""Bad messages for the tests: mutations of good ones, from a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collected import full_record, metrics
from trailhouse_schemas.versions import latest
from trailhouse_schemas.wire import encode

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

#: A mutation leaves the identity of the event in the message's header as it is.
MUTATIONS = ("flip", "cut", "insert", "remove", "splice", "zero", "noise", "append", "header", "swap")


def good_value(name: str, producer_id: str, sequence: int) -> bytes:
    """Return the value of a valid event, in which nothing is empty."""
    if name == "metrics_logged":
        return metrics(producer_id, sequence, points=1 + sequence % 3)
    return encode(latest(name), full_record(name, producer_id, sequence))


def mutated(value: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:  # noqa: PLR0911 - one a mutation
    """Return a value with something done to it; it may be valid still."""
    kind = chance.choice(MUTATIONS)
    body = 10 if chance.random() < 0.9 else 0  # mostly behind the header
    at = chance.randrange(body, len(value))
    to = min(len(value), at + chance.randrange(1, 9))
    if kind == "flip":
        return value[:at] + bytes([value[at] ^ 1 << chance.randrange(8)]) + value[at + 1 :]
    if kind == "cut":
        return value[:at]
    if kind == "insert":
        return value[:at] + chance.randbytes(to - at) + value[at:]
    if kind == "remove":
        return value[:at] + value[to:]
    if kind == "splice":
        return value[:at] + chance.choice(others)[at:]
    if kind == "zero":
        return value[:at] + bytes(to - at) + value[to:]
    if kind == "noise":
        return value[:at] + chance.randbytes(to - at) + value[to:]
    if kind == "append":
        return value + chance.randbytes(to - at)
    if kind == "header":
        return chance.randbytes(10) + value[10:]
    return value[:at] + value[to:] + value[at:to]
