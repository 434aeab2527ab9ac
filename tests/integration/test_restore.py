"""A warehouse is lost, and made again from a backup and from what Kafka still has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from collected import metrics, new_producer_id, publish
from producing import clean_environment
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_consumer.sources import Limits
from trailhouse_consumer.sources.kafka import KafkaSource
from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.errors import WarehouseError
from trailhouse_schemas.warehouse import parse_url, restore

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.topics import Topics
    from trailhouse_cli.servers.kafka import KafkaServer

pytestmark = pytest.mark.kafka


@pytest.fixture
def shell(kafka: KafkaServer, topics: Topics, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `trailhouse`, with one Kafka, one group and one warehouse, and expects an exit code."""
    topics.create_catalogue(["metrics_logged"])
    environment = clean_environment(
        tmp_path / "spool",
        {
            "TRAILHOUSE_CONFIG": "/dev/null",
            "TRAILHOUSE_KAFKA": kafka.bootstrap_servers,
            "TRAILHOUSE_WAREHOUSE": f"chdb://{tmp_path / 'a warehouse'}",
            "TRAILHOUSE_COLLECT_GROUP": f"restore-{new_producer_id()}",
            "TRAILHOUSE_COLLECT_FLUSH_SECONDS": "0.1",
        },
    )

    def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [Path(sys.executable).with_name("trailhouse"), *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done

    run.environment = environment  # type: ignore[attr-defined]
    return run


def rewound(shell: Any, *arguments: object) -> dict[int, tuple[int, int]]:
    """Set the group back; return from where to where, by partition."""
    report = json.loads(shell("rewind", *arguments, "-f", "json").stdout)
    rows = report["sections"].get("partitions", [])
    return {row["partition"]: (row["committed"], row["set_back_to"]) for row in rows}


def landed(shell: Any) -> tuple[list[int], list[int]]:
    """Return the sequences of the rows, doubled ones doubled, and the offsets of the dead letters."""
    script = """
import json, sys
from trailhouse_schemas.warehouse import connect
client = connect(sys.argv[1])
print(json.dumps([
    [row[0] for row in client.query("SELECT sequence FROM metrics_logged ORDER BY 1").result_rows],
    [row[0] for row in client.query("SELECT _offset FROM dead_letters ORDER BY 1").result_rows],
]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, shell.environment["TRAILHOUSE_WAREHOUSE"]],
        env=shell.environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    rows, letters = json.loads(done.stdout)
    return rows, letters


def test_what_was_landed_since_the_backup_is_landed_again(kafka: KafkaServer, shell: Any, tmp_path: Path) -> None:
    """Each once, dead letters too; before the group is set back nobody reads it again."""
    producer_id = new_producer_id()
    directory, saved = tmp_path / "a warehouse", tmp_path / "saved" / "monday"

    def send(first: int, last: int) -> None:
        values = ((i, b"bad" if i % 50 == 49 else metrics(producer_id, i, points=1)) for i in range(first, last))
        publish(kafka.bootstrap_servers, "metrics_logged", [(producer_id, *value) for value in values])
        shell("collect", "--until-idle")

    send(0, 100)
    assert "rewind --since" in shell("warehouse", "backup", saved).stdout
    assert not list((directory / "backups").iterdir())
    send(100, 180)
    everything = landed(shell)
    assert everything == ([i for i in range(180) if i % 50 != 49], [49, 99, 149])
    assert rewound(shell) == {}

    shutil.rmtree(directory)
    shell("warehouse", "restore", saved)
    assert landed(shell) == ([i for i in range(100) if i % 50 != 49], [49, 99])
    shell("collect", "--until-idle")
    assert len(landed(shell)[0]) == 98
    assert rewound(shell, "--dry-run") == {0: (180, 100)}
    assert rewound(shell) == {0: (180, 100)}
    assert rewound(shell) == {}
    shell("collect", "--until-idle")
    assert landed(shell) == everything
    # What the tables hold is left out, however far the group goes back.
    assert rewound(shell, "--since", "2020-01-01") == {0: (180, 0)}
    shell("collect", "--until-idle")
    assert landed(shell) == everything
    assert rewound(shell, "--since", datetime.now(UTC).isoformat()) == {}


def test_what_neither_the_log_nor_the_backup_has_is_named(kafka: KafkaServer, shell: Any, tmp_path: Path) -> None:
    """It is recorded as missing by the collector that goes on."""
    producer_id = new_producer_id()
    publish(
        kafka.bootstrap_servers,
        "metrics_logged",
        [(producer_id, i, metrics(producer_id, i, points=1)) for i in range(10)],
    )
    saved = tmp_path / "saved"
    shell("collect", "--until-idle")
    shell("warehouse", "backup", saved)
    publish(
        kafka.bootstrap_servers,
        "metrics_logged",
        [(producer_id, i, metrics(producer_id, i, points=1)) for i in range(10, 30)],
    )
    shell("collect", "--until-idle")
    shutil.rmtree(tmp_path / "a warehouse")
    shell("warehouse", "restore", saved)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    for future in admin.delete_records([TopicPartition(CATALOGUE["metrics_logged"].topic, 0, 15)]).values():
        future.result(30)
    assert rewound(shell) == {0: (30, 15)}
    assert "5 offsets missing" in shell("collect", "--until-idle").stdout
    assert landed(shell) == ([*range(10), *range(15, 30)], [10])


def test_control_facts_are_landed_again_from_their_spools(shell: Any, tmp_path: Path) -> None:
    """They stay there for those who decide without a warehouse, so that none is lost with it."""
    shell.environment["TRAILHOUSE_KAFKA"] = ""

    def prices() -> list[Any]:
        report = json.loads(shell("price", "list", "-f", "json").stdout)
        return sorted(json.dumps(row) for row in report["sections"]["prices"])

    shell("price", "set", "h100", "1", "EUR", "--resource", "gpu")
    shell("collect", "--until-idle")
    shell("warehouse", "backup", tmp_path / "saved")
    shell("price", "set", "h200", "2", "EUR", "--resource", "gpu")
    shell("collect", "--until-idle")
    before = prices()
    assert len(before) == 2
    shutil.rmtree(tmp_path / "a warehouse")
    said = shell("warehouse", "restore", tmp_path / "saved").stdout
    again = re.search(r"^(\d+) events of this machine's control facts", said, re.MULTILINE)
    assert again is not None, said
    assert len(prices()) == 1
    assert f"landed {again[1]} messages" in shell("collect", "--until-idle").stdout
    assert prices() == before


def test_a_group_with_members_is_not_set_back(kafka: KafkaServer, shell: Any) -> None:
    """A collector that is landing meanwhile would land under other tokens what is read again."""
    producer_id = new_producer_id()
    publish(kafka.bootstrap_servers, "metrics_logged", [(producer_id, 0, metrics(producer_id, 0))])
    shell("collect", "--until-idle")
    how = CollectorSettings(group=shell.environment["TRAILHOUSE_COLLECT_GROUP"])
    member = KafkaSource(kafka.bootstrap_servers, how, Limits(seconds=0))
    try:
        deadline = datetime.now(UTC).timestamp() + 60
        while not member.partitions():
            member.poll(0.1)
            assert datetime.now(UTC).timestamp() < deadline
        assert "has 1 members; end its collectors first" in shell("rewind", code=2).stderr
    finally:
        member.close()
    assert "nothing to set back" in shell("rewind").stdout


def test_wrong_places_are_refused_in_one_line(shell: Any, tmp_path: Path) -> None:
    """A backup never replaces anything, and a restore neither."""
    there = tmp_path / "there"
    there.mkdir()
    shell("migrate")
    assert "is there already" in shell("warehouse", "backup", there, code=2).stderr
    assert "is no backup of database trailhouse" in shell("warehouse", "restore", there, code=2).stderr
    saved = tmp_path / "saved"
    shell("warehouse", "backup", saved)
    assert "has tables already" in shell("warehouse", "restore", saved, code=2).stderr
    file = tmp_path / "file"
    file.touch()
    assert "cannot be made or read" in shell("warehouse", "backup", file / "below", code=2).stderr
    with pytest.raises(WarehouseError, match="is a server"):
        restore(object(), parse_url("clickhouse://me@db/house"), saved)  # type: ignore[arg-type]
