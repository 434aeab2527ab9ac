"""How every report is printed: as a table for people, or as JSON, CSV, Parquet or HTML for programs and pages.

A command makes a `Report` out of the typed result of the analytics and hands it to `print_report`. The same sections
and columns come out in every format; only the table for people formats numbers.
"""

from __future__ import annotations

import csv
import functools
import html
import json
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import click

from trailhouse_cli.errors import BadInputError
from trailhouse_cli.times import MOMENT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import pyarrow as pa
    from clickhouse_connect.driver.client import Client

__all__ = [
    "FORMATS",
    "Column",
    "Report",
    "Section",
    "console",
    "format_options",
    "open_warehouse",
    "period_options",
    "print_report",
    "show_tables",
    "warehouse_option",
]

FORMATS: Final = ("table", "json", "csv", "parquet", "html")

#: What a column that is folded keeps at least.
_FOLDED_CHARACTERS: Final = 12

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Column:
    """How a column is shown to people: other formats take the value as it is, under the column's name."""

    name: str
    title: str
    #: Makes the text of a value that is not null; numbers, moments and lists have a plain one by default.
    show: Callable[[Any], str] | None = None
    #: Style of rich, for the whole column.
    style: str | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """One table of a report."""

    #: Name in JSON and of `--section`.
    name: str
    #: Heading for people.
    title: str
    table: pa.Table
    #: Columns shown to people, in order; all of them when empty.
    columns: Sequence[Column] = ()
    #: A last line of totals for people, by column name.
    totals: Mapping[str, Any] | None = None
    #: Said in place of an empty table.
    empty: str = "nothing"


@dataclass(frozen=True, slots=True)
class Report:
    """What a command prints: a headline, tables, and notes."""

    title: str
    sections: Sequence[Section]
    #: Single facts, such as a verdict, first of all that is printed.
    facts: Mapping[str, Any] = field(default_factory=dict)
    #: Lines below the tables: what was left out, what is odd, and why.
    notes: Sequence[str] = ()


def format_options(command: _Command) -> _Command:
    """Add `--format`, `--output` and `--section` (passed on as format_, output, section)."""
    for option in (
        click.option("--section", help="Print this section alone (CSV and Parquet hold one; default: the first)."),
        click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file."),
        click.option(
            "--format", "-f", "format_", type=click.Choice(FORMATS), default="table", show_default=True, help="How."
        ),
    ):
        command = option(command)
    return command


def period_options(command: _Command) -> _Command:
    """Add `--since`, `--until` (moments in UTC or None) and `--project`; a period with nothing in it is refused.

    Raises:
        BadInputError: from the command, when `--since` is not before `--until`.
    """

    @functools.wraps(command)
    def within(*args: Any, since: datetime | None, until: datetime | None, **options: Any) -> Any:
        if since is not None and until is not None and since >= until:
            raise BadInputError(
                f"Period from --since {since:%Y-%m-%d %H:%M:%S} to --until {until:%Y-%m-%d %H:%M:%S} (UTC) is empty; "
                "name a --since that is before --until"
            )
        return command(*args, since=since, until=until, **options)

    ranged = cast("_Command", within)
    for option in (
        click.option("--project", help="Only this project."),
        click.option("--until", type=MOMENT, help="End of the period, excluded: 2026-01-31, 24h (ago), now."),
        click.option("--since", type=MOMENT, help="Begin of the period, included: 2026-01-31, 7d (ago), today."),
    ):
        ranged = option(ranged)
    return ranged


def warehouse_option(command: _Command) -> _Command:
    """Add `--warehouse` (a URL or None; hand it to `open_warehouse`)."""
    return click.option("--warehouse", help="URL of the warehouse [default: TRAILHOUSE_WAREHOUSE].")(command)


def open_warehouse(url: str | None) -> Client:
    """Open the warehouse of the flag, else of the settings, and check that it is what this version expects.

    Raises:
        WarehouseError: it is locked, not there, does not answer, or is behind, ahead or altered.
    """
    from trailhouse_schemas.settings import Settings  # noqa: PLC0415 - only who opens a warehouse
    from trailhouse_schemas.warehouse import check, connect  # noqa: PLC0415

    settings = Settings.read(warehouse=url)
    client = connect(settings.warehouse_url, password=settings.warehouse_password.get_secret_value())
    try:
        check(client)
    except BaseException:
        client.close()
        raise
    return client


def console(*, stderr: bool = False) -> Any:
    """Return the console to print to: as wide as the terminal or as COLUMNS says, or 120 columns where none does."""
    from rich.console import Console  # noqa: PLC0415 - slow to import

    stream = sys.stderr if stderr else sys.stdout
    known = stream.isatty() or os.environ.get("COLUMNS", "").isdigit()
    return Console(stderr=stderr, width=None if known else 120, highlight=False, emoji=False)


