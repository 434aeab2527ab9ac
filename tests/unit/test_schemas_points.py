"""Points are encoded by code of our own, for speed: the bytes are those that fastavro makes."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trailhouse_schemas import wire
from trailhouse_schemas.points import Points, encode_metrics, name_to_bytes
from trailhouse_schemas.versions import latest

LONGS = st.integers(-(2**63), 2**63 - 1)
CALLS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.text(), st.floats(width=64)), min_size=1, max_size=14),
        st.none() | LONGS,
        LONGS | st.integers(1_700_000_000_000_000, 1_900_000_000_000_000),
    ),
    min_size=1,
    max_size=20,
)
ENVELOPE: dict[str, Any] = {
    "occurred_at": 1_800_000_000_000_000,
    "producer_id": "p",
    "sequence": 3,
    "project": "ü",
    "run_id": "r",
    "attempt": 1,
    "rank": 0,
    "world_size": 1,
    "host": "h",
    "principal": "me",
    "split": "train",
    "dataset_digest": "",
    "model_id": "",
    "segment": {"country": "NL"},
}


@given(CALLS)
def test_the_bytes_are_fastavros(calls: list[tuple[list[tuple[str, float]], int | None, int]]) -> None:
    """Whatever the names, steps, values and times."""
    points = Points()
    plain = []
    for pairs, step, at in calls:
        values = [struct.pack("<d", value) for _, value in pairs] + [bytes(8)]
        points.add([name_to_bytes(name) for name, _ in pairs], step, values, at)
        plain += [{"name": name, "step": step, "value": value, "logged_at": at} for name, value in pairs]
    assert points.count == len(plain)
    expected = wire.encode(latest("metrics_logged"), ENVELOPE | {"points": plain})
    assert encode_metrics(ENVELOPE, points) == expected


@given(LONGS, LONGS)
def test_a_number_is_given_to_an_encoded_event(before: int, after: int) -> None:
    """Nothing else of it changes."""
    version = latest("parameters_logged")
    fields = {name: ENVELOPE[name] for name in list(ENVELOPE)[:10]} | {"parameters": {"eta": "0.1"}}
    value = wire.encode(version, fields | {"sequence": before})
    assert wire.with_sequence(version, value, after) == wire.encode(version, fields | {"sequence": after})
