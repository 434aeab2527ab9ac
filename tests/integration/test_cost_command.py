"""`trailhouse cost` and `trailhouse price` as they are typed: the formats, bad input, and the whole way once."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from cost_facts import allocated, at, dropped, emptied, held, priced, sampled
from rows import insert_events
from servers.warehouses import new_warehouse
from trailhouse_cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers.warehouses import Warehouse

    Run = Callable[..., str]


@pytest.fixture(scope="module")
def warehouse(chdb_directory: Path) -> Iterator[Warehouse]:
    """3 GPU hours of project p, half measured at 40 %, and 10 core hours of q without a price."""
    made = emptied(new_warehouse(chdb_directory))
    facts = [
        priced("gpu", 0, "2.50"),
        priced("gpu", 100, "3.25"),
        priced("tpu", 0, None, resource="tpu"),
        *held("a", 0, 3),
        sampled("a", 0, 1.5, 0.4),
        *held("b", 0, 1, project="q", resource="cpu", quantity=10),
    ]
    insert_events(made.client, facts)
    yield made
    dropped(made)


@pytest.fixture
def run(warehouse: Warehouse, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command on the warehouse and returns what it printed, on the standard error where it must fail."""

    def type_(*arguments: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--warehouse", warehouse.url])
        said = capsys.readouterr()
        assert (ended.value.code, "" if code else said.err) == (code, ""), said
        return said.err if code else said.out

    return type_


def test_the_table_has_units_shares_totals_and_notes(run: Run) -> None:
    """3 h at 2.50 = 7.50; used 0.6 h of 3 = 20 %, idle 30 %: 2.25; what has no price has no cost."""
    lines = run("cost").splitlines()
    assert lines[0].startswith("Cost by project, resource, to ")
    (p,) = (line.split() for line in lines if line.startswith("p "))
    assert p == ["p", "gpu", "1", "3.00", "GPU", "h", "20.0%", "30.0%", "50.0%", "2.25", "7.50", "EUR"]
    (q,) = (line.split() for line in lines if line.startswith("q "))
    assert q == ["q", "cpu", "1", "10.00", "core", "h", "0", "%", "0", "%", "100.0%", "10.00", "-", "-", "-"]
    (total,) = (line.split() for line in lines if line.startswith("total"))
    assert total == ["total", "2", "2.25", "7.50", "EUR"]
    assert lines[-1] == "* 10.00 h of 1 allocation lack a price (cpu on_demand); see 'trailhouse price set'"


def test_every_format_has_the_same_figures(run: Run, tmp_path: Path) -> None:
    """JSON, CSV and Parquet have exact decimals and all columns; HTML is a page."""
    found = json.loads(run("cost", "--by", "project,day", "-f", "json"))
    row = found["sections"]["rows"][0]
    assert (row["project"], row["day"], Decimal(row["cost"])) == ("p", "2026-03-01", Decimal("7.5"))
    assert Decimal(found["sections"]["totals"][0]["cost"]) == Decimal("7.5")
    (first, _) = csv.DictReader(io.StringIO(run("cost", "-b", "project", "-b", "day", "-f", "csv")))
    assert (first["allocated_seconds"], Decimal(first["used_cost"])) == ("10800.000000", Decimal("1.5"))
    run("cost", "-b", "project", "-f", "parquet", "-o", str(tmp_path / "cost.parquet"))
    table = pq.read_table(tmp_path / "cost.parquet")
    assert table.column("cost").to_pylist() == [Decimal("7.5"), None]
    assert run("cost", "-f", "html").startswith("<!doctype html>")


def test_the_question_can_be_narrowed(run: Run) -> None:
    """Period and names; finer money."""
    found = json.loads(
        run("cost", "--since", "2026-03-01T01:00", "--until", "2026-03-01T01:20", "--project", "p", "-f", "json")
    )
    assert [Decimal(row["cost"]) for row in found["sections"]["rows"]] == [Decimal("0.83")]
    arguments = ["--until", "2026-03-01T01:20", "--resource", "gpu", "--digits", "4", "-f", "json"]
    found = json.loads(run("cost", "--since", "2026-03-01T01:00", *arguments))
    assert [Decimal(row["cost"]) for row in found["sections"]["rows"]] == [Decimal("0.8333")]


def test_a_period_without_anything_is_a_report_too(run: Run) -> None:
    """It says so."""
    assert "no allocations in this period" in run("cost", "--until", "2020-01-01")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--project", "pp"], "Project 'pp' is not known; did you mean 'p'?"),
        (["--run", "r"], "Run 'r' is not known"),
        (["--by", "porject"], "Cost cannot be grouped by 'porject'; did you mean project?"),
        (["--since", "yesterday-ish"], "'yesterday-ish' is no moment"),
        (["--since", "2026-03-02", "--until", "2026-03-01"], "is empty; name a --since that is before --until"),
        (["--digits", "13"], "'--digits'"),
        (["--section", "nope", "-f", "csv"], "Section 'nope' is not in this report"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run: Run, arguments: list[str], text: str) -> None:
    """The line names the value."""
    said = run("cost", *arguments, code=2)
    assert text in said
    assert said.count("\n") == 1


def test_the_price_list_says_when_each_price_holds(run: Run) -> None:
    """All of them with their times, or those of a moment, without what was withdrawn."""
    rows = json.loads(run("price", "list", "-f", "json"))["sections"]["prices"]
    assert [(row["sku"], row["unit_price"], row["valid_until"]) for row in rows] == [
        ("gpu", "2.500000000000", at(100).isoformat(timespec="microseconds").replace("+00:00", "Z")),
        ("gpu", "3.250000000000", None),
        ("tpu", None, None),
    ]
    rows = json.loads(run("price", "list", "--at", "2026-03-01T05:00", "-f", "json"))["sections"]["prices"]
    assert [(row["sku"], row["unit_price"]) for row in rows] == [("gpu", "2.500000000000")]
    assert "unit and hour" in run("price", "list")


def test_a_price_that_is_not_there_cannot_be_voided_or_withdrawn(run: Run) -> None:
    """One line says what there is."""
    said = run("price", "void", "gpu", "2026-04-01", code=2)
    assert "has no price from 2026-04-01T00:00:00+00:00 on; it has from 2026-03-01T00:00:00+00:00" in said
    assert "SKU 'x' is not known" in run("price", "withdraw", "x", code=2)


#: The whole way in a process of its own: prices, a run that allocates, the collector, and the questions.
WHOLE_WAY = """
import sys
import trailhouse
from trailhouse_cli.main import main

def run(*arguments):
    try:
        main(list(arguments))
    except SystemExit as ended:
        if ended.code:
            print(arguments, "ended with", ended.code, file=sys.stderr)

run("price", "set", "cpu", "0.5", "eur", "--resource", "cpu", "--from", "2026-01-01")
run("price", "set", "cpu", "99", "eur", "--resource", "cpu", "--from", "2026-02-01")
run("price", "set", "tpu", "x", "eur", "--resource", "tpu")
with trailhouse.start_run(project="p", name="r") as started:
    started.emit(ALLOCATED, allocation_id="a", resource="cpu", quantity=4, started_at=START)
    started.emit(RELEASED, allocation_id="a", ended_at=END)
trailhouse.finish_all()
run("migrate")
run("collect", "--until-idle")
run("cost", "--format", "csv", "--output", FIRST)
run("price", "void", "cpu", "2026-02-01")
run("price", "withdraw", "cpu", "--from", "2026-03-01T01:00")
run("collect", "--until-idle")
run("cost", "--format", "csv", "--output", SECOND)
"""


def test_prices_and_allocations_go_the_whole_way(tmp_path: Path) -> None:
    """4 cores for 3 h at 99.00 = 1,188.00; that price void and the other withdrawn after 1 h: 2.00, 8 h unpriced."""
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    program = (
        "from datetime import UTC, datetime\n"
        "from trailhouse_schemas.events import ResourcesAllocated as ALLOCATED, ResourcesReleased as RELEASED\n"
        "START, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 1, 3, tzinfo=UTC)\n"
        f"FIRST, SECOND = {str(first)!r}, {str(second)!r}\n" + WHOLE_WAY
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRAILHOUSE_")}
    environment |= {"TRAILHOUSE_HOME": str(tmp_path), "TRAILHOUSE_FLUSH_INTERVAL_SECONDS": "0.05"}
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=200, check=False, env=environment
    )
    assert process.returncode == 0, process.stderr
    refused = [line for line in process.stderr.splitlines() if "ended with" in line]
    assert [line.split(", ")[2] for line in refused] == ["'tpu'"], process.stderr
    (row,) = csv.DictReader(io.StringIO(first.read_text("utf-8")))
    assert (row["project"], Decimal(row["cost"]), row["currency"]) == ("p", Decimal(1188), "EUR")
    (row,) = csv.DictReader(io.StringIO(second.read_text("utf-8")))
    assert (Decimal(row["cost"]), Decimal(row["unpriced_seconds"])) == (Decimal(2), Decimal(8 * 3600))


def test_an_open_allocation_is_noted(warehouse: Warehouse, run: Run) -> None:
    """It counts up to now, and the table says so."""
    now = datetime.now(UTC)
    insert_events(warehouse.client, [allocated("open", 0, project="z", started_at=now, pool="late")], published_at=now)
    said = run("cost", "--pool", "late")
    assert "* 1 allocation still held: counted up to now" in said
