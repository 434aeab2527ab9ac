"""What is on the wire: a header that names the schema, the Avro body, and the identity in the message's header.

A value begins with one of two headers, told apart by the first byte:

- `C3 01` and the schema's CRC-64-AVRO fingerprint, little-endian (Avro's single-object encoding);
- `00` and the registry's id of the schema, big-endian (Confluent's wire format).

The body behind them is the same. Producers encode once, with the first; the forwarder swaps the header where a
registry is configured. Every message also carries (producer_id, sequence) in the header `th`, so that even a value
that nobody can decode is accounted for.
"""

from __future__ import annotations

import io
import struct
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastavro import schemaless_reader, schemaless_writer

from trailhouse_schemas.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trailhouse_schemas.versions import SchemaVersion

__all__ = [
    "IDENTITY_HEADER",
    "SINGLE_OBJECT_HEADER_BYTES",
    "Identity",
    "SchemaHeader",
    "encode",
    "encode_body",
    "identity_from_bytes",
    "identity_to_bytes",
    "read_header",
    "registry_header",
    "single_object_header",
    "with_registry_header",
    "with_sequence",
]

#: Name of the message header that carries the identity.
IDENTITY_HEADER: Final = "th"

_SINGLE_OBJECT_MARKER: Final = b"\xc3\x01"
_REGISTRY_MARKER: Final = b"\x00"
#: Length of the single-object header.
SINGLE_OBJECT_HEADER_BYTES: Final = 10
_REGISTRY_HEADER_BYTES: Final = 5
_IDENTITY: Final = struct.Struct(">16sQ")


@dataclass(frozen=True, slots=True)
class SchemaHeader:
    """Which schema a value was written with: by fingerprint or by registry id, never both."""

    fingerprint: bytes | None
    registry_id: int | None
    #: Where the body begins.
    body_at: int


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of an event, for ever."""

    producer_id: str
    sequence: int


def single_object_header(fingerprint: bytes) -> bytes:
    """Return the 10 bytes that announce the schema with that fingerprint (8 bytes, little-endian)."""
    return _SINGLE_OBJECT_MARKER + fingerprint


def registry_header(registry_id: int) -> bytes:
    """Return the 5 bytes that announce the schema with that registry id."""
    return _REGISTRY_MARKER + struct.pack(">I", registry_id)


def read_header(value: bytes | None) -> SchemaHeader:
    """Return which schema `value` was written with; raises `DecodeError` when it does not say."""
    if value is None:
        raise DecodeError("The value is null (a tombstone); events are never deleted by one")
    if not value:
        raise DecodeError("The value is empty; expected an Avro record with a header")
    if value[:2] == _SINGLE_OBJECT_MARKER:
        if len(value) < SINGLE_OBJECT_HEADER_BYTES:
            raise DecodeError(f"The value is cut off after {len(value)} bytes, within its header")
        return SchemaHeader(value[2:SINGLE_OBJECT_HEADER_BYTES], None, SINGLE_OBJECT_HEADER_BYTES)
    if value[:1] == _REGISTRY_MARKER:
        if len(value) < _REGISTRY_HEADER_BYTES:
            raise DecodeError(f"The value is cut off after {len(value)} bytes, within its header")
        (registry_id,) = struct.unpack_from(">I", value, 1)
        return SchemaHeader(None, registry_id, _REGISTRY_HEADER_BYTES)
    raise DecodeError(
        f"The value begins with {value[:2].hex()}, which is neither Avro's single-object header (c301) "
        "nor a registry header (00)"
    )


def encode_body(version: SchemaVersion, record: Mapping[str, Any]) -> bytes:
    """Return the Avro body of `record`; raises whatever fastavro raises on values that do not fit."""
    out = io.BytesIO()
    schemaless_writer(out, version.parsed, record)
    return out.getvalue()


def encode(version: SchemaVersion, record: Mapping[str, Any]) -> bytes:
    """Return `record` in single-object encoding; raises whatever fastavro raises on values that do not fit."""
    out = io.BytesIO()
    out.write(version.header)
    schemaless_writer(out, version.parsed, record)
    return out.getvalue()


def with_sequence(version: SchemaVersion, value: bytes, sequence: int) -> bytes:
    """Return `value`, an event of that version in single-object encoding, with another sequence number."""
    body = io.BytesIO(value)
    body.seek(SINGLE_OBJECT_HEADER_BYTES)
    head: Any = schemaless_reader(body, version.parsed_head, None)
    rest = body.read()
    out = io.BytesIO()
    out.write(version.header)
    schemaless_writer(out, version.parsed_head, {**head, "sequence": sequence})
    return out.getvalue() + rest


def with_registry_header(value: bytes, registry_id: int) -> bytes:
    """Return `value`, which has a single-object header, with the header of the registry instead."""
    return registry_header(registry_id) + value[SINGLE_OBJECT_HEADER_BYTES:]


def identity_to_bytes(producer_id: str, sequence: int) -> bytes:
    """Return the 24 bytes that identify an event in the message header."""
    return _IDENTITY.pack(uuid.UUID(producer_id).bytes, sequence)


def identity_from_bytes(value: bytes) -> Identity:
    """Return the identity that those 24 bytes stand for; raises `DecodeError` when they are not 24."""
    if len(value) != _IDENTITY.size:
        raise DecodeError(f"The header {IDENTITY_HEADER!r} has {len(value)} bytes; expected {_IDENTITY.size}")
    producer, sequence = _IDENTITY.unpack(value)
    return Identity(str(uuid.UUID(bytes=producer)), sequence)
