"""The collector between a real broker, a real registry and a real warehouse."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from collected import NOW, dead_reasons, heartbeat, identities, metrics, new_producer_id, publish, spooled
from trailhouse_consumer.service import collect
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.errors import WarehouseUnavailableError
from trailhouse_schemas.registry import Registry
from trailhouse_schemas.settings import Settings
from trailhouse_schemas.versions import latest
from trailhouse_schemas.wire import with_registry_header

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers.topics import Topics
    from servers.warehouses import Warehouse
    from trailhouse_cli.servers.clickhouse import ClickHouseServer
    from trailhouse_cli.servers.kafka import KafkaServer
    from trailhouse_cli.servers.registry import RegistryServer
    from trailhouse_consumer.collector import Summary

pytestmark = pytest.mark.kafka

METRICS = CATALOGUE["metrics_logged"].topic
PATIENCE_SECONDS = 90


@pytest.fixture
def places(kafka: KafkaServer, server_warehouse: Warehouse, tmp_path: Path) -> dict[str, str]:
    """Where everything is."""
    return {"home": str(tmp_path), "kafka": kafka.bootstrap_servers, "warehouse": server_warehouse.url}


@pytest.fixture
def run(places: dict[str, str]) -> Callable[..., Summary]:
    """Collects until idle, always in the same group."""
    group = f"collector-{new_producer_id()}"

    def until_idle(**how: Any) -> Summary:
        given: dict[str, Any] = {"group": group, "flush_seconds": 0.05, "idle_seconds": 0.2} | how
        where = Settings.read(**places, registry=given.pop("registry", ""))
        on_stage = given.pop("on_stage", None)
        return collect(where, CollectorSettings.read(**given), until_idle=True, on_stage=on_stage)

    return until_idle


def test_bad_messages_become_dead_letters_and_are_in_nobodys_way(
    topics: Topics, kafka: KafkaServer, server_warehouse: Warehouse, run: Callable[..., Summary]
) -> None:
    """Truncated, of a wrong schema, empty, absurdly dated; one of 2 MiB and one with a new word are landed."""
    topics.create_catalogue([])
    for name in ("metrics_logged", "heartbeat_sent"):
        topics.create(CATALOGUE[name].topic, config={"max.message.bytes": str(4 << 20)}, unique=False)
    producer_id = new_producer_id()
    good = metrics(producer_id, 0)
    values: list[bytes | None] = [
        good,
        metrics(producer_id, 1)[:-4],
        heartbeat(producer_id, 2),
        b"",
        None,
        metrics(producer_id, 5, occurred_at=NOW + timedelta(days=20_000)),
        metrics(producer_id, 6, occurred_at=NOW - timedelta(days=20_000)),
        metrics(producer_id, 7, split="of a kind that nobody knows yet"),
        metrics(producer_id, 8, segment={"text": "x" * (2 << 20)}),
        metrics(producer_id, 9),
    ]
    publish(kafka.bootstrap_servers, "metrics_logged", [(producer_id, i, v) for i, v in enumerate(values)], max_mib=4)
    publish(kafka.bootstrap_servers, "heartbeat_sent", [(producer_id, 10, heartbeat(producer_id, 10, phase="odd"))])
    done = run()
    assert identities(server_warehouse.client, "metrics_logged") == [(producer_id, i) for i in (0, 7, 8, 9)]
    assert identities(server_warehouse.client, "heartbeat_sent") == [(producer_id, 10)]
    assert dead_reasons(server_warehouse.client) == {
        1: "undecodable",
        2: "wrong_schema",
        3: "no_header",
        4: "no_header",
        5: "invalid_time",
        6: "invalid_time",
    }
    known = server_warehouse.client.query("SELECT producer_id, sequence FROM dead_letters ORDER BY sequence")
    assert known.result_rows == [(producer_id, i) for i in range(1, 7)]
    assert (done.messages, done.dead_letters) == (11, 6)


@pytest.mark.registry
def test_both_headers_are_landed_from_one_topic(
    topics: Topics,
    kafka: KafkaServer,
    registry: RegistryServer,
    server_warehouse: Warehouse,
    run: Callable[..., Summary],
) -> None:
    """While the registry is not to be had, its values wait, and nothing is lost."""
    topics.create_catalogue(["metrics_logged"])
    known = Registry(registry.url)
    known.register(CATALOGUE["metrics_logged"])
    number = known.id_of(latest("metrics_logged"))
    producer_id = new_producer_id()
    single = [metrics(producer_id, i) for i in range(100)]
    mixed = [with_registry_header(value, number) if i % 3 else value for i, value in enumerate(single)]
    publish(kafka.bootstrap_servers, "metrics_logged", [(producer_id, i, value) for i, value in enumerate(mixed)])
    run(registry=registry.url)
    assert identities(server_warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(100)]
    assert server_warehouse.count("dead_letters") == 0


def test_events_resent_out_of_order_are_landed_once(
    topics: Topics, kafka: KafkaServer, server_warehouse: Warehouse, run: Callable[..., Summary]
) -> None:
    """A refused batch comes after later ones: new. What comes again: left out, in this range and in a later one.

    They are counted, and so is what is not landed: nothing.
    """
    topics.create_catalogue(["metrics_logged"])
    producer_id = new_producer_id()

    def send(sequences: list[int]) -> None:
        publish(
            kafka.bootstrap_servers, "metrics_logged", [(producer_id, i, metrics(producer_id, i)) for i in sequences]
        )

    send([0, 1, 2, 6, 7, 8])
    send([3, 4, 5])
    assert run().duplicates == 0
    send([4, 5, 6, 11, 12])
    send([9, 10, 9])
    send([11, 12, 13])
    assert run().duplicates == 6
    assert identities(server_warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(14)]


def test_a_topic_that_was_deleted_and_made_again_is_landed_anew(
    topics: Topics, kafka: KafkaServer, server_warehouse: Warehouse, run: Callable[..., Summary]
) -> None:
    """Its offsets are the same as before; its events are not, and none is taken for landed."""
    for _ in range(2):
        topics.create_catalogue(["metrics_logged"])
        producer_id = new_producer_id()
        values = [(producer_id, i, metrics(producer_id, i)) for i in range(50)]
        publish(kafka.bootstrap_servers, "metrics_logged", values)
        assert run().messages == 50
    assert server_warehouse.count("metrics_logged") == 200


def test_offsets_that_the_log_no_longer_has_are_recorded(
    topics: Topics, kafka: KafkaServer, server_warehouse: Warehouse, run: Callable[..., Summary]
) -> None:
    """A hole is a row of dead_letters, and is counted, before what comes behind it is begun to be landed."""
    topics.create_catalogue(["metrics_logged"])
    producer_id = new_producer_id()
    values = [(producer_id, i, metrics(producer_id, i)) for i in range(100)]
    publish(kafka.bootstrap_servers, "metrics_logged", values[:40])
    assert run().messages == 40
    publish(kafka.bootstrap_servers, "metrics_logged", values[40:])
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for future in admin.delete_records([TopicPartition(METRICS, 0, 70)]).values():
        future.result(30)
    recorded: list[int] = []
    done = run(on_stage=lambda *_: recorded.append(server_warehouse.count("dead_letters")))
    assert (done.messages, done.missing_offsets) == (30, 30)
    assert set(recorded) == {1}
    assert dead_reasons(server_warehouse.client) == {40: "offsets_missing"}
    found = [sequence for _, sequence in identities(server_warehouse.client, "metrics_logged")]
    assert found == [*range(40), *range(70, 100)]
    assert run().missing_offsets == 0


def test_a_group_that_was_reset_lands_nothing_twice(
    topics: Topics, kafka: KafkaServer, server_warehouse: Warehouse, run: Callable[..., Summary]
) -> None:
    """From the beginning, in other ranges: the table knows."""
    topics.create_catalogue(["metrics_logged"])
    producer_id = new_producer_id()
    values = [(producer_id, i, metrics(producer_id, i)) for i in range(500)]
    publish(kafka.bootstrap_servers, "metrics_logged", [*values, (producer_id, 500, b"junk")])
    run(flush_rows=70)
    run(group=f"another-{producer_id}", flush_rows=90)
    assert identities(server_warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(500)]
    assert server_warehouse.count("dead_letters") == 1


class Service:
    """A collector in a process of its own, and what it logs."""

    def __init__(self, places: dict[str, str], log: Path) -> None:
        """Start it."""
        environment = os.environ | {
            "TRAILHOUSE_HOME": places["home"],
            "TRAILHOUSE_KAFKA": places["kafka"],
            "TRAILHOUSE_WAREHOUSE": places["warehouse"],
            "TRAILHOUSE_COLLECT_GROUP": f"service-{new_producer_id()}",
            "TRAILHOUSE_COLLECT_BACKOFF_SECONDS": "0.5",
            "TRAILHOUSE_COLLECT_FLUSH_SECONDS": "0.1",
        }
        self._log = log
        with log.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "trailhouse_cli", "collect"], env=environment, stderr=stderr
            )

    def said(self, event: str, **fields: str) -> int:
        """Return how many log lines say that."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        return sum(line["event"] == event and fields.items() <= line.items() for line in lines)

    def end(self) -> int:
        """Ask it to end; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def until(condition: Callable[[], bool]) -> None:
    """Wait until that is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_warehouse_and_a_broker_that_go_away_and_come_back_lose_nothing(
    topics: Topics,
    kafka: KafkaServer,
    clickhouse: ClickHouseServer,
    server_warehouse: Warehouse,
    places: dict[str, str],
    tmp_path: Path,
) -> None:
    """The collector waits, says so once, goes on where it was, and ends in order."""
    topics.create_catalogue(["metrics_logged"])
    producer_id = new_producer_id()
    values = [(producer_id, i, metrics(producer_id, i)) for i in range(300)]
    service = Service(places, tmp_path / "log")
    try:
        publish(kafka.bootstrap_servers, "metrics_logged", values[:100])
        until(lambda: server_warehouse.count("metrics_logged") == 200)
        clickhouse.kill()
        publish(kafka.bootstrap_servers, "metrics_logged", values[100:200])
        until(lambda: service.said("waiting", what="warehouse") == 1)
        time.sleep(2)
        clickhouse.start()
        until(lambda: server_warehouse.count("metrics_logged") == 400)
        kafka.stop()
        until(lambda: service.said("waiting", what="kafka") == 1)
        kafka.start()
        publish(kafka.bootstrap_servers, "metrics_logged", values[200:])
        until(lambda: server_warehouse.count("metrics_logged") == 600)
    finally:
        code = service.end()
    assert code == 0
    assert service.said("waiting", what="warehouse") == 1
    assert service.said("answers again", what="warehouse") == 1
    assert service.said("waiting", what="kafka") == 1
    assert identities(server_warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(300)]


