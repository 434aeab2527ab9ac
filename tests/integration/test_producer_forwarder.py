"""The forwarder and a real broker: every event once, in order, in the partition of its first send."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from messages import consume
from producing import decode, read_spools, run_script, settled, start_script
from trailhouse.forwarder import Forwarder
from trailhouse.once import forget_warnings
from trailhouse.partitions import partition_of
from trailhouse.publisher import Publisher
from trailhouse_schemas import wire
from trailhouse_schemas.catalogue import CATALOGUE, by_name
from trailhouse_schemas.registry import Registry
from trailhouse_schemas.settings import Settings
from trailhouse_schemas.spool import Spool, SpooledEvent, SpoolPlan, spool_files
from trailhouse_schemas.versions import latest

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.topics import Topics
    from trailhouse_cli.servers.kafka import KafkaServer
    from trailhouse_cli.servers.registry import RegistryServer

PRODUCER = "0190163d-8694-739b-aea5-966c26f8ad91"
NAMES = ("heartbeat_sent", "metrics_logged", "parameters_logged", "run_started", "run_finished", "attribute_changed")
QUICK = {"TRAILHOUSE_SAMPLE_INTERVAL_SECONDS": "0"}


@pytest.fixture(autouse=True)
def _fresh_warnings() -> None:
    forget_warnings()


def identities(messages: list[Any]) -> list[int]:
    """Return the sequence of each message, as its header has it."""
    return [wire.identity_from_bytes(dict(m.headers())[wire.IDENTITY_HEADER]).sequence for m in messages]


def parameters(sequence: int, size: int = 10, key: str = "run") -> SpooledEvent:
    """Make an event of a size."""
    fields = {
        "occurred_at": 1,
        "producer_id": PRODUCER,
        "sequence": sequence,
        "project": "p",
        "run_id": key,
        "attempt": 0,
        "rank": 0,
        "world_size": 1,
        "host": "h",
        "principal": "me",
        "parameters": {"x": "y" * size},
    }
    return SpooledEvent(sequence, "parameters_logged", key, 1, wire.encode(latest("parameters_logged"), fields))


def spool_with(directory: Path, events: list[SpooledEvent], *, retained: bool = False) -> Spool:
    """Make a spool that holds these events, and take the drainer's lock."""
    spool = Spool.create(directory, PRODUCER, retained=retained)
    spool.append(events)
    assert spool.drainer_lock.acquire()
    return spool


def never() -> bool:
    """Go on until all is sent."""
    return False


def after(seconds: float) -> Callable[[], bool]:
    """Stop after some time, however much is left."""
    until = time.monotonic() + seconds
    return lambda: time.monotonic() > until


def test_a_run_with_a_broker_leaves_nothing_behind(kafka: KafkaServer, topics: Topics, tmp_path: Path) -> None:
    """All events are in their topics, once, in order; the spool is gone."""
    topics.create_catalogue()
    script = """
        import trailhouse
        with trailhouse.start_run(project="p", params={"eta": 0.1}) as run:
            for step in range(5_000):
                run.log({"loss": float(step)}, step=step)
    """
    done = run_script(script, tmp_path, QUICK | {"TRAILHOUSE_KAFKA": kafka.bootstrap_servers})
    assert (done.returncode, done.stderr) == (0, "")
    messages = consume(kafka, NAMES)
    events = sorted((decode(m.value()) for m in messages), key=lambda e: e["sequence"])
    assert [e["sequence"] for e in events] == list(range(len(events)))
    assert (events[-1]["phase"], events[-1]["events_emitted"]) == ("finished", len(events))
    assert [p["value"] for e in events for p in e.get("points", [])] == [float(step) for step in range(5_000)]
    assert sorted(identities(messages)) == list(range(len(events)))
    assert spool_files(tmp_path) == []
    metrics = [m for m in messages if m.topic() == "trailhouse.metrics_logged"]
    assert identities(metrics) == sorted(identities(metrics))
    assert {m.partition() for m in metrics} == {partition_of(metrics[0].key().decode(), 12)}


