"""Ways to break the collector, each a protocol that looks right: a soak that does not catch them proves nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trailhouse_consumer.landing import Landing
from trailhouse_consumer.sources.kafka import KafkaSource

if TYPE_CHECKING:
    import pyarrow as pa

    from trailhouse_consumer.sources import Partition, Plan

__all__ = ["WAYS", "break_it"]


def _without_read_back() -> None:
    """A retry trusts its acknowledgement."""

    def insert(
        self: Landing, table: str, rows: pa.Table, partition: Partition, plan: Plan, tokens: Any, *, doubt: bool
    ) -> int:
        del partition, plan, doubt
        self._warehouse.insert(table, rows, tokens[tokens.used])
        return int(tokens.used + 1)

    Landing._insert = insert  # type: ignore[method-assign]


def _plan_after_insert() -> None:
    """The group is told of a range when it is landed, as consumers commonly do."""
    commit = KafkaSource.commit_plan
    landed = KafkaSource.landed

    def remember(self: KafkaSource, partition: Partition, plan: Plan) -> None:
        buffer = self._buffer(partition)
        buffer.plan = plan
        buffer.unsettled = None

    def commit_then(self: KafkaSource, partition: Partition, plan: Plan) -> None:
        commit(self, partition, plan)
        landed(self, partition, plan)

    KafkaSource.commit_plan = remember  # type: ignore[method-assign]
    KafkaSource.landed = commit_then  # type: ignore[method-assign]


def _without_tokens() -> None:
    """No two inserts are known for the same."""
    insert = Landing._insert
    count = iter(range(1 << 62))

    def named_anew(
        self: Landing, table: str, rows: pa.Table, partition: Partition, plan: Plan, tokens: Any, **how: Any
    ) -> int:
        tokens = replace(tokens, name=f"{tokens.name}:{id(self)}:{next(count)}")
        return insert(self, table, rows, partition, plan, tokens, **how)

    Landing._insert = named_anew  # type: ignore[method-assign]


WAYS = {
    "no-read-back": _without_read_back,
    "plan-after-insert": _plan_after_insert,
    "no-tokens": _without_tokens,
}


def break_it(way: str) -> None:
    """Break the collector of this process."""
    WAYS[way]()
