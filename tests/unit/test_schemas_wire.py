"""What is on the wire reads back as it was written, and nothing else is taken for it."""

from __future__ import annotations

import io
import uuid
from datetime import UTC, datetime

import pytest
from fastavro import schemaless_reader
from hypothesis import given
from hypothesis import strategies as st

from trailhouse_schemas import wire
from trailhouse_schemas.errors import DecodeError
from trailhouse_schemas.events import HeartbeatSent
from trailhouse_schemas.versions import latest


def heartbeat(sequence: int = 0) -> HeartbeatSent:
    """Return a small event."""
    producer = str(uuid.uuid4())
    return HeartbeatSent(
        occurred_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), producer_id=producer, sequence=sequence,
        project="p", run_id="r", attempt=0, rank=1, world_size=2, host="h", principal="me", phase="alive",
        subject_producer_id=producer,
    )  # fmt: skip


def test_an_event_reads_back_as_it_was_written() -> None:
    """Header, fingerprint and body."""
    version = latest("heartbeat_sent")
    event = heartbeat()
    value = wire.encode(version, event.model_dump())
    header = wire.read_header(value)
    assert header == wire.SchemaHeader(version.fingerprint, None, 10)
    read = schemaless_reader(io.BytesIO(value[header.body_at :]), version.parsed)
    assert HeartbeatSent.model_validate(read) == event


def test_swapping_the_header_keeps_the_body() -> None:
    """Producers encode once; the forwarder only swaps the header."""
    version = latest("heartbeat_sent")
    record = heartbeat().model_dump()
    value = wire.encode(version, record)
    swapped = wire.with_registry_header(value, 70_000)
    header = wire.read_header(swapped)
    assert header == wire.SchemaHeader(None, 70_000, 5)
    assert swapped[5:] == value[10:] == wire.encode_body(version, record)


@given(st.integers(min_value=0, max_value=2**63 - 1), st.uuids())
def test_an_identity_reads_back_as_it_was_written(sequence: int, producer: uuid.UUID) -> None:
    """24 bytes for ever."""
    raw = wire.identity_to_bytes(str(producer), sequence)
    assert len(raw) == 24
    assert wire.identity_from_bytes(raw) == wire.Identity(str(producer), sequence)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "tombstone"),
        (b"", "empty"),
        (b"\xc3\x01\x00", "cut off after 3 bytes"),
        (b"\x00\x01", "cut off after 2 bytes"),
        (b"{}", "begins with 7b7d"),
        (b"\xc3\x02abcdefghij", "begins with c302"),
        (b"\x01\x00\x00\x00\x01rest", "begins with 0100"),
    ],
)
def test_what_has_no_header_is_refused_with_the_reason(value: bytes | None, said: str) -> None:
    """Each kind of foreign value has its own words."""
    with pytest.raises(DecodeError, match=said):
        wire.read_header(value)


@given(st.binary(max_size=64))
def test_any_bytes_have_a_header_or_are_refused(value: bytes) -> None:
    """Never another exception."""
    try:
        header = wire.read_header(value)
    except DecodeError:
        return
    assert (header.fingerprint is None) != (header.registry_id is None)
