"""Bad input, command by command: one line on the standard error that names it and the way out, exit code 2, no more."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import trailhouse
from rows import event, insert_events
from trailhouse.settings import ProducerSettings
from trailhouse_cli.main import main
from trailhouse_schemas.errors import SettingsError
from trailhouse_schemas.events import AttributeChanged, PermissionChanged, ResourcesAllocated, RunStarted

if TYPE_CHECKING:
    from pathlib import Path

    from servers.warehouses import Warehouse

_SILENT = "127.0.0.1:1"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and files that are not what they say."""
    monkeypatch.setenv("TRAILHOUSE_HOME", str(tmp_path))
    monkeypatch.setattr("trailhouse_cli.broker._ANSWER_SECONDS", 0.5)
    monkeypatch.setattr("trailhouse_consumer.sources.kafka._ANSWER_SECONDS", 0.5)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.csv").touch()
    (tmp_path / "header.csv").write_text("a,b\n")
    (tmp_path / "ragged.csv").write_text("a,b\n1,2,3\n")
    (tmp_path / "text.parquet").write_text("a,b\n1,2\n")
    (tmp_path / "good.csv").write_text("a\n" + "\n".join(map(str, range(50))))
    pq.write_table(pa.table({"a": list(range(1000))}), tmp_path / "whole.parquet")
    (tmp_path / "half.parquet").write_bytes((tmp_path / "whole.parquet").read_bytes()[:2000])
    (tmp_path / "broken.toml").write_text("home = ")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "folder").mkdir()
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "thesis.tex").touch()
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the one line that a command says before it ends with 2."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    out, error = capsys.readouterr()
    assert (ended.value.code, out, error.count("\n")) == (2, "", 1), out + error
    assert error.startswith("trailhouse: ")
    return error


_BACKWARDS = ("--since", "2026-02-01", "--until", "2026-01-01")


