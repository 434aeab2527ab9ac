"""What Kafka as a source promises of membership: static or dynamic, by both protocols of the group."""

from __future__ import annotations

import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pytest
from confluent_kafka.admin import AdminClient
from structlog.testing import capture_logs

from collected import metrics, new_producer_id, publish
from trailhouse_consumer.errors import SourceUnavailableError
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_consumer.sources import Limits, Plan
from trailhouse_consumer.sources.kafka import KafkaSource
from trailhouse_consumer.sources.kafka_client import client_settings
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers.topics import Topics
    from trailhouse_cli.servers.kafka import KafkaServer

_EVENTS = 10
_PARTITIONS = CATALOGUE["metrics_logged"].partitions
_PATIENCE_SECONDS = 60

GroupProtocol = Literal["classic", "consumer"]


class Members(Protocol):
    """Makes members of one group, each with what happens to its partitions, and closes them at the end."""

    def __call__(self, name: str = "") -> tuple[KafkaSource, list[str]]:
        """Return a source that has not joined yet, and its changes of assignment."""


@pytest.fixture(params=["classic", "consumer"])
def protocol(request: pytest.FixtureRequest) -> GroupProtocol:
    """Return each protocol."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def member(kafka: KafkaServer, topics: Topics, protocol: GroupProtocol) -> Iterator[Members]:
    """Of a group that collects one topic."""
    topics.create_catalogue(["metrics_logged"])
    group, made = f"members-{uuid.uuid4()}", list[KafkaSource]()

    def make(name: str = "") -> tuple[KafkaSource, list[str]]:
        how = CollectorSettings(
            group=group,
            group_protocol=protocol,
            group_instance_id=name,
            session_timeout_seconds=6,
            kafka_client={"heartbeat.interval.ms": "500"} if protocol == "classic" else {},
        )
        source, changes = KafkaSource(kafka.bootstrap_servers, how, Limits(seconds=0)), list[str]()
        source.rebalanced = changes.append
        made.append(source)
        return source, changes

    yield make
    for source in made:
        source.close()


def poll(*sources: KafkaSource) -> None:
    """Poll each; one that waits says so."""
    for source in sources:
        with suppress(SourceUnavailableError):
            source.poll(0.05)


def until(condition: Callable[[], bool], *sources: KafkaSource) -> None:
    """Poll until that is so."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        poll(*sources)


def numbers(source: KafkaSource) -> set[int]:
    """Return the partitions that it has."""
    return {partition.number for partition in source.partitions()}


def held(kafka: KafkaServer, source: KafkaSource) -> dict[str, set[int]]:
    """Return the names that its group knows members by, each with the partitions that are kept for it."""
    admin, name = AdminClient({"bootstrap.servers": kafka.bootstrap_servers}), source._settings["group.id"]
    group = admin.describe_consumer_groups([name])[name].result(30)
    return {
        each.group_instance_id: {found.partition for found in each.assignment.topic_partitions}
        for each in group.members
        if each.group_instance_id
    }


def shared(member: Members, first: str, second: str) -> tuple[KafkaSource, KafkaSource, list[str]]:
    """Return two members that share the partitions, the one that came last with its changes from now on."""
    early, _ = member(first)
    until(lambda: len(numbers(early)) == _PARTITIONS, early)
    late, changes = member(second)
    until(lambda: bool(numbers(late)) and len(numbers(early)) + len(numbers(late)) == _PARTITIONS, early, late)
    changes.clear()
    return early, late, changes


@pytest.mark.kafka
def test_a_static_member_that_comes_back_has_its_partitions_and_its_plan_and_the_other_notices_nothing(
    kafka: KafkaServer, member: Members
) -> None:
    """It does not leave when it is closed; and what it has promised it finds."""
    first, other, changes = shared(member, "first", "other")
    partition, had, others = first.partitions()[0], numbers(first), numbers(other)
    producer_id = new_producer_id()
    values = [(producer_id, i, metrics(producer_id, i)) for i in range(_EVENTS)]
    publish(kafka.bootstrap_servers, "metrics_logged", values, partition=partition.number)
    until(lambda: len(first.read(partition)) == _EVENTS, first, other)
    first.commit_plan(partition, Plan(0, 4))
    first.close()
    assert held(kafka, first) == {"first": had, "other": others}
    again, _ = member("first")
    until(lambda: numbers(again) == had, again, other)
    assert again.open_plan(next(found for found in again.partitions() if found == partition)) == Plan(0, 4)
    until(lambda: partition in again.due(), again, other)
    (found,) = (due for due in again.due() if due == partition)
    assert again.read(found).offsets.tolist() == [0, 1, 2, 3, 4]
    again.commit_plan(found, Plan(0, 4, 1))
    again.landed(found, Plan(0, 4, 1))
    again.settle()
    assert changes == []
    assert numbers(other) == others


@pytest.mark.kafka
def test_a_static_member_that_is_closed_before_it_has_partitions_is_waited_for_too(
    kafka: KafkaServer, member: Members
) -> None:
    """A dynamic one says that it goes; this one comes back."""
    early, _ = member("early")
    until(lambda: len(numbers(early)) == _PARTITIONS, early)
    late, _ = member("late")
    until(lambda: late._joined, early, late)
    late.close()
    assert held(kafka, late).keys() == {"early", "late"}


@pytest.mark.kafka
def test_a_dynamic_member_that_is_closed_gives_its_partitions_to_the_others_at_once(member: Members) -> None:
    """It leaves the group."""
    first, other, changes = shared(member, "", "")
    first.close()
    until(lambda: len(numbers(other)) == _PARTITIONS, other)
    assert "assigned" in changes


