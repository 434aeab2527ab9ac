"""Decodes the messages of one range to Arrow, as columns of the newest schema version, and says which cannot be.

The fast path decodes a whole range with pyruhvro, grouped by the schema that each message names. pyruhvro is lax
(it accepts trailing bytes, other spellings of a number, any bytes for text), so each record must be as long as `sizes`
says that its values are, or, where that tells nothing, give the same bytes when it is encoded again. Where it fails,
`scan` finds the bad records without decoding any, and the others are decoded at once. What is sound and yet not the
same bytes is decoded by fastavro, record by record, which decides. Both agree on every record: a test holds that with
random ones.
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
from trailhouse_consumer.errors import SchemaRefusedError
from trailhouse_consumer.scan import Scan
from trailhouse_consumer.sizes import encoded_sizes
from trailhouse_consumer.texts import broken_texts
from trailhouse_schemas.errors import DecodeError, TrailhouseError, UnknownSchemaError
from trailhouse_schemas.versions import by_fingerprint, latest
from trailhouse_schemas.wire import SINGLE_OBJECT_HEADER_BYTES, read_header

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import Protocol

    from numpy.typing import NDArray

    from trailhouse_schemas.catalogue import EventType

    #: Places of messages, and their records.
    _Part = tuple[NDArray[np.int64], pa.RecordBatch]

    class KnowsSchemas(Protocol):
        """What the decoder asks of a registry."""

        def schema_of(self, registry_id: int) -> Any:
            """Return the schema with that id as JSON; raises `UnknownSchemaError`, `RegistryUnavailableError`."""


__all__ = ["Decoded", "Decoder"]

#: Names of the fields that stand for the single-object header, where it is decoded with the body.
_MARKER, _FINGERPRINT = "_marker", "_fingerprint"
_SINGLE_OBJECT: Final = b"\xc3\x01"


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

    def __init__(self, header: bytes, schema: Any, reader: dict[str, Any]) -> None:
        self.json = schema
        self.parsed = parse_schema(schema, _write_hint=False)
        self.body_at = len(header)
        #: Whether values are decoded header and all. The single-object header reads as a long and a double, which saves
        #: a copy of each value; the registry's does not read as anything.
        self.framed = len(header) == SINGLE_OBJECT_HEADER_BYTES
        frame = [{"name": _MARKER, "type": "long"}, {"name": _FINGERPRINT, "type": "double"}] if self.framed else []
        self.decoded = {**schema, "fields": [*frame, *schema["fields"]]}
        self.text = json.dumps(self.decoded)
        self.unknown_fields = _unknown(schema, reader, "")
        mine = {field["name"]: _shape(field["type"]) for field in schema["fields"]}
        #: Whether fields that both have are the same in both, so that columns can be taken over as they are.
        self.columnwise = all(mine.get(f["name"], _shape(f["type"])) == _shape(f["type"]) for f in reader["fields"])
        self.scan = Scan(schema)

    @property
    def record(self) -> str:
        namespace = self.json.get("namespace", "")
        name: str = self.json["name"]
        return name if "." in name or not namespace else f"{namespace}.{name}"


def _unknown(schema: Any, reader: Any, path: str) -> list[str]:
    """Return the fields, however deep, that the writer has and the reader has not."""
    if isinstance(schema, list) and isinstance(reader, list):
        return [name for one in schema for other in reader for name in _unknown(one, other, path)]
    if not isinstance(schema, dict) or not isinstance(reader, dict) or schema.get("type") != reader.get("type"):
        return []
    if schema["type"] == "record":
        known = {field["name"]: field["type"] for field in reader["fields"]}
        found: list[str] = []
        for field in schema["fields"]:
            where = f"{path}.{field['name']}" if path else field["name"]
            found += _unknown(field["type"], known[field["name"]], where) if field["name"] in known else [where]
        return found
    inner = {"array": "items", "map": "values"}.get(schema["type"])
    return _unknown(schema[inner], reader[inner], path) if inner else []


def _shape(schema: Any) -> Any:
    """Return a schema without what does not change the values: docs."""
    if isinstance(schema, dict):
        return {key: _shape(value) for key, value in schema.items() if key not in {"doc", "default"}}
    if isinstance(schema, list):
        return [_shape(value) for value in schema]
    return schema


class Decoder:
    """Decodes the messages of one event type."""

    def __init__(
        self,
        event_type: EventType,
        registry: KnowsSchemas | None = None,
        columns: Callable[[], Collection[str]] | None = None,
    ) -> None:
        """Decode messages of an event type.

        Args:
            event_type: Theirs.
            registry: Where schemas are asked for by id; without one such messages are dead letters.
            columns: Says, when the first message is decoded, which columns the table has, where they may be fewer than
                the newest version's fields: a message that has a field without a column is a dead letter.
        """
        self._event_type = event_type
        self._registry = registry
        self._columns = columns
        self._writers: dict[bytes, _Writer] = {}

    @cached_property
    def _reader(self) -> dict[str, Any]:
        """The newest version, as far as the table has columns for it."""
        schema = latest(self._event_type.name).schema
        return schema if self._columns is None else _with_columns(schema, self._event_type, self._columns())

    @cached_property
    def _parsed(self) -> Any:
        return parse_schema(self._reader, _write_hint=False)

    @cached_property
    def _arrow(self) -> pa.Schema:
        return pyruhvro.avro_to_arrow_schema(json.dumps(self._reader))

    def decode(self, values: Sequence[bytes | None]) -> Decoded:
        """Decode the values of a range.

        Raises:
            RegistryUnavailableError: a message can be decoded only when the registry answers again.
            WarehouseUnavailableError: the columns of the table cannot be asked for.
        """
        dead: list[Dead] = []
        parts: list[_Part] = []
        for header, group in _by_header(values, dead):
            writer = self._checked(header, group, dead)
            if writer is not None:
                mine: Any = values if len(group) == len(values) else [values[place] for place in group]
                self._fast(writer, mine, np.array(group, np.int64), parts, dead)
        if not parts:
            return Decoded(pa.RecordBatch.from_pylist([], schema=self._arrow), np.empty(0, np.int64), dead)
        if len(parts) == 1:
            return Decoded(parts[0][1], parts[0][0], dead)
        together = np.concatenate([part[0] for part in parts])
        order = np.argsort(together, kind="stable")
        batch = pa.concat_batches([part[1] for part in parts])
        return Decoded(batch.take(pa.array(order)), together[order], dead)

    def _checked(self, header: bytes, group: Sequence[int], dead: list[Dead]) -> _Writer | None:
        """Return how messages with that header are decoded; None when they are dead letters, all of them."""
        try:
            writer = self._writer(header)
        except UnknownSchemaError as error:
            reason, detail = Reason.UNKNOWN_SCHEMA, str(error)
        except SchemaRefusedError as error:
            reason, detail = Reason.WRONG_SCHEMA, str(error)
        else:
            if writer.record != self._event_type.record:
                reason = Reason.WRONG_SCHEMA
                expected = self._event_type
                detail = f"The value is a {writer.record}; topic {expected.topic} holds {expected.record}"
            elif writer.unknown_fields:
                reason = Reason.UNKNOWN_FIELD
                detail = (
                    f"Fields {', '.join(writer.unknown_fields)} have no column in table {self._event_type.table}; "
                    "upgrade, run 'trailhouse migrate', then 'trailhouse dead-letters replay'"
                )
            else:
                return writer
        dead += [Dead(place, reason, detail) for place in group]
        return None

    def _fast(
        self, writer: _Writer, values: Sequence[bytes], places: NDArray[np.int64], parts: list[_Part], dead: list[Dead]
    ) -> None:
        """Decode by pyruhvro; where it fails, without the records that are bad."""
        batch = _by_pyruhvro(writer, values) if writer.columnwise else None
        scanned = batch is None
        if batch is None:
            values, places = _without_faults(writer, values, places, dead)
            batch = _by_pyruhvro(writer, values) if writer.columnwise and len(values) else None
        if batch is None:
            self._slow(writer, values, places, parts, dead)
            return
        broken = broken_texts(batch)
        if broken:
            if not scanned:  # so that the fault that is named does not depend on the others
                rows = list(broken)
                faults = writer.scan.faults([values[row] for row in rows], writer.body_at)
                broken |= {rows[place]: text for place, text in faults.items()}
            dead += [_undecodable(int(places[row]), text) for row, text in broken.items()]
            keep = np.ones(len(places), bool)
            keep[list(broken)] = False
            values, places = [values[row] for row in np.flatnonzero(keep).tolist()], places[keep]
            batch = batch.filter(pa.array(keep))
            if not len(places):
                return
        same = _spelt_as_usual(writer, batch, values)
        if not same.all():
            other = np.flatnonzero(~same)
            odd: Sequence[bytes] = [values[row] for row in other.tolist()]
            odd_places = places[other]
            if not scanned:
                odd, odd_places = _without_faults(writer, odd, odd_places, dead)
            self._slow(writer, odd, odd_places, parts, dead)
            batch, places = batch.filter(pa.array(same)), places[same]
        if len(places):
            parts.append((places, self._aligned(batch)))

    def _slow(
        self, writer: _Writer, values: Sequence[bytes], places: NDArray[np.int64], parts: list[_Part], dead: list[Dead]
    ) -> None:
        """Decode by fastavro, one by one: it says which cannot be, and why."""
        found, records = [], []
        for value, place in zip(values, places.tolist(), strict=True):
            try:
                records.append(self._by_fastavro(writer, value[writer.body_at :]))
            except Exception as error:  # noqa: BLE001 - fastavro raises whatever the bytes lead it to
                dead.append(_undecodable(place, _said(error)))
            else:
                found.append(place)
        self._to_arrow(records, found, parts, dead)

    def _to_arrow(self, records: list[Any], places: list[int], parts: list[_Part], dead: list[Dead]) -> None:
        """Make columns of records; where that fails, of the halves, down to the record that it fails for."""
        if not records:
            return
        try:
            batch = pa.RecordBatch.from_pylist(records, schema=self._arrow)
        except Exception as error:  # noqa: BLE001 - a value that its column cannot hold
            if len(records) == 1:
                dead.append(_undecodable(places[0], _said(error)))
                return
            middle = len(records) // 2
            self._to_arrow(records[:middle], places[:middle], parts, dead)
            self._to_arrow(records[middle:], places[middle:], parts, dead)
        else:
            parts.append((np.array(places, np.int64), batch))

    def _by_fastavro(self, writer: _Writer, body: bytes) -> Any:
        stream = io.BytesIO(body)
        record: Any = schemaless_reader(stream, writer.parsed, self._parsed)
        rest = len(body) - stream.tell()
        if rest:
            raise DecodeError(f"{rest} bytes are left over after the record")
        return record

    def _aligned(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the batch with exactly the newest version's columns; where one lacks, its default."""
        if batch.schema.names == self._arrow.names:
            return batch.cast(self._arrow) if batch.schema != self._arrow else batch
        defaults = {field["name"]: field.get("default") for field in self._reader["fields"]}
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
            schema = self._schema(header)
            try:
                self._writers[header] = _Writer(header, schema, self._reader)
            except Exception as error:
                raise SchemaRefusedError(f"Its schema is none that can be read: {_said(error)}") from error
        return self._writers[header]

    def _schema(self, header: bytes) -> Any:
        named = read_header(header)
        if named.fingerprint is not None:
            return by_fingerprint(named.fingerprint).schema
        if self._registry is None:
            raise UnknownSchemaError(
                f"Schema id {named.registry_id} is of a registry, and none is configured; "
                "set TRAILHOUSE_REGISTRY, then 'trailhouse dead-letters replay'"
            )
        try:
            return self._registry.schema_of(int(named.registry_id or 0))
        except ValueError as error:
            if isinstance(error, TrailhouseError):
                raise
            raise SchemaRefusedError(f"Schema id {named.registry_id} is no JSON: {_said(error)}") from error


