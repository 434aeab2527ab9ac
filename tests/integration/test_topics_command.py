"""`trailhouse topics`: topics are made as the catalogue has them, checked, and never made by the broker."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]

from producing import command, run_script
from servers.missing import cannot_have
from servers.topics import Topics
from trailhouse.settings import ProducerSettings
from trailhouse_cli.errors import ServerMissingError
from trailhouse_cli.servers.kafka import JarKafka
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_consumer.sources.kafka_client import admin_settings, client_settings
from trailhouse_schemas.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trailhouse_cli.servers.kafka import KafkaServer

pytestmark = pytest.mark.kafka

TOPICS = [event_type.topic for event_type in CATALOGUE.values()]


@pytest.fixture(scope="module")
def eager() -> Iterator[JarKafka]:
    """A broker that makes every topic that it is asked for, with the client's times and a week's retention."""
    try:
        server = JarKafka(
            properties={
                "auto.create.topics.enable": "true",
                "log.message.timestamp.type": "CreateTime",
                "log.retention.hours": "168",
            }
        )
    except ServerMissingError as error:
        cannot_have(error)
    yield server
    server.close()


def topics_command(kafka: KafkaServer, *arguments: str, code: int) -> dict[str, Any]:
    """Run `trailhouse topics` and return its report, with the rows by topic."""
    done = subprocess.run(
        [Path(sys.executable).with_name("trailhouse"), "topics", *arguments, "-f", "json"],
        env={"TRAILHOUSE_KAFKA": kafka.bootstrap_servers, "PATH": "", "HOME": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert (done.returncode, done.stderr) == (code, "")
    report: dict[str, Any] = json.loads(done.stdout)
    return report | {"rows": {row["topic"]: row for row in report["sections"]["topics"]}}


def config(kafka: KafkaServer, topic: str) -> dict[str, str]:
    """Return the settings in force of a topic."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    asked = admin.describe_configs([ConfigResource("topic", topic)])
    (future,) = asked.values()
    return {entry.name: entry.value for entry in future.result(30).values()}


def alter(kafka: KafkaServer, topic: str, **settings: str) -> None:
    """Set settings of a topic, as an operator would by Kafka's own tools."""
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry  # type: ignore[attr-defined]  # noqa: PLC0415

    entries = [
        ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
        for name, value in settings.items()
    ]
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    (future,) = admin.incremental_alter_configs([ConfigResource("topic", topic, incremental_configs=entries)]).values()
    future.result(30)


def test_topics_are_made_as_the_catalogue_has_them_and_making_them_again_does_nothing(
    eager: JarKafka,
) -> None:
    """Whatever the broker's own settings are; `check` agrees, and says that the broker itself makes topics."""
    assert {row["state"] for row in topics_command(eager, "check", code=1)["rows"].values()} == {"missing"}
    first = topics_command(eager, "create", "--partitions", "trailhouse.run_started=9", code=0)
    assert (first["made"], {row["state"] for row in first["rows"].values()}) == (18, {"made"})
    for event_type in CATALOGUE.values():
        found = config(eager, event_type.topic)
        assert found["message.timestamp.type"] == "LogAppendTime"
        assert found["cleanup.policy"] == "delete"
        assert (found["retention.ms"] == "-1") is event_type.control
    again = topics_command(eager, "create", code=0)
    assert (again["made"], {row["state"] for row in again["rows"].values()}) == (0, {"fine"})
    expected = {e.topic: e.partitions for e in CATALOGUE.values()} | {"trailhouse.run_started": 9}
    assert {name: row["partitions"] for name, row in again["rows"].items()} == expected
    assert "auto.create.topics.enable=true" in again["notes"][0]
    Topics(eager.bootstrap_servers).delete(TOPICS)


