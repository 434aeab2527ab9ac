"""What is alive, what is ready, and how old what is not landed is: decided without any server."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

import pytest

from trailhouse_consumer.errors import MonitoringError
from trailhouse_consumer.monitoring import Health, Metrics
from trailhouse_consumer.monitoring.backlog import Backlogs
from trailhouse_consumer.monitoring.health import LIVE_SECONDS
from trailhouse_consumer.monitoring.reading import look, parse
from trailhouse_consumer.monitoring.server import served
from trailhouse_consumer.sources import Backlog, Partition


class Clock:
    """A clock that is set."""

    now = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands."""
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    """The health of a collector that reads Kafka."""
    return Health(clock)


def test_a_collector_that_waits_for_its_warehouse_at_the_start_is_alive_and_not_ready(health: Health) -> None:
    """To restart it would help nobody."""
    assert health.live().fine
    assert not health.ready().fine
    assert health.ready().checks == {"loop": "starting", "warehouse": "not asked yet"}
    health.waits("warehouse", "Connection refused")
    assert health.ready().checks["warehouse"] == "waited for since 0 s: Connection refused"


def test_a_loop_that_does_not_turn_is_not_alive(health: Health, clock: Clock) -> None:
    """After a bound; it is alive again when it turns, and never when it has ended."""
    health.turned({})
    clock.now += LIVE_SECONDS
    assert health.live().fine
    clock.now += 1
    assert health.live().checks == {"loop": "has not turned for 61 s"}
    assert not health.live().fine
    assert not health.ready().fine
    health.turned({})
    assert health.live().fine
    health.ended()
    assert not health.live().fine


def test_ready_is_who_can_read_and_land(health: Health, clock: Clock) -> None:
    """And who was seen to lately."""
    health.turned({"kafka": "has not joined the group yet"})
    health.warehouse("")
    assert health.ready().checks == {"loop": "ok", "warehouse": "ok", "kafka": "has not joined the group yet"}
    health.turned({"kafka": ""})
    assert health.ready().fine
    health.warehouse("Database d lacks migration 9")
    assert health.ready().checks["warehouse"] == "Database d lacks migration 9"
    health.warehouse("")
    clock.now += 50
    health.turned({"kafka": ""})
    assert health.ready().checks["warehouse"] == "has not answered for 50 s"


def test_what_is_waited_for_for_long_is_not_ready_and_what_comes_back_at_once_is(health: Health, clock: Clock) -> None:
    """The first time counts, not the last."""
    health.turned({"kafka": ""})
    health.warehouse("")
    health.waits("registry", "refused")
    clock.now += 10
    health.waits("registry", "refused again")
    assert health.ready().fine
    clock.now += 10
    health.turned({"kafka": ""})
    assert health.ready().checks["registry"] == "waited for since 20 s: refused again"
    assert not health.ready().fine
    health.answers("registry")
    assert health.ready().fine


def partition(number: int, topic: str = "trailhouse.run_started", topic_id: str = "id") -> Partition:
    """Return a partition."""
    return Partition(topic, topic_id, number)


def said(backlogs: Backlogs) -> dict[tuple[str, ...], float]:
    """Return what is said, by name and labels."""
    return {
        (sample.name.removeprefix("trailhouse_"), *sample.labels.values()): sample.value
        for metric in backlogs.collect()
        for sample in metric.samples
    }


def test_the_age_of_what_is_not_landed_goes_on_though_nobody_tells_anything(clock: Clock) -> None:
    """One that is landed has none, one that is somebody else's is not told of, and no time is made up."""
    backlogs = Backlogs(clock)
    backlogs.tell(
        {
            partition(0): Backlog(5, 990_000_000),
            partition(1): Backlog(0, None),
            partition(2): Backlog(7, None),
            partition(3): Backlog(1, 1_005_000_000),
        }
    )
    clock.now = 1_002.0
    topic = "trailhouse.run_started"
    assert said(backlogs) == {
        ("lag_messages", topic, "0"): 5,
        ("lag_messages", topic, "1"): 0,
        ("lag_messages", topic, "2"): 7,
        ("lag_messages", topic, "3"): 1,
        ("lag_seconds", topic, "0"): 12,
        ("lag_seconds", topic, "1"): 0,
        ("lag_seconds", topic, "3"): 0,
        ("oldest_unlanded_seconds",): 12,
    }
    backlogs.tell({partition(1): Backlog(0, None)})
    assert {labels[2] for labels in said(backlogs) if len(labels) > 1} == {"1"}


def test_spools_count_together_by_topic(clock: Clock) -> None:
    """The oldest of all is theirs; a topic that nothing is left of is told of, with nothing."""
    backlogs = Backlogs(clock)
    backlogs.tell(
        {
            partition(-1, topic_id="spool:a"): Backlog(5, 990_000_000),
            partition(-1, topic_id="spool:b"): Backlog(6, 980_000_000),
        }
    )
    topic = "trailhouse.run_started"
    spools = {("lag_messages", topic, "spools"): 11, ("lag_seconds", topic, "spools"): 20}
    assert said(backlogs) == spools | {("oldest_unlanded_seconds",): 20}
    backlogs.tell({})
    assert set(said(backlogs).values()) == {0}
    assert said(backlogs).keys() >= spools.keys()


def status(url: str) -> tuple[int, str]:
    """Return what is answered."""
    try:
        with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_health_and_metrics_are_served_as_long_as_they_should(address: str) -> None:
    """By their paths, and no others; then the port is free again."""
    metrics = Metrics()
    host = f"[{address}]" if ":" in address else address
    with served(metrics, address, 0) as port:
        url = f"http://{host}:{port}"
        assert status(f"{url}/live") == (200, '{"live": true, "checks": {"loop": "starting"}}\n')
        code, body = status(f"{url}/ready")
        assert (code, body.startswith('{"ready": false')) == (503, True)
        assert "trailhouse_ready 0.0" in status(f"{url}/metrics")[1]
        code, body = status(f"{url}/")
        assert (code, "/metrics, /live and /ready" in body) == (404, True)
        found = look(url)
        assert (found.ready, found.checks["loop"]) == (False, "starting")
    with served(metrics, address, port):
        pass


def test_a_port_that_is_taken_is_said_in_a_line() -> None:
    """With what to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(MonitoringError, match=f"127.0.0.1:{port}.*in use.*--metrics-port"),
            served(Metrics(), "127.0.0.1", port),
        ):
            pass


def test_what_is_no_collector_is_not_taken_for_one() -> None:
    """Whatever it answers."""
    with pytest.raises(MonitoringError, match="read as metrics is none"):
        parse("<html>\n", 0)
    for url in ("ftp://host", "127.0.0.1:9464", "", "http://"):
        with pytest.raises(MonitoringError, match="of the collector is none"):
            look(url)