def test_what_the_warehouse_does_not_know_is_refused(
    warehouse: Warehouse, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Projects, runs, metrics, datasets, prices and sections by a wrong name; periods that are none."""
    monkeypatch.setenv("TRAILHOUSE_WAREHOUSE", warehouse.url)
    for said, *arguments in (
        ("Project 'nope' is not known", "runs", "list", "--project", "nope"),
        ("Project 'nope' is not known", "cost", "--project", "nope"),
        ("Project 'nope' is not known", "audit", "--project", "nope"),
        ("Project 'nope' is not known", "verify", "--project", "nope"),
        ("Run 'nope' is not known", "runs", "show", "nope"),
        ("Run 'nope' is not known", "runs", "compare", "nope", "nope2"),
        ("Run 'nope' is not known", "cost", "--run", "nope"),
        ("Run 'nope' is not known", "verify", "--run", "nope"),
        ("Metric 'nope' is not known", "runs", "plot", "nope"),
        *(("Group 'nope' is not known", "runs", *command, "--group", "nope") for command in (("list",), ("plot", "m"))),
        *(
            (f"{what.replace('-', ' ').capitalize()} 'nope' is not known; see them with", "cost", f"--{what}", "nope")
            for what in ("team", "principal", "node", "pool", "resource", "model")
        ),
        ("Capacity type 'nope' is not known; known are on_demand, reserved, spot", "cost", "--capacity-type", "nope"),
        *(
            ("Principal 'nope' is not known; list them with", "audit", *command)
            for command in (("--principal", "nope"), ("permissions", "--principal", "nope"), ("what-can", "nope"))
        ),
        ("Status 'nope' is none", "runs", "list", "--status", "nope"),
        ("cannot be sorted by 'nope'", "runs", "list", "--sort", "nope"),
        ("Dataset 'nope' has no profiles", "drift", "-r", "nope", "-c", "good.csv"),
        ("cannot be grouped by 'nope'", "cost", "--by", "nope"),
        ("SKU 'nope' is not known", "price", "withdraw", "nope"),
        ("Resource 'nope' has no kind", "audit", "who-can", "read", "nope"),
        ("Section 'nope' is not in this report", "cost", "--section", "nope"),
        ("File /no/such/x cannot be written", "runs", "list", "--output", "/no/such/x"),
        ("File /no/such/x cannot be written", "runs", "list", "-f", "parquet", "--output", "/no/such/x"),
        ("is a directory", "runs", "list", "--output", str(home)),
        ("'x' is no moment", "runs", "list", "--since", "x"),
        ("'2026-13-01' is no moment", "cost", "--until", "2026-13-01"),
        *(("is empty; name a --since", *command, *_BACKWARDS) for command in (("runs", "list"), ("runs", "plot", "m"))),
        *(("is empty; name a --since", command, *_BACKWARDS) for command in ("cost", "audit", "verify")),
    ):
        assert said in refused(capsys, *arguments)


def test_a_name_that_is_known_may_have_nothing_in_the_period(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor need it ever have had anything: that is an answer, and the exit code 0; one letter off is not."""
    monkeypatch.setenv("TRAILHOUSE_WAREHOUSE", warehouse.url)
    started = event(RunStarted, project="p", run_id="r", principal="alice", group="sweep-1")
    held = {"pool": "large", "node": "n1", "resource": "gpu", "model": "h100", "capacity_type": "spot"}
    allocated = event(
        ResourcesAllocated, project="p", principal="bob", allocation_id="a", quantity=1, started_at=_MOMENT, **held
    )
    team = event(
        AttributeChanged, entity_kind="project", entity_id="p", attribute="team", operation="set", value='"red"'
    )
    granted = event(
        PermissionChanged,
        grant_id="g",
        change="granted",
        effect="allow",
        grantee_kind="service",
        grantee="trainer",
        actions=["read"],
        resource="dataset:x",
    )
    insert_events(warehouse.client, [started, allocated, team, granted], published_at=_MOMENT)
    for command, option, name in (
        *(("cost", what.replace("_", "-"), name) for what, name in held.items()),
        *(("cost", what, name) for what, name in (("team", "red"), ("principal", "alice"), ("node", ""))),
        *(("audit", "principal", name) for name in ("alice", "user:alice", "service:trainer")),
        ("runs list", "group", "sweep-1"),
    ):
        with pytest.raises(SystemExit) as ended:
            main([*command.split(), f"--{option}", name, "--until", "2020-01-01"])
        assert ended.value.code == 0, (command, option, name)
        capsys.readouterr()
        if name:
            assert "did you mean" in refused(capsys, *command.split(), f"--{option}", f"{name}z")


_MOMENT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("INSERT INTO schema_migrations (number, name, checksum) VALUES (99, 'future', 'x')", "upgrade Trailhouse"),
        ("INSERT INTO schema_migrations (number, name, checksum) VALUES (2, 'metrics', 'x')", "has checksum x"),
        ("ALTER TABLE schema_migrations DELETE WHERE number = 3 SETTINGS mutations_sync = 2", "trailhouse migrate"),
    ],
    ids=["ahead", "altered", "behind"],
)
def test_a_warehouse_of_another_version_is_refused(
    statement: str,
    said: str,
    warehouse: Warehouse,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By every command that would read or write it; only what is behind may be migrated."""
    monkeypatch.setenv("TRAILHOUSE_WAREHOUSE", warehouse.url)
    warehouse.client.command(statement)
    commands = [["runs"], ["cost"], ["audit"], ["verify"]] + ([["migrate"]] if "migrate" not in said else [])
    for command in commands:
        assert said in refused(capsys, *command)
    assert home.is_dir()


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("drift", "-r", "missing.csv", "-c", "good.csv"), "File missing.csv does not exist"),
        (("drift", "-r", "empty.csv", "-c", "good.csv"), "File empty.csv is empty"),
        (("drift", "-r", "header.csv", "-c", "good.csv"), "has a header but no rows"),
        (("drift", "-r", "ragged.csv", "-c", "good.csv"), "ragged.csv is no readable CSV"),
        (("drift", "-r", "text.parquet", "-c", "good.csv"), "is no Parquet file, whatever its name says"),
        (("drift", "-r", "half.parquet", "-c", "good.csv"), "half.parquet is no readable Parquet"),
        (("drift", "-r", "./folder", "-c", "good.csv"), "folder is not a file"),
        (("drift", "-r", "", "-c", "good.csv"), "An empty name is no side"),
        (("drift", "-r", "good.csv", "-c", "good.csv", "--column", "b"), "Column 'b' is on neither side"),
        (("drift", "-r", "good.csv", "-c", "good.csv", "--role", "a=ID"), "--role a=ID is no role"),
        (("drift", "-r", "good.csv", "-c", "good.csv", "--alpha", "nan"), "alpha nan is no probability"),
        (("drift", "-r", "good.csv", "-c", "good.csv", "--threshold", "psi=-1"), "Threshold psi=-1.0 is no size"),
        (("drift", "-r", "good.csv", "-c", "good.csv", "--threshold", "psi=nan"), "Threshold psi=nan is no size"),
        (("price", "set", "h100", "x", "EUR", "-r", "gpu"), "'x' is not a decimal number; write it like '2.50'"),
        (("price", "set", "h100", "1", "EURO", "-r", "gpu"), "Currency 'EURO' is none"),
        (("grant", "alice", "-a", "read", "-r", "a:b", "--expires", "soon"), "24h or 7d (from now)"),
        (("revoke", "nope", "--reason", "x"), "Grants are not known"),
        (("spool", "list", "--spool", "nowhere"), "Spool directory nowhere is not there"),
        (("spool", "show", "nobody"), "Producer 'nobody' has no spool here"),
        (("collect", "--until-idle", "--spool", "nowhere"), "Directory 'nowhere' does not exist"),
        (("collect", "--until-idle", "--kafka", _SILENT), "Kafka at 127.0.0.1:1 does not answer"),
        (("forward", "--once"), "There is no Kafka to forward to"),
        (("forward", "--once", "--kafka", _SILENT), "Kafka at 127.0.0.1:1 does not answer"),
        (("schemas", "register", "--registry", f"http://{_SILENT}"), "does not answer"),
        (("runs", "list", "--warehouse", "chdb://nowhere"), "is not there; run 'trailhouse migrate'"),
        (("runs", "list", "--warehouse", "chdb://good.csv"), "good.csv is not a directory"),
        (("runs", "list", "--warehouse", "postgres://x"), "is of no known kind"),
        (("runs", "list", "--warehouse", "clickhouse://[x"), "Warehouse is no URL"),
        (("runs", "list", "--warehouse", "clickhouse://x:y"), "has a port that is no number"),
        (("runs", "list", "--warehouse", f"clickhouse://u:secret@{_SILENT}/x"), "does not answer (Connection refused)"),
        (("migrate", "--warehouse", "chdb://others"), "cannot be made among other files"),
        (("migrate", "--warehouse", "chdb://good.csv/x"), "cannot be made (Not a directory)"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the thing, the value and the way out, and no password."""
    error = refused(capsys, *arguments)
    assert said in error
    assert "secret" not in error


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("TRAILHOUSE_CONFIG", "nowhere.toml", "Settings file nowhere.toml is not there"),
        ("TRAILHOUSE_CONFIG", "folder", "is a directory"),
        ("TRAILHOUSE_CONFIG", "broken.toml", "cannot be read (Invalid value"),
        ("TRAILHOUSE_CONFIG", "binary.toml", "cannot be read ('utf-8'"),
        ("TRAILHOUSE_COLLECT_FLUSH_ROWS", "x", "TRAILHOUSE_COLLECT_FLUSH_ROWS is 'x'"),
        ("TRAILHOUSE_HOME", "good.csv", "not a directory"),
    ],
)
def test_a_wrong_setting_is_refused(
    variable: str,
    value: str,
    said: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the name of the variable, or of the file."""
    assert home.is_dir()
    monkeypatch.setenv(variable, value)
    command = ("collect", "--until-idle") if "COLLECT" in variable else ("runs",)
    assert said.lower() in refused(capsys, *command).lower()


@pytest.mark.usefixtures("home")
def test_what_cannot_be_written_is_not_said_to_be_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither where the directory cannot be made nor where the broker does not answer."""
    monkeypatch.setenv("TRAILHOUSE_HOME", "good.csv")
    assert "cannot be made" in refused(capsys, "price", "set", "h100", "1", "EUR", "-r", "gpu")
    assert "cannot be made" in refused(capsys, "grant", "alice", "-a", "read", "-r", "dataset:x")
    monkeypatch.setenv("TRAILHOUSE_HOME", "folder")
    monkeypatch.setenv("TRAILHOUSE_KAFKA", _SILENT)
    assert "does not answer" in refused(capsys, "price", "set", "h100", "1", "EUR", "-r", "gpu")


def test_a_wrong_setting_stops_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is warned about, and goes by its default; the others are what they are."""
    monkeypatch.setenv("TRAILHOUSE_HOME", str(tmp_path))
    monkeypatch.setenv("TRAILHOUSE_FLUSH_INTERVAL_SECONDS", "soon")
    monkeypatch.setenv("TRAILHOUSE_HEARTBEAT_INTERVAL_SECONDS", "7")
    with trailhouse.start_run(project="p") as run:
        run.log({"loss": 1.0}, step=0)
        settings = run.recorder.settings
    assert (settings.flush_interval_seconds, settings.heartbeat_interval_seconds) == (0.2, 7)
    assert "TRAILHOUSE_FLUSH_INTERVAL_SECONDS is 'soon'" in caplog.text
    monkeypatch.setenv("TRAILHOUSE_CONFIG", "/nowhere.toml")
    assert ProducerSettings.read_or_warn().heartbeat_interval_seconds == 7
    with pytest.raises(SettingsError):
        ProducerSettings.read()


def test_a_warehouse_that_another_process_has_open_is_refused(tmp_path: Path) -> None:
    """The other one goes on; and who stops reading a report makes no error of it."""
    url = f"chdb://{tmp_path / 'warehouse'}"
    hold = (
        "import sys\nfrom trailhouse_schemas.warehouse import connect, migrate\n"
        "client = connect(sys.argv[1], create=True)\nmigrate(client)\nprint('open', flush=True)\nsys.stdin.read()"
    )
    environment = os.environ | {"TRAILHOUSE_WAREHOUSE": url, "TRAILHOUSE_HOME": str(tmp_path)}
    trailhouse_ = [sys.executable, "-m", "trailhouse_cli"]
    with subprocess.Popen(
        [sys.executable, "-c", hold, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        found = subprocess.run(
            [*trailhouse_, "cost"], capture_output=True, text=True, timeout=60, check=False, env=environment
        )
        assert (found.returncode, found.stdout, found.stderr.count("\n")) == (2, "", 1), found.stderr
        assert "is open in another process" in found.stderr
        holder.communicate("", timeout=60)
    reading, writing = os.pipe()
    os.close(reading)
    code = subprocess.run(
        [*trailhouse_, "cost"], stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False, env=environment
    )
    os.close(writing)
    assert (code.returncode, code.stderr) == (0, b"")


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not there to take root's rights away")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to take away")
def test_a_directory_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    """By name, with no traceback."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    for command, said in (
        (("spool", "list"), "Spool directory"),
        (("runs",), "cannot be read (Permission denied)"),
    ):
        found = subprocess.run(
            ["setpriv", "--inh-caps=-all", "--bounding-set=-all", sys.executable, "-m", "trailhouse_cli", *command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=os.environ | {"TRAILHOUSE_HOME": str(closed)},
        )
        assert (found.returncode, found.stdout, found.stderr.count("\n")) == (2, "", 1), found.stderr
        assert said in found.stderr
