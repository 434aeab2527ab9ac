"""`trailhouse collect`: land events from Kafka or spools in the warehouse."""

from __future__ import annotations

from pathlib import Path

import click

from trailhouse_cli.reporting import warehouse_option
from trailhouse_schemas.settings import Settings

__all__ = ["command"]


@click.command()
@click.option("--until-idle", is_flag=True, help="End when everything that is there is landed.")
@click.option("--kafka", help="Bootstrap servers [default: TRAILHOUSE_KAFKA; empty: spools alone].")
@click.option("--registry", help="URL of the schema registry [default: TRAILHOUSE_REGISTRY].")
@warehouse_option
@click.option(
    "--spool",
    "spools",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Directory of spools, several times where there are several [default: this machine's].",
)
@click.option("--migrate", "migrate_first", is_flag=True, help="Bring a server's warehouse to this version first.")
@click.option("--group", help="Consumer group.")
@click.option("--group-protocol", type=click.Choice(["classic", "consumer"]), help="Consumer group's protocol.")
@click.option("--group-instance-id", help="Name in the group, this collector's alone; none: it leaves when it ends.")
@click.option("--metrics-port", type=int, help="Port of the Prometheus metrics; 0: none.")
@click.option("--serve/--no-serve", default=None, help="Let other programs use an embedded warehouse meanwhile.")
@click.option("--serve-port", type=int, help="Port for them [default: one that is free].")
@click.option("--memory-mib", type=int, help="Bound of the messages in memory.")
@click.option("--landers", type=int, help="Ranges that are decoded or inserted at the same time.")
@click.option("--flush-rows", type=int, help="Messages that make a range.")
@click.option("--flush-bytes", type=int, help="Bytes of messages that make a range.")
@click.option("--flush-seconds", type=float, help="Longest that a message waits for others.")
def command(  # noqa: PLR0917 - click passes them by name
    until_idle: bool,
    kafka: str | None,
    registry: str | None,
    warehouse: str | None,
    spools: tuple[Path, ...],
    migrate_first: bool,
    group: str | None,
    group_protocol: str | None,
    group_instance_id: str | None,
    metrics_port: int | None,
    serve: bool | None,
    serve_port: int | None,
    memory_mib: int | None,
    landers: int | None,
    flush_rows: int | None,
    flush_bytes: int | None,
    flush_seconds: float | None,
) -> None:
    """Land events from Kafka or spools in the warehouse, each exactly once.

    Runs until SIGTERM or Ctrl-C, then finishes the range at hand; with --until-idle until nothing is left. An embedded
    warehouse is brought to this version first, and served meanwhile: other programs open it by the same URL.
    """
    from trailhouse.taking_up import take_up_rings  # noqa: PLC0415
    from trailhouse_consumer.monitoring import configure_logs  # noqa: PLC0415 - heavy, and help must be quick
    from trailhouse_consumer.service import collect  # noqa: PLC0415
    from trailhouse_consumer.settings import CollectorSettings  # noqa: PLC0415

    how = CollectorSettings.read(
        group=group,
        group_protocol=group_protocol,
        group_instance_id=group_instance_id,
        metrics_port=metrics_port,
        serve=serve,
        serve_port=serve_port,
        memory_mib=memory_mib,
        landers=landers,
        flush_rows=flush_rows,
        flush_bytes=flush_bytes,
        flush_seconds=flush_seconds,
    )
    where = Settings.read(kafka=kafka, registry=registry, warehouse=warehouse)
    configure_logs()
    done = collect(
        where,
        how,
        spools=[directory.absolute() for directory in spools] or None,
        until_idle=until_idle,
        migrate_first=migrate_first,
        take_up=take_up_rings,
    )
    click.echo(
        f"landed {done.messages:,} messages in {done.ranges:,} ranges: {done.rows:,} rows, "
        f"{done.dead_letters:,} dead letters, {done.duplicates:,} resent ones left out"
        + (f", {done.missing_offsets:,} offsets missing" if done.missing_offsets else "")
    )
