"""Topics for tests on a broker that other tests use too."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from trailhouse_cli.servers.waiting import wait_until
from trailhouse_schemas.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Topics"]

_WAIT_SECONDS = 30.0


class Topics:
    """Creates topics, and deletes at the end what it has created."""

    def __init__(self, bootstrap_servers: str) -> None:
        """Take the broker's address."""
        self.bootstrap_servers = bootstrap_servers
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
        self._created: set[str] = set()

    def create(
        self, name: str = "topic", *, partitions: int = 1, config: Mapping[str, str] | None = None, unique: bool = True
    ) -> str:
        """Create a topic and return its name: `name` with something unique behind it, or exactly `name`."""
        topic = f"{name}.{uuid.uuid4().hex[:8]}" if unique else name
        self._create([NewTopic(topic, num_partitions=partitions, config=dict(config or {}))])
        return topic

    def create_catalogue(self, names: Iterable[str] | None = None) -> list[str]:
        """Create the topics of these event types, of all by default, fresh and empty; return their names.

        Topics of the catalogue that are there from before are deleted first, all of them: a test that asks for some
        wants no others.
        """
        self.delete([event_type.topic for event_type in CATALOGUE.values()])
        wanted = [CATALOGUE[name] for name in names] if names is not None else list(CATALOGUE.values())
        self._create([NewTopic(e.topic, num_partitions=e.partitions) for e in wanted])
        return [e.topic for e in wanted]

    def delete(self, topics: Iterable[str]) -> None:
        """Delete those of these topics that are there, and return when they are gone."""
        there = set(topics) & set(self._on_broker())
        if there:
            for future in self._admin.delete_topics(sorted(there), operation_timeout=_WAIT_SECONDS).values():
                future.result(_WAIT_SECONDS)
            # The broker learns of what its controller did a moment later.
            assert wait_until(lambda: not there & set(self._on_broker()), seconds=_WAIT_SECONDS)
        self._created -= there

    def close(self) -> None:
        """Delete every topic that was created here."""
        self.delete(sorted(self._created))

    def _create(self, topics: list[NewTopic]) -> None:
        """Create these topics; one that is still being deleted is waited for."""
        deadline = time.monotonic() + _WAIT_SECONDS
        pending = topics
        while pending:
            futures = self._admin.create_topics(pending, operation_timeout=_WAIT_SECONDS)
            again = []
            for topic in pending:
                try:
                    futures[topic.topic].result(_WAIT_SECONDS)
                    self._created.add(topic.topic)
                except KafkaException as error:
                    still_there = error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS
                    if not still_there or time.monotonic() > deadline:
                        raise
                    again.append(topic)
            pending = again
        wanted = {topic.topic: topic.num_partitions for topic in topics}
        assert wait_until(lambda: wanted.items() <= self._on_broker().items(), seconds=_WAIT_SECONDS)

    def _on_broker(self) -> dict[str, int]:
        """Return the number of partitions that have a leader, of every topic that the broker knows of."""
        topics = self._admin.list_topics(timeout=_WAIT_SECONDS).topics
        return {name: sum(p.leader >= 0 for p in topic.partitions.values()) for name, topic in topics.items()}
