"""All errors that trailhouse-schemas raises. Each says in one line what, which value, and the way out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "CompatibilityError",
    "DecodeError",
    "RegistryUnavailableError",
    "SettingsError",
    "SpoolError",
    "SpoolLockedError",
    "TrailhouseError",
    "UnknownEventTypeError",
    "UnknownSchemaError",
    "WarehouseAheadError",
    "WarehouseAlteredError",
    "WarehouseBehindError",
    "WarehouseError",
    "WarehouseLockedError",
    "WarehouseUnavailableError",
]


class TrailhouseError(Exception):
    """Base of all errors of Trailhouse: its text is one line for a person, with the way out."""


class UnknownEventTypeError(TrailhouseError, LookupError):
    """The catalogue has no such event type."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        """Name the unknown type and the known ones that are near."""
        from trailhouse_schemas.names import near  # noqa: PLC0415 - needed only when something is wrong

        way_out = near(name, known, otherwise="list them with 'trailhouse schemas list'")
        super().__init__(f"Event type {name!r} is not known{way_out}")
        self.name = name


class DecodeError(TrailhouseError, ValueError):
    """Bytes that are not what they should be. They will never decode."""


class UnknownSchemaError(DecodeError):
    """A fingerprint or registry id that nobody knows."""


class CompatibilityError(TrailhouseError):
    """A new version of a schema that old readers or old data could not live with."""


class RegistryUnavailableError(TrailhouseError):
    """The schema registry does not answer: what cannot be decoded now may be decoded later."""


class SettingsError(TrailhouseError, ValueError):
    """A setting, or the file of settings, that is not what it should be."""


class SpoolError(TrailhouseError):
    """A spool that cannot be opened, read or written."""


class SpoolLockedError(SpoolError):
    """Another process holds the lock of this spool."""


class WarehouseError(TrailhouseError):
    """Something is wrong with the warehouse."""


class WarehouseUnavailableError(WarehouseError):
    """The warehouse does not answer or is not there."""


class WarehouseLockedError(WarehouseUnavailableError):
    """Another process has the embedded warehouse open."""


class WarehouseBehindError(WarehouseError):
    """The warehouse lacks migrations that this version needs."""


class WarehouseAheadError(WarehouseError):
    """The warehouse has migrations that this version does not know."""


class WarehouseAlteredError(WarehouseError):
    """A migration that was applied is not the one that this version has under its number."""
