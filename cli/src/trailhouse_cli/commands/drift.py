"""`trailhouse drift`: does the current data still look like the reference?"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from trailhouse_cli.errors import BadInputError
from trailhouse_cli.reporting import (
    Column,
    Report,
    Section,
    format_options,
    open_warehouse,
    print_report,
    warehouse_option,
)
from trailhouse_cli.times import MOMENT, parse_moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trailhouse_analytics.drift import Dataset, DriftReport, Thresholds

__all__ = ["EXIT_CODES", "command", "parse_side"]

#: Exit code by verdict; 2 is bad input, as everywhere.
EXIT_CODES: Final = {"no drift": 0, "drift": 1, "cannot tell": 3}

_ROLES: Final = ("feature", "target", "weight", "id", "prediction")
_SIDE: Final = re.compile(r"(?P<id>[^@]+?)(?:@(?P<at>.*?))?(?::(?P<split>[^\W\d][^:/@]*))?", re.DOTALL)


@click.command(short_help="Compare two datasets, profiles or files: has the data moved?")
@click.option("--reference", "-r", required=True, metavar="X", help="What is taken as usual.")
@click.option("--current", "-c", required=True, metavar="Y", help="What is held against it.")
@click.option("--column", "columns", multiple=True, help="Compare this column only; may be given again.")
@click.option("--exclude", multiple=True, help="Leave this column out; may be given again.")
@click.option(
    "--role", "roles", multiple=True, metavar="COLUMN=ROLE", help="feature, target, id, …: where it is not so yet."
)
@click.option("--segment", "segments", multiple=True, metavar="KEY=VALUE", help="Profiles of this segment, both sides.")
@click.option("--as-of", type=MOMENT, help="Only profiles that had been published by then.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="Accepted share of false alarms.")
@click.option("--minimum", type=click.IntRange(min=1), help="Values a side below which nothing is said [default: 30].")
@click.option(
    "--threshold", "thresholds", multiple=True, metavar="EFFECT=SIZE", help="From which size on an effect matters."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the Monte Carlo tests.")
@warehouse_option
@format_options
def command(
    *,
    reference: str,
    current: str,
    columns: tuple[str, ...],
    exclude: tuple[str, ...],
    roles: tuple[str, ...],
    segments: tuple[str, ...],
    as_of: datetime | None,
    alpha: float,
    minimum: int | None,
    thresholds: tuple[str, ...],
    seed: int,
    warehouse: str | None,
    format_: str,
    output: Path | None,
    section: str | None,
) -> int:
    """Compare two datasets column by column: has the data moved?

    X and Y are each a file (.csv, .tsv, .parquet), or profiles in the warehouse: DATASET (its last version),
    DATASET@VERSION, DATASET@START..END (windows of production data), each with :SPLIT where it has splits.

    A column drifts when a difference is significant (Benjamini-Hochberg over all tests) and large enough to matter
    (--threshold; docs/drift.md). Exit code: 0 no drift, 1 drift, 2 bad input, 3 cannot tell.
    """
    from trailhouse_analytics import drift  # noqa: PLC0415 - SciPy is slow to import

    limits = _thresholds(drift.Thresholds(), thresholds, minimum)
    sides = _read((reference, current), warehouse, segment=dict(_pairs(segments, "--segment")) or None, as_of=as_of)
    found = drift.compare_datasets(
        *sides,
        alpha=alpha,
        thresholds=limits,
        columns=columns,
        exclude=exclude,
        roles=_roles(roles),
        seed=seed,
    )
    print_report(_report(found), format_=format_, output=output, section=section)
    return EXIT_CODES[found.verdict.value]


def parse_side(text: str, now: datetime) -> Path | dict[str, Any]:
    """Return the file that `text` names, or the arguments of `from_warehouse` that it means.

    Raises:
        BadInputError: it is neither, or the window has moments that are none.
    """
    from trailhouse_analytics.drift import FILE_SUFFIXES  # noqa: PLC0415 - SciPy is slow to import

    if not text.strip():
        raise BadInputError("An empty name is no side of a comparison; name a file, or DATASET in the warehouse")
    path = Path(text).expanduser()
    if path.exists() or text.lower().endswith(FILE_SUFFIXES) or text.startswith((".", "/", "~")):
        return path
    found = _SIDE.fullmatch(text)
    if found is None:
        raise BadInputError(f"{text!r} is neither a file nor DATASET, DATASET@VERSION or DATASET@START..END")
    side: dict[str, Any] = {"dataset_id": found["id"], "split": found["split"]}
    start, dots, end = (found["at"] or "").partition("..")
    if not dots:
        return side | {"version": start}
    try:
        window = (parse_moment(start, now), parse_moment(end, now))
    except ValueError as error:
        raise BadInputError(f"Window of {text!r}: {error}") from None
    if window[0] >= window[1]:
        raise BadInputError(f"Window of {text!r} ends before it begins; write {found['id']}@START..END")
    return side | {"window": window}


def _read(texts: Iterable[str], warehouse: str | None, **asked: Any) -> list[Dataset]:
    from trailhouse_analytics import drift  # noqa: PLC0415 - SciPy is slow to import

    now = datetime.now(UTC)
    sides = [parse_side(text, now) for text in texts]
    known = _profiles([side for side in sides if not isinstance(side, Path)], warehouse, asked)
    typed = [drift.from_file(side) for side in sides if isinstance(side, Path) and not drift.is_csv(side)]
    # A CSV does not say what is text: where the other side does, it is believed.
    text = [name for one in known + typed for name, c in one.columns.items() if c.family is drift.Family.TEXT]
    return [
        drift.from_file(side, text=text)
        if isinstance(side, Path) and drift.is_csv(side)
        else (typed if isinstance(side, Path) else known).pop(0)
        for side in sides
    ]


def _profiles(sides: list[dict[str, Any]], warehouse: str | None, asked: dict[str, Any]) -> list[Dataset]:
    from trailhouse_analytics import drift  # noqa: PLC0415 - SciPy is slow to import

    if not sides:
        return []
    client = open_warehouse(warehouse)
    try:
        return [drift.from_warehouse(client, **side, **asked) for side in sides]
    finally:
        client.close()


def _pairs(texts: Iterable[str], option: str) -> Iterable[tuple[str, str]]:
    for text in texts:
        name, equals, value = text.rpartition("=")
        if not equals or not name:
            raise BadInputError(f"{option} {text!r} is not of the form NAME=VALUE")
        yield name, value


def _roles(texts: Iterable[str]) -> dict[str, str]:
    roles = dict(_pairs(texts, "--role"))
    for name, role in roles.items():
        if role not in _ROLES:
            raise BadInputError(f"--role {name}={role} is no role; there are {', '.join(_ROLES)}")
    return roles


def _thresholds(defaults: Thresholds, texts: Iterable[str], minimum: int | None) -> Thresholds:
    known = [field.name for field in fields(defaults) if field.name != "minimum"]
    changed: dict[str, Any] = {} if minimum is None else {"minimum": minimum}
    for name, text in _pairs(texts, "--threshold"):
        if name not in known:
            raise BadInputError(f"--threshold {name!r} is no effect; there are {', '.join(known)}")
        try:
            changed[name] = None if text == "off" else float(text)
        except ValueError:
            raise BadInputError(f"--threshold {name}={text!r} is no size; write a number, or off") from None
    return replace(defaults, **changed)


def _report(found: DriftReport) -> Report:
    return Report(
        title=f"Drift of {found.current} ({found.current_rows:,} rows) from {found.reference} "
        f"({found.reference_rows:,} rows)",
        facts={"verdict": found.verdict.value},
        sections=[Section("columns", "Columns", found.to_arrow(), columns=_shown())],
        notes=found.reasons,
    )


def _shown() -> list[Column]:
    share: Callable[[Any], str] = lambda value: f"{value:.1%}"  # noqa: E731 - named for the table below
    return [
        Column("column", "column"),
        Column("verdict", "verdict"),
        Column("test", "test"),
        Column("statistic", "statistic", show=lambda value: f"{value:.3g}"),
        Column("adjusted_p_value", "adjusted p", show=lambda value: f"{value:.2g}"),
        Column("psi", "PSI", show=lambda value: f"{value:.3f}"),
        Column("jensen_shannon", "JS", show=lambda value: f"{value:.3f}"),
        Column("wasserstein_per_sd", "W/sd", show=lambda value: f"{value:.3f}"),
        Column("cramers_v_balanced", "V", show=lambda value: f"{value:.3f}"),
        Column("reference_missing", "missing", show=share),
        Column("current_missing", "-> now", show=share),
    ]
