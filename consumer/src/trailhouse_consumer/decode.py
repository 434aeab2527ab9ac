"""Decodes the messages of one range to Arrow, as columns of the newest schema version, and says which cannot be.

The fast path decodes a whole range with pyruhvro, grouped by the schema that each message names. pyruhvro is lax
(it accepts trailing bytes, clamps and wraps numbers, takes any bytes for text), so its result is encoded again and
must give the same bytes; a message for which it does not, or at which it fails, is decoded by fastavro, which decides.
Both agree on every record: a test holds that with random ones.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyruhvro
from fastavro import parse_schema, schemaless_reader

from trailhouse_consumer.dead_letters import Dead, Reason
from trailhouse_schemas.errors import DecodeError, RegistryUnavailableError, UnknownSchemaError
from trailhouse_schemas.versions import by_fingerprint, latest
from trailhouse_schemas.wire import SINGLE_OBJECT_HEADER_BYTES, read_header

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from numpy.typing import NDArray

    from trailhouse_schemas.catalogue import EventType

    class KnowsSchemas(Protocol):
        """What the decoder asks of a registry."""

        def schema_of(self, registry_id: int) -> Any:
            """Return the schema with that id as JSON; raises `UnknownSchemaError`, `RegistryUnavailableError`."""


__all__ = ["Decoded", "Decoder"]

#: From here on down bad messages are looked for one by one instead of by halves.
_SINGLY: Final = 8


@dataclass(frozen=True, slots=True)
class Decoded:
    """The records that could be decoded, and the others."""

    #: One row a record, the fields of the newest version; in order of the messages.
    records: pa.RecordBatch
    #: Which message each row is.
    places: NDArray[np.int64]
    dead: list[Dead]


class _Writer:
    """One schema that messages were written with, and the way from it to the newest version."""

    def __init__(self, schema: Any, reader: dict[str, Any]) -> None:
        self.json = schema
        self.text = json.dumps(schema)
        self.parsed = parse_schema(schema, _write_hint=False)
        self._reader = reader

    @property
    def record(self) -> str:
        namespace = self.json.get("namespace", "")
        name: str = self.json["name"]
        return name if "." in name or not namespace else f"{namespace}.{name}"

    @cached_property
    def unknown_fields(self) -> list[str]:
        """Fields that this version of the collector has no column for."""
        known = {field["name"] for field in self._reader["fields"]}
        return [field["name"] for field in self.json["fields"] if field["name"] not in known]

    @cached_property
    def columnwise(self) -> bool:
        """Whether fields that both have are the same in both, so that columns can be taken over as they are."""
        mine = {field["name"]: _shape(field["type"]) for field in self.json["fields"]}
        return all(mine.get(f["name"], _shape(f["type"])) == _shape(f["type"]) for f in self._reader["fields"])


def _shape(schema: Any) -> Any:
    """Return a schema without what does not change the values: docs."""
    if isinstance(schema, dict):
        return {key: _shape(value) for key, value in schema.items() if key not in {"doc", "default"}}
    if isinstance(schema, list):
        return [_shape(value) for value in schema]
    return schema


class Decoder:
    """Decodes the messages of one event type."""

    def __init__(self, event_type: EventType, registry: KnowsSchemas | None = None) -> None:
        """Decode messages of `event_type`; without a registry those with a registry header wait."""
        self._event_type = event_type
        self._registry = registry
        self._newest = latest(event_type.name)
        self._arrow = pyruhvro.avro_to_arrow_schema(self._newest.text)
        self._writers: dict[bytes, _Writer] = {}

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Decode the values of a range.

        Raises:
            RegistryUnavailableError: a message can be decoded only when the registry answers again.
        """
        dead: list[Dead] = []
        batches: list[pa.RecordBatch] = []
        places: list[NDArray[np.int64]] = []
        for header, group in _by_header(values, dead):
            batch, found = self._decode_group(header, group, values, dead)
            if len(found):
                batches.append(batch)
                places.append(found)
        if not batches:
            return Decoded(pa.RecordBatch.from_pylist([], schema=self._arrow), np.empty(0, np.int64), dead)
        if len(batches) == 1:
            return Decoded(batches[0], places[0], dead)
        together = np.concatenate(places)
        order = np.argsort(together, kind="stable")
        return Decoded(pa.concat_batches(batches).take(pa.array(order)), together[order], dead)

    def _decode_group(
        self, header: bytes, group: NDArray[np.int64], values: Sequence[bytes | None], dead: list[Dead]
    ) -> tuple[pa.RecordBatch, NDArray[np.int64]]:
        try:
            writer = self._writer(header)
        except UnknownSchemaError as error:
            dead += [Dead(int(i), Reason.UNKNOWN_SCHEMA, str(error)) for i in group]
            return None, np.empty(0, np.int64)
        if writer.record != self._event_type.record:
            detail = f"The value is a {writer.record}; topic {self._event_type.topic} holds {self._event_type.record}"
            dead += [Dead(int(i), Reason.WRONG_SCHEMA, detail) for i in group]
            return None, np.empty(0, np.int64)
        if writer.unknown_fields:
            detail = (
                f"Fields {', '.join(writer.unknown_fields)} have no column in table {self._event_type.table}; "
                "upgrade, run 'trailhouse migrate', and send them again"
            )
            dead += [Dead(int(i), Reason.UNKNOWN_FIELD, detail) for i in group]
            return None, np.empty(0, np.int64)
        bodies = [(values[i] or b"")[len(header) :] for i in group]
        parts: list[tuple[NDArray[np.int64], pa.RecordBatch]] = []
        self._fast(writer, bodies, group, parts, dead)
        if not parts:
            return None, np.empty(0, np.int64)
        parts.sort(key=lambda part: int(part[0][0]))
        found = np.concatenate([part[0] for part in parts])
        batch = parts[0][1] if len(parts) == 1 else pa.concat_batches([part[1] for part in parts])
        order = np.argsort(found, kind="stable")
        if np.array_equal(order, np.arange(len(found))):
            return batch, found
        return batch.take(pa.array(order)), found[order]

    def _fast(
        self,
        writer: _Writer,
        bodies: list[bytes],
        places: NDArray[np.int64],
        parts: list[tuple[NDArray[np.int64], pa.RecordBatch]],
        dead: list[Dead],
    ) -> None:
        """Decode by pyruhvro; where it fails halve, down to single records for fastavro."""
        batch = _by_pyruhvro(bodies, writer.text) if writer.columnwise else None
        if batch is None and len(bodies) > _SINGLY and writer.columnwise:
            middle = len(bodies) // 2
            self._fast(writer, bodies[:middle], places[:middle], parts, dead)
            self._fast(writer, bodies[middle:], places[middle:], parts, dead)
            return
        if batch is None:
            self._slow(writer, bodies, places, parts, dead)
            return
        good, batch = batch
        if not good.all():
            bad = np.flatnonzero(~good)
            self._slow(writer, [bodies[i] for i in bad], places[bad], parts, dead)
            batch, places = batch.filter(pa.array(good)), places[good]
        if len(places):
            parts.append((places, self._aligned(batch)))

    def _slow(
        self,
        writer: _Writer,
        bodies: list[bytes],
        places: NDArray[np.int64],
        parts: list[tuple[NDArray[np.int64], pa.RecordBatch]],
        dead: list[Dead],
    ) -> None:
        """Decode by fastavro, one by one: it says which cannot be, and why."""
        found, records = [], []
        for body, place in zip(bodies, places, strict=True):
            try:
                record = self._by_fastavro(writer, body)
                pa.RecordBatch.from_pylist([record], schema=self._arrow)
            except Exception as error:  # noqa: BLE001 - fastavro raises whatever the bytes lead it to
                dead.append(Dead(int(place), Reason.UNDECODABLE, _one_line(error)))
                continue
            found.append(place)
            records.append(record)
        if found:
            parts.append((np.array(found, np.int64), pa.RecordBatch.from_pylist(records, schema=self._arrow)))

    def _by_fastavro(self, writer: _Writer, body: bytes) -> Any:
        stream = io.BytesIO(body)
        record: Any = schemaless_reader(stream, writer.parsed, self._newest.parsed)
        rest = len(body) - stream.tell()
        if rest:
            raise DecodeError(f"{rest} bytes are left over after the record")
        return record

    def _aligned(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the batch with exactly the newest version's columns; where one lacks, its default."""
        if batch.schema.names == self._arrow.names:
            return batch.cast(self._arrow) if batch.schema != self._arrow else batch
        defaults = {field["name"]: field.get("default") for field in self._newest.schema["fields"]}
        columns = []
        for field in self._arrow:
            if field.name in batch.schema.names:
                columns.append(batch.column(field.name).cast(field.type))
            else:
                default = pa.scalar(_to_arrow(defaults[field.name]), field.type)
                columns.append(pa.repeat(default, len(batch)))
        return pa.RecordBatch.from_arrays(columns, schema=self._arrow)

    def _writer(self, header: bytes) -> _Writer:
        if header not in self._writers:
            named = read_header(header)
            if named.fingerprint is not None:
                schema = by_fingerprint(named.fingerprint).schema
            elif self._registry is None:
                raise RegistryUnavailableError(
                    f"Topic {self._event_type.topic} has values with registry id {named.registry_id}, "
                    "and no registry is configured; set TRAILHOUSE_REGISTRY"
                )
            else:
                schema = self._registry.schema_of(int(named.registry_id or 0))
            self._writers[header] = _Writer(schema, self._newest.schema)
        return self._writers[header]


def _by_header(values: Sequence[bytes | None], dead: list[Dead]) -> list[tuple[bytes, NDArray[np.int64]]]:
    """Return the messages grouped by their schema header, as places; those without a header are dead."""
    if None not in values:
        heads = {value[:SINGLE_OBJECT_HEADER_BYTES] for value in values}  # type: ignore[index]
        head = heads.pop()
        if not heads and len(head) == SINGLE_OBJECT_HEADER_BYTES and head.startswith(b"\xc3\x01"):
            return [(head, np.arange(len(values)))]
    groups: dict[bytes, list[int]] = {}
    for place, value in enumerate(values):
        try:
            header = read_header(value)
        except DecodeError as error:
            dead.append(Dead(place, Reason.NO_HEADER, str(error)))
            continue
        groups.setdefault(value[: header.body_at], []).append(place)  # type: ignore[index]
    return [(header, np.array(group, np.int64)) for header, group in groups.items()]


def _by_pyruhvro(bodies: list[bytes], text: str) -> tuple[NDArray[np.bool_], pa.RecordBatch] | None:
    """Return the decoded batch and which of its rows can be trusted; None when it cannot decode them."""
    try:
        batch = pyruhvro.deserialize_array(bodies, text)
        batch.validate(full=True)
        again = pyruhvro.serialize_record_batch(batch, text, 1)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException:  # noqa: BLE001 - its panics derive from BaseException alone
        return None
    encoded = again[0] if len(again) == 1 else pa.concat_arrays(again)
    same = pc.equal(encoded, pa.array(bodies, encoded.type))
    return same.to_numpy(zero_copy_only=False), batch


def _to_arrow(default: Any) -> Any:
    """Return an Avro default as Arrow takes it: a map as pairs."""
    return list(default.items()) if isinstance(default, dict) else default


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return f"The record cannot be decoded: {text[:500]}"
