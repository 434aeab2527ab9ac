"""The schema registry: which id a schema has there, and which schema an id stands for.

Any registry that speaks Confluent's REST interface will do. The subject of a schema is its topic and `-value`, as
Confluent's own serializers have it. Two things that look alike are told apart: an id that the registry does not know
(`UnknownSchemaError`: it never will decode) and a registry that does not answer (`RegistryUnavailableError`: later).

Needs the extra `registry`.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from trailhouse_schemas.errors import RegistryUnavailableError, UnknownSchemaError
from trailhouse_schemas.secrets import without_password
from trailhouse_schemas.versions import SchemaVersion, fingerprint_of, versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka.schema_registry import SchemaRegistryClient

    from trailhouse_schemas.catalogue import EventType
    from trailhouse_schemas.settings import Settings

__all__ = ["Registry", "subject_of"]

#: Confluent's codes for a subject, a version and a schema that the registry does not know. A 404 without one of them is
#: somebody else's: a proxy whose registry is not up yet, or a URL with another path.
_NOT_FOUND: Final = frozenset({40401, 40402, 40403})
_TIMEOUT_SECONDS: Final = 10


def subject_of(event_type: EventType) -> str:
    """Return the registry's subject for the schemas of an event type."""
    return f"{event_type.topic}-value"


class Registry:
    """One schema registry. Ids and schemas never change once given, so every answer is kept."""

    def __init__(self, url: str, user_info: str = "") -> None:
        """Remember the URL, and `USER:PASSWORD` where it asks for one; nothing is asked yet."""
        self.url = url
        self._user_info = user_info
        self._shown = without_password(url)
        self._ids: dict[bytes, int] = {}
        self._schemas: dict[int, dict[str, Any]] = {}

    @classmethod
    def of(cls, settings: Settings) -> Registry:
        """Return the registry of the settings, which name one."""
        return cls(settings.registry, settings.registry_user_info.get_secret_value())

    @cached_property
    def _client(self) -> SchemaRegistryClient:
        from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: PLC0415 - slow, and seldom needed

        login = {"basic.auth.user.info": self._user_info} if self._user_info else {}
        return SchemaRegistryClient({"url": self.url, "timeout": _TIMEOUT_SECONDS, "max.retries": 0, **login})

    def id_of(self, version: SchemaVersion) -> int:
        """Return the registry's id of a schema version.

        Raises:
            UnknownSchemaError: it is not registered; `trailhouse schemas register` does that.
            RegistryUnavailableError: the registry does not answer.
        """
        from confluent_kafka.schema_registry import Schema  # noqa: PLC0415

        if version.fingerprint not in self._ids:
            subject = subject_of(version.event_type)
            unknown = (
                f"Version {version.version} of schema {version.event_type.name} is not registered under {subject} "
                f"at {self._shown}; run 'trailhouse schemas register'"
            )
            found = self._ask(lambda c: c.lookup_schema(subject, Schema(version.text, "AVRO")), unknown)
            self._ids[version.fingerprint] = int(found.schema_id)
        return self._ids[version.fingerprint]

    def schema_of(self, registry_id: int) -> dict[str, Any]:
        """Return the Avro schema that an id stands for.

        Raises:
            UnknownSchemaError: the registry has no such id, or not one of an Avro record.
            RegistryUnavailableError: the registry does not answer.
        """
        if registry_id not in self._schemas:
            unknown = (
                f"Schema id {registry_id} is not known to the registry at {self._shown}; register the schema there"
            )
            found = self._ask(lambda c: c.get_schema(registry_id), unknown)
            if (found.schema_type or "AVRO") != "AVRO":
                raise UnknownSchemaError(f"Schema id {registry_id} is of type {found.schema_type}; expected AVRO")
            schema = json.loads(found.schema_str)
            if not isinstance(schema, dict) or schema.get("type") != "record":
                raise UnknownSchemaError(f"Schema id {registry_id} is no Avro record; expected one of Trailhouse's")
            self._schemas[registry_id] = schema
        return self._schemas[registry_id]

    def version_of(self, registry_id: int) -> SchemaVersion | None:
        """Return the checked-in version that an id stands for; None where this distribution does not have it.

        Raises:
            UnknownSchemaError: the registry has no such id.
            RegistryUnavailableError: the registry does not answer.
        """
        from trailhouse_schemas.versions import by_fingerprint  # noqa: PLC0415 - reads all schemas

        try:
            return by_fingerprint(fingerprint_of(self.schema_of(registry_id)))
        except UnknownSchemaError:
            if registry_id in self._schemas:
                return None
            raise

    def registered(self, event_type: EventType) -> list[dict[str, Any]]:
        """Return the schemas registered for an event type, the oldest first; raises `RegistryUnavailableError`."""
        subject = subject_of(event_type)
        try:
            numbers = self._ask(lambda c: c.get_versions(subject), "")
        except UnknownSchemaError:
            return []
        return [
            json.loads(self._ask(lambda c, n=number: c.get_version(subject, n), "").schema.schema_str)
            for number in sorted(numbers)
        ]

    def register(self, event_type: EventType) -> list[tuple[SchemaVersion, int]]:
        """Register the checked-in versions of an event type that the registry lacks; return those with their ids.

        Compatibility is tested here, before, against all that is registered: some registries take what they should
        refuse.

        Raises:
            CompatibilityError: a version would break one that is registered.
            RegistryUnavailableError: the registry does not answer.
        """
        from confluent_kafka.schema_registry import Schema  # noqa: PLC0415

        from trailhouse_schemas.compatibility import refuse_breaks  # noqa: PLC0415 - needs the extra `generate`

        there = self.registered(event_type)
        known = {fingerprint_of(schema) for schema in there}
        done = []
        for version in versions(event_type.name):
            if version.fingerprint in known:
                continue
            refuse_breaks(event_type.name, there, version.schema)
            subject = subject_of(event_type)
            schema = Schema(version.text, "AVRO")
            registry_id = self._ask(lambda c, s=subject, t=schema: c.register_schema(s, t), f"{subject} was refused")
            self._ids[version.fingerprint] = int(registry_id)
            there.append(version.schema)
            done.append((version, int(registry_id)))
        return done

    def _ask(self, question: Callable[..., Any], unknown: str) -> Any:
        from confluent_kafka.schema_registry import SchemaRegistryError  # noqa: PLC0415

        try:
            return question(self._client)
        except SchemaRegistryError as error:
            if error.error_code in _NOT_FOUND:
                raise UnknownSchemaError(unknown) from error
            raise RegistryUnavailableError(
                f"Registry {self._shown} answers {error.http_status_code} ({error.error_message}); see its log"
            ) from error
        except Exception as error:
            raise RegistryUnavailableError(
                f"Registry {self._shown} does not answer ({error}); start it, or set TRAILHOUSE_REGISTRY"
            ) from error
