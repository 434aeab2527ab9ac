"""The collector's own settings: from arguments, else `TRAILHOUSE_COLLECT_…`, else the table `collect` of the file."""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final, Literal, Self

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from trailhouse_schemas.secrets import SecretFile, shown
from trailhouse_schemas.settings import KafkaClient, config_files, reading, with_secret_file

__all__ = ["CollectorSettings"]

_MIB = 1 << 20
#: What Kafka takes as the name of a member.
_LEGAL_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")


class CollectorSettings(BaseSettings):
    """How the collector works. Where things are is in the settings that all parts share."""

    model_config = SettingsConfigDict(
        env_prefix="TRAILHOUSE_COLLECT_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    group: str = Field(default="trailhouse-collector", description="Consumer group.")
    group_protocol: Literal["classic", "consumer"] = Field(
        default="classic", description="classic (cooperative-sticky) or consumer (KIP-848; Kafka 4.0 or newer)."
    )
    group_instance_id: str = Field(
        default="",
        description="Name in the group, of this collector alone (static membership): restarted within the session "
        "time-out it keeps its partitions. Empty: none, it leaves when it ends.",
    )
    session_timeout_seconds: float = Field(
        default=45.0,
        ge=1,
        le=3600,
        description="Silence after which the group gives a collector up (classic; else it is the broker's setting).",
    )
    kafka_client_file: SecretFile = Field(
        default=None, description="File of JSON with more of the collector's kafka_client; it wins."
    )
    kafka_client: KafkaClient = Field(
        default_factory=dict,
        validate_default=True,
        description="Settings of the collector's Kafka client, over those of every client (TRAILHOUSE_KAFKA_CLIENT).",
    )
    flush_rows: int = Field(default=100_000, ge=1, le=1_000_000, description="Messages that make a range.")
    flush_bytes: int = Field(default=8 * _MIB, ge=1, le=128 * _MIB, description="Bytes of messages that make a range.")
    flush_seconds: float = Field(default=1.0, ge=0, description="Longest that a message waits for others.")
    memory_mib: int = Field(
        default=384, ge=16, description="Bound of the messages in memory, those that Kafka's client holds included."
    )
    landers: int = Field(default=2, ge=1, le=64, description="Ranges that are decoded or inserted at the same time.")
    metrics_port: int = Field(default=0, ge=0, le=65535, description="Port of the Prometheus metrics; 0: none.")
    metrics_address: str = Field(default="127.0.0.1", description="Address of the Prometheus metrics.")
    serve: bool = Field(default=True, description="Let other programs use an embedded warehouse meanwhile.")
    serve_port: int = Field(default=0, ge=0, le=65535, description="Port for them; 0: one that is free.")
    idle_seconds: float = Field(default=1.0, ge=0, description="Quiet after which --until-idle ends.")
    backoff_seconds: float = Field(
        default=30.0, gt=0, description="Longest wait between tries of what does not answer."
    )

    @field_validator("group_instance_id")
    @classmethod
    def _of_kafkas_letters(cls, value: str) -> str:
        if value and (not _LEGAL_ID.fullmatch(value) or value in {".", ".."}):
            raise ValueError("is not 1 to 249 of the letters a-z A-Z 0-9 . _ -, and not . or ..")
        return value

    @field_validator("kafka_client", mode="after")
    @classmethod
    def _from_file(cls, value: Any, info: ValidationInfo) -> Any:
        return with_secret_file(value, info)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Return what is shown of the settings wherever they are printed: no secrets."""
        return [(name, shown(getattr(self, name))) for name in type(self).model_fields]

    @classmethod
    def read(cls, **flags: object) -> Self:
        """Read the settings; flags that are not None win over all else.

        Raises:
            SettingsError: a value, or the file, is not what it should be.
        """
        with reading("TRAILHOUSE_COLLECT_"):
            return cls(**{name: value for name, value in flags.items() if value is not None})  # type: ignore[arg-type]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, which wins over the file."""
        return (init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=_from_files()))


def _from_files() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for file in config_files():
        if file.is_file():
            found |= tomllib.loads(file.read_text("utf-8")).get("collect", {})
    return found