def print_report(
    report: Report, *, format_: str = "table", output: Path | None = None, section: str | None = None
) -> None:
    """Print `report` in one of `FORMATS`, to `output` or the standard output.

    Raises:
        BadInputError: no such section, or the file cannot be written.
    """
    sections = _chosen(report, section)
    try:
        if format_ == "table":
            _print_tables(report, sections, output)
        elif format_ == "parquet":
            _write_parquet(sections[0], output)
        else:
            text = {"json": _as_json, "csv": _as_csv, "html": _as_html}[format_](report, sections)
            if output is None:
                sys.stdout.write(text)
                sys.stdout.flush()
            else:
                output.write_text(text, "utf-8")
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise BadInputError(
            f"File {output} cannot be written ({error.strerror}); choose another with --output"
        ) from error


def _chosen(report: Report, name: str | None) -> Sequence[Section]:
    if name is None:
        return report.sections
    chosen = [section for section in report.sections if section.name == name]
    if not chosen:
        known = ", ".join(section.name for section in report.sections)
        raise BadInputError(f"Section {name!r} is not in this report; it has {known}")
    return chosen


def _columns(section: Section) -> Sequence[Column]:
    return section.columns or [Column(name, name.replace("_", " ")) for name in section.table.column_names]


def _print_tables(report: Report, sections: Sequence[Section], output: Path | None) -> None:
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.table import Table  # noqa: PLC0415

    if output is None:
        _render_tables(report, sections, console(), Table)
        return
    with output.open("w", encoding="utf-8") as file:
        _render_tables(report, sections, Console(file=file, width=160, highlight=False), Table)


def show_tables(report: Report, to: Any) -> None:
    """Print a report to a console of rich, as people see it."""
    from rich.table import Table  # noqa: PLC0415 - slow to import

    _render_tables(report, report.sections, to, Table)


def _render_tables(report: Report, sections: Sequence[Section], to: Any, table_class: Any) -> None:
    from rich.markup import escape  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    to.print(f"[bold]{escape(report.title)}[/bold]")
    for name, value in _known_facts(report):
        to.print(f"{escape(name.replace('_', ' '))}: [bold]{escape(_show(value))}[/bold]")
    for section in sections:
        columns = _columns(section)
        if section.title:
            to.print(f"\n[bold]{escape(section.title)}[/bold]")
        if section.table.num_rows == 0:
            to.print(f"  {escape(section.empty)}")
            continue
        table = table_class(box=None, show_footer=section.totals is not None, pad_edge=False, header_style="bold dim")
        rows = [[_shown(c, row[c.name]) for c in columns] for row in section.table.to_pylist()]
        moments = {place for place, column in enumerate(columns) if _is_moment(section.table, column.name)}
        folded = _folded([c.title for c in columns], rows, to.width, moments)
        if folded is None:
            _render_records(columns, rows, to)
            continue
        for place, column in enumerate(columns):
            total = (section.totals or {}).get(column.name)
            table.add_column(
                Text(column.title),
                justify="right" if _is_number(section.table, column.name) else "left",
                footer=Text("" if total is None else _shown(column, total)),
                style=column.style,
                overflow="fold",
                no_wrap=place not in folded,
            )
        for row in rows:
            table.add_row(*map(Text, row))
        to.print(table)
    if report.notes:
        to.print()
    for note in report.notes:
        to.print(Text(f"* {note}"))


def _known_facts(report: Report) -> list[tuple[str, Any]]:
    """Return the facts that are worth a line for people: the others are only told to programs."""
    return [(name, value) for name, value in report.facts.items() if value is not None]


def _render_records(columns: Sequence[Column], rows: Sequence[Sequence[str]], to: Any) -> None:
    """Print a table that does not fit as a block of lines for each row, as nothing may be cut off."""
    from rich.text import Text  # noqa: PLC0415

    width = max(len(column.title) for column in columns)
    for row in rows:
        for column, text in zip(columns, row, strict=True):
            to.print(Text(f"{column.title:{width}}  {text}"), soft_wrap=True)
        to.print()


