"""The soak itself: everything runs, things end at random moments, and in the end the account is made."""

from __future__ import annotations

import random
import signal
import time
import uuid
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from confluent_kafka import ConsumerGroupState
from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]

from servers.topics import Topics
from servers.warehouses import ServedWarehouse, new_warehouse
from soak.account import account
from soak.collectors import Collector, Group, Nursery
from soak.faults import WEATHERS, Kill
from soak.outcome import How, Outcome
from soak.proxy import CALM, Moment, Proxy
from soak.publishing import TYPES, Publisher, messages_in
from soak.schedule import Schedule
from trailhouse_cli.servers.waiting import wait_until
from trailhouse_schemas.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from soak.account import Account
    from trailhouse_cli.servers.kafka import KafkaServer

__all__ = ["SoakError", "soak"]

_BROKERS_KILLS = {Kill.BROKER_KILLED, Kill.BROKER_STOPPED}
_SIGNALS = {
    Kill.COLLECTOR_KILLED: signal.SIGKILL,
    Kill.COLLECTOR_STOPPED: signal.SIGSTOP,
    Kill.COLLECTOR_ENDED: signal.SIGTERM,
}
#: How long one collector, and any, is waited for to insert before one is struck all the same.
_ONE_INSERT_SECONDS, _INSERT_SECONDS = 0.7, 8.0
_END_SECONDS = 60.0
_FINAL_SECONDS = 300.0
#: Collectors that may end by an error before that is taken for the collector's state.
_MOST_FALLEN = 20
#: Messages in a range of the last collector.
_FINAL_ROWS = 5_000
#: Partitions of a topic at first, and at most.
_PARTITIONS, _MOST_PARTITIONS = 3, 8


class SoakError(Exception):
    """A soak that comes to no account."""


