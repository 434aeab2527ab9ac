"""Secrets of the settings: from files as from the environment, and in nothing that is printed."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from trailhouse.once import forget_warnings
from trailhouse.settings import ProducerSettings
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_schemas.errors import SettingsError
from trailhouse_schemas.registry import Registry
from trailhouse_schemas.secrets import shown, without_password
from trailhouse_schemas.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "c4n4ry"
#: What the file of each secret holds.
FILES = {
    "TRAILHOUSE_WAREHOUSE_PASSWORD_FILE": CANARY,
    "TRAILHOUSE_REGISTRY_USER_INFO_FILE": f"me:{CANARY}",
    "TRAILHOUSE_KAFKA_CLIENT_FILE": json.dumps({"sasl.password": CANARY}),
    "TRAILHOUSE_COLLECT_KAFKA_CLIENT_FILE": json.dumps({"ssl.key.password": CANARY}),
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A file for each secret, for its owner alone, each with a newline at its end."""
    paths = {}
    for variable, text in FILES.items():
        paths[variable] = tmp_path / variable.lower()
        paths[variable].write_text(text + "\n")
        paths[variable].chmod(0o600)
        monkeypatch.setenv(variable, str(paths[variable]))
    return paths


def test_a_secret_is_read_from_its_file_without_the_newline(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What of a client's settings is no secret may stay in the open; the file wins."""
    monkeypatch.setenv("TRAILHOUSE_KAFKA_CLIENT", '{"sasl.username": "me", "sasl.password": "old"}')
    settings = Settings.read()
    assert settings.warehouse_password.get_secret_value() == CANARY
    assert settings.registry_user_info.get_secret_value() == f"me:{CANARY}"
    assert settings.kafka_client == {"sasl.username": "me", "sasl.password": CANARY}
    assert CollectorSettings.read().kafka_client == {"ssl.key.password": CANARY}
    assert Registry.of(ProducerSettings.read(registry="http://host"))._user_info == f"me:{CANARY}"


def test_a_helper_is_told_the_secrets_that_publishing_needs_and_no_file(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may run where the files are not, and has an environment of its own; the warehouse is none of its business."""
    told = json.loads(json.dumps(ProducerSettings.read().handed_over()))
    for path in files.values():
        path.unlink()
    helper = ProducerSettings(**told)
    assert helper.kafka_client == {"sasl.password": CANARY}
    assert helper.registry_user_info.get_secret_value() == f"me:{CANARY}"
    assert helper.warehouse_password.get_secret_value() == ""


@pytest.mark.parametrize("variable", FILES)
def test_a_file_that_cannot_be_read_is_named_and_stops_no_training(
    variable: str, files: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """Missing, empty, a directory, no text; those of clients must be JSON, which is not shown."""
    kind = CollectorSettings if "COLLECT" in variable else Settings
    path = files[variable]
    wrong = {"it is not there": None, "it is empty": b"\n", "it is no text in UTF-8": b"\xff"}
    if "CLIENT" in variable:
        wrong |= {"it is no JSON (line 1, column 19)": b'{"sasl.password": c4n4ry', "map of texts": b'["c4n4ry"]'}
    for said, content in wrong.items():
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(SettingsError) as refused:
            kind.read()
        assert variable.removesuffix("_FILE") in str(refused.value)
        assert said in str(refused.value)
        assert str(path) in str(refused.value)
        assert CANARY not in str(refused.value)
        if kind is Settings:
            forget_warnings()
            ProducerSettings.read_or_warn()
            assert said in caplog.text
    assert CANARY not in caplog.text


def test_a_secret_that_is_set_twice_is_refused(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could say which of the two is meant."""
    monkeypatch.setenv("TRAILHOUSE_WAREHOUSE_PASSWORD", "other")
    with pytest.raises(SettingsError, match="TRAILHOUSE_WAREHOUSE_PASSWORD is what is not shown: it is set, and so"):
        Settings.read()


def test_a_file_that_everybody_may_read_is_warned_about_once_and_read(
    files: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """Containers have their secrets so."""
    path = files["TRAILHOUSE_WAREHOUSE_PASSWORD_FILE"]
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert Settings.read().warehouse_password.get_secret_value() == CANARY
    assert caplog.text.count("everybody on this machine may read") == 1
    assert CANARY not in caplog.text


def test_no_file_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty is not the current directory."""
    for variable in FILES:
        monkeypatch.setenv(variable, "")
    assert Settings.read().warehouse_password_file is None
    assert CollectorSettings.read().kafka_client_file is None


def test_settings_are_printed_without_secrets(files: dict[str, Path]) -> None:
    """However they are: in a log, in a traceback's locals, in a report of a validation."""
    where = Settings.read(warehouse=f"clickhouse://me:{CANARY}@host/db", registry=f"http://me:{CANARY}@host")
    for settings in (where, ProducerSettings.read(), CollectorSettings.read()):
        for text in (repr(settings), str(settings), f"{settings}"):
            assert CANARY not in text
            assert "password=***" in text
    with pytest.raises(ValidationError) as refused:
        Settings(kafka_client={"sasl.password": [CANARY]})
    assert CANARY not in str(refused.value)


def test_a_password_with_odd_characters_is_not_shown_in_part() -> None:
    """Up to the last @ before the path."""
    assert without_password("http://me:a@b:c@host:8123/p@q") == "http://me:***@host:8123/p@q"
    assert shown("http://me:a@b@host") == "http://me:***@host"