def test_what_differs_is_named_with_the_way_out_and_left_as_it_is(kafka: KafkaServer, topics: Topics) -> None:
    """Too few partitions, the client's time, control facts that are thrown away; the exit code is 1."""
    topics.delete(TOPICS)
    for event_type in CATALOGUE.values():
        topics.create(event_type.topic, partitions=2, unique=False, config={"message.timestamp.type": "LogAppendTime"})
    alter(kafka, "trailhouse.run_started", message_timestamp_type="CreateTime", cleanup_policy="compact")
    for mode in ("create", "check"):
        rows = topics_command(kafka, mode, code=1)["rows"]
        assert rows["trailhouse.run_started"]["state"] == "differs"
        assert rows["trailhouse.run_started"]["detail"].splitlines() == [
            (
                "2 partitions instead of 6: give it more with 'kafka-topics --alter --topic trailhouse.run_started "
                "--partitions 6'"
            ),
            (
                "message.timestamp.type=CreateTime instead of LogAppendTime: set it with 'kafka-configs --alter "
                "--topic trailhouse.run_started --add-config message.timestamp.type=LogAppendTime'"
            ),
            (
                "cleanup.policy=compact instead of delete: set it with 'kafka-configs --alter --topic "
                "trailhouse.run_started --add-config cleanup.policy=delete'"
            ),
        ]
        (line,) = rows["trailhouse.price_set"]["detail"].splitlines()
        assert line.startswith("retention.ms=")
        assert "--add-config retention.ms=-1" in line
    alter(kafka, "trailhouse.price_set", retention_ms="-1")
    assert topics_command(kafka, "check", code=1)["rows"]["trailhouse.price_set"]["state"] == "fine"
    rows = topics_command(kafka, "check", "--replication-factor", "2", code=1)["rows"]
    assert "replication factor 1 instead of 2" in rows["trailhouse.price_set"]["detail"]


def test_what_the_broker_refuses_is_named_and_the_others_are_made(kafka: KafkaServer, topics: Topics) -> None:
    """Two copies on one broker."""
    topics.delete(TOPICS)
    refused = topics_command(kafka, "create", "--replication-factor", "2", code=1)
    assert {row["state"] for row in refused["rows"].values()} == {"refused"}
    assert "replication" in refused["rows"]["trailhouse.price_set"]["detail"].lower()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--partitions", "metrics_loged=3"), "did you mean 'metrics_logged'"),
        (("--partitions", "metrics_logged"), "write TOPIC=N"),
        (("--partitions", "metrics_logged=0"), "write TOPIC=N"),
        (("--kafka", ""), "There is no Kafka"),
        (("--kafka", "127.0.0.1:9"), "does not answer"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    """Exit code 2, no traceback, nothing made."""
    done = command(tmp_path, "topics", "create", *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr


def test_no_client_of_ours_lets_the_broker_make_a_topic(eager: JarKafka, tmp_path: Path) -> None:
    """On a broker that would: asking for it makes none, and a forwarder makes it as the catalogue has it, or waits."""
    servers = eager.bootstrap_servers
    there = Topics(servers)
    there.delete(TOPICS)
    admin = AdminClient({"bootstrap.servers": servers})
    collecting = client_settings(servers, CollectorSettings())
    for made_with in (
        ProducerSettings(kafka=servers).kafka_settings({}),
        admin_settings(collecting),
    ):
        AdminClient(made_with).list_topics("trailhouse.run_started", timeout=30)
    train = """
        import trailhouse
        with trailhouse.start_run(project="p") as run:
            run.log({"loss": 1.0}, step=0)
    """
    forbidden = {
        "TRAILHOUSE_KAFKA": servers,
        "TRAILHOUSE_CREATE_TOPICS": "false",
        "TRAILHOUSE_FINISH_TIMEOUT_SECONDS": "2",
    }
    done = run_script(train, tmp_path, forbidden)
    assert done.returncode == 0
    assert "make it with 'trailhouse topics create'" in done.stderr
    refused = command(tmp_path, "collect", "--until-idle", "--kafka", servers)
    assert refused.returncode == 0, refused.stderr
    assert not set(TOPICS) & set(admin.list_topics(timeout=30).topics)
    done = command(
        tmp_path, "forward", "--kafka", servers, "--until-empty", "--timeout", "60", "--spool", str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    assert config(eager, "trailhouse.run_started")["message.timestamp.type"] == "LogAppendTime"
    rows = topics_command(eager, "check", code=1)["rows"]
    assert {row["state"] for row in rows.values()} == {"fine", "missing"}
    there.delete(TOPICS)
