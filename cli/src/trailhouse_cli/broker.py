"""Whether Kafka answers, asked before a command relies on it."""

from __future__ import annotations

from typing import Final

from trailhouse_cli.errors import BadInputError

__all__ = ["require_answer"]

_ANSWER_SECONDS: Final = 10.0


def require_answer(bootstrap_servers: str) -> None:
    """Raise `BadInputError` unless one of the brokers answers within ten seconds."""
    from confluent_kafka import KafkaException  # noqa: PLC0415 - slow to import
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415

    try:
        AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0}).list_topics(timeout=_ANSWER_SECONDS)
    except KafkaException as error:
        raise BadInputError(
            f"Kafka at {bootstrap_servers} does not answer ({error.args[0].str()}); start it, or set TRAILHOUSE_KAFKA"
        ) from error
