"""A serving process that is killed while clients insert over HTTP loses nothing that it has acknowledged."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import Error

from servers.warehouses import ServedWarehouse
from trailhouse_cli.servers.waiting import wait_until
from trailhouse_schemas.warehouse import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

KILLS = 12
WRITERS = 3
ROWS = 2_000
#: How long inserts go on after the last that was waited for: about as long as one takes.
WITHIN_SECONDS = 0.1


@pytest.fixture
def served() -> Iterator[ServedWarehouse]:
    """A served warehouse of one test alone."""
    server = ServedWarehouse()
    yield server
    server.close()


class Writer(threading.Thread):
    """Inserts batch after batch until the server is gone; remembers which were acknowledged."""

    def __init__(self, url: str, numbers: Iterator[int]) -> None:
        """Take the warehouse and the numbers of the batches."""
        super().__init__(daemon=True)
        self._url = url
        self._numbers = numbers
        self.acknowledged: list[int] = []

    def run(self) -> None:
        """Insert until it fails."""
        client = connect(self._url)
        try:
            for number in self._numbers:
                batch = pa.table({"_topic": [f"batch {number}"] * ROWS, "_offset": pa.array(range(ROWS), pa.int64())})
                client.insert_arrow("dead_letters", batch, settings={"insert_deduplication_token": str(number)})
                self.acknowledged.append(number)
        except (Error, OSError):
            return
        finally:
            client.close()


@pytest.mark.long
def test_what_was_acknowledged_over_http_is_there_after_a_kill(served: ServedWarehouse) -> None:
    """Whole; and what was not is there whole or not at all, and once when it is sent again."""
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)  # noqa: T201 - for who repeats it
    chance = random.Random(seed)  # noqa: S311 - moments, not secrets
    url = f"chdb://{served.directory}"
    acknowledged: set[int] = set()
    begun = 0
    for kill in range(KILLS):
        writers = [Writer(url, iter(range(begun + n, begun + 100_000, WRITERS))) for n in range(WRITERS)]
        begun += 100_000
        for writer in writers:
            writer.start()
        wanted = chance.randrange(1, 6)
        assert wait_until(lambda: sum(len(w.acknowledged) for w in writers) >= wanted, seconds=60)  # noqa: B023
        time.sleep(chance.random() * WITHIN_SECONDS)
        served.kill()
        for writer in writers:
            writer.join(60)
            assert not writer.is_alive()
            acknowledged.update(writer.acknowledged)
        served.start()
        found = counted(url)
        assert {n for n in acknowledged if found[n] != ROWS} == set(), f"kill {kill}, seed {seed}"
        assert set(found.values()) <= {ROWS}, f"kill {kill}, seed {seed}"
    assert len(acknowledged) >= KILLS


def counted(url: str) -> Counter[int]:
    """Return the rows of each batch, read by place: a row that is there twice counts as a surplus one."""
    client = connect(url)
    rows = client.query(
        "SELECT toUInt32(splitByChar(' ', _topic)[2]), count() + (count() - uniqExact(_offset)) * 1000000 "
        "FROM dead_letters GROUP BY ALL"
    ).result_rows
    client.close()
    return Counter({int(number): int(count) for number, count in rows})
