"""Whether Kafka answers, asked before a command relies on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trailhouse_cli.errors import BadInputError

if TYPE_CHECKING:
    from trailhouse_schemas.settings import Settings

__all__ = ["require_answer"]

_ANSWER_SECONDS: Final = 10.0


def require_answer(settings: Settings, timeout_seconds: float | None = None) -> set[str]:
    """Return the topics there are; raises `BadInputError` unless a broker answers in time, ten seconds by default."""
    from confluent_kafka import KafkaException  # noqa: PLC0415 - slow to import
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415

    from trailhouse.kafka_errors import LastSaid  # noqa: PLC0415

    said = LastSaid()
    admin: Any = None
    try:
        admin = AdminClient(settings.kafka_settings({"log_level": 0, "error_cb": said}))
        return set(admin.list_topics(timeout=timeout_seconds or _ANSWER_SECONDS).topics)
    except KafkaException as error:
        raise BadInputError(
            f"Kafka at {settings.kafka_shown} does not answer ({said.or_else(admin, error)}); "
            f"start it, or set TRAILHOUSE_KAFKA{' and TRAILHOUSE_KAFKA_CLIENT' if settings.kafka_client else ''}"
        ) from error
