"""What bad records cost: batches half of which are bad, against batches of good ones, and a batch with one bad record.

    python bench/bad_records.py [--events N] [--repeat N]

Measures decoding, and all of what a range comes to before it is inserted (rows, dead letters). The good batch and the
bad one take turns; a figure is the median of the ratios of the turns. Prints a table and, as its last line, one JSON
object. Times are those of the processor.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from load import single_event
from rich.console import Console
from rich.table import Table

from trailhouse_consumer.decode import Decoder
from trailhouse_consumer.rows import make_rows
from trailhouse_consumer.sources import Messages, Partition
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.wire import identity_to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TYPE: Final = CATALOGUE["resources_sampled"]
_PRODUCER: Final = str(uuid.UUID(int=7))
_NOW: Final = datetime(2026, 1, 2, tzinfo=UTC)


def _flipped(value: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(10, len(value))
    return value[:place] + bytes([value[place] ^ 1 << chance.randrange(8)]) + value[place + 1 :]


#: Ways for a record to be bad (a flipped bit may leave it good).
_KINDS: Final[dict[str, Callable[[bytes, random.Random], bytes | None]]] = {
    "cut short": lambda value, chance: value[: chance.randrange(10, len(value))],
    "bytes left over": lambda value, _: value + b"x",
    "flipped bits": _flipped,
    "text that is not UTF-8": lambda value, _: value.replace(b"bench", b"ben\xffh", 1),
    "random bytes": lambda value, chance: value[:10] + chance.randbytes(len(value) - 10),
    "unknown schemas": lambda value, chance: value[:2] + chance.randbytes(8) + value[10:],
    "no header": lambda value, chance: b"\xff" + chance.randbytes(len(value)),
    "tombstones": lambda _value, _chance: None,
    "absurd times": lambda _value, _chance: single_event(_PRODUCER, 0, occurred_at=_NOW + timedelta(days=9)),
}


def _messages(values: list[bytes | None]) -> Messages:
    count = len(values)
    return Messages(
        offsets=np.arange(count),
        published_us=np.full(count, int(_NOW.timestamp() * 1e6)),
        values=values,
        identities=[identity_to_bytes(_PRODUCER, place) for place in range(count)],
        keys=[b"key"] * count,
    )


def _spoiled(good: list[bytes], kind: str, which: Sequence[int], chance: random.Random) -> list[bytes | None]:
    values: list[bytes | None] = list(good)
    for place in which:
        value = _KINDS[kind](good[place], chance)
        values[place] = value
    return values


def _seconds(work: Callable[[], Any]) -> float:
    gc.collect()  # as the collector has it: not while it works
    begin = time.process_time()  # what it costs, whatever else the machine does
    work()
    return time.process_time() - begin


def main(arguments: Sequence[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What bad records cost.")
    parser.add_argument("--events", type=int, default=100_000, help="events of a batch")
    parser.add_argument("--repeat", type=int, default=5, help="times that each is measured")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    gc.disable()
    count, chance = chosen.events, random.Random(chosen.seed)  # noqa: S311 - noise, not secrets
    good = [single_event(_PRODUCER, sequence, occurred_at=_NOW) for sequence in range(count)]
    partition, decoder = Partition(_TYPE.topic, "topic-id", 0), Decoder(_TYPE)
    every_second = range(0, count, 2)
    cases = {
        "one cut short": ("cut short", range(count - 1, count)),
        "first half cut short": ("cut short", range(count // 2)),
        "second half cut short": ("cut short", range(count // 2, count)),
        **{f"every second: {kind}": (kind, every_second) for kind in _KINDS},
    }

    def decode(values: list[bytes | None]) -> float:
        return _seconds(lambda: decoder.decode(values))

    def rows(values: list[bytes | None]) -> float:
        messages = _messages(values)
        return _seconds(lambda: make_rows(partition, messages, decoder, None, whole=True))

    rows(list(good))  # what is loaded once
    figures: dict[str, float] = {}
    table = Table(title=f"Cost of a batch of {count:,} events, good ones = 1 (median of {chosen.repeat})", box=None)
    for heading in ("batch", "decoding", "all but inserting"):
        table.add_column(heading, justify="left" if heading == "batch" else "right")
    for name, (kind, which) in cases.items():
        bad = _spoiled(good, kind, which, chance)
        ratios = []
        for measure in (decode, rows):
            turns = [(measure(list(good)), measure(bad)) for _ in range(chosen.repeat)]
            ratios.append(statistics.median(spoiled / sound for sound, spoiled in turns))
            figures.setdefault(f"{measure.__name__}_us", statistics.median(sound for sound, _ in turns) / count * 1e6)
        figures[f"{name}: decoding"], figures[f"{name}: all"] = ratios
        table.add_row(name, *(f"{ratio:.2f}" for ratio in ratios))
    Console(width=100).print(table)
    figures["worst"] = max(value for name, value in figures.items() if ":" in name)
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main(sys.argv[1:])
