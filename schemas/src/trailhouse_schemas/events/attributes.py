"""Attributes: all that people change later, on any entity, as of a moment."""

from typing import Literal

from pydantic import Field

from trailhouse_schemas.events.base import Event, Timestamp

__all__ = ["AttributeChanged"]


class AttributeChanged(Event):
    """An attribute of an entity was set, added to or removed: tags, notes, names, owners, teams or cost centres."""

    entity_kind: str = Field(description="run, project, dataset, model, principal, node, …")
    entity_id: str = Field(description="The entity.")
    attribute: str = Field(description="Name of the attribute: tag, note, name, archived, alias, owner, team, …")
    operation: Literal["set", "add", "remove"] = Field(
        default="set", description="set (replaces), add (to a set of values) or remove (one value, or all if empty)."
    )
    value: str = Field(default="", description="JSON value; empty for the removal of all.")
    valid_from: Timestamp | None = Field(default=None, description="From when on it holds; null: when published.")
    reason: str = Field(default="", description="Why.")