def test_forked_children_publish_for_themselves(kafka: KafkaServer, topics: Topics, tmp_path: Path) -> None:
    """A connection to Kafka does not survive a fork: each child has one of its own, and the parent keeps its."""
    topics.create_catalogue()
    script = """
        import os, sys, time, trailhouse
        with trailhouse.start_run(project="p") as run:
            run.log({"parent": 0.0})
            time.sleep(1)
            children = []
            for child in range(3):
                pid = os.fork()
                if pid == 0:
                    run.log({"child": float(child)})
                    sys.exit(0)
                children.append(pid)
            for pid in children:
                assert os.waitpid(pid, 0)[1] == 0
            run.log({"parent": 1.0})
    """
    done = run_script(script, tmp_path, QUICK | {"TRAILHOUSE_KAFKA": kafka.bootstrap_servers})
    assert (done.returncode, done.stderr) == (0, "")
    points = [p for m in consume(kafka, NAMES) for p in decode(m.value()).get("points", [])]
    assert sorted((p["name"], p["value"]) for p in points) == [
        *(("child", float(n)) for n in range(3)),
        ("parent", 0.0),
        ("parent", 1.0),
    ]
    assert spool_files(tmp_path) == []


def test_the_service_ends_in_order_when_it_is_told_to(kafka: KafkaServer, topics: Topics, tmp_path: Path) -> None:
    """SIGTERM: what was acknowledged is noted, and the exit code is 0."""
    topics.create_catalogue(["parameters_logged"])
    with spool_with(tmp_path, [parameters(n) for n in range(10)]) as spool:
        spool.set_end("finished")
        spool.drainer_lock.release()
        spool.writer_lock.release()
        process = subprocess.Popen(
            [command(), "forward", "--kafka", kafka.bootstrap_servers, "--spool", str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert "10 events" in process.stdout.readline()
        process.terminate()
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    assert identities(consume(kafka, ("parameters_logged",))) == list(range(10))


def test_the_spool_of_a_killed_process_is_published_and_removed(
    kafka: KafkaServer, topics: Topics, tmp_path: Path
) -> None:
    """`trailhouse forward --until-empty` takes up what the dead have left."""
    topics.create_catalogue(NAMES)
    script = """
        import os, time, trailhouse
        run = trailhouse.start_run(project="p")
        for step in range(100):
            run.log({"loss": float(step)}, step=step)
        print(run.producer_id, flush=True)
        time.sleep(60)
    """
    process = start_script(script, tmp_path, QUICK)
    assert process.stdout is not None
    process.stdout.readline()
    until = time.monotonic() + 20
    while not [e for e in read_spools(tmp_path) if e.event_type == "run_started"] and time.monotonic() < until:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    waiting = settled(tmp_path)
    done = forward(kafka, tmp_path, "--until-empty", "--timeout", "60")
    dead = waiting[0].producer_id
    assert (done.returncode, done.stderr) == (0, "")
    assert waiting[-1].fields["phase"] == "found_dead"
    assert f"{len(waiting)} events of {dead}.spool published" in done.stdout
    its_own = [m for m in consume(kafka, NAMES) if decode(m.value())["producer_id"] == dead]
    assert sorted(identities(its_own)) == [e.sequence for e in waiting]
    assert spool_files(tmp_path) == []


def test_a_resend_goes_where_the_first_send_went(kafka: KafkaServer, topics: Topics, tmp_path: Path) -> None:
    """Though the topic has more partitions by then, and the key would go elsewhere."""
    topics.create_catalogue(["parameters_logged"])
    key = next(f"run-{n}" for n in range(1_000) if partition_of(f"run-{n}", 6) != partition_of(f"run-{n}", 8))
    events = [parameters(n, key=key) for n in range(20)]
    with spool_with(tmp_path, events) as spool:
        keeping = spool.delete
        spool.delete = lambda sequences: None  # type: ignore[method-assign]  # the process dies before it can note the acknowledgement
        Forwarder(Publisher(Settings(kafka=kafka.bootstrap_servers))).forward(spool, after(3))
        spool.delete = keeping  # type: ignore[method-assign]
        assert {e.partition for e in spool.read()} == {partition_of(key, 6)}
        more_partitions(kafka, "trailhouse.parameters_logged", 8)
        assert Forwarder(Publisher(Settings(kafka=kafka.bootstrap_servers))).forward(spool, never) == 20
    messages = consume(kafka, ("parameters_logged",))
    assert {m.partition() for m in messages} == {partition_of(key, 6)}
    assert identities(messages) == [*range(20), *range(20)]


def test_what_the_broker_refuses_is_kept_and_all_else_arrives_in_order(
    kafka: KafkaServer, topics: Topics, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One event that is too large, in the middle of a thousand."""
    topics.create_catalogue(["parameters_logged"])
    large = 2 << 20
    events = [parameters(n, large if n == 500 else 10) for n in range(1_000)]
    events[500] = incompressible(500, large)
    with spool_with(tmp_path, events) as spool:
        assert Forwarder(Publisher(Settings(kafka=kafka.bootstrap_servers))).forward(spool, after(60)) == 999
        assert spool.backlog() == 0
        (refused,) = spool.refused()
        assert (refused.sequence, refused.event_type) == (500, "parameters_logged")
        assert "MSG_SIZE_TOO_LARGE" in refused.reason
        assert refused.value == events[500].value
        spool.writer_lock.release()
        assert not spool.remove_if_finished()
    arrived = identities(consume(kafka, ("parameters_logged",)))
    assert sorted(set(arrived)) == [n for n in range(1_000) if n != 500]
    assert len(arrived) == 999
    assert caplog.text.count("refuses event 500") == 1


def test_a_type_that_a_collector_has_promised_to_land_is_not_sent(
    kafka: KafkaServer, topics: Topics, tmp_path: Path
) -> None:
    """Its events stay where they are; those of other types go."""
    topics.create_catalogue(["parameters_logged", "attribute_changed"])
    other = SpooledEvent(1, "attribute_changed", "run", 1, b"whatever")
    with spool_with(tmp_path, [parameters(0), other, parameters(2)]) as spool:
        spool.set_plan(SpoolPlan("parameters_logged", 0, 0, 1))
        assert Forwarder(Publisher(Settings(kafka=kafka.bootstrap_servers))).forward(spool, after(20)) == 1
        assert [e.sequence for e in spool.read()] == [0, 2]
    assert consume(kafka, ("parameters_logged",)) == []
    assert identities(consume(kafka, ("attribute_changed",))) == [1]


def test_a_retained_spool_is_published_once_and_kept(kafka: KafkaServer, topics: Topics, tmp_path: Path) -> None:
    """What is done is not sent again, and not deleted either."""
    topics.create_catalogue(["parameters_logged"])
    with spool_with(tmp_path, [parameters(n) for n in range(5)], retained=True) as spool:
        assert Forwarder(Publisher(Settings(kafka=kafka.bootstrap_servers))).forward(spool, after(20)) == 5
        assert Forwarder(Publisher(Settings(kafka=kafka.bootstrap_servers))).forward(spool, after(20)) == 0
        assert (len(spool.read()), spool.backlog()) == (5, 0)
    assert identities(consume(kafka, ("parameters_logged",))) == list(range(5))


def test_topics_that_are_missing_are_created_as_the_catalogue_has_them(
    kafka: KafkaServer, topics: Topics, tmp_path: Path
) -> None:
    """With the number of partitions that the type has."""
    topics.delete([e.topic for e in CATALOGUE.values()])
    with spool_with(tmp_path, [parameters(0)]) as spool:
        assert Forwarder(Publisher(Settings(kafka=kafka.bootstrap_servers))).forward(spool, after(30)) == 1
    (message,) = consume(kafka, ("parameters_logged",))
    assert message.partition() == partition_of("run", by_name("parameters_logged").partitions)


def test_with_a_registry_values_carry_its_ids(
    kafka: KafkaServer, registry: RegistryServer, topics: Topics, tmp_path: Path
) -> None:
    """The body is the same; only the header is another one. What is not registered yet waits."""
    topics.create_catalogue(["parameters_logged"])
    event = parameters(0)
    with spool_with(tmp_path, [event]) as spool:
        forwarder = Forwarder(Publisher(Settings(kafka=kafka.bootstrap_servers)), Registry(registry.url))
        known = Registry(registry.url).registered(by_name("parameters_logged"))
        if not known:
            assert forwarder.forward(spool, after(1)) == 0
        Registry(registry.url).register(by_name("parameters_logged"))
        assert forwarder.forward(spool, after(20)) == 1
    (message,) = consume(kafka, ("parameters_logged",))
    expected = Registry(registry.url).id_of(latest("parameters_logged"))
    assert message.value() == wire.with_registry_header(event.value, expected)


def test_a_spool_that_somebody_drains_is_left_to_them(kafka: KafkaServer, topics: Topics, tmp_path: Path) -> None:
    """The lock decides, and the command says what is left."""
    topics.create_catalogue(["parameters_logged"])
    with spool_with(tmp_path, [parameters(0)]) as spool:
        done = forward(kafka, tmp_path, "--once")
        assert "1 events are left" in done.stdout
        assert spool.backlog() == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--kafka", ""], "There is no Kafka to forward to"),
        (["--kafka", "localhost:1", "--once"], "Kafka at localhost:1 does not answer"),
        (["--kafka", "localhost:1", "--spool", "/not/there"], "Spool directory /not/there is not there"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], text: str) -> None:
    """Exit code 2, no traceback."""
    done = subprocess.run([command(), "forward", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1


def command() -> str:
    """Return the path of the command line."""
    return str(Path(sys.executable).with_name("trailhouse"))


def forward(kafka: KafkaServer, spool: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `trailhouse forward`."""
    return subprocess.run(
        [command(), "forward", "--kafka", kafka.bootstrap_servers, "--spool", str(spool), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )


def more_partitions(kafka: KafkaServer, topic: str, partitions: int) -> None:
    """Give a topic more partitions."""
    from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]  # noqa: PLC0415

    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(20)
    until = time.monotonic() + 20
    while len(admin.list_topics(topic, timeout=10).topics[topic].partitions) < partitions:
        assert time.monotonic() < until
        time.sleep(0.1)


def incompressible(sequence: int, size: int) -> SpooledEvent:
    """Make an event that stays large however it is compressed."""
    import random  # noqa: PLC0415

    text = random.Random(sequence).randbytes(size // 2).hex()  # noqa: S311 - noise, not a secret
    event = parameters(sequence, 0)
    fields = decode(event.value) | {"parameters": {"x": text}}
    return SpooledEvent(sequence, event.event_type, event.message_key, 1, wire.encode(latest(event.event_type), fields))


def test_a_broker_that_speaks_no_tls_is_named_as_such_while_events_wait(
    kafka: KafkaServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, with the setting that asked for it; settings that are none are said, too, and end nothing."""
    for client, said in (({"security.protocol": "ssl"}, "SSL"), ({"security.protocol": "x"}, "Invalid value")):
        caplog.clear()
        settings = Settings(kafka=kafka.bootstrap_servers, kafka_client=client)
        with spool_with(tmp_path / said, [parameters(0)]) as spool:
            assert Forwarder(Publisher(settings)).forward(spool, after(2)) == 0
            assert spool.backlog() == 1
        (line,) = [record.getMessage() for record in caplog.records if "cannot take events" in record.getMessage()]
        assert f"{kafka.bootstrap_servers} with security.protocol={client['security.protocol']}" in line
        assert said in line
