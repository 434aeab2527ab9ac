"""What the simulation takes for granted of the warehouse: the simulated one and the engine, one suite."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from itertools import product
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import numpy as np
import pytest

from collected import NOW, new_producer_id, record
from servers.warehouses import fresh
from simulation.processes import Fate
from simulation.warehouse import Server
from simulation.warehouse import Warehouse as Simulated
from trailhouse_consumer.dead_letters import DEAD_LETTERS_TABLE, gap_row
from trailhouse_consumer.decode import Decoder
from trailhouse_consumer.rows import Rows, make_rows
from trailhouse_consumer.sources import Gap, Messages, Partition
from trailhouse_consumer.warehouse import Warehouse, said_plainly
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.errors import WarehouseUnavailableError
from trailhouse_schemas.versions import latest
from trailhouse_schemas.warehouse import connect
from trailhouse_schemas.wire import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from servers.warehouses import Warehouse as Database

EVENTS: Final = CATALOGUE["parameters_logged"]
TABLE: Final = EVENTS.table
#: Sends its sequences 0, 1, 2, ... at the offsets 0, 1, 2, ..., and others.
PRODUCERS: Final = (new_producer_id(), new_producer_id())
NOW_US: Final = int(NOW.timestamp() * 1e6)
MONTH_US: Final = 32 * 86_400_000_000
#: Which queries are inserts under a token.
_INSERTS: Final = "Settings['insert_deduplication_token'] = {token:String}"


class Subject(Protocol):
    """A warehouse, and what may befall it."""

    warehouse: Warehouse

    def delete(self, table: str) -> None:
        """Lose the rows of a table; what was inserted under which token is remembered."""

    def inserting(self, token: str) -> AbstractContextManager[None]:
        """Have an insert under a token going on."""


class InTheEngine:
    """chDB."""

    def __init__(self, database: Database) -> None:
        """Use an empty database."""
        self._database = database
        self.warehouse = Warehouse(database.client)

    def delete(self, table: str) -> None:
        """Delete the rows, not by TRUNCATE: that would forget the tokens."""
        self._database.client.command(
            "ALTER TABLE {t:Identifier} DELETE WHERE 1", {"t": table}, settings={"mutations_sync": 2}
        )

    @contextmanager
    def inserting(self, token: str) -> Iterator[None]:
        """Insert what takes long to come."""
        client = connect(self._database.url)
        slow = threading.Thread(target=self._insert_slowly, args=(client, token), daemon=True)
        slow.start()
        try:
            while not self._runs(token):
                assert slow.is_alive()
            yield
        finally:
            self._database.client.command(f"KILL QUERY WHERE {_INSERTS} SYNC", {"token": token})
            slow.join()
            client.close()

    def _runs(self, token: str) -> bool:
        found = self._database.client.query(
            f"SELECT count() FROM system.processes WHERE {_INSERTS}",  # noqa: S608 - a constant
            {"token": token},
        )
        return bool(found.first_row[0])

    @staticmethod
    def _insert_slowly(client: Any, token: str) -> None:
        with suppress(WarehouseUnavailableError), said_plainly():
            client.command(
                "INSERT INTO dead_letters (_offset, detail) "
                "SELECT number, toString(sleepEachRow(0.1)) FROM numbers(6000) SETTINGS max_block_size = 1",
                settings={"insert_deduplication_token": token},
            )


class InTheSimulation:
    """The simulated one, whose every call goes well."""

    def __init__(self) -> None:
        """Begin empty."""
        self._server = Server()
        process = SimpleNamespace(at=lambda _call: Fate.GO, holding={})
        self.warehouse = cast("Warehouse", Simulated(self._server, cast("Any", process)))

    def delete(self, table: str) -> None:
        """Take the rows away."""
        self._server.tables[table] = []

    @contextmanager
    def inserting(self, token: str) -> Iterator[None]:
        """Stop a collector in the middle of an insert."""
        stopped = SimpleNamespace(at=lambda _call: Fate.LATER, holding={})
        with pytest.raises(WarehouseUnavailableError):
            Simulated(self._server, cast("Any", stopped)).insert(TABLE, rows({90: "0:90"}).table, token)
        yield
        self._server.running.clear()


@pytest.fixture(params=["engine", "simulation"])
def subject(request: pytest.FixtureRequest, chdb_directory: Path) -> Iterator[Subject]:
    """Each, with nothing in it."""
    if request.param == "simulation":
        yield InTheSimulation()
        return
    with fresh(chdb_directory) as database:
        yield InTheEngine(database)


def partition(number: int = 2, topic_id: str = "topic-id") -> Partition:
    """Return a partition of the topic."""
    return Partition(EVENTS.topic, topic_id, number)


def rows(of: dict[int, str], where: Partition | None = None, months: Sequence[int] = (0,)) -> Rows:
    """Return what messages of these months from now come to: by offset, `P:N` for event N of producer P, or junk."""
    values: list[bytes | None] = []
    for text in of.values():
        producer, colon, sequence = text.partition(":")
        fields = record(EVENTS.name, PRODUCERS[int(producer)], int(sequence), parameters={}) if colon else {}
        values.append(encode(latest(EVENTS.name), fields) if colon else text.encode())
    nothing: list[bytes | None] = [None] * len(of)
    messages = Messages(
        np.array(list(of)),
        np.resize([NOW_US + month * MONTH_US for month in months], len(of)),
        values,
        nothing,
        nothing,
    )
    return make_rows(where or partition(), messages, Decoder(EVENTS), None, whole=True)


def answer(subject: Subject, question: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """Return the rows of an answer, in order, whatever the types of the columns."""
    found = subject.warehouse.ask(question, parameters).to_pydict()
    return sorted(zip(*found.values(), strict=True))


def place(table: str = TABLE, where: Partition | None = None) -> dict[str, Any]:
    """Return the parameters that every question about a partition has."""
    where = where or partition()
    return {"table": table, "topic": where.topic, "topic_id": where.topic_id, "partition": where.number}


def offsets(subject: Subject, table: str = TABLE, where: Partition | None = None) -> list[int]:
    """Return which offsets a table holds, each as often as it does."""
    return [each for (each,) in answer(subject, "landed_offsets", **place(table, where), first=0, last=1000)]


def test_the_same_token_inserts_once(subject: Subject) -> None:
    """However often."""
    wanted = rows({0: "0:0", 1: "0:1"}).table
    for _ in range(3):
        subject.warehouse.insert(TABLE, wanted, "t")
    assert offsets(subject) == [0, 1]


def test_the_same_rows_under_another_token_are_inserted_again(subject: Subject) -> None:
    """Nothing but the token fences."""
    for token in ("t", "t:r1"):
        subject.warehouse.insert(TABLE, rows({0: "0:0"}).table, token)
    assert offsets(subject) == [0, 0]


def test_a_token_outlives_its_rows(subject: Subject) -> None:
    """The insert is acknowledged and does nothing."""
    wanted = rows({0: "0:0", 1: "0:1"}).table
    subject.warehouse.insert(TABLE, wanted, "t")
    subject.delete(TABLE)
    subject.warehouse.insert(TABLE, wanted, "t")
    assert offsets(subject) == []
    subject.warehouse.insert(TABLE, wanted, "t:r1")
    assert offsets(subject) == [0, 1]


def test_other_rows_under_a_used_token_are_swallowed(subject: Subject) -> None:
    """More, fewer, or none in common: so no token is ever used for two ranges."""
    subject.warehouse.insert(TABLE, rows({0: "0:0", 1: "0:1"}).table, "t")
    for others in ({0: "0:0", 1: "0:1", 2: "0:2"}, {1: "0:1"}, {7: "1:7"}):
        subject.warehouse.insert(TABLE, rows(others).table, "t")
    assert offsets(subject) == [0, 1]


def test_a_token_is_of_one_table(subject: Subject) -> None:
    """A range has one for its dead letters and its rows."""
    range_ = rows({0: "0:0", 1: "junk"})
    for _ in range(2):
        subject.warehouse.insert(DEAD_LETTERS_TABLE, range_.dead_letters, "t")
        subject.warehouse.insert(TABLE, range_.table, "t")
    assert offsets(subject) == [0]
    assert offsets(subject, DEAD_LETTERS_TABLE) == [1]


def test_a_token_is_of_one_month_of_a_table(subject: Subject) -> None:
    """So a range is never of two."""
    subject.warehouse.insert(TABLE, rows({0: "0:0"}).table, "t")
    subject.warehouse.insert(TABLE, rows({0: "0:0", 1: "0:1"}, months=(0, 1)).table, "t")
    assert offsets(subject) == [0, 1]


@pytest.fixture
def filled(subject: Subject) -> Subject:
    """A warehouse that holds rows and dead letters of several partitions and makings of a topic, with holes."""
    everything = {
        partition(): {0: "0:0", 1: "junk", 2: "0:1", 5: "0:3", 6: "1:0", 7: "0:2", 8: "junk", 9: "1:4"},
        partition(3): {0: "1:1", 4: "0:9"},
        partition(2, "made-again"): {0: "0:7", 1: "junk", 3: "1:8"},
    }
    for where, of in everything.items():
        range_ = rows(of, where)
        if len(range_.dead_letters):
            subject.warehouse.insert(DEAD_LETTERS_TABLE, range_.dead_letters, f"{where.topic_id}:{where.number}")
        subject.warehouse.insert(TABLE, range_.table, f"{where.topic_id}:{where.number}")
    subject.warehouse.insert(TABLE, rows({6: "1:0"}).table, "again")
    subject.warehouse.insert(DEAD_LETTERS_TABLE, gap_row(Gap(partition(), 3, 4), NOW_US), "gap")
    return subject


HIGHEST: Final = {
    (TABLE, 2, "topic-id"): (9, True),
    (TABLE, 3, "topic-id"): (4, True),
    (TABLE, 2, "made-again"): (3, True),
    (TABLE, 4, "topic-id"): (0, False),
    (DEAD_LETTERS_TABLE, 2, "topic-id"): (8, True),
    (DEAD_LETTERS_TABLE, 3, "topic-id"): (0, False),
    (DEAD_LETTERS_TABLE, 2, "made-again"): (1, True),
}


def test_the_highest_offset_is_that_of_the_partition(filled: Subject) -> None:
    """And of the making of its topic; none is not 0."""
    for (table, number, topic_id), highest in HIGHEST.items():
        assert answer(filled, "highest_offset", **_of(table, number, topic_id)) == [highest]


def _of(table: str, number: int, topic_id: str) -> dict[str, Any]:
    where = place(table, partition(number, topic_id))
    del where["topic"]
    return where


def test_the_offsets_of_a_range_are_those_that_are_there(filled: Subject) -> None:
    """Each as often as it is; what is recorded as missing at its first."""
    assert offsets(filled) == [0, 2, 5, 6, 6, 7, 9]
    assert offsets(filled, DEAD_LETTERS_TABLE) == [1, 3, 8]
    assert offsets(filled, where=partition(2, "made-again")) == [0, 3]
    assert answer(filled, "landed_offsets", **place(), first=2, last=5) == [(2,), (5,)]
    assert answer(filled, "landed_offsets", **place(), first=3, last=4) == []


def test_the_stretches_of_a_range_have_no_hole(filled: Subject) -> None:
    """As long as may be."""
    stretches: Callable[..., Any] = lambda **range_: answer(filled, "landed_stretches", **place(), **range_)  # noqa: E731
    assert stretches(first=0, last=1000) == [(0, 0), (2, 2), (5, 7), (9, 9)]
    assert stretches(first=6, last=8) == [(6, 7)]
    assert stretches(first=3, last=4) == []


def test_what_is_recorded_as_missing_is_told_from_dead_letters(filled: Subject) -> None:
    """By its reason; the last offset stands in its text."""
    assert answer(filled, "missing_offsets", **place(DEAD_LETTERS_TABLE)) == [(3, 4)]
    assert answer(filled, "missing_offsets", **place(DEAD_LETTERS_TABLE, partition(2, "made-again"))) == []


def test_the_highest_sequence_is_that_of_the_producer_in_the_partition(filled: Subject) -> None:
    """Who has none there is not in the answer."""
    first, second = PRODUCERS
    asked = {"producers": [first, second, new_producer_id()]}
    assert answer(filled, "highest_sequences", **_of(TABLE, 2, "topic-id"), **asked) == sorted(
        [(first, 3), (second, 4)]
    )
    assert answer(filled, "highest_sequences", **_of(TABLE, 3, "topic-id"), **asked) == sorted(
        [(first, 9), (second, 1)]
    )
    assert answer(filled, "highest_sequences", **_of(TABLE, 4, "topic-id"), **asked) == []
    assert answer(filled, "highest_sequences", **_of(TABLE, 2, "topic-id"), producers=[second]) == [(second, 4)]


def test_events_are_proven_at_lower_offsets_alone(filled: Subject) -> None:
    """Each once, between the lowest and the highest sequence that is asked for."""
    landed = {0: (0, 0), 2: (0, 1), 5: (0, 3), 6: (1, 0), 7: (0, 2), 9: (1, 4)}
    for first, lowest, highest in product((0, 6, 7, 1000), (0, 2), (2, 9)):
        expected = {
            (PRODUCERS[producer], sequence)
            for offset, (producer, sequence) in landed.items()
            if offset < first and lowest <= sequence <= highest
        }
        asked = {"first": first, "lowest": lowest, "highest": highest, "producers": list(PRODUCERS)}
        assert answer(filled, "landed_sequences", **_of(TABLE, 2, "topic-id"), **asked) == sorted(expected)


def test_an_insert_is_listed_while_it_is_going_on(subject: Subject) -> None:
    """Under its token alone."""
    running: Callable[[str], Any] = lambda token: answer(subject, "running_inserts", token=token)  # noqa: E731
    assert running("t") == [(0,)]
    with subject.inserting("t"):
        assert running("t") == [(1,)]
        assert running("t:r1") == [(0,)]
    assert running("t") == [(0,)]