class _Soak:
    """One soak, while it runs."""

    def __init__(
        self, how: How, kafka: KafkaServer, directory: Path, stack: ExitStack, say: Callable[[str], None]
    ) -> None:
        self._how, self._kafka, self._directory, self._say = how, kafka, directory, say
        self._chance = random.Random(how.seed)  # noqa: S311 - moments, not secrets
        self._began = time.monotonic()
        self.kills: Counter[Kill] = Counter()
        self._deck: list[Kill] = []
        self.moments: Counter[str] = Counter()
        self.fallen: list[str] = []
        self.partitions_added = 0
        self._warehouse = ServedWarehouse()
        stack.callback(self._warehouse.close)
        self._database = new_warehouse(self._warehouse)
        stack.callback(self._database.client.close)
        topics = Topics(kafka.bootstrap_servers)
        stack.callback(lambda: topics.close() if kafka.running else None)
        topics.delete([event_type.topic for event_type in CATALOGUE.values()])
        self.partitions = {CATALOGUE[name].topic: _PARTITIONS for name in TYPES}
        for topic, count in self.partitions.items():
            topics.create(topic, partitions=count, unique=False)
        self._admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
        self._nursery = Nursery(how.broken)
        stack.callback(self._nursery.close)
        self._group = Group(
            kafka.bootstrap_servers,
            f"soak-{uuid.uuid4().hex[:8]}",
            how.protocol,
            how.session_seconds,
            self._database.database,
            self._warehouse.tokens.write,
            directory,
        )
        port = int(self._warehouse.url("x").rsplit(":", 1)[1].split("/")[0])
        self.collectors = []
        for number in range(how.collectors):
            proxy = Proxy(port, self._chance.randrange(1 << 30))
            stack.callback(proxy.close)
            # Who is known by name takes its partitions over at once; the others wait for the session to end.
            static = number != how.collectors - 1
            self.collectors.append(Collector(f"collector-{number}", self._group, self._nursery, proxy, static=static))
        self.publisher = Publisher(
            kafka.bootstrap_servers,
            self.partitions,
            seed=self._chance.randrange(1 << 30),
            per_second=how.events_per_second,
        )
        self._schedule = Schedule(self._watch)
        #: The collector that may be struck at any moment, and those that are to be followed by another.
        self._aimed_at = ""
        self._followed: set[str] = set()

    def run(self) -> None:
        """Kill until there were enough kills, or the time is up."""
        self._tell("begun")
        self.publisher.start()
        for collector in self.collectors:
            self._begin(collector)
        while self.kills.total() < self._how.kills and not self._time_is_up():
            if not self.publisher.is_alive():
                self.publisher.finish(0)
                raise SoakError("The producers have ended by themselves")
            before = self.kills.total()
            self._change_weather()
            self._strike_one()
            self._schedule.pause(self._chance.uniform(0.0, self._how.rest_seconds))
            if self.kills.total() > before and self.kills.total() % 10 == 0:
                self._tell(f"{self.kills.total()} kills")

    def settle(self) -> Account:
        """Take all faults away, let one collector land what is left, and make the account."""
        for collector in self.collectors:
            collector.proxy.change(CALM)
            collector.proxy.disarm()
        self._tell("the kills are done")
        self.publisher.finish(_FINAL_SECONDS)
        self._schedule.forget()
        for collector in self.collectors:
            if not collector.end(_END_SECONDS):
                self._fallen(f"{collector.name} does not end {_END_SECONDS:g} s after SIGTERM")
        self._tell("all collectors have ended")
        if not wait_until(self._group_is_empty, seconds=_END_SECONDS):
            raise SoakError(f"The group {self._group.group} still has members {_END_SECONDS:g} s after all have ended")
        self._tell("the last collector begins")
        last = self.collectors[-1]
        last.start(_FINAL_ROWS, "--until-idle")
        if not last.wait(_FINAL_SECONDS):
            raise SoakError(f"The last collector has not ended after {_FINAL_SECONDS:g} s; its log is {last.log}")
        if last.code:
            raise SoakError(f"The last collector ended with {last.code}; its log is {last.log}")
        self._tell("the last collector has ended")
        return account(
            self._database.client, self.publisher.events, messages_in(self._kafka.bootstrap_servers, self.partitions)
        )

    # What is done -------------------------------------------------------------------------------------------------

    def _strike_one(self) -> None:
        kind = self._deal()
        self._note(f"chosen: {kind}")
        if kind is Kill.WAREHOUSE_KILLED:
            self._schedule.pause(self._chance.uniform(0.0, 0.5))
            self._warehouse.kill()
            self._schedule.pause(self._chance.uniform(0.0, 1.5))
            self._warehouse.start()
        elif kind in _BROKERS_KILLS:
            self._kafka.kill() if kind is Kill.BROKER_KILLED else self._kafka.stop()
            self._schedule.pause(self._chance.uniform(0.0, 1.5))
            self._kafka.start()
        elif not self._strike_collector(kind):
            self._deck.append(kind)
            return
        self.kills[kind] += 1
        self._note(f"done: {kind}")
        if self._chance.random() < 0.05:
            self._add_partition()

    def _deal(self) -> Kill:
        """Return the next kill; a broker of somebody else's is left alone."""
        if not self._deck:
            self._deck = [kind for kind in self._how.deck if self._kafka_is_ours or kind not in _BROKERS_KILLS]
            self._chance.shuffle(self._deck)
        return self._deck.pop()

    def _strike_collector(self, kind: Kill) -> bool:
        """Send a collector a signal at its next insert, or at any moment; return whether there was one."""
        there = [each for each in self.collectors if each.running and not each.stopped]
        self._chance.shuffle(there)
        moment = self._chance.choice([*Moment, None])
        deadline = time.monotonic() + _INSERT_SECONDS
        while there and moment is not None and time.monotonic() < deadline:
            for victim in there:
                if self._strike_at_insert(victim, kind, moment):
                    self._note(f"struck {moment}")
                    self.moments[moment.value] += 1
                    self._follow(victim, kind)
                    return True
        for victim in there[:1]:
            victim.signal(_SIGNALS[kind])
            self.moments["at any moment"] += 1
            self._follow(victim, kind)
            return True
        self._schedule.pause(0.1)
        return False

    def _strike_at_insert(self, victim: Collector, kind: Kill, moment: Moment) -> bool:
        """Strike when the next insert of a collector comes by; return False when none came soon."""
        if not victim.running:
            return False
        self._aimed_at = victim.name
        # An insert may be on its way for longer than it takes others to take the partition over.
        late_seconds = self._chance.uniform(0.0, self._how.session_seconds + 2.0)
        struck = victim.proxy.arm(moment, late_seconds, lambda: victim.signal(_SIGNALS[kind]))
        found = self._schedule.until(struck.is_set, _ONE_INSERT_SECONDS) or not victim.proxy.disarm()
        self._aimed_at = ""
        return found

    def _follow(self, victim: Collector, kind: Kill) -> None:
        """See to it that a struck collector is resumed, or followed by another."""
        self._note(f"struck: {victim.name}, process {victim.pid}")
        if kind is Kill.COLLECTOR_STOPPED:
            victim.stopped = True
            self._schedule.later(
                self._how.session_seconds + self._chance.uniform(0.5, 2.0), lambda: self._resume(victim)
            )
            return
        if victim.name in self._followed:  # it was ending already
            return
        self._followed.add(victim.name)
        # Mostly a supervisor starts it again at once; sometimes there is one collector fewer for a while.
        pause = self._chance.uniform(0.0, 0.5) if self._chance.random() < 0.8 else self._chance.uniform(2.0, 10.0)
        if kind is Kill.COLLECTOR_ENDED:
            given_up_at = time.monotonic() + _END_SECONDS
            self._schedule.later(pause, lambda: self._start_when_ended(victim, given_up_at))
        else:
            self._schedule.later(pause, lambda: self._start(victim))

    def _resume(self, victim: Collector) -> None:
        victim.signal(signal.SIGCONT)
        victim.stopped = False
        self._note(f"resumed: {victim.name}")

    def _start_when_ended(self, victim: Collector, given_up_at: float) -> None:
        if victim.running:
            if time.monotonic() > given_up_at:
                self._fallen(f"{victim.name} does not end {_END_SECONDS:g} s after SIGTERM")
                victim.signal(signal.SIGKILL)
            self._schedule.later(0.2, lambda: self._start_when_ended(victim, given_up_at))
            return
        if victim.code not in {0, -signal.SIGKILL}:
            self._fallen(f"{victim.name} ended with {victim.code} after SIGTERM")
        self._start(victim)

    def _start(self, victim: Collector) -> None:
        if victim.running:  # the signal is on its way
            self._schedule.later(0.05, lambda: self._start(victim))
            return
        self._followed.discard(victim.name)
        self._begin(victim)

    def _begin(self, collector: Collector) -> None:
        collector.start(self._chance.randint(self._how.flush_rows // 5, self._how.flush_rows))
        self._note(f"started: {collector.name}, process {collector.pid}")

    def _note(self, what: str) -> None:
        """Write down what was done and when, beside the collectors' logs."""
        with (self._directory / "kills.log").open("a") as log:
            log.write(f"{datetime.now(UTC).isoformat()} {what}\n")

    def _fallen(self, said: str) -> None:
        self.fallen.append(f"{said}; logs are in {self._directory}")
        self._say(self.fallen[-1])
        if len(self.fallen) > _MOST_FALLEN:
            raise SoakError(f"More than {_MOST_FALLEN} collectors have ended by an error; {self.fallen[-1]}")

    def _add_partition(self) -> None:
        topic = self._chance.choice(sorted(self.partitions))
        count = self.partitions[topic] + 1
        if count > _MOST_PARTITIONS:
            return
        self._admin.create_partitions([NewPartitions(topic, count)])[topic].result(30)
        self.partitions[topic] = count
        self.partitions_added += 1
        self.publisher.more_partitions(topic, count)

    def _change_weather(self) -> None:
        for collector in self.collectors:
            collector.proxy.change(self._chance.choice(WEATHERS) if self._chance.random() < 0.25 else CALM)

    # What is asked ------------------------------------------------------------------------------------------------

    @property
    def _kafka_is_ours(self) -> bool:
        return self._kafka.origin != "settings"

    def _time_is_up(self) -> bool:
        return 0 < self._how.minutes * 60 < time.monotonic() - self._began

    def _watch(self) -> None:
        """Start again who has ended by itself, and say so."""
        for collector in self.collectors:
            if collector.name not in {self._aimed_at, *self._followed} and not collector.running:
                self._fallen(f"{collector.name} ended with {collector.code}")
                self._begin(collector)

    def _group_is_empty(self) -> bool:
        found: Any = self._admin.describe_consumer_groups([self._group.group])[self._group.group].result(30)
        return bool(found.state == ConsumerGroupState.EMPTY)

    def _tell(self, what: str) -> None:
        seconds = time.monotonic() - self._began
        self._say(f"{seconds:5.0f} s: {what}, {len(self.publisher.events):,} events")


def soak(how: How, kafka: KafkaServer, directory: Path, say: Callable[[str], None]) -> Outcome:
    """Run a soak; return what it has come to. Nothing that it started is left, however it ends.

    Args:
        how: How it is run.
        kafka: The broker, which is stopped and killed where it is ours. Topics of the catalogue are made anew.
        directory: Where the collectors' logs are written.
        say: Is told how it goes.

    Raises:
        SoakError: there is no account, because something does not come to its end.
    """
    began = time.monotonic()
    with ExitStack() as stack:
        running = _Soak(how, kafka, directory, stack, say)
        running.run()
        found = running.settle()
        befallen: Counter[str] = Counter()
        for collector in running.collectors:
            befallen.update(collector.proxy.befallen)
        return Outcome(
            how,
            found,
            running.kills,
            running.moments,
            befallen,
            running.fallen,
            running.partitions_added,
            running.publisher.resent,
            time.monotonic() - began,
        )
