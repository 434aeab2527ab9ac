"""Every report says the same in every format: all columns and rows, and each value exactly."""

from __future__ import annotations

import csv
import io
import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from cost_facts import dropped, held, priced, sampled
from rows import event, insert_events
from servers.warehouses import new_warehouse
from trailhouse_cli.main import main
from trailhouse_schemas.events import (
    AccessDecided,
    HeartbeatSent,
    MetricPoint,
    MetricsLogged,
    ParametersLogged,
    PermissionChanged,
    RunFinished,
    RunStarted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.warehouses import Warehouse
    from trailhouse_schemas.events import Event

NOW = datetime(2026, 3, 1, tzinfo=UTC)

COMMANDS = {
    "cost": ["cost", "--by", "project,day"],
    "audit": ["audit"],
    "audit permissions": ["audit", "permissions"],
    "runs list": ["runs", "list", "--sort", "metric loss", "--where", "param lr > 0"],
    "runs show": ["runs", "show", "first"],
    "runs compare": ["runs", "compare", "first", "second"],
    "verify": ["verify"],
}


def logged(name: str, lr: float) -> list[Event]:
    """What a run leaves, with texts and numbers that formats like to spoil; its third event is missing."""
    own: dict[str, Any] = {"project": "p", "run_id": name, "producer_id": f"producer-{name}", "occurred_at": NOW}
    points = [MetricPoint(name="loss", step=s, value=v, logged_at=NOW) for s, v in enumerate((0.1 + 0.2, math.nan, lr))]
    return [
        event(RunStarted, name=name, kind="train", command=['a "quoted", <b>&amp;</b>\nline'], **own),
        event(ParametersLogged, parameters={"lr": repr(lr), "text": '"=1+1, ü"'}, **own),
        event(MetricsLogged, points=points, **own | {"sequence": 3}),
        event(RunFinished, status="completed", **own | {"sequence": 4}),
        event(
            HeartbeatSent,
            phase="finished",
            subject_producer_id=own["producer_id"],
            events_emitted=6,
            **own | {"sequence": 5},
        ),
    ]


@pytest.fixture(scope="module")
def warehouse(chdb_directory: Path) -> Iterator[Warehouse]:
    """Two runs, a resource of theirs with a price, and somebody who may and one who may not."""
    made = new_warehouse(chdb_directory)
    insert_events(
        made.client,
        [
            *logged("first", 1e-05),
            *logged("second", 1e300),
            priced("gpu", 0, "2.50"),
            *held("a", 0, 3),
            sampled("a", 0, 1.5, 0.4),
            *held("b", 0, 1, project="q", resource="cpu", quantity=10),
            event(
                PermissionChanged,
                occurred_at=NOW,
                grant_id="g",
                grantee="ann",
                actions=["read", "write"],
                resource="dataset:*",
                change="granted",
                reason='because, of "this"',
            ),
            event(
                AccessDecided,
                occurred_at=NOW,
                subject="bob",
                action="read",
                resource="dataset:x",
                decision="deny",
                reason="<no grant>",
            ),
        ],
    )
    yield made
    dropped(made)


class _Tables(HTMLParser):
    """The texts of the cells of all tables of a page, a list of rows each."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.foot = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tfoot":
            self.foot = True
        elif tag == "tr" and not self.foot:
            self.tables[-1].append([])
        elif tag in {"td", "th"} and not self.foot:
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "tfoot":
            self.foot = False

    def handle_data(self, data: str) -> None:
        if self.tables and not self.foot and self.tables[-1] and self.tables[-1][-1]:
            self.tables[-1][-1][-1] += data


def typed(warehouse: Warehouse, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that may find something; return what it printed."""
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--warehouse", warehouse.url])
    said = capsys.readouterr()
    assert (ended.value.code in {0, 1}, said.err) == (True, ""), said
    return said.out


def as_text(value: Any) -> str:  # noqa: PLR0911 - one line a type
    """Return one text for a value, whichever format it comes from."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=as_text)
    return str(value)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_report_says_the_same_in_every_format(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    """JSON has all sections; each of them is the same in CSV and in Parquet, and has its rows in the page."""
    arguments = COMMANDS[name]
    sections = json.loads(typed(warehouse, capsys, *arguments, "--format", "json"))["sections"]
    assert any(sections.values()), "a report of nothing proves nothing"
    page = _Tables()
    page.feed(typed(warehouse, capsys, *arguments, "--format", "html"))
    shown = [len(rows) for section, rows in sections.items() if rows and section != "totals"]  # those are the foot
    assert [len(table) - 1 for table in page.tables] == shown
    for section, rows in sections.items():
        choice = (*arguments, "--section", section)
        first = rows[0] if rows else {}
        read = csv.DictReader(io.StringIO(typed(warehouse, capsys, *choice, "--format", "csv"), newline=""))
        expected = [{column: as_text(value) for column, value in row.items()} for row in rows]
        assert list(read) == expected, section
        file = tmp_path / f"{section}.parquet"
        typed(warehouse, capsys, *choice, "--format", "parquet", "--output", str(file))
        table = pq.read_table(file)
        if rows:
            assert list(first) == table.column_names
        in_parquet = [{column: as_text(value) for column, value in row.items()} for row in table.to_pylist()]
        assert in_parquet == expected, section
