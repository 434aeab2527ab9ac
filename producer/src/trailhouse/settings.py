"""The settings of the producer: those that all parts share, and how it buffers, beats and waits."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from pydantic import Field, ValidationError

from trailhouse.once import warn_once
from trailhouse_schemas.errors import SettingsError
from trailhouse_schemas.settings import PathsThatAreSet, Settings

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

__all__ = ["MetricsFrom", "ProducerSettings"]

#: Which ranks of a run record what they hand to `log`.
MetricsFrom = Literal["every rank", "rank 0"]

_S = TypeVar("_S", bound=Settings)


class ProducerSettings(Settings):
    """Where events go, how long they may wait in memory, and how often there is a sign of life."""

    run_id: str = Field(default="", description="The run that this process belongs to; empty: found out or made up.")
    rank: int | None = Field(default=None, ge=0, description="Rank of this process, where its launcher does not say.")
    world_size: int | None = Field(
        default=None, ge=1, description="Number of processes of the run, where their launcher does not say."
    )
    attempt: int | None = Field(default=None, ge=0, description="Restart of the run, where its launcher does not say.")
    metrics_from: MetricsFrom = Field(
        default="every rank", description="Whose metrics are recorded: those of every rank, or of rank 0 alone."
    )
    project: str = Field(default="", description="The project, where start_run is not told one.")
    principal: str = Field(default="", description="Who this process acts for; empty: the user of the process.")
    flush_interval_seconds: float = Field(
        default=0.2, gt=0, le=60, description="How long an event may wait in memory: what a killed process can lose."
    )
    heartbeat_interval_seconds: float = Field(
        default=10.0, gt=0, le=3600, description="Time between two signs of life."
    )
    sample_interval_seconds: float = Field(
        default=10.0,
        ge=0,
        le=3600,
        description="Time between two samples of CPU, memory, disk, network and GPUs; 0: none.",
    )
    buffer_mib: int = Field(
        default=64,
        ge=1,
        le=4096,
        description="MiB of memory for what waits to be written; beyond it metrics are dropped.",
    )
    helper: bool = Field(
        default=True,
        description="Whether a process of the node writes what this one logs, from its second second on, not a thread.",
    )
    finish_timeout_seconds: float = Field(
        default=30.0, ge=0, description="How long the end of a run may wait for events to be published."
    )
    permission_refresh_seconds: float = Field(
        default=5.0, ge=0, description="How old the grants may be before authorize reads them again."
    )
    permission_max_age_seconds: float = Field(
        default=60.0, ge=0, description="How old they may be, when they cannot be read, before authorize denies all."
    )
    permission_timeout_seconds: float = Field(
        default=10.0, gt=0, le=600, description="How long authorize waits for Kafka to tell the grants."
    )
    permission_ignore: str = Field(
        default="",
        description="Statements about permissions that cannot be read and are to be passed over, separated by spaces: "
        "PRODUCER_ID:SEQUENCE of a spool, PARTITION:OFFSET of the topic.",
    )

    @classmethod
    def read_or_warn(cls, **flags: object) -> Self:
        """Read the settings for a training process, which is not to end for one that is wrong.

        A setting that is not what it may be is warned about and left at its default; a file that cannot be read is
        warned about and left out.

        Raises:
            SettingsError: one of `flags` is not what it may be.
        """
        try:
            return cls.read(**flags)
        except SettingsError as error:
            given: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
            for source in (cls, _without_file(cls)):
                try:
                    found = source(**given | _defaults_of_wrong(source, given))
                except ValidationError:
                    raise error from None
                except (SettingsError, tomllib.TOMLDecodeError, UnicodeDecodeError, OSError):
                    continue
                warn_once(f"{error}; going on without it")
                return found
            raise


def _defaults_of_wrong(settings: type[Settings], given: dict[str, Any]) -> dict[str, Any]:
    try:
        settings(**given)
    except ValidationError as error:
        wrong = {str(one["loc"][0]) for one in error.errors()} - set(given)
        wrong |= {f"{name}_file" for name in wrong} & settings.model_fields.keys()
        return {name: settings.model_fields[name].get_default(call_default_factory=True) for name in wrong}
    return {}


def _without_file(settings: type[_S]) -> type[_S]:
    class FromEnvironment(settings):  # type: ignore[valid-type, misc]
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings, PathsThatAreSet(settings_cls, env_settings))

    return FromEnvironment
