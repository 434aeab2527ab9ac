"""Generates the Avro schemas from the models, and writes a new version where a model has changed.

Needs the extra `generate` (py-avro-schema). Nothing that runs beside a training job imports this.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import py_avro_schema

from trailhouse_schemas.catalogue import CATALOGUE, NAMESPACE, EventType
from trailhouse_schemas.compatibility import refuse_breaks
from trailhouse_schemas.versions import versions

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["generate", "is_current", "write_new_versions"]


def generate(event_type: EventType) -> dict[str, Any]:
    """Return the Avro schema of the model of `event_type`, the envelope's fields first."""
    generated: dict[str, Any] = json.loads(py_avro_schema.generate(event_type.model, namespace=NAMESPACE))
    return generated


def is_current(event_type: EventType) -> bool:
    """Return whether the newest checked-in version is what the model generates."""
    known = versions(event_type.name)
    return bool(known) and known[-1].schema == generate(event_type)


def write_new_versions(folder: Path) -> list[Path]:
    """Write the next version of every schema that has changed under `folder`; return the files written.

    Raises:
        CompatibilityError: a changed schema would break old readers or old data; nothing is written then.
    """
    changed = [event_type for event_type in CATALOGUE.values() if not is_current(event_type)]
    for event_type in changed:
        refuse_breaks(event_type.name, [v.schema for v in versions(event_type.name)], generate(event_type))
    written = []
    for event_type in changed:
        known = versions(event_type.name)
        file = folder / event_type.name / f"{known[-1].version + 1 if known else 1}.avsc"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(generate(event_type), indent=2, ensure_ascii=False) + "\n", "utf-8")
        written.append(file)
    versions.cache_clear()
    return written
