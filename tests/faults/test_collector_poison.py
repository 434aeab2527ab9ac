"""Whatever comes, the partition goes on: bytes of any kind, and records that kill the collector or are refused."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import uuid
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer

from collected import NOW, dead_reasons, heartbeat, identities, metrics, new_producer_id, publish, record, spooled
from poisoned import good_value, mutated
from trailhouse_consumer.landing import Landing
from trailhouse_consumer.letters import Choice, chosen_letters, whole_letters
from trailhouse_consumer.replay import Replay
from trailhouse_consumer.service import collect
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_consumer.warehouse import Warehouse as Asked
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.errors import WarehouseUnavailableError
from trailhouse_schemas.registry import Registry
from trailhouse_schemas.settings import Settings
from trailhouse_schemas.versions import latest
from trailhouse_schemas.wire import encode, identity_to_bytes, registry_header, with_registry_header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.topics import Topics
    from servers.warehouses import Warehouse
    from trailhouse_cli.servers.kafka import KafkaServer
    from trailhouse_cli.servers.registry import RegistryServer
    from trailhouse_consumer.collector import Summary
    from trailhouse_consumer.landing import Stage

DRIVER = Path(__file__).with_name("collector_driver.py")


def test_a_record_that_kills_every_collector_becomes_a_dead_letter(server_warehouse: Warehouse, tmp_path: Path) -> None:
    """Its range is tried three times, then its half, the half of that and its half once, and it alone ten times."""
    producer_id = new_producer_id()
    spooled(tmp_path / "spool", [("metrics_logged", metrics(producer_id, i)) for i in range(12)], producer_id)
    task: dict[str, Any] = {
        "stage": "planned",
        "poison": 4,
        "kills": 100,
        "seed": 0,
        "where": {"home": str(tmp_path), "kafka": "", "warehouse": server_warehouse.url},
        "how": {"flush_seconds": 0, "idle_seconds": 0.1},
    }
    done = subprocess.run(
        [sys.executable, str(DRIVER), json.dumps(task)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert identities(server_warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(12) if i != 4]
    assert dead_reasons(server_warehouse.client) == {4: "kills_the_collector"}
    assert json.loads(done.stdout.splitlines()[-1])["kills"] == 16


def test_a_record_that_collectors_happen_to_die_over_is_landed(server_warehouse: Warehouse, tmp_path: Path) -> None:
    """Alone in its range, whose plan outlives nine of them."""
    producer_id = new_producer_id()
    spooled(tmp_path / "spool", [("metrics_logged", metrics(producer_id, 0))], producer_id)
    task: dict[str, Any] = {
        "stage": "planned",
        "at": 1,
        "kills": 9,
        "seed": 0,
        "where": {"home": str(tmp_path), "kafka": "", "warehouse": server_warehouse.url},
        "how": {"flush_seconds": 0, "idle_seconds": 0.1},
    }
    done = subprocess.run(
        [sys.executable, str(DRIVER), json.dumps(task)], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert json.loads(done.stdout.splitlines()[-1])["kills"] == 9
    assert identities(server_warehouse.client, "metrics_logged") == [(producer_id, 0)]
    assert dead_reasons(server_warehouse.client) == {}


def test_waiting_for_the_warehouse_is_no_try_however_often_collectors_end_meanwhile(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """Twelve are stopped while the warehouse does not answer; the next one lands the record."""
    producer_id = new_producer_id()
    spooled(tmp_path / "spool", [("metrics_logged", metrics(producer_id, 0))], producer_id)
    where = Settings.read(home=str(tmp_path), kafka="", warehouse=warehouse.url)
    how = CollectorSettings.read(flush_seconds=0, idle_seconds=0.1)

    def away(stage: Stage, *_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise WarehouseUnavailableError(f"away when {stage}")

    for _ in range(12):
        assert collect(where, how, on_stage=away).rows == 0
    assert collect(where, how, until_idle=True).rows == 2
    assert dead_reasons(warehouse.client) == {}


def test_a_record_that_the_warehouse_refuses_becomes_a_dead_letter(warehouse: Warehouse, tmp_path: Path) -> None:
    """One value beyond a constraint that somebody has set on the table."""
    warehouse.client.command("ALTER TABLE metrics_logged ADD CONSTRAINT low CHECK value < 100")
    producer_id = new_producer_id()
    point = {"name": "m", "step": 1, "value": 1000.0, "logged_at": NOW}
    high = encode(latest("metrics_logged"), record("metrics_logged", producer_id, 4, points=[point]))
    values = [("metrics_logged", high if i == 4 else metrics(producer_id, i)) for i in range(12)]
    spooled(tmp_path / "spool", values, producer_id)
    try:
        done = collect(
            Settings.read(home=str(tmp_path), kafka="", warehouse=warehouse.url),
            CollectorSettings.read(flush_seconds=0, idle_seconds=0.1),
            until_idle=True,
        )
    finally:
        # The database is lent to other tests after this one.
        warehouse.client.command("ALTER TABLE metrics_logged DROP CONSTRAINT low")
    assert identities(warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(12) if i != 4]
    assert dead_reasons(warehouse.client) == {4: "rejected"}
    assert (done.messages, done.dead_letters) == (12, 1)


def collected(warehouse: Warehouse, home: Path, kafka: str, *, registry: str = "", **how: Any) -> Summary:
    """Collect what is in the topics, as a group of its own."""
    return collect(
        Settings.read(home=str(home), kafka=kafka, warehouse=warehouse.url, registry=registry),
        CollectorSettings.read(group=f"g-{uuid.uuid4()}", flush_seconds=0.2, idle_seconds=1.0, **how),
        spools=[],
        until_idle=True,
    )


def test_ten_thousand_fuzzed_messages_among_good_ones_stop_nothing(
    kafka: KafkaServer, topics: Topics, warehouse: Warehouse, tmp_path: Path
) -> None:
    """Every good one is landed, every bad one kept whole, key and headers too; and after that they can be replayed."""
    seed = 4
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)  # noqa: S311 - noise, not secrets
    topics.create_catalogue(["metrics_logged"])
    topic, producer_id = CATALOGUE["metrics_logged"].topic, new_producer_id()
    good = [good_value("metrics_logged", producer_id, place) for place in range(20_000)]
    others = [*good[:50], *(good_value(name, producer_id, 1) for name in sorted(CATALOGUE))]
    values: list[bytes | None] = [
        value
        if place % 2 == 0
        else chance.choice([None, b"", mutated(value, others, chance)])
        if place % 50 == 1
        else mutated(value, others, chance)
        for place, value in enumerate(good)
    ]
    keys = [chance.choice([None, b"", b"\xff\x00key", b"key"]) for _ in values]
    headers: list[list[tuple[str, bytes]]] = [
        [("th", identity_to_bytes(producer_id, place))] for place in range(20_000)
    ]
    for place in range(1, 20_000, 40):
        headers[place].insert(place % 80 // 40, ("trace", chance.randbytes(5)))
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "enable.idempotence": True, "linger.ms": 5})
    for value, key, its in zip(values, keys, headers, strict=True):
        producer.produce(topic, value, key=key, partition=0, headers=list(its))
        producer.poll(0)
    assert producer.flush(60) == 0
    done = collected(warehouse, tmp_path, kafka.bootstrap_servers, flush_rows=3_000)
    assert done.messages == 20_000
    landed = {row[0] for row in warehouse.client.query("SELECT _offset FROM metrics_logged").result_rows}
    reasons = dead_reasons(warehouse.client)
    assert landed | set(reasons) == set(range(20_000))
    assert not landed & set(reasons)
    assert {place for place in range(20_000) if values[place] == good[place]} <= landed
    assert {"no_header", "undecodable", "unknown_schema", "wrong_identity"} <= set(reasons.values())
    asked = Asked(warehouse.client)
    chosen = chosen_letters(asked, Choice())
    topic_id = chosen.column("topic_id")[0].as_py()
    for begin in range(0, len(chosen), 2_000):
        offsets = chosen.column("offset").slice(begin, 2_000).to_pylist()
        for letter in whole_letters(asked, topic_id, 0, offsets):
            assert letter.value == values[letter.offset]
            assert (letter.key or b"") == (keys[letter.offset] or b"")
            assert list(letter.headers) == headers[letter.offset]
            assert (letter.producer_id, letter.sequence) == (producer_id, letter.offset)
    before = identities(warehouse.client, "metrics_logged")
    replayed = Replay(asked, Landing(asked), None, by="test").run(chosen)
    assert (replayed.landed, replayed.failed.total()) == (0, len(reasons))
    assert warehouse.count("dead_letters_settled") == 0
    assert identities(warehouse.client, "metrics_logged") == before


def test_values_of_ten_mebibytes_are_landed_or_kept_whole(
    kafka: KafkaServer, topics: Topics, warehouse: Warehouse, tmp_path: Path
) -> None:
    """On a topic that takes them, between small ones; memory for eight of them is enough."""
    topics.create_catalogue([])
    event_type = CATALOGUE["metrics_logged"]
    topics.create(event_type.topic, config={"max.message.bytes": str(32 << 20)}, unique=False)
    producer_id = new_producer_id()
    large = {1: b"\xc3\x01" + os.urandom(10 << 20), 3: metrics(producer_id, 3, dataset_digest="d" * (10 << 20))}
    large[5] = large[3][:-1]
    values = [(producer_id, i, large.get(i) or metrics(producer_id, i)) for i in range(8)]
    publish(kafka.bootstrap_servers, "metrics_logged", values, max_mib=32)
    done = collected(warehouse, tmp_path, kafka.bootstrap_servers, memory_mib=256)
    assert done.messages == 8
    assert dead_reasons(warehouse.client) == {1: "unknown_schema", 5: "undecodable"}
    assert identities(warehouse.client, "metrics_logged") == [(producer_id, i) for i in (0, 2, 3, 4, 6, 7)]
    topic_id = chosen_letters(Asked(warehouse.client), Choice()).column("topic_id")[0].as_py()
    found = whole_letters(Asked(warehouse.client), topic_id, 0, [1, 5])
    assert [letter.value for letter in found] == [large[1], large[5]]


class Troubled:
    """Stands before the real registry and answers badly, so many times, in this many ways."""

    def __init__(self, url: str, answers: list[tuple[int, bytes]]) -> None:
        """Take the registry's URL, and the answers to give before its own."""
        troubles, self.asked = list(answers), 0
        outer = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                if troubles:
                    code, body = troubles.pop(0)
                    if not code:
                        self.connection.close()
                        return
                else:
                    try:
                        with urllib.request.urlopen(url + self.path) as answer:  # noqa: S310 - our own
                            code, body = answer.status, answer.read()
                    except urllib.error.HTTPError as error:
                        code, body = error.code, error.read()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def troubled(url: str, answers: list[tuple[int, bytes]]) -> Iterator[Troubled]:
    """Serve it."""
    made = Troubled(url, answers)
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        thread.join()
        made.server.server_close()


