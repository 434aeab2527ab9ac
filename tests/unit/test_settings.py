"""Settings: flags win over the environment, which wins over the file, for every part alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trailhouse.once import forget_warnings
from trailhouse.settings import ProducerSettings
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_schemas.errors import SettingsError
from trailhouse_schemas.secrets import without_password, without_secrets
from trailhouse_schemas.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Write the file of settings that TRAILHOUSE_CONFIG names."""
    path = tmp_path / "settings.toml"
    monkeypatch.setenv("TRAILHOUSE_CONFIG", str(path))
    path.write_text("")

    def write(text: str) -> None:
        path.write_text(text)

    return write


def test_a_flag_wins_over_the_environment_which_wins_over_the_file(
    file: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the settings that all parts share."""
    assert Settings.read().kafka == ""
    file('kafka = "file:1"\nregistry = "http://file"\n')
    assert (Settings.read().kafka, Settings.read().registry) == ("file:1", "http://file")
    monkeypatch.setenv("TRAILHOUSE_KAFKA", "environment:1")
    assert (Settings.read().kafka, Settings.read().registry) == ("environment:1", "http://file")
    assert Settings.read(kafka="flag:1").kafka == "flag:1"
    assert Settings.read(kafka=None).kafka == "environment:1"


def test_an_empty_environment_variable_switches_off_what_the_file_says(
    file: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty is a value: no broker."""
    file('kafka = "file:1"\n')
    monkeypatch.setenv("TRAILHOUSE_KAFKA", "")
    assert Settings.read().kafka == ""


def test_the_producers_settings_follow_the_same_order(
    file: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers too."""
    assert ProducerSettings.read().flush_interval_seconds == 0.2
    file("flush_interval_seconds = 0.3\n")
    assert ProducerSettings.read().flush_interval_seconds == 0.3
    monkeypatch.setenv("TRAILHOUSE_FLUSH_INTERVAL_SECONDS", "0.4")
    assert ProducerSettings.read().flush_interval_seconds == 0.4
    assert ProducerSettings.read(flush_interval_seconds=0.5).flush_interval_seconds == 0.5


def test_the_collectors_settings_follow_the_same_order(
    file: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Theirs are in a table of the file."""
    assert CollectorSettings.read().flush_rows == 100_000
    file("[collect]\nflush_rows = 10\n")
    assert CollectorSettings.read().flush_rows == 10
    monkeypatch.setenv("TRAILHOUSE_COLLECT_FLUSH_ROWS", "20")
    assert CollectorSettings.read().flush_rows == 20
    assert CollectorSettings.read(flush_rows=30).flush_rows == 30


def test_the_file_of_the_directory_wins_over_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`trailhouse.toml`, else `~/.config/trailhouse/config.toml`."""
    monkeypatch.delenv("TRAILHOUSE_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    own = tmp_path / ".config" / "trailhouse" / "config.toml"
    own.parent.mkdir(parents=True)
    own.write_text('kafka = "own:1"\nregistry = "http://own"\n')
    (tmp_path / "trailhouse.toml").write_text('kafka = "here:1"\n')
    assert (Settings.read().kafka, Settings.read().registry) == ("here:1", "http://own")


def test_places_follow_from_home_unless_they_are_set_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """One setting moves everything local."""
    monkeypatch.setenv("TRAILHOUSE_HOME", "/somewhere")
    settings = Settings.read()
    assert settings.spool_directory == Path("/somewhere/spool")
    assert settings.control_directory == Path("/somewhere/control")
    assert settings.warehouse_url == "chdb:///somewhere/warehouse"
    assert Settings.read(spool=Path("/fast")).spool_directory == Path("/fast")


def test_an_empty_directory_is_none_not_the_current_one(
    file: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is weaker holds: the file, else the default; for the producer without its file, too."""
    monkeypatch.setenv("TRAILHOUSE_HOME", "")
    monkeypatch.setenv("TRAILHOUSE_SPOOL", "")
    default = Path("~/.trailhouse").expanduser()
    assert (Settings.read().home_directory, Settings.read().spool_directory) == (default, default / "spool")
    file('home = ""\n')
    assert Settings.read().home_directory == default
    file('home = "/somewhere"\n')
    assert Settings.read().spool_directory == Path("/somewhere/spool")
    file("home = \n")
    assert ProducerSettings.read_or_warn().spool_directory == default / "spool"


def test_a_file_that_is_named_and_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Going on without it would collect to somewhere else."""
    monkeypatch.setenv("TRAILHOUSE_CONFIG", str(tmp_path / "nowhere.toml"))
    for settings in (Settings, ProducerSettings, CollectorSettings):
        with pytest.raises(SettingsError, match=r"nowhere\.toml is not there"):
            settings.read()


def test_a_file_that_is_no_toml_is_an_error(file: Callable[[str], None]) -> None:
    """With the way out."""
    file("kafka = \n")
    for settings in (Settings, ProducerSettings, CollectorSettings):
        with pytest.raises(SettingsError, match="cannot be read"):
            settings.read()


def test_a_value_that_is_none_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it would be set."""
    monkeypatch.setenv("TRAILHOUSE_FLUSH_INTERVAL_SECONDS", "soon")
    with pytest.raises(SettingsError, match="TRAILHOUSE_FLUSH_INTERVAL_SECONDS is 'soon'"):
        ProducerSettings.read()
    monkeypatch.setenv("TRAILHOUSE_COLLECT_FLUSH_ROWS", "0")
    with pytest.raises(SettingsError, match="TRAILHOUSE_COLLECT_FLUSH_ROWS is '0'"):
        CollectorSettings.read()


def test_settings_of_every_kafka_client_come_as_json_or_as_a_table(
    file: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They win over a client's own, but not over what its promises rest on."""
    file('[kafka_client]\n"security.protocol" = "ssl"\n')
    assert Settings.read().kafka_client == {"security.protocol": "ssl"}
    monkeypatch.setenv("TRAILHOUSE_KAFKA_CLIENT", '{"linger.ms": "7", "acks": "1", "bootstrap.servers": "evil:1"}')
    made = ProducerSettings.read(kafka="host:1").kafka_settings({"linger.ms": 5, "log_level": 0}, {"acks": "all"})
    assert made == {
        "linger.ms": "7",
        "acks": "all",
        "log_level": 0,
        "bootstrap.servers": "host:1",
        "allow.auto.create.topics": False,
    }


@pytest.mark.parametrize("text", ['{"sasl.password": "s3cret"', '{"sasl.token": {"s3cret": 1}}', '["s3cret"]'])
def test_settings_of_kafka_clients_that_are_none_are_named_and_not_shown(
    text: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """There may be a password in them; a training goes on without."""
    monkeypatch.setenv("TRAILHOUSE_KAFKA_CLIENT", text)
    with pytest.raises(SettingsError, match="TRAILHOUSE_KAFKA_CLIENT") as refused:
        Settings.read()
    assert "s3cret" not in str(refused.value)
    forget_warnings()
    assert ProducerSettings.read_or_warn().kafka_client == {}
    assert "TRAILHOUSE_KAFKA_CLIENT" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("text", ['{"sasl.password": 7}', '{"sasl.password": "hunter2"', "7"])
def test_settings_of_the_collectors_client_that_are_none_are_named_and_not_shown(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of every client: one line, without what may be a password."""
    monkeypatch.setenv("TRAILHOUSE_COLLECT_KAFKA_CLIENT", text)
    with pytest.raises(SettingsError, match="TRAILHOUSE_COLLECT_KAFKA_CLIENT") as refused:
        CollectorSettings.read()
    assert "hunter2" not in str(refused.value)
    assert "is 7" not in str(refused.value)
    monkeypatch.setenv("TRAILHOUSE_COLLECT_KAFKA_CLIENT", '{"linger.ms": "7"}')
    assert CollectorSettings.read().kafka_client == {"linger.ms": "7"}


def test_settings_of_kafka_clients_are_shown_without_what_is_secret() -> None:
    """By the name of the setting."""
    secret = ("sasl.password", "ssl.key.pem", "sasl.jaas.config", "sasl.oauthbearer.client.secret", "x.TOKEN")
    shown = without_secrets({"sasl.username": "me", **dict.fromkeys(secret, "s3cret")})
    assert shown == "sasl.username=me, " + ", ".join(f"{name}=***" for name in secret)
    named = Settings(kafka="host:1", kafka_client={"security.protocol": "ssl"})
    assert (named.kafka_shown, Settings(kafka="host:1").kafka_shown) == ("host:1 with security.protocol=ssl", "host:1")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://me:secret@host:1/path", "http://me:***@host:1/path"),
        ("clickhouse://me:a:b%40c@host/db", "clickhouse://me:***@host/db"),
        ("http://me@host", "http://me@host"),
        ("chdb:///a:b@c", "chdb:///a:b@c"),
        ("host:9092", "host:9092"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    """What is no password stays."""
    assert without_password(url) == shown