def test_a_service_waits_for_a_warehouse_that_does_not_answer_at_the_start(
    clickhouse: ClickHouseServer, server_warehouse: Warehouse, places: dict[str, str], tmp_path: Path
) -> None:
    """One is ended by a signal meanwhile, another lands when the warehouse is there; until idle it is an error."""
    producer_id = new_producer_id()
    spooled(tmp_path / "spool", [("metrics_logged", metrics(producer_id, 0))], producer_id)
    alone = places | {"kafka": ""}
    clickhouse.kill()
    try:
        with pytest.raises(WarehouseUnavailableError, match="does not answer"):
            collect(Settings.read(**alone), CollectorSettings.read(), until_idle=True)
        services = [Service(alone, tmp_path / f"log{i}") for i in range(2)]
        until(lambda: all(service.said("waiting", what="warehouse") == 1 for service in services))
        assert services[0].end() == 0
    finally:
        clickhouse.start()
    try:
        until(lambda: server_warehouse.count("metrics_logged") == 2)
    finally:
        assert services[1].end() == 0
    assert [services[1].said(event, what="warehouse") for event in ("waiting", "answers again")] == [1, 1]


def test_a_broker_that_does_not_answer_is_said_in_one_line(places: dict[str, str]) -> None:
    """A script is told; a service would wait."""
    done = subprocess.run(
        [sys.executable, "-m", "trailhouse_cli", "collect", "--until-idle", "--kafka", "127.0.0.1:1"],
        env=os.environ | {"TRAILHOUSE_HOME": places["home"], "TRAILHOUSE_WAREHOUSE": places["warehouse"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("trailhouse: Kafka at 127.0.0.1:1 does not answer")
