"""The forwarder: publishes one spool to Kafka, strictly in the order of its sequence.

What it promises:

- An event leaves the spool only when the broker has acknowledged it, or has refused it for good; then it is in the
  spool's table `refused`.
- The partition of an event is chosen at its first send and kept with it: a resend goes to the same one.
- A window of events is sent and settled before the next one begins. What was refused within a window makes the broker
  refuse others of its batch: they are sent again one by one.
- The events of a type that a collector has promised to land are not sent.
- Whatever is wrong with broker or registry for a while, it waits, and says so once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from trailhouse.forking import unforked
from trailhouse.once import warn_once
from trailhouse.partitions import partition_of
from trailhouse.publisher import Message
from trailhouse_schemas import wire
from trailhouse_schemas.catalogue import NAMESPACE
from trailhouse_schemas.deaths import remember_end
from trailhouse_schemas.errors import RegistryUnavailableError, UnknownSchemaError
from trailhouse_schemas.versions import by_fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trailhouse.publisher import Outcome, Publisher
    from trailhouse_schemas.registry import Registry
    from trailhouse_schemas.spool import Spool, SpooledEvent

__all__ = ["Forwarder"]

_SHORTEST_BACK_OFF_SECONDS: Final = 0.1
_LONGEST_BACK_OFF_SECONDS: Final = 5.0
_SLEEP_SECONDS: Final = 0.05


class Forwarder:
    """Publishes spools, one after the other; whoever calls it holds the spool's drainer lock."""

    def __init__(self, publisher: Publisher, registry: Registry | None = None, *, window_events: int = 5_000) -> None:
        """Take the connection; with a registry, headers carry its ids."""
        self._publisher = publisher
        self._registry = registry
        self._window_events = window_events
        self._back_off_seconds = _SHORTEST_BACK_OFF_SECONDS

    def forward(self, spool: Spool, should_stop: Callable[[], bool]) -> int:
        """Publish what is in the spool until nothing is left that may be sent, or it is told to stop.

        Returns:
            How many events were acknowledged.

        Raises:
            SpoolError: the spool cannot be read or written.
        """
        sent = 0
        after = -1
        while not should_stop():
            with unforked():
                window = spool.read(after=after, limit_events=self._window_events)
                done = {event_type: spool.done_through(event_type) for event_type in {e.event_type for e in window}}
                planned = {plan.event_type for plan in spool.plans()}
                if window:
                    remember_end(spool, window[-1].sequence)
            if not window:
                break
            for name in planned:
                warn_once(f"a collector has begun to land {name} of spool {spool.path}; these events are left to it")
            due = [e for e in window if e.sequence > done[e.event_type] and e.event_type not in planned]
            acknowledged = self._settle(spool, due, should_stop)
            if acknowledged is None:
                self._wait(should_stop)
                continue
            self._back_off_seconds = _SHORTEST_BACK_OFF_SECONDS
            sent += acknowledged
            after = window[-1].sequence
        return sent

    def _settle(self, spool: Spool, events: Sequence[SpooledEvent], should_stop: Callable[[], bool]) -> int | None:
        """Send events until each is acknowledged or refused; None when that is not possible now."""
        chosen = self._with_partitions(spool, events)
        messages = [self._message(spool, event, partition) for event, partition in chosen]
        if len(messages) != len(events) or None in messages:
            return None
        ready = [message for message in messages if message is not None]
        outcomes = self._publisher.publish(ready, should_stop)
        acknowledged = {e.sequence for e, o in zip(events, outcomes, strict=True) if o is not None and o.acknowledged}
        self._forget(spool, events, acknowledged)
        if all(outcome and outcome.acknowledged for outcome in outcomes):
            return len(events)
        if any(outcome is None or not (outcome.acknowledged or outcome.refused) for outcome in outcomes):
            return None
        for event, message, outcome in zip(events, ready, outcomes, strict=True):
            if outcome is not None and outcome.acknowledged:
                continue
            (again,) = self._publisher.publish([message], should_stop)
            if again is None or not (again.acknowledged or again.refused):
                return None
            if again.acknowledged:
                acknowledged.add(event.sequence)
                self._forget(spool, events, {event.sequence} if not spool.retained else acknowledged)
            else:
                self._refuse(spool, event, again)
        return len(acknowledged)

    def _with_partitions(self, spool: Spool, events: Sequence[SpooledEvent]) -> list[tuple[SpooledEvent, int]]:
        """Return the events with their partitions, up to the first whose topic nobody knows at present."""
        found: list[tuple[SpooledEvent, int]] = []
        new: list[tuple[int, int]] = []
        for event in events:
            partition = event.partition
            if partition is None:
                count = self._publisher.partitions(f"{NAMESPACE}.{event.event_type}")
                if count is None:
                    break
                partition = partition_of(event.message_key, count)
                new.append((event.sequence, partition))
            found.append((event, partition))
        if new and len(found) == len(events):
            with unforked():
                spool.choose_partitions(new)
        return found

    def _message(self, spool: Spool, event: SpooledEvent, partition: int) -> Message | None:
        value = event.value
        if self._registry is not None:
            try:
                with unforked():
                    version = by_fingerprint(wire.read_header(value).fingerprint or b"")
                value = wire.with_registry_header(value, self._registry.id_of(version))
            except (UnknownSchemaError, RegistryUnavailableError) as error:
                warn_once(f"{error}; events wait in the spool")
                return None
        return Message(
            f"{NAMESPACE}.{event.event_type}",
            partition,
            event.message_key.encode(),
            value,
            [(wire.IDENTITY_HEADER, wire.identity_to_bytes(spool.producer_id, event.sequence))],
        )

    def _forget(self, spool: Spool, events: Sequence[SpooledEvent], acknowledged: set[int]) -> None:
        """Take what is acknowledged out of the spool; one that is retained is told how far each type is done."""
        if not spool.retained:
            if acknowledged:
                with unforked():
                    spool.delete(sorted(acknowledged))
            return
        through: dict[str, int] = {}
        open_types: set[str] = set()
        for event in events:
            if event.sequence in acknowledged and event.event_type not in open_types:
                through[event.event_type] = event.sequence
            else:
                open_types.add(event.event_type)
        for event_type, sequence in through.items():
            with unforked():
                spool.set_done(event_type, sequence)

    def _refuse(self, spool: Spool, event: SpooledEvent, outcome: Outcome) -> None:
        warn_once(
            f"Kafka refuses event {event.sequence} ({event.event_type}, {len(event.value):,} bytes) of spool "
            f"{spool.path} for good ({outcome.reason}); it is kept there as refused"
        )
        with unforked():
            spool.refuse(event.sequence, outcome.reason)

    def _wait(self, should_stop: Callable[[], bool]) -> None:
        until = time.monotonic() + self._back_off_seconds
        self._back_off_seconds = min(self._back_off_seconds * 2, _LONGEST_BACK_OFF_SECONDS)
        while time.monotonic() < until and not should_stop():
            time.sleep(_SLEEP_SECONDS)
