"""`trailhouse dead-letters`: what could not be landed: list it, look at it, land it after all, or give it up."""

from __future__ import annotations

import functools
import getpass
import socket
import sys
from contextlib import contextmanager
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
    period_options,
    print_report,
    warehouse_option,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    import pyarrow as pa

    from trailhouse_consumer.letters import Choice, Letter
    from trailhouse_consumer.replay import Replayed
    from trailhouse_consumer.warehouse import Warehouse

__all__ = ["command"]

_EXIT_SOME_FAILED: Final = 1
#: Letters that `list --each` shows to people; other formats have them all.
_SHOWN: Final = 50
_DUMP_WIDTH: Final = 16
_ID: Final = Column("letter", "letter", show=lambda letter: letter[:8])


@click.group()
def command() -> None:
    """List, show, replay and drop dead letters: messages that could not be landed, kept whole with the reason.

    A letter is named by the beginning of its id ('list --each' shows them), or chosen by what it has in common.
    """


def _choosing(standing: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options that choose letters, which the command gets as `choice`; `standing` is the default."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def choosing(
            *args: Any,
            since: datetime | None,
            until: datetime | None,
            project: str | None,
            topics: tuple[str, ...],
            reasons: tuple[str, ...],
            producer: str,
            standing: str = standing,
            letters: tuple[str, ...] = (),
            **options: Any,
        ) -> Any:
            from trailhouse_consumer.letters import Choice  # noqa: PLC0415 - slow to import

            period: dict[str, Any] = {"since": since, "until": until}
            choice = Choice(
                standing=standing,
                letters=tuple(letter.lower() for letter in letters),
                topics=tuple(map(_topic, topics)),
                reasons=tuple(map(_reason, reasons)),
                producer=producer,
                project=project or "",
                **{name: moment for name, moment in period.items() if moment is not None},
            )
            return function(*args, choice=choice, **options)

        for option in (
            click.option("--producer", default="", help="Only of this producer (its whole id)."),
            click.option("--reason", "reasons", multiple=True, help="Only with this reason, as listed; repeatable."),
            click.option("--topic", "topics", multiple=True, help="Only of this topic or event type; repeatable."),
            period_options,
        ):
            choosing = option(choosing)
        return choosing

    return add


def _topic(name: str) -> str:
    from trailhouse_schemas.catalogue import CATALOGUE, by_topic  # noqa: PLC0415

    return CATALOGUE[name].topic if name in CATALOGUE else by_topic(name).topic


def _reason(word: str) -> str:
    from trailhouse_consumer.dead_letters import Reason  # noqa: PLC0415 - slow to import

    if word not in {reason.value for reason in Reason}:
        raise BadInputError(f"Reason {word!r} is none; they are {', '.join(reason.value for reason in Reason)}")
    return word


@contextmanager
def _opened(url: str | None) -> Iterator[Warehouse]:
    from trailhouse_consumer.warehouse import Warehouse  # noqa: PLC0415 - slow to import

    client = open_warehouse(url)
    try:
        yield Warehouse(client)
    finally:
        client.close()


def _chosen(warehouse: Warehouse, choice: Choice, limit: int = 1 << 62) -> pa.Table:
    """Return the chosen letters; an id that is none, or not one letter's alone, is refused."""
    from trailhouse_consumer.letters import chosen_letters  # noqa: PLC0415 - slow to import

    found = chosen_letters(warehouse, choice, limit)
    ids = found.column("letter").to_pylist() if choice.letters else []
    for beginning in choice.letters:
        matching = [letter for letter in ids if letter.startswith(beginning)]
        if not matching:
            raise BadInputError(
                f"Dead letter {beginning!r} is not known or not {choice.standing}; "
                "'trailhouse dead-letters list --each' shows their ids"
            )
        if len(set(matching)) > 1:
            raise BadInputError(f"Dead letter {beginning!r} is one of {len(set(matching))}; write more of its id")
    return found


@command.command("list")
@click.option(
    "--standing", type=click.Choice(["open", "replayed", "dropped"]), default="open", show_default=True, help="Which."
)
@click.option("--each", is_flag=True, help="A line a letter, with its id, instead of groups.")
@_choosing("open")
@warehouse_option
@format_options
def list_(*, choice: Choice, each: bool, warehouse: str | None, **how: Any) -> None:
    """List dead letters by topic and reason, or one by one; the period is by the broker's time."""
    from trailhouse_consumer.letters import grouped_letters  # noqa: PLC0415 - slow to import

    people = how["format_"] == "table"
    with _opened(warehouse) as opened:
        groups = grouped_letters(opened, choice)
        shown = _chosen(opened, choice, _SHOWN if people else 1 << 62) if each else None
    total = sum(groups.column("letters").to_pylist())
    notes = []
    if shown is not None and len(shown) < total:
        notes.append(f"{total - len(shown):,} more in the other formats")
    if choice.standing == "open" and total:
        notes.append("'trailhouse dead-letters show' shows some; 'replay' lands what can be decoded by now")
    section = _each_section(shown) if shown is not None else _groups_section(groups)
    title = f"{total:,} {choice.standing} dead {'letter' if total == 1 else 'letters'}"
    print_report(Report(title=title, sections=(section,), notes=notes), **how)