def _folded(
    titles: Sequence[str], rows: Sequence[Sequence[str]], width: int, moments: Collection[int]
) -> set[int] | None:
    """Return the places of the columns to fold, so that all fit into `width`; None when they cannot.

    The widest texts go first, then moments, and what people copy, such as ids, last.
    """
    natural = [
        max(len(line) for text in (title, *(row[place] for row in rows)) for line in (text.splitlines() or [""]))
        for place, title in enumerate(titles)
    ]
    text = [any(" " in row[place] for row in rows) for place in range(len(titles))]
    excess = sum(natural) + 2 * (len(natural) - 1) - width
    folded: set[int] = set()
    for place in sorted(range(len(titles)), key=lambda p: (text[p], p not in moments, natural[p]), reverse=True):
        if excess <= 0:
            break
        if natural[place] > _FOLDED_CHARACTERS:
            folded.add(place)
            excess -= natural[place] - _FOLDED_CHARACTERS
    return folded if excess <= 0 else None


def _is_moment(table: pa.Table, name: str) -> bool:
    from pyarrow import types  # noqa: PLC0415

    return bool(types.is_timestamp(table.schema.field(name).type))


def _is_number(table: pa.Table, name: str) -> bool:
    from pyarrow import types  # noqa: PLC0415

    kind = table.schema.field(name).type
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_duration(kind))


def _shown(column: Column, value: Any) -> str:
    if value is None:
        return "-"
    return column.show(value) if column.show else _show(value)


def _show(value: Any) -> str:  # noqa: PLR0911 - one line a type
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Decimal):
        return f"{value:,f}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if value.tzinfo else f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_show, value))
    return str(value)


def _plain(value: Any) -> Any:  # noqa: PLR0911 - one line a type
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


def _as_json(report: Report, sections: Sequence[Section]) -> str:
    document = {
        "title": report.title,
        **{name: _plain(value) for name, value in report.facts.items()},
        "sections": {section.name: [_plain(row) for row in section.table.to_pylist()] for section in sections},
        "notes": list(report.notes),
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _as_csv(_report: Report, sections: Sequence[Section]) -> str:
    import io  # noqa: PLC0415

    out = io.StringIO(newline="")
    writer = csv.writer(out)
    names = sections[0].table.column_names
    writer.writerow(names)
    for row in sections[0].table.to_pylist():
        writer.writerow([_csv_cell(row[name]) for name in names])
    return out.getvalue()


def _csv_cell(value: Any) -> Any:
    plain = _plain(value)
    if isinstance(plain, (dict, list)):
        return json.dumps(plain, ensure_ascii=False)
    return "" if plain is None else plain


def _write_parquet(section: Section, output: Path | None) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415

    if output is not None:
        pq.write_table(section.table, output)
    elif sys.stdout.isatty():
        raise BadInputError("Parquet is binary; name a file with --output")
    else:
        pq.write_table(section.table, sys.stdout.buffer)


_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem;color:#1c2733}"
    "h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}"
    "th,td{padding:.3rem .7rem;border-bottom:1px solid #e3e8ee;text-align:left;vertical-align:top}"
    "th{color:#5b6b7b;font-weight:600}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}"
    "tfoot td{font-weight:600;border-top:2px solid #1c2733}li{color:#5b6b7b}"
    "@media(prefers-color-scheme:dark){body{background:#12181f;color:#dbe4ee}th,td{border-color:#2a3542}"
    "tfoot td{border-color:#dbe4ee}}"
)


def _as_html(report: Report, sections: Sequence[Section]) -> str:
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width,initial-scale=1'>",
        f"<title>{html.escape(report.title)}</title><style>{_STYLE}</style><h1>{html.escape(report.title)}</h1>",
    ]
    for name, value in _known_facts(report):
        parts.append(f"<p>{html.escape(name.replace('_', ' '))}: <strong>{html.escape(_show(value))}</strong></p>")
    for section in sections:
        parts.append(f"<h2>{html.escape(section.title)}</h2>")
        parts.append(_html_table(section) if section.table.num_rows else f"<p>{html.escape(section.empty)}</p>")
    if report.notes:
        parts.append("<ul>" + "".join(f"<li>{html.escape(note)}</li>" for note in report.notes) + "</ul>")
    return "".join(parts) + "</html>\n"


def _html_table(section: Section) -> str:
    columns = _columns(section)
    classes = {c.name: " class=n" if _is_number(section.table, c.name) else "" for c in columns}

    def line(cells: Iterable[tuple[Column, str]], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}{classes[c.name]}>{html.escape(t)}</{tag}>" for c, t in cells) + "</tr>"

    rows = section.table.select([c.name for c in columns]).to_pylist()
    body = "".join(line(((c, _shown(c, row[c.name])) for c in columns), "td") for row in rows)
    foot = ""
    if section.totals is not None:
        totals = section.totals
        foot = line(((c, _shown(c, totals[c.name]) if c.name in totals else "") for c in columns), "td")
        foot = f"<tfoot>{foot}</tfoot>"
    return f"<table><thead>{line(((c, c.title) for c in columns), 'th')}</thead><tbody>{body}</tbody>{foot}</table>"