def _with_columns(schema: dict[str, Any], event_type: EventType, columns: Collection[str]) -> dict[str, Any]:
    """Return the schema without the fields that the table has no column for."""
    fields = []
    for field in schema["fields"]:
        if field["name"] == event_type.rows_from:
            row = field["type"]["items"]
            inner = [each for each in row["fields"] if each["name"] in columns]
            fields.append({**field, "type": {**field["type"], "items": {**row, "fields": inner}}})
        elif field["name"] in columns:
            fields.append(field)
    return {**schema, "fields": fields}


def _by_header(values: Sequence[bytes | None], dead: list[Dead]) -> list[tuple[bytes, Sequence[int]]]:
    """Return the messages grouped by their schema header, as places; those without a header are dead."""
    first = values[0][:SINGLE_OBJECT_HEADER_BYTES] if values and values[0] is not None else b""
    if _is_whole(first) and _all_begin_with(first, values):
        return [(first, range(len(values)))]
    groups: dict[bytes, list[int]] = {}
    #: What each beginning of a value stands for: the places with that header, or why it is no header.
    known: dict[bytes | None, list[int] | str] = {}
    for place, value in enumerate(values):
        head = None if value is None else value[:SINGLE_OBJECT_HEADER_BYTES]
        group = known.get(head)
        if group is None:
            group = known[head] = _places_or_fault(head, groups)
        if isinstance(group, str):
            dead.append(Dead(place, Reason.NO_HEADER, group))
        else:
            group.append(place)
    return list(groups.items())