def _groups_section(groups: pa.Table) -> Section:
    return Section(
        name="groups",
        title="",
        table=groups,
        columns=(
            Column("topic", "topic"),
            Column("reason", "reason"),
            Column("letters", "letters"),
            Column("producers", "producers"),
            Column("bytes", "bytes"),
            Column("first_published_at", "first"),
            Column("last_published_at", "last"),
            Column("example", "for example"),
        ),
        empty="none",
    )


def _each_section(letters: pa.Table) -> Section:
    return Section(
        name="letters",
        title="",
        table=letters,
        columns=(
            _ID,
            Column("topic", "topic"),
            Column("partition", "partition"),
            Column("offset", "offset"),
            Column("published_at", "published"),
            Column("reason", "reason"),
            Column("detail", "detail"),
        ),
        empty="none",
    )


@command.command()
@click.argument("letters", nargs=-1)
@click.option(
    "--standing", type=click.Choice(["open", "replayed", "dropped"]), default="open", show_default=True, help="Which."
)
@click.option("--limit", type=click.IntRange(min=1), default=3, show_default=True, help="At most so many letters.")
@click.option("--bytes", "cut", type=click.IntRange(min=0), default=256, show_default=True, help="Of each value.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the one letter's raw value here.")
@_choosing("open")
@warehouse_option
@format_options
def show(*, choice: Choice, limit: int, cut: int, out: Path | None, warehouse: str | None, **how: Any) -> None:
    """Show dead letters: place, reason, identity, schema, headers, and the bytes."""
    with _opened(warehouse) as opened:
        chosen = _chosen(opened, choice, max(limit, len(choice.letters))).to_pylist()
        whole = [(row, _whole(opened, row)) for row in chosen]
    if out is not None:
        if len(whole) != 1:
            raise BadInputError(f"--out writes one letter's value, and {len(whole)} are chosen; name it by its id")
        try:
            out.write_bytes(whole[0][1].value or b"")
        except OSError as error:
            raise BadInputError(f"File {out} cannot be written ({error.strerror}); choose another") from error
    print_report(_letters_report(whole, cut), **how)


def _whole(warehouse: Warehouse, row: dict[str, Any]) -> Letter:
    from trailhouse_consumer.letters import whole_letters  # noqa: PLC0415 - slow to import

    (letter,) = whole_letters(warehouse, row["topic_id"], row["partition"], [row["offset"]])
    return letter


def _letters_report(letters: Sequence[tuple[dict[str, Any], Letter]], cut: int) -> Report:
    import pyarrow as pa  # noqa: PLC0415 - slow to import

    fields = [
        {
            **{name: row[name] for name in ("letter", "topic", "topic_id", "partition", "offset", "published_at")},
            **{name: row[name] for name in ("reason", "detail", "producer_id", "sequence", "bytes")},
            "schema": _schema_of(letter.value),
            "key": None if letter.key is None else _text(letter.key),
            "collector_version": letter.collector_version,
        }
        for row, letter in letters
    ]
    headers = [
        {"letter": row["letter"], "name": name, "hex": value.hex(" "), "text": _text(value)}
        for row, letter in letters
        for name, value in letter.headers
    ]
    lines = [
        {
            "letter": row["letter"],
            "at": at,
            "hex": part.hex(" "),
            "text": _text(part),
        }
        for row, letter in letters
        for at, part in _lines((letter.value or b"")[:cut])
    ]
    notes = [
        f"{row['bytes'] - cut:,} more bytes of {row['letter'][:8]} with '--bytes', or all with '--out FILE'"
        for row, _ in letters
        if row["bytes"] > cut
    ]
    word = "letter" if len(letters) == 1 else "letters"
    names = {"letter": pa.string(), "name": pa.string(), "hex": pa.string(), "text": pa.string()}
    dump = {"letter": pa.string(), "at": pa.int64(), "hex": pa.string(), "text": pa.string()}
    return Report(
        title=f"{len(letters):,} dead {word}",
        sections=(
            Section(name="letters", title="", table=pa.Table.from_pylist(fields), empty="none"),
            Section(
                name="headers",
                title="Headers",
                table=pa.Table.from_pylist(headers, pa.schema(list(names.items()))),
                columns=(_ID, *(Column(name, name) for name in ("name", "hex", "text"))),
                empty="none",
            ),
            Section(
                name="value",
                title="Value",
                table=pa.Table.from_pylist(lines, pa.schema(list(dump.items()))),
                columns=(_ID, *(Column(name, name) for name in ("at", "hex", "text"))),
                empty="no bytes",
            ),
        ),
        notes=notes,
    )


