"""`trailhouse doctor`: what is in force, where it comes from, what does not answer, and nothing that is secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from servers.topics import Topics
    from trailhouse_cli.servers.kafka import KafkaServer
    from trailhouse_cli.servers.registry import RegistryServer

_NOWHERE = "127.0.0.1:9"


def trailhouse(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would, in a process that may open the engine."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TRAILHOUSE_")}
    return subprocess.run(
        [sys.executable, "-m", "trailhouse_cli", *arguments],
        env=clean | {"HOME": str(home), "TRAILHOUSE_HOME": str(home / "data")} | environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def examined(home: Path, code: int, **environment: str) -> dict[str, Any]:
    """Return what doctor says as JSON, with the settings by name and the checks by what they are of."""
    done = trailhouse(home, "doctor", "--format", "json", **environment)
    assert (done.returncode, done.stderr) == (code, "")
    report = json.loads(done.stdout)
    return {
        "verdict": report["verdict"],
        "settings": {row["setting"]: (row["value"], row["from"]) for row in report["sections"]["settings"]},
        "checks": {row["what"]: (row["state"], row["detail"]) for row in report["sections"]["checks"]},
    }


def test_all_that_answers_is_fine_and_values_name_their_source(tmp_path: Path) -> None:
    """Environment, file or default; no server is needed."""
    assert trailhouse(tmp_path, "migrate").returncode == 0
    file = tmp_path / "trailhouse.toml"
    file.write_text('project = "from-file"\nprincipal = "from-file"\n[collect]\nflush_rows = 7\ngroup = "ours"\n')
    found = examined(tmp_path, 0, TRAILHOUSE_PROJECT="from-environment", TRAILHOUSE_COLLECT_GROUP="theirs")
    assert found["verdict"] == "all that is configured answers"
    assert {what: state for what, (state, _) in found["checks"].items()} == {
        "settings": "fine",
        "spools": "fine",
        "warehouse": "fine",
        "retention": "fine",
        "kafka": "not set",
        "registry": "not set",
    }
    settings = found["settings"]
    assert settings["TRAILHOUSE_HOME"] == (str(tmp_path / "data"), "environment")
    assert settings["TRAILHOUSE_PROJECT"] == ("from-environment", "environment")
    assert settings["TRAILHOUSE_PRINCIPAL"] == ("from-file", "trailhouse.toml")
    assert settings["TRAILHOUSE_COLLECT_FLUSH_ROWS"] == ("7", "trailhouse.toml")
    assert settings["TRAILHOUSE_COLLECT_GROUP"] == ("theirs", "environment")
    assert settings["TRAILHOUSE_FLUSH_INTERVAL_SECONDS"] == ("0.2", "default")


def test_a_key_that_is_no_setting_is_named_with_its_file_and_the_nearest_one(tmp_path: Path) -> None:
    """It sets nothing, and nobody would see that; settings that have keys of their own may have any."""
    assert trailhouse(tmp_path, "migrate").returncode == 0
    file = tmp_path / "trailhouse.toml"
    file.write_text(
        'projekt = "p"\nflush_rows = 3\nxyzzy = 1\n[collect]\nflush_row = 7\n[collect.kafka_client]\n"a.b" = "c"\n'
    )
    found = examined(tmp_path, 1)
    assert found["verdict"] == "look at settings"
    state, detail = found["checks"]["settings"]
    assert (state, detail.splitlines()) == (
        "broken",
        [
            "trailhouse.toml: key 'projekt' is no setting; did you mean 'project'?",
            "trailhouse.toml: key 'flush_rows' is no setting; did you mean 'collect.flush_rows'?",
            "trailhouse.toml: key 'xyzzy' is no setting; take it out",
            "trailhouse.toml: key 'collect.flush_row' is no setting; did you mean 'collect.flush_rows'?",
        ],
    )
    assert all(line in trailhouse(tmp_path, "doctor", COLUMNS="200").stdout for line in detail.splitlines())
    file.write_text('project = "p"\n[collect]\nflush_rows = 7\n')
    assert examined(tmp_path, 0)["checks"]["settings"] == ("fine", "trailhouse.toml: every key is a setting")


def test_what_does_not_answer_is_named_with_the_way_out_and_the_exit_code_is_1(tmp_path: Path) -> None:
    """Everything at once: the first that does not answer hides no other."""
    found = examined(
        tmp_path,
        1,
        TRAILHOUSE_WAREHOUSE=f"clickhouse://me@{_NOWHERE}/db",
        TRAILHOUSE_KAFKA=_NOWHERE,
        TRAILHOUSE_REGISTRY=f"http://{_NOWHERE}",
    )
    assert found["verdict"] == "look at warehouse, kafka, registry"
    for what, variable in (("kafka", "TRAILHOUSE_KAFKA"), ("registry", "TRAILHOUSE_REGISTRY")):
        state, detail = found["checks"][what]
        assert state == "broken"
        assert "does not answer" in detail
        assert variable in detail
    assert found["checks"]["warehouse"][0] == "broken"


def test_the_retention_that_is_set_is_put_in_force_by_migrate_and_taken_away_with_the_setting(tmp_path: Path) -> None:
    """Doctor says what is in force, and is not content while that is something else."""
    assert trailhouse(tmp_path, "migrate").returncode == 0
    assert examined(tmp_path, 0)["checks"]["retention"] == ("fine", "every row is kept for ever")
    (tmp_path / "trailhouse.toml").write_text('[retention]\nmetrics_logged = "400d"\ndead_letters = "26w"\n')
    assert examined(tmp_path, 1)["checks"]["retention"] == (
        "broken",
        "Rows of dead_letters are kept for ever, not for 182 days as set; run 'trailhouse migrate'",
    )
    assert trailhouse(tmp_path, "migrate").stdout.splitlines()[:2] == [
        "dead_letters keeps rows for 182 days (for ever before)",
        "metrics_logged keeps rows for 400 days (for ever before)",
    ]
    assert "keeps" not in trailhouse(tmp_path, "migrate").stdout
    found = examined(tmp_path, 0)
    assert found["checks"]["retention"] == ("fine", "dead_letters: 182 days\nmetrics_logged: 400 days")
    assert found["settings"]["TRAILHOUSE_RETENTION"] == (
        "metrics_logged=400d, dead_letters=26w",
        "trailhouse.toml",
    )
    (tmp_path / "trailhouse.toml").write_text("")
    assert "dead_letters keeps rows for ever (for 182 days before)" in trailhouse(tmp_path, "migrate").stdout
    assert examined(tmp_path, 0)["checks"]["retention"] == ("fine", "every row is kept for ever")
    refused = trailhouse(tmp_path, "migrate", TRAILHOUSE_RETENTION='{"price_set": "1y"}')
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "paid at the price of its time" in refused.stderr


def test_a_warehouse_that_is_not_there_and_a_spool_that_is_spoilt_are_named(tmp_path: Path) -> None:
    """With the command that makes the one, and the name of the other."""
    spool = tmp_path / "data" / "spool" / "0190163d-8694-739b-aea5-966c26f8ad91.spool"
    spool.parent.mkdir(parents=True)
    spool.write_bytes(b"no database" * 1000)
    found = examined(tmp_path, 1)
    assert "trailhouse migrate" in found["checks"]["warehouse"][1]
    assert found["checks"]["spools"][0] == "broken"
    assert spool.name in found["checks"]["spools"][1]


@pytest.mark.parametrize("format_", ["table", "json", "html"])
def test_no_secret_is_printed(tmp_path: Path, format_: str) -> None:
    """Neither the passwords of URLs nor settings that are secret, in values or in errors."""
    done = trailhouse(
        tmp_path,
        "doctor",
        "--format",
        format_,
        TRAILHOUSE_WAREHOUSE=f"clickhouse://me:s3cret@{_NOWHERE}/db",
        TRAILHOUSE_WAREHOUSE_PASSWORD="s3cret",  # noqa: S106 - what must not be seen
        TRAILHOUSE_REGISTRY=f"http://me:s3cret@{_NOWHERE}",
        TRAILHOUSE_COLLECT_KAFKA_CLIENT='{"sasl.password": "s3cret"}',
        TRAILHOUSE_KAFKA=_NOWHERE,
        TRAILHOUSE_KAFKA_CLIENT='{"ssl.key.password": "s3cret"}',
    )
    assert done.returncode == 1
    assert "s3cret" not in done.stdout + done.stderr
    assert "sasl.password=***" in done.stdout
    assert "ssl.key.password=***" in done.stdout
    assert "(set, not shown)" in done.stdout


@pytest.mark.registry
@pytest.mark.kafka
def test_servers_that_answer_say_what_they_have(
    tmp_path: Path, kafka: KafkaServer, topics: Topics, registry: RegistryServer
) -> None:
    """Topics and schemas, of those that the catalogue has."""
    topics.create_catalogue()
    assert trailhouse(tmp_path, "migrate").returncode == 0
    found = examined(tmp_path, 0, TRAILHOUSE_KAFKA=kafka.bootstrap_servers, TRAILHOUSE_REGISTRY=registry.url)
    assert found["checks"]["kafka"] == ("fine", f"{kafka.bootstrap_servers}: 18 of 18 topics are there")
    assert found["checks"]["registry"][0] == "fine"
    assert "of 18 event types are registered" in found["checks"]["registry"][1]


@pytest.mark.kafka
def test_a_broker_that_speaks_no_tls_is_told_from_one_that_is_down(tmp_path: Path, kafka: KafkaServer) -> None:
    """Doctor, prices and grants name the setting, and that it was the handshake."""
    assert trailhouse(tmp_path, "migrate").returncode == 0
    ssl = {"TRAILHOUSE_KAFKA": kafka.bootstrap_servers, "TRAILHOUSE_KAFKA_CLIENT": '{"security.protocol": "ssl"}'}
    state, detail = examined(tmp_path, 1, **ssl)["checks"]["kafka"]
    said = [detail]
    for command in (
        ("price", "set", "h100", "1", "EUR", "-r", "gpu"),
        ("grant", "alice", "-a", "read", "-r", "dataset:x"),
    ):
        done = trailhouse(tmp_path, *command, TRAILHOUSE_PERMISSION_TIMEOUT_SECONDS="3", **ssl)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        said.append(done.stderr)
    assert state == "broken"
    for line in said:
        assert f"{kafka.bootstrap_servers} with security.protocol=ssl" in line
        assert "SSL_HANDSHAKE" in line or "SSL handshake failed" in line