def _places_or_fault(head: bytes | None, groups: dict[bytes, list[int]]) -> list[int] | str:
    if head is not None and _is_whole(head):
        return groups.setdefault(head, [])
    try:
        header = read_header(head)
    except DecodeError as error:
        return str(error)
    return groups.setdefault((head or b"")[: header.body_at], [])


def _all_begin_with(head: bytes, values: Sequence[bytes | None]) -> bool:
    begins = pc.starts_with(pa.array(values, pa.binary()), head)
    return begins.null_count == 0 and bool(pc.all(begins).as_py())


def _is_whole(head: bytes) -> bool:
    """Return whether these are all bytes of a single-object header."""
    return len(head) == SINGLE_OBJECT_HEADER_BYTES and head.startswith(_SINGLE_OBJECT)


def _by_pyruhvro(writer: _Writer, values: Sequence[bytes]) -> pa.RecordBatch | None:
    """Return the decoded batch, which is not to be trusted yet; None when it cannot be decoded."""
    bodies = list(values) if writer.framed else [value[writer.body_at :] for value in values]
    try:
        return pyruhvro.deserialize_array(bodies, writer.text)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException:  # noqa: BLE001 - its panics derive from BaseException alone
        return None


def _spelt_as_usual(writer: _Writer, batch: pa.RecordBatch, values: Sequence[bytes]) -> NDArray[np.bool_]:
    """Return which rows would give the same bytes if they were encoded again."""
    found = encoded_sizes(batch, writer.decoded)
    if found is None:
        return _encoded_the_same(writer, batch, values)
    sizes, odd = found
    lengths = np.array(list(map(len, values)), np.int64)
    same: NDArray[np.bool_] = lengths - (0 if writer.framed else writer.body_at) == sizes
    doubtful = np.flatnonzero(same & odd)
    if len(doubtful):
        rows = [values[row] for row in doubtful.tolist()]
        same[doubtful] = _encoded_the_same(writer, batch.take(pa.array(doubtful)), rows)
    return same