def test_a_registry_that_answers_badly_is_waited_for_and_one_that_does_not_know_is_believed(
    kafka: KafkaServer, topics: Topics, registry: RegistryServer, warehouse: Warehouse, tmp_path: Path
) -> None:
    """Errors, pages of proxies, nonsense, hung-up lines, then the right answer; an unknown id is a dead letter."""
    known = Registry(registry.url)
    known.register(CATALOGUE["metrics_logged"])
    registry_id = known.id_of(latest("metrics_logged"))
    topics.create_catalogue(["metrics_logged", "heartbeat_sent"])
    producer_id, unknown = new_producer_id(), registry_header(1_999_999_999) + b"body"
    values = [with_registry_header(metrics(producer_id, i), registry_id) for i in range(6)]
    values[3] = unknown
    publish(kafka.bootstrap_servers, "metrics_logged", [(producer_id, i, v) for i, v in enumerate(values)])
    publish(kafka.bootstrap_servers, "heartbeat_sent", [(producer_id, i, heartbeat(producer_id, i)) for i in (7, 8)])
    answers = [
        (503, b"busy"),
        (500, b'{"error_code": 50001, "message": "backend"}'),
        (404, b"<html>no such page</html>"),
        (401, b'{"error_code": 40101, "message": "who are you"}'),
        (200, b"<html>welcome</html>"),
        (0, b""),
        (429, b"{}"),
    ]
    with troubled(registry.url, list(answers)) as before_it:
        collected(warehouse, tmp_path, kafka.bootstrap_servers, registry=before_it.url, backoff_seconds=0.3)
        assert before_it.asked > len(answers)
    assert dead_reasons(warehouse.client) == {3: "unknown_schema"}
    assert identities(warehouse.client, "metrics_logged") == [(producer_id, i) for i in (0, 1, 2, 4, 5)]
    assert identities(warehouse.client, "heartbeat_sent") == [(producer_id, i) for i in (7, 8)]


