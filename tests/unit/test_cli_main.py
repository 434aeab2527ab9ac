"""The command line: quick help, one line for bad input, and the same report in every format."""

from __future__ import annotations

import csv
import io
import json
import pkgutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trailhouse_cli.commands import __path__ as commands_path
from trailhouse_cli.errors import BadInputError
from trailhouse_cli.main import COMMANDS, cli, main
from trailhouse_cli.reporting import Column, Report, Section, print_report
from trailhouse_cli.times import parse_moment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "trailhouse_cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", **environment} if environment else None,
    )


def test_help_imports_no_command_and_nothing_heavy() -> None:
    """What makes it quick: seconds are for the commands."""
    code = (
        "import sys; from trailhouse_cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'pyarrow', 'pandas', 'numpy', 'scipy', 'rich', 'pydantic', 'chdb', 'confluent_kafka'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stderr.strip() == "[]"
    for name, said in COMMANDS.items():
        assert name in result.stdout
        assert said.split()[0] in result.stdout


def test_every_command_that_is_listed_is_there_and_no_other() -> None:
    """The list and the folder are the same."""
    (folder,) = commands_path
    modules = {module.name.replace("_", "-") for module in pkgutil.iter_modules([folder])}
    assert modules == set(COMMANDS)


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    """Return the path of every command, and of every one below it."""
    yield path
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name)


def test_every_command_and_subcommand_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Its module imports, it says what it does and how it is called, and ends with 0."""
    found = list(commands(cli))
    assert {path[0] for path in found if path} == set(COMMANDS)
    assert ("runs", "list") in found
    for path in found:
        with pytest.raises(SystemExit) as ended:
            main([*path, "--help"])
        out, error = capsys.readouterr()
        usage, _, does, *_ = out.splitlines()
        assert (ended.value.code, error) == (0, ""), path
        assert usage.startswith(" ".join(("Usage: trailhouse", *path))), path
        assert does.strip(), path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["runs", "list", "--since", "yesterdayish"], "'yesterdayish' is no moment; write 2026-01-31"),
        (["migrate", "--warehouse", "nonsense"], "is of no known kind"),
        (["cost", "--warehouse", "chdb:///nowhere/at/all"], "is not there; run 'trailhouse migrate'"),
        (["cost", "--warehouse", "clickhouse://me@127.0.0.1:1/x"], "does not answer"),
        (["schemas", "register", "--registry", "http://127.0.0.1:9"], "does not answer"),
        (["schemas", "check", "--candidate", "/nowhere.avsc", "--type", "run_started"], "cannot be read"),
        (["schemas", "check", "--candidate", "/nowhere.avsc", "--type", "nonsense"], "'nonsense' is not known"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments: list[str], said: str) -> None:
    """What, which value, and the way out; never a traceback."""
    result = run(*arguments)
    assert result.returncode == 2, result.stderr
    assert said in result.stderr
    assert result.stderr.startswith("trailhouse: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_bad_setting_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    """Also where it comes from a file."""
    broken = tmp_path / "broken.toml"
    broken.write_text("kafka = [")
    result = run("migrate", TRAILHOUSE_CONFIG=str(broken))
    assert result.returncode == 2
    assert "Settings file cannot be read" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00:00+01:00", datetime(2026, 1, 31, 11, tzinfo=UTC)),
        ("2026-01-31 12:00:00.000001", datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=UTC)),
        ("now", NOW),
        ("today", datetime(2026, 3, 4, tzinfo=UTC)),
        ("90m", NOW - timedelta(minutes=90)),
        ("7d", NOW - timedelta(days=7)),
    ],
)
def test_moments_are_read_as_people_write_them(text: str, moment: datetime) -> None:
    """UTC where no zone is given."""
    assert parse_moment(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "7y", "99999999999999d", "-5d"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    """With the ways to write one."""
    with pytest.raises(ValueError, match="is no moment; write"):
        parse_moment(text, NOW)


@pytest.fixture
def report() -> Report:
    """A report with all that is difficult."""
    table = pa.table(
        {
            "name": ["a<b>[red]", "c"],
            "money": pa.array([Decimal("1234.50"), None], pa.decimal128(20, 2)),
            "seen": pa.array([NOW, None], pa.timestamp("us", "UTC")),
            "share": [float("nan"), 0.25],
            "tags": [["x", "y"], []],
        }
    )
    columns = [Column("name", "Name"), Column("money", "Money", show=lambda v: f"{v:,} EUR"), Column("seen", "Seen")]
    return Report(
        "Title & more",
        facts={"verdict": "fine"},
        sections=[
            Section("first", "First", table, columns=columns, totals={"money": Decimal("1234.50")}),
            Section("none", "None", table.slice(0, 0), empty="nothing to see"),
        ],
        notes=["a note"],
    )


def test_json_has_every_column_exactly(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    """Money as text, moments in ISO 8601, no NaN that other languages cannot read."""
    print_report(report, format_="json")
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "fine"
    assert document["sections"]["first"][0] == {
        "name": "a<b>[red]",
        "money": "1234.50",
        "seen": "2026-03-04T05:06:07.000000Z",
        "share": "nan",
        "tags": ["x", "y"],
    }
    assert document["sections"]["none"] == []
    assert document["notes"] == ["a note"]


def test_csv_has_the_first_section_or_the_one_named(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    """A CSV file is one table."""
    print_report(report, format_="csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert rows[1] == {"name": "c", "money": "", "seen": "", "share": "0.25", "tags": "[]"}
    print_report(report, format_="csv", section="none")
    assert capsys.readouterr().out.strip() == "name,money,seen,share,tags"
    with pytest.raises(BadInputError, match="Section 'x' is not in this report; it has first, none"):
        print_report(report, format_="csv", section="x")


def test_parquet_keeps_the_types(report: Report, tmp_path: Path) -> None:
    """What went in comes out."""
    print_report(report, format_="parquet", output=tmp_path / "r.parquet")
    expected = report.sections[0].table.drop_columns(["share"])  # NaN equals nothing
    assert pq.read_table(tmp_path / "r.parquet").drop_columns(["share"]).equals(expected)


def test_html_is_escaped_and_whole(report: Report, tmp_path: Path) -> None:
    """A name is never markup, and the page needs nothing from elsewhere."""
    print_report(report, format_="html", output=tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "a&lt;b&gt;[red]" in text
    assert "Title &amp; more" in text
    assert "1,234.50 EUR" in text
    assert "nothing to see" in text
    assert "http" not in text


def test_the_table_shows_totals_notes_and_no_markup(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    """Text in brackets is text."""
    print_report(report)
    out = capsys.readouterr().out
    assert "a<b>[red]" in out
    assert out.count("1,234.50 EUR") == 2
    assert "* a note" in out
    assert "nothing to see" in out


def test_a_file_that_cannot_be_written_is_bad_input(report: Report, tmp_path: Path) -> None:
    """With the way out."""
    with pytest.raises(BadInputError, match="cannot be written"):
        print_report(report, format_="json", output=tmp_path / "no" / "r.json")