def _encoded_the_same(writer: _Writer, batch: pa.RecordBatch, values: Sequence[bytes]) -> NDArray[np.bool_]:
    """Encode rows again, and return which give the same bytes."""
    try:
        again = pyruhvro.serialize_record_batch(batch, writer.text, 1)
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException:  # noqa: BLE001 - as above
        return np.zeros(len(values), bool)
    encoded = again[0] if len(again) == 1 else pa.concat_arrays(again)
    bodies = values if writer.framed else [value[writer.body_at :] for value in values]
    same: NDArray[np.bool_] = pc.equal(encoded, pa.array(bodies, encoded.type)).to_numpy(zero_copy_only=False)
    return same


def _without_faults(
    writer: _Writer, values: Sequence[bytes], places: NDArray[np.int64], dead: list[Dead]
) -> tuple[Sequence[bytes], NDArray[np.int64]]:
    """Return the records that can be walked through; the others are dead."""
    faults = writer.scan.faults(values, writer.body_at)
    if not faults:
        return values, places
    dead += [_undecodable(int(places[row]), text) for row, text in faults.items()]
    sound = [row for row in range(len(values)) if row not in faults]
    return [values[row] for row in sound], places[sound]


def _to_arrow(default: Any) -> Any:
    """Return an Avro default as Arrow takes it: a map as pairs."""
    return list(default.items()) if isinstance(default, dict) else default


def _undecodable(place: int, text: str) -> Dead:
    return Dead(place, Reason.UNDECODABLE, f"The record cannot be decoded: {text}")


def _said(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:500]
