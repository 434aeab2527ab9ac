"""`trailhouse rewind`: after a restore, have collectors read again what the warehouse no longer holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import pyarrow as pa

from trailhouse_cli.broker import require_answer
from trailhouse_cli.errors import BadInputError
from trailhouse_cli.reporting import Column, Report, Section, format_options, print_report, warehouse_option
from trailhouse_cli.times import MOMENT
from trailhouse_schemas.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from trailhouse_consumer.rewinding import Place

__all__ = ["command"]

_SCHEMA = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("committed", pa.int64()),
        ("set_back_to", pa.int64()),
        ("messages", pa.int64()),
        ("log_begins", pa.int64()),
        ("log_ends", pa.int64()),
    ]
)
_TITLES = {
    "topic": "topic",
    "partition": "partition",
    "committed": "committed",
    "set_back_to": "set back to",
    "messages": "messages to read again",
    "log_begins": "log begins",
    "log_ends": "log ends",
}
_CUT = (
    "{count} of the logs begin where the group is set back to: if they no longer have what is lacking, the collector "
    "records it as offsets_missing"
)


@click.command()
@click.option("--group", help="Consumer group [default: TRAILHOUSE_COLLECT_GROUP].")
@click.option("--since", type=MOMENT, help="Read again at least what Kafka took from then on: when the backup began.")
@click.option("--dry-run", is_flag=True, help="Show what would be set back, and change nothing.")
@click.option("--kafka", help="Bootstrap servers [default: TRAILHOUSE_KAFKA].")
@warehouse_option
@format_options
def command(
    group: str | None, since: datetime | None, dry_run: bool, kafka: str | None, warehouse: str | None, **how: Any
) -> None:
    """Set the offsets of a group back to the first that no table of the warehouse holds.

    For when the warehouse was restored from a backup: Kafka still has what was landed since, and collectors land it
    again, once. Only while no collector of the group runs. No offset is ever set forward, and what is read again though
    the warehouse has it is left out when it is landed.
    """
    from trailhouse_consumer.rewinding import Group  # noqa: PLC0415 - heavy, and help must be quick
    from trailhouse_consumer.settings import CollectorSettings  # noqa: PLC0415
    from trailhouse_consumer.warehouse import Warehouse  # noqa: PLC0415
    from trailhouse_schemas.warehouse import check, connect  # noqa: PLC0415

    settings = Settings.read(kafka=kafka, warehouse=warehouse)
    if not settings.kafka:
        raise BadInputError("There is no Kafka that could have a group; give --kafka HOST:PORT or set TRAILHOUSE_KAFKA")
    collector = CollectorSettings.read(group=group)
    collector = collector.model_copy(update={"kafka_client": settings.kafka_client | collector.kafka_client})
    require_answer(settings)
    client = connect(settings.warehouse_url, password=settings.warehouse_password.get_secret_value())
    try:
        check(client)
        found = Group(settings.kafka, collector)
        places = found.places(Warehouse(client), since_us=None if since is None else int(since.timestamp() * 1_000_000))
        if not dry_run:
            found.rewind(places)
    finally:
        client.close()
    _print(collector.group, places, dry_run=dry_run, **how)


def _print(group: str, places: Sequence[Place], *, dry_run: bool, **how: Any) -> None:
    moved = [place for place in places if place.moves]
    messages = sum(place.messages for place in moved)
    verb = "would be set back" if dry_run else "set back"
    rows = [
        {
            "topic": place.partition.topic,
            "partition": place.partition.number,
            "committed": place.committed,
            "set_back_to": place.wanted,
            "messages": place.messages,
            "log_begins": place.begins,
            "log_ends": place.ends,
        }
        for place in moved
    ]
    verdict = f"{len(moved)} of {len(places)} partitions {verb}, {messages:,} messages are read again"
    lost = [place for place in moved if place.wanted == place.begins and place.begins]
    print_report(
        Report(
            f"Group {group}",
            facts={"verdict": verdict if moved else "nothing to set back: the warehouse holds all that was committed"},
            sections=[
                Section(
                    "partitions",
                    "Partitions",
                    pa.Table.from_pylist(rows, schema=_SCHEMA),
                    columns=[Column(name, title) for name, title in _TITLES.items()],
                )
            ]
            if moved
            else [],
            notes=[_CUT.format(count=len(lost))] if lost else [],
        ),
        **how,
    )
