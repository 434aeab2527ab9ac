"""The gate that a new version of a schema must pass: FULL_TRANSITIVE, and nothing taken away or renamed.

Old readers must understand new data and new readers old data, for every version there ever was. Whether one schema
can read what another wrote is decided by Apache Avro's own checker. On top of that come the rules of this project that
Avro does not have: a field is never removed (a rename is a removal) and never changes its logical type, because the
warehouse has a column for it.

Needs the extra `generate` (avro).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse as parse_avro

from trailhouse_schemas.errors import CompatibilityError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Break", "breaks", "refuse_breaks"]


@dataclass(frozen=True, slots=True)
class Break:
    """One reason why a new version must not be: the field, and what is wrong with it."""

    field: str
    reason: str

    def __str__(self) -> str:
        """Return the reason as it stands in error messages."""
        return f"{self.field}: {self.reason}"


def breaks(old: dict[str, Any], new: dict[str, Any]) -> list[Break]:
    """Return what the version `new` would break for readers or data of the version `old`; empty when nothing."""
    found = list(_missing_or_retyped(old, new))
    if found:
        return found
    for reader, writer, whose in ((new, old, "new readers of old data"), (old, new, "old readers of new data")):
        result = ReaderWriterCompatibilityChecker().get_compatibility(  # type: ignore[no-untyped-call]
            parse_avro(json.dumps(reader)), parse_avro(json.dumps(writer))
        )
        if result.compatibility is not SchemaCompatibilityType.compatible:
            found.append(Break(", ".join(sorted(result.locations)), f"{'; '.join(result.messages)} (breaks {whose})"))
    return found


def refuse_breaks(name: str, olds: Sequence[dict[str, Any]], new: dict[str, Any]) -> None:
    """Raise `CompatibilityError` when `new` breaks any of the versions `olds` (oldest first) of the event type."""
    for number, old in enumerate(olds, start=1):
        found = breaks(old, new)
        if found:
            raise CompatibilityError(
                f"Schema {name} cannot follow its version {number}: {'; '.join(map(str, found))}. "
                "Add a new field with a default instead; never remove, rename or retype one"
            )


def _missing_or_retyped(old: dict[str, Any], new: dict[str, Any], path: str = "") -> Iterator[Break]:
    fields = {field["name"]: field for field in new["fields"]}
    before = {field["name"] for field in old["fields"]}
    for field in old["fields"]:
        name = f"{path}{field['name']}"
        if field["name"] not in fields:
            yield Break(name, "is gone; a field is never removed or renamed")
            continue
        was, now = _without_docs(field["type"]), _without_docs(fields[field["name"]]["type"])
        records = list(zip(_records(field["type"]), _records(fields[field["name"]]["type"]), strict=False))
        if records:
            for was_record, now_record in records:
                yield from _missing_or_retyped(was_record, now_record, f"{name}.")
        elif was != now:
            yield Break(name, f"was {json.dumps(was)} and would be {json.dumps(now)}; a field is never retyped")
    for field in new["fields"]:
        if field["name"] not in before and "default" not in field:
            yield Break(f"{path}{field['name']}", "is new and has no default; give it one")


def _records(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, list):
        for branch in node:
            yield from _records(branch)
    elif isinstance(node, dict):
        if node.get("type") == "record":
            yield node
        else:
            for inner in ("items", "values", "type"):
                yield from _records(node.get(inner))


def _without_docs(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_docs(value) for key, value in node.items() if key not in {"doc", "default"}}
    if isinstance(node, list):
        return [_without_docs(branch) for branch in node]
    return node