@pytest.mark.kafka
def test_a_static_member_that_does_not_come_back_is_given_up(member: Members) -> None:
    """After the session time-out the others have its partitions."""
    first, other, _ = shared(member, "first", "other")
    first.close()
    until(lambda: len(numbers(other)) == _PARTITIONS, other)


@pytest.mark.kafka
def test_of_two_with_one_name_one_works_and_the_other_waits_and_says_why(
    member: Members, protocol: GroupProtocol
) -> None:
    """By `classic` the one that was started last works, by `consumer` the first; they do not fight."""
    with capture_logs() as said:
        early, early_changes = member("name")
        until(lambda: len(numbers(early)) == _PARTITIONS, early)
        late, late_changes = member("name")
        has, waits, changes = (late, early, late_changes) if protocol == "classic" else (early, late, early_changes)
        until(lambda: "named name" in waits.unready() and len(numbers(has)) == _PARTITIONS, early, late)
        changes.clear()
        for _ in range(50):
            poll(early, late)
            assert numbers(waits) == set()
            assert len(numbers(has)) == _PARTITIONS
        assert (changes, has.unready()) == ([], "")
        with pytest.raises(SourceUnavailableError, match=r"another member named name, at .+: give each collector a "):
            waits.poll(0.05)
        partition = has.partitions()[0]
        has.commit_plan(partition, Plan(0, 0))
        has.close()
        until(lambda: len(numbers(waits)) == _PARTITIONS, waits)
    assert waits.unready() == ""
    assert waits.open_plan(next(found for found in waits.partitions() if found == partition)) == Plan(0, 0)
    assert [line["log_level"] for line in said if "until its name is free" in line["event"]] == ["error"]


@pytest.mark.kafka
def test_a_static_member_that_has_lost_its_broker_joins_anew_by_its_own_name(member: Members) -> None:
    """Who has its name then is itself."""
    source, _ = member("name")
    until(lambda: len(numbers(source)) == _PARTITIONS, source)
    source._disconnect()
    with capture_logs() as said:
        until(lambda: len(numbers(source)) == _PARTITIONS, source)
    assert [line for line in said if line["log_level"] == "error"] == []


@pytest.mark.parametrize("name", ["a b", "a/b", "ä", ".", "..", "x" * 250, "a\n"])
def test_a_name_that_kafka_does_not_take_is_an_error_in_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is opened."""
    monkeypatch.setenv("TRAILHOUSE_COLLECT_GROUP_INSTANCE_ID", name)
    with pytest.raises(SettingsError, match="1 to 249 of the letters") as raised:
        CollectorSettings.read()
    assert str(raised.value).startswith("Setting TRAILHOUSE_COLLECT_GROUP_INSTANCE_ID is ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("named", "client", "expected"),
    [
        ("", {}, None),
        ("collector-1", {}, "collector-1"),
        ("", {"group.instance.id": "x"}, "x"),
        ("collector-1", {"group.instance.id": "x"}, "collector-1"),
    ],
)
def test_the_setting_wins_over_what_is_passed_through(
    named: str, client: dict[str, Any], expected: str | None, protocol: GroupProtocol
) -> None:
    """And without either there is no name."""
    how = CollectorSettings(group_protocol=protocol, group_instance_id=named, kafka_client=client)
    assert client_settings("broker:9092", how).get("group.instance.id") == expected


@pytest.mark.kafka
def test_a_session_may_be_longer_than_the_client_waits_for_a_poll(kafka: KafkaServer, topics: Topics) -> None:
    """Twenty minutes: what a static member needs that is away for that long."""
    topics.create_catalogue(["metrics_logged"])
    how = CollectorSettings(group=f"members-{uuid.uuid4()}", group_instance_id="name", session_timeout_seconds=1200)
    source = KafkaSource(kafka.bootstrap_servers, how, Limits(seconds=0))
    until(lambda: len(numbers(source)) == _PARTITIONS, source)
    source.close()


@pytest.mark.parametrize(
    ("seconds", "heartbeat_ms", "poll_ms"), [(1, 333, 300_000), (45, 3_000, 300_000), (600, 3_000, 600_000)]
)
def test_a_session_has_room_for_heartbeats_and_polls(seconds: float, heartbeat_ms: int, poll_ms: int) -> None:
    """Three heartbeats at least; and what is passed through wins."""
    how = CollectorSettings(session_timeout_seconds=seconds)
    found = client_settings("broker:9092", how)
    assert (found["heartbeat.interval.ms"], found["max.poll.interval.ms"]) == (heartbeat_ms, poll_ms)
    passed = how.model_copy(update={"kafka_client": {"heartbeat.interval.ms": "100", "max.poll.interval.ms": "9"}})
    found = client_settings("broker:9092", passed)
    assert (found["heartbeat.interval.ms"], found["max.poll.interval.ms"]) == ("100", "9")


@pytest.mark.parametrize("chosen", [{}, {"session_timeout_seconds": 45}])
def test_a_session_time_out_that_is_not_used_is_said(chosen: dict[str, Any], protocol: GroupProtocol) -> None:
    """By `consumer` it is the broker's, and nothing of ours reaches it."""
    how = CollectorSettings(group_protocol=protocol, **chosen)
    assert ("session.timeout.ms" in client_settings("broker:9092", how)) == (protocol == "classic")
    with capture_logs() as said:
        KafkaSource("broker:9092", how, Limits())
    unused = bool(chosen) and protocol == "consumer"
    assert ["consumer.session.timeout.ms" in line["event"] for line in said] == [True] * unused