def test_what_was_replayed_is_not_landed_again_by_a_group_that_begins_anew(
    kafka: KafkaServer, topics: Topics, registry: RegistryServer, warehouse: Warehouse, tmp_path: Path
) -> None:
    """Nor when its forwarder sends it again: the table has its place, and its sequence at a lower offset."""
    known = Registry(registry.url)
    known.register(CATALOGUE["metrics_logged"])
    registry_id = known.id_of(latest("metrics_logged"))
    topics.create_catalogue(["metrics_logged"])
    producer_id = new_producer_id()
    plain = [(producer_id, i, metrics(producer_id, i)) for i in range(10)]
    odd = [(p, i, with_registry_header(v, registry_id) if i % 3 == 0 else v) for p, i, v in plain]
    publish(kafka.bootstrap_servers, "metrics_logged", odd)
    collected(warehouse, tmp_path, kafka.bootstrap_servers)
    assert set(dead_reasons(warehouse.client)) == {0, 3, 6, 9}
    asked = Asked(warehouse.client)
    assert Replay(asked, Landing(asked), known, by="test").run(chosen_letters(asked, Choice())).landed == 4
    publish(kafka.bootstrap_servers, "metrics_logged", odd)
    done = collected(warehouse, tmp_path, kafka.bootstrap_servers, registry=registry.url)
    assert done.duplicates == 10
    assert identities(warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(10)]