def _schema_of(value: bytes | None) -> str:
    """Return the schema that a value names, as far as it is known."""
    from trailhouse_schemas.errors import DecodeError, UnknownSchemaError  # noqa: PLC0415
    from trailhouse_schemas.versions import by_fingerprint  # noqa: PLC0415
    from trailhouse_schemas.wire import read_header  # noqa: PLC0415

    try:
        header = read_header(value)
        if header.fingerprint is None:
            return f"registry id {header.registry_id}"
        version = by_fingerprint(header.fingerprint)
    except DecodeError:
        return "none"
    except UnknownSchemaError:
        return f"unknown, {header.fingerprint.hex() if header.fingerprint else ''}"
    return f"{version.event_type.name} version {version.version}"


def _lines(value: bytes) -> Iterator[tuple[int, bytes]]:
    for at in range(0, len(value), _DUMP_WIDTH):
        yield at, value[at : at + _DUMP_WIDTH]


def _text(value: bytes) -> str:
    """Return bytes as text in which nothing is but printable characters."""
    return "".join(each if each.isprintable() else "·" for each in value.decode("utf-8", errors="replace"))


@command.command()
@click.argument("letters", nargs=-1)
@click.option("--registry", help="URL of the schema registry [default: TRAILHOUSE_REGISTRY].")
@_choosing("open")
@warehouse_option
def replay(*, choice: Choice, registry: str | None, warehouse: str | None) -> int:
    """Land dead letters that can be decoded by now, each exactly once, however often this is called.

    All open ones by default, but for those that killed collectors and those that are no messages: name their reason to
    try the former. What still fails stays open with its new reason; then the exit code is 1.
    """
    import pyarrow as pa  # noqa: PLC0415 - slow to import

    from trailhouse_consumer.landing import Landing  # noqa: PLC0415
    from trailhouse_consumer.replay import NOT_REPLAYED, Replay  # noqa: PLC0415
    from trailhouse_schemas.settings import Settings  # noqa: PLC0415

    settings = Settings.read(registry=registry)
    known = None
    if settings.registry:
        from trailhouse_schemas.registry import Registry  # noqa: PLC0415 - not without a registry

        known = Registry.of(settings)
    with _opened(warehouse) as opened:
        chosen = _chosen(opened, choice)
        meant = bool(choice.letters)
        left_out = [r.value for r in NOT_REPLAYED if r.value not in choice.reasons and not meant]
        never = NOT_REPLAYED[0].value
        keep = [reason not in left_out and reason != never for reason in chosen.column("reason").to_pylist()]
        done = Replay(opened, Landing(opened), known, by=_who()).run(chosen.filter(pa.array(keep, pa.bool_())))
    click.echo(_replayed(done, len(keep) - sum(keep)))
    return _EXIT_SOME_FAILED if done.failed else 0


def _replayed(done: Replayed, left_out: int) -> str:
    parts = [f"{done.landed:,} landed"]
    if done.there_already:
        parts.append(f"{done.there_already:,} were in their tables already")
    parts.append(f"{done.failed.total():,} still cannot be landed")
    if done.failed:
        parts[-1] += f" ({', '.join(f'{count:,} {reason}' for reason, count in sorted(done.failed.items()))})"
    if left_out:
        parts.append(f"{left_out:,} not tried")
    return ", ".join(parts)


@command.command()
@click.argument("letters", nargs=-1)
@click.option("--why", required=True, help="Why nobody will miss them: kept with your name.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_choosing("open")
@warehouse_option
def drop(*, choice: Choice, why: str, yes: bool, warehouse: str | None) -> None:
    """Give dead letters up: they are not listed as open any more, nor replayed.

    They stay in the warehouse, and 'trailhouse verify' goes on to name them, with who dropped them and why. Letters
    must be chosen, by id or by what they have in common.
    """
    from trailhouse_consumer.letters import drop_letters  # noqa: PLC0415 - slow to import

    if choice.everything:
        raise BadInputError("Nothing says which dead letters; name ids, or --topic, --reason, --producer or a period")
    if not why.strip():
        raise BadInputError("--why is empty; say why nobody will miss them")
    with _opened(warehouse) as opened:
        chosen = _chosen(opened, choice)
        if not len(chosen):
            click.echo("0 dropped")
            return
        if not yes:
            if not sys.stdin.isatty():
                raise BadInputError(f"{len(chosen):,} would be dropped, and nobody is there to ask; add --yes")
            click.confirm(f"Drop {len(chosen):,} dead letters for good?", abort=True, err=True)
        done = drop_letters(opened, chosen, by=_who(), why=why.strip())
    click.echo(f"{done:,} dropped")


def _who() -> str:
    """Return who this is, as the account says: a claim."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"
    return f"{name}@{socket.gethostname()}"
