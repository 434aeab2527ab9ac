"""The settings that all parts share, read once, at the edge: from arguments, else the environment, else a file.

Every setting is an environment variable with the prefix `TRAILHOUSE_`. The file is `trailhouse.toml` in the current
directory, else `~/.config/trailhouse/config.toml`, else the one that `TRAILHOUSE_CONFIG` names.
"""

from __future__ import annotations

import json
import os
import tomllib
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from trailhouse_schemas.errors import SettingsError
from trailhouse_schemas.secrets import SecretFile, json_secret, read_secret, shown, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic.fields import FieldInfo

__all__ = [
    "EVERY_KAFKA_CLIENT",
    "KafkaClient",
    "PathsThatAreSet",
    "Settings",
    "config_files",
    "reading",
    "with_secret_file",
]

#: Settings whose values are never shown, by how their names begin; the names of their files are.
_SECRETS: Final = ("WAREHOUSE_PASSWORD", "KAFKA_CLIENT", "REGISTRY_USER_INFO")


@contextmanager
def reading(prefix: str) -> Iterator[None]:
    """Raise `SettingsError` for what reading settings of that prefix raises; what may be secret is not in its text."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(map(str, first["loc"])).upper()
        secret = name.startswith(_SECRETS) and not name.endswith("_FILE")
        value = "what is not shown" if secret else f"{first['input']!r:.200}"
        raise SettingsError(
            f"Setting {prefix}{name} is {value}: {first['msg'].removeprefix('Value error, ')}"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"Settings file cannot be read ({error}); mend it, or set TRAILHOUSE_CONFIG") from error


def _from_json(value: object, like: str = '{"security.protocol": "ssl"}') -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value or "{}")
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON ({error}); write it like {like}") from None


def _retention_from_json(value: object) -> object:
    return _from_json(value, '{"metrics_logged": "400d"}')


#: What no Kafka client of ours may be told otherwise: a broker that makes topics makes them with settings of its own.
EVERY_KAFKA_CLIENT: Final[Mapping[str, Any]] = MappingProxyType({"allow.auto.create.topics": False})

#: Settings of librdkafka, by its own names; in the environment as JSON.
KafkaClient = Annotated[dict[str, str], NoDecode, BeforeValidator(_from_json)]

#: How long rows are kept, by table; in the environment as JSON.
Retention = Annotated[dict[str, str], NoDecode, BeforeValidator(_retention_from_json)]


def config_files() -> list[Path]:
    """Return the files that settings are read from, the weakest first; raises `SettingsError`."""
    named = os.environ.get("TRAILHOUSE_CONFIG")
    if named:
        if not Path(named).exists():
            raise SettingsError(f"Settings file {named} is not there; make it, or unset TRAILHOUSE_CONFIG")
        if Path(named).is_dir():
            raise SettingsError(f"Settings file {named} is a directory; name a file in it with TRAILHOUSE_CONFIG")
        return [Path(named)]
    usual = (Path("~/.config/trailhouse/config.toml").expanduser(), Path("trailhouse.toml"))
    return [file for file in usual if _may_be_there(file)]


def with_secret_file(value: Any, info: ValidationInfo) -> Any:
    """Return the value of a secret setting with what is in the file that the setting `…_file`, before it, names.

    Raises:
        ValueError: both are set, or the file is none of JSON where it should be.
    """
    path: Path | None = info.data.get(f"{info.field_name}_file")
    if path is None:
        return value
    if not isinstance(value, SecretStr):
        try:
            return {**value, **json_secret(path)}
        except ValueError as error:
            raise ValueError(f"its file {path}: {error}") from None
    if value.get_secret_value():
        raise ValueError(f"it is set, and so is its file {path}; unset one of them")
    return SecretStr(read_secret(path))


def _may_be_there(file: Path) -> bool:
    """Return False for a file in a directory that this user may not enter: to them it is not there."""
    try:
        file.stat()
    except PermissionError:
        return False
    except OSError:
        return True
    return True


class Settings(BaseSettings):
    """Where things are. What only the collector or only the producer needs is in their own settings."""

    model_config = SettingsConfigDict(env_prefix="TRAILHOUSE_", extra="ignore", frozen=True, hide_input_in_errors=True)

    home: Path = Field(
        default=Path("~/.trailhouse"), description="Directory that everything local is under, unless it is set apart."
    )
    spool: Path | None = Field(default=None, description="Directory of the spools; HOME/spool by default.")
    warehouse: str = Field(
        default="",
        description="chdb://DIRECTORY or clickhouse://user@host:8123/database; chdb://HOME/warehouse by default.",
    )
    warehouse_password_file: SecretFile = Field(
        default=None, description="File that the password of the warehouse's user is read from."
    )
    warehouse_password: SecretStr = Field(
        default=SecretStr(""), validate_default=True, description="Password of the warehouse's user."
    )
    retention: Retention = Field(
        default_factory=dict,
        description="How long rows are kept, by table (400d, 26w, 2y), others for ever; put in force by 'trailhouse "
        "migrate'; as JSON.",
    )
    kafka: str = Field(default="", description="Bootstrap servers of Kafka; empty: events stay in spools.")
    kafka_client_file: SecretFile = Field(
        default=None, description="File of JSON with more of kafka_client, such as sasl.password; it wins."
    )
    kafka_client: KafkaClient = Field(
        default_factory=dict,
        validate_default=True,
        description="Further settings of every Kafka client (librdkafka's names), such as TLS and SASL; as JSON.",
    )
    create_topics: bool = Field(
        default=True,
        description="Whether whoever publishes makes topics of the catalogue that are not there; false: nobody but "
        "'trailhouse topics create' does.",
    )
    registry: str = Field(default="", description="URL of the schema registry; empty: single-object encoding.")
    registry_user_info_file: SecretFile = Field(default=None, description="File that registry_user_info is read from.")
    registry_user_info: SecretStr = Field(
        default=SecretStr(""),
        validate_default=True,
        description="USER:PASSWORD for the schema registry (HTTP's basic authentication).",
    )

    @classmethod
    def read(cls, **flags: object) -> Self:
        """Read the settings; flags that are not None win over all else.

        Raises:
            SettingsError: a value, or the file, is not what it should be.
        """
        with reading("TRAILHOUSE_"):
            return cls(**{name: value for name, value in flags.items() if value is not None})  # type: ignore[arg-type]

    @field_validator("warehouse_password", "registry_user_info", "kafka_client", mode="after")
    @classmethod
    def _from_file(cls, value: Any, info: ValidationInfo) -> Any:
        return with_secret_file(value, info)

    @field_validator("home", "spool", mode="after")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """Return what is shown of the settings wherever they are printed: no secrets."""
        return [(name, shown(getattr(self, name))) for name in type(self).model_fields]

    def handed_over(self) -> dict[str, Any]:
        """Return what a helper of this process is told, as JSON: with the secrets that publishing needs."""
        without = {name: None for name in type(self).model_fields if name.endswith("_file")}
        secret = {"warehouse_password": "", "registry_user_info": self.registry_user_info.get_secret_value()}
        return self.model_dump(mode="json") | without | secret

    def kafka_settings(self, own: Mapping[str, Any], promised: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return what a Kafka client is made with: `kafka_client` wins over `own`, and `promised` over both."""
        return {**own, **self.kafka_client, **(promised or {}), **EVERY_KAFKA_CLIENT, "bootstrap.servers": self.kafka}

    @property
    def kafka_shown(self) -> str:
        """The bootstrap servers and how they are spoken to, without what is secret."""
        return f"{self.kafka} with {without_secrets(self.kafka_client)}" if self.kafka_client else self.kafka

    @property
    def spool_directory(self) -> Path:
        """Directory of the spools of training processes."""
        return self.spool or self.home_directory / "spool"

    @property
    def control_directory(self) -> Path:
        """Directory of the retained spools of control facts: grants, prices, attributes."""
        return self.home_directory / "control"

    @property
    def home_directory(self) -> Path:
        """The home directory, absolute."""
        return self.home.expanduser().absolute()

    @property
    def warehouse_url(self) -> str:
        """The warehouse's URL."""
        return self.warehouse or f"chdb://{self.home_directory / 'warehouse'}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, which wins over the file."""
        return (
            init_settings,
            PathsThatAreSet(settings_cls, env_settings),
            PathsThatAreSet(settings_cls, TomlConfigSettingsSource(settings_cls, config_files())),
        )


class PathsThatAreSet(PydanticBaseSettingsSource):
    """What another source says, less directories that are empty: as a path, empty would be the current directory."""

    #: Settings that are directories.
    PATHS: Final = ("home", "spool")

    def __init__(self, settings_cls: type[BaseSettings], source: PydanticBaseSettingsSource) -> None:
        """Take the source."""
        super().__init__(settings_cls)
        self._source = source

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return what the other source says of one field."""
        return self._source.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        """Return all that is set."""
        return {name: value for name, value in self._source().items() if name not in self.PATHS or value != ""}
