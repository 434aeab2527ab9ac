"""What a log no longer has is recorded as missing, once, as far as no table holds it: in a real warehouse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from collected import NOW, metrics, new_producer_id
from trailhouse_consumer import gaps
from trailhouse_consumer.dead_letters import DEAD_LETTERS_TABLE, gap_row
from trailhouse_consumer.decode import Decoder
from trailhouse_consumer.gaps import missing, record
from trailhouse_consumer.landing import Landing
from trailhouse_consumer.rows import make_rows
from trailhouse_consumer.sources import Gap, Messages, Partition, Plan
from trailhouse_consumer.warehouse import Warehouse
from trailhouse_schemas.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from servers.warehouses import Warehouse as Database

METRICS = CATALOGUE["metrics_logged"]
PARTITION = Partition(METRICS.topic, "topic-id", 2)
NOW_US = int(NOW.timestamp() * 1e6)


@pytest.fixture
def held(any_warehouse: Database) -> Warehouse:
    """A warehouse that holds the offsets 3, 4, 5 (a dead letter) and 8 of the partition, two points each."""
    warehouse = Warehouse(any_warehouse.client)
    for first, last, junk in ((3, 5, 5), (8, 8, -1)):
        values = [b"junk" if i == junk else metrics(new_producer_id(), i) for i in range(first, last + 1)]
        rows = make_rows(PARTITION, _messages(first, values), Decoder(METRICS), None, whole=True)
        Landing(warehouse).land(PARTITION, Plan(first, last), rows, doubt=False)
    return warehouse


def _messages(first: int, values: Sequence[bytes]) -> Messages:
    import numpy as np  # noqa: PLC0415

    count = len(values)
    return Messages(
        np.arange(first, first + count), np.full(count, NOW_US), list(values), [None] * count, [b"key"] * count
    )


def _stretches(found: Sequence[Gap]) -> list[tuple[int, int]]:
    return [(gap.first, gap.last) for gap in found]


def recorded(database: Database) -> list[Any]:
    """Return what is recorded as missing: the first offset, and the text."""
    rows = database.client.query(
        "SELECT _offset, detail FROM dead_letters WHERE reason = 'offsets_missing' ORDER BY _offset"
    ).result_rows
    return [(offset, detail.split(" were")[0]) for offset, detail in rows]


@pytest.mark.parametrize("at_once", [1, 3, 4_000_000])
def test_what_a_table_holds_is_not_missing(held: Warehouse, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """Events and dead letters both, however few offsets are asked for at once."""
    monkeypatch.setattr(gaps, "_AT_ONCE", at_once)
    assert _stretches(missing(held, Gap(PARTITION, 0, 9))) == [(0, 2), (6, 7), (9, 9)]
    assert _stretches(missing(held, Gap(PARTITION, 3, 5))) == []
    assert _stretches(missing(held, Gap(PARTITION, 4, 6))) == [(6, 6)]
    assert _stretches(missing(held, Gap(Partition(METRICS.topic, "another", 2), 3, 5))) == [(3, 5)]


def test_a_gap_that_is_found_again_is_recorded_once(held: Warehouse, any_warehouse: Database) -> None:
    """By the next collector, a month later, when the log has lost more."""
    assert _stretches(record(held, Gap(PARTITION, 6, 9), NOW_US)) == [(6, 7), (9, 9)]
    assert _stretches(record(held, Gap(PARTITION, 0, 12), NOW_US + 31 * 86_400_000_000)) == [(0, 2), (10, 12)]
    assert recorded(any_warehouse) == [
        (0, "Offsets 0 to 2"),
        (6, "Offsets 6 to 7"),
        (9, "Offsets 9 to 9"),
        (10, "Offsets 10 to 12"),
    ]


def test_a_gap_whose_token_is_remembered_without_its_row_is_recorded(held: Warehouse, any_warehouse: Database) -> None:
    """The acknowledgement is not believed: the table is asked."""
    gap = Gap(PARTITION, 6, 7)
    held.insert(DEAD_LETTERS_TABLE, gap_row(gap, NOW_US), "topic-id:2:6-7:gap")
    any_warehouse.client.command("ALTER TABLE dead_letters DELETE WHERE _offset = 6 SETTINGS mutations_sync = 2")
    assert recorded(any_warehouse) == []
    assert _stretches(record(held, gap, NOW_US)) == [(6, 7)]
    assert recorded(any_warehouse) == [(6, "Offsets 6 to 7")]
