"""The checked-in Avro schemas, all versions of them, and how to find one.

They lie in the folder `avro`, one folder an event type, one file a version: `avro/metrics_logged/1.avsc`. They are
generated from the models (see `generate`) and never change once they are there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import TYPE_CHECKING, Any

from fastavro.schema import fingerprint as fastavro_fingerprint
from fastavro.schema import parse_schema, to_parsing_canonical_form

from trailhouse_schemas.catalogue import CATALOGUE, EventType
from trailhouse_schemas.errors import UnknownSchemaError
from trailhouse_schemas.wire import single_object_header

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["SchemaVersion", "by_fingerprint", "fingerprint_of", "latest", "schema_folder", "versions"]


def fingerprint_of(schema: Any) -> bytes:
    """Return the CRC-64-AVRO fingerprint of a schema: 8 bytes, little-endian, as they stand in the header."""
    return bytes.fromhex(fastavro_fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


@dataclass(frozen=True)
class SchemaVersion:
    """One version of the schema of one event type."""

    event_type: EventType
    version: int
    #: The text of the file.
    text: str

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The schema as JSON."""
        parsed: dict[str, Any] = json.loads(self.text)
        return parsed

    @cached_property
    def parsed(self) -> Any:
        """The schema as fastavro wants it."""
        return parse_schema(json.loads(self.text))

    @cached_property
    def parsed_head(self) -> Any:
        """The fields up to the sequence number, which come first, as fastavro wants them."""
        names = [field["name"] for field in self.schema["fields"]]
        head = self.schema["fields"][: names.index("sequence") + 1]
        return parse_schema({"type": "record", "name": "Head", "fields": head})

    @cached_property
    def fingerprint(self) -> bytes:
        """CRC-64-AVRO of the canonical form, little-endian."""
        return fingerprint_of(self.schema)

    @cached_property
    def header(self) -> bytes:
        """The single-object header of values of this version."""
        return single_object_header(self.fingerprint)


def schema_folder() -> Traversable:
    """Return the folder that holds the checked-in schemas."""
    return resources.files("trailhouse_schemas") / "avro"


@cache
def versions(name: str) -> tuple[SchemaVersion, ...]:
    """Return all versions of the schema of the event type `name`, the oldest first."""
    event_type = CATALOGUE[name]
    folder = schema_folder() / name
    if not folder.is_dir():
        return ()
    numbered = sorted(
        (int(file.name.removesuffix(".avsc")), file) for file in folder.iterdir() if file.name.endswith(".avsc")
    )
    return tuple(SchemaVersion(event_type, number, file.read_text("utf-8")) for number, file in numbered)


def latest(name: str) -> SchemaVersion:
    """Return the newest version of the schema of event type `name`; raises `UnknownSchemaError` if there is none."""
    known = versions(name)
    if not known:
        raise UnknownSchemaError(f"Event type {name} has no checked-in schema; run 'trailhouse schemas generate'")
    return known[-1]


@cache
def _fingerprints() -> dict[bytes, SchemaVersion]:
    found: dict[bytes, SchemaVersion] = {}
    for name in CATALOGUE:
        for version in versions(name):
            found.setdefault(version.fingerprint, version)
    return found


def by_fingerprint(fingerprint: bytes) -> SchemaVersion:
    """Return the schema with that fingerprint; raises `UnknownSchemaError`."""
    try:
        return _fingerprints()[fingerprint]
    except KeyError:
        raise UnknownSchemaError(
            f"Schema fingerprint {fingerprint.hex()} is not known; upgrade the collector, "
            "or configure the registry that knows it"
        ) from None
