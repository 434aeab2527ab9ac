"""Commits to a consumer group that do not wait for a broker for ever."""

from __future__ import annotations

import threading
from typing import Any, Final

from confluent_kafka import KafkaException

from trailhouse_consumer.errors import PartitionLostError, SourceUnavailableError
from trailhouse_consumer.sources.kafka_client import LOST, text

__all__ = ["Commits"]

#: How long a commit may take.
_SECONDS: Final = 5.0


class Commits:
    """Commits one after the other, each in a thread: the client itself would wait for a broker for ever."""

    def __init__(self, servers: str) -> None:
        """Name the servers, for errors."""
        self._servers = servers
        self._last: threading.Thread | None = None

    def commit(self, consumer: Any, offsets: list[Any], *, amid_rebalance: bool) -> None:
        """Commit.

        Amid a change of assignment the client takes calls of the one thread alone that serves it.

        Raises:
            PartitionLostError: the group refuses it.
            SourceUnavailableError: it is not known whether it was taken.
            TimeoutError: the same; there was no answer.
        """
        if self._last is not None and self._last.is_alive():
            raise SourceUnavailableError(f"Kafka at {self._servers} has not answered to an earlier commit")
        failed = list[BaseException]()

        def commit() -> None:
            try:
                done = consumer.commit(offsets=offsets, asynchronous=False)
            except (KafkaException, RuntimeError) as error:
                failed.append(error)
            else:
                failed.extend(KafkaException(each.error) for each in done or () if each.error is not None)

        if amid_rebalance:
            commit()
        else:
            self._last = threading.Thread(target=commit, daemon=True)
            self._last.start()
            self._last.join(_SECONDS)
            if self._last.is_alive():
                raise TimeoutError
        if not failed:
            return
        error = failed[0]
        if isinstance(error, KafkaException) and error.args[0].code() in LOST:
            raise PartitionLostError(f"The group refuses the commit: {text(error)}") from error
        raise SourceUnavailableError(f"Kafka at {self._servers} takes no commit: {text(error)}") from error
