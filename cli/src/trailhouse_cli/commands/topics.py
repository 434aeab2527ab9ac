"""`trailhouse topics`: the topics of the catalogue on Kafka, made and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click
import pyarrow as pa

from trailhouse_cli.broker import require_answer
from trailhouse_cli.errors import BadInputError
from trailhouse_cli.reporting import Column, Report, Section, format_options, print_report
from trailhouse_schemas.catalogue import CATALOGUE, NAMESPACE, by_name
from trailhouse_schemas.settings import Settings
from trailhouse_schemas.topics import definition_of, differences

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from trailhouse.topics import Cluster
    from trailhouse_schemas.topics import TopicDefinition

__all__ = ["command"]

_AUTO_CREATION = (
    "the broker makes topics that somebody asks for, with its own settings (auto.create.topics.enable=true): no client "
    "of Trailhouse lets it, others may; switch it off"
)

_Command = TypeVar("_Command", bound="Callable[..., Any]")


def _partitions(_context: click.Context, _option: click.Parameter, given: Sequence[str]) -> dict[str, int]:
    """Return the number of partitions by event type; `TOPIC=N` may name the topic or the type."""
    found = {}
    for each in given:
        name, _, number = each.partition("=")
        if not number.isdecimal() or int(number) < 1:
            raise BadInputError(
                f"Partitions {each!r} are none; write TOPIC=N, such as {NAMESPACE}.metrics_logged=24, N from 1 on"
            )
        found[by_name(name.removeprefix(f"{NAMESPACE}.")).name] = int(number)
    return found


def _options(command: _Command) -> _Command:
    for option in (
        click.option("--replication-factor", type=click.IntRange(1, 32767), help="Copies [default: brokers, up to 3]."),
        click.option(
            "--partitions", multiple=True, metavar="TOPIC=N", callback=_partitions, help="Instead of the catalogue's."
        ),
        click.option("--kafka", help="Bootstrap servers [default: TRAILHOUSE_KAFKA]."),
        format_options,
    ):
        command = option(command)
    return command


@click.group()
def command() -> None:
    """Make and check the topics of the catalogue on Kafka."""


@command.command()
@_options
def create(kafka: str | None, partitions: Mapping[str, int], replication_factor: int | None, **how: Any) -> None:
    """Make the topics that are not there, and check those that are; nothing that is there is changed.

    Exit code 1 when a topic cannot be made, or differs from what it should be.
    """
    settings = _settings(kafka)
    wanted, cluster = _look(settings, partitions, replication_factor)
    outcomes = _create(settings, [topic for topic in wanted if topic.name not in cluster.topics])
    rows = []
    for topic in wanted:
        outcome = outcomes.get(topic.name)
        if outcome:
            rows.append(_row(topic, "refused", outcome))
        elif outcome == "":
            rows.append(_row(topic, "made", ""))
        else:
            rows.append(_checked(topic, cluster))
    _print(settings, rows, cluster, **how)


@command.command()
@_options
def check(kafka: str | None, partitions: Mapping[str, int], replication_factor: int | None, **how: Any) -> None:
    """Check that the topics are there, and as they should be.

    Exit code 1 when one is not, with each difference and the way out.
    """
    settings = _settings(kafka)
    wanted, cluster = _look(settings, partitions, replication_factor)
    _print(settings, [_checked(topic, cluster) for topic in wanted], cluster, **how)


def _settings(kafka: str | None) -> Settings:
    settings = Settings.read(kafka=kafka)
    if not settings.kafka:
        raise BadInputError("There is no Kafka to have topics; give --kafka HOST:PORT or set TRAILHOUSE_KAFKA")
    require_answer(settings)
    return settings


def _look(
    settings: Settings, partitions: Mapping[str, int], replication_factor: int | None
) -> tuple[list[TopicDefinition], Cluster]:
    from confluent_kafka import KafkaException  # noqa: PLC0415 - slow to import

    from trailhouse.topics import look_at  # noqa: PLC0415

    try:
        cluster = look_at(settings, [event_type.topic for event_type in CATALOGUE.values()])
    except KafkaException as error:
        raise BadInputError(f"Kafka at {settings.kafka_shown} does not answer ({error.args[0].str()})") from error
    wanted = [
        definition_of(
            event_type,
            brokers=cluster.brokers,
            partitions=partitions.get(event_type.name),
            replication_factor=replication_factor,
        )
        for event_type in CATALOGUE.values()
    ]
    return wanted, cluster


def _create(settings: Settings, lacking: Sequence[TopicDefinition]) -> dict[str, str | None]:
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - slow to import

    from trailhouse.topics import create_topics  # noqa: PLC0415

    return create_topics(AdminClient(settings.kafka_settings({"log_level": 0})), lacking)


def _checked(topic: TopicDefinition, cluster: Cluster) -> dict[str, Any]:
    found = cluster.topics.get(topic.name)
    if found is None:
        return _row(topic, "missing", "make it with 'trailhouse topics create'")
    differs = differences(topic, found)
    return {
        "topic": topic.name,
        "partitions": found.partitions,
        "replicas": found.replication_factor,
        "state": "differs" if differs else "fine",
        "detail": "\n".join(differs),
    }


def _row(topic: TopicDefinition, state: str, detail: str) -> dict[str, Any]:
    made = state == "made"
    return {
        "topic": topic.name,
        "partitions": topic.partitions if made else None,
        "replicas": topic.replication_factor if made else None,
        "state": state,
        "detail": detail,
    }


def _print(settings: Settings, rows: Sequence[Mapping[str, Any]], cluster: Cluster, **how: Any) -> None:
    amiss = sum(row["state"] not in {"fine", "made"} for row in rows)
    made = sum(row["state"] == "made" for row in rows)
    schema = pa.schema(
        [
            ("topic", pa.string()),
            ("partitions", pa.int64()),
            ("replicas", pa.int64()),
            ("state", pa.string()),
            ("detail", pa.string()),
        ]
    )
    print_report(
        Report(
            f"Topics at {settings.kafka}",
            facts={
                "verdict": f"{amiss} of {len(rows)} are not as they should be" if amiss else "all as they should be",
                "made": made,
                "brokers": cluster.brokers,
            },
            sections=[
                Section(
                    "topics",
                    "Topics",
                    pa.Table.from_pylist(list(rows), schema=schema),
                    columns=[Column(name, name) for name in schema.names],
                )
            ],
            notes=[_AUTO_CREATION] if cluster.makes_topics else [],
        ),
        **how,
    )
    click.get_current_context().exit(1 if amiss else 0)
