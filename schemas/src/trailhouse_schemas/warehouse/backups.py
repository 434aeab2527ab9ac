"""Backups of an embedded warehouse, taken while it is in use; a ClickHouse server makes its own.

The engine writes into `backups` of the warehouse's directory and nowhere else; from there a backup is moved to where it
is wanted. Each table of a backup is as it was at some moment of making it, not all at the same one: rows carry their
places, so that `trailhouse rewind` finds what any of them lacks.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from trailhouse_schemas.errors import WarehouseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

    from trailhouse_schemas.warehouse.connect import WarehouseUrl

__all__ = ["back_up", "restore"]

_BACKUPS: Final = "backups"


def back_up(client: Client, where: WarehouseUrl, target: Path) -> None:
    """Write a backup of all tables to a new directory; whole, or not at all.

    Args:
        client: Of the warehouse.
        where: The warehouse, which is embedded.
        target: The directory, which must not be there.

    Raises:
        WarehouseError: the warehouse is no embedded one, or the directory is there or cannot be made.
        clickhouse_connect.driver.exceptions.Error: the engine cannot make it.
    """
    _expect_embedded(where)
    if target.exists():
        raise WarehouseError(f"Directory {target} is there already; name one that is not")
    with _told(target), _own_place(where) as (place, name):
        target.parent.mkdir(parents=True, exist_ok=True)
        client.command(f"BACKUP DATABASE `{where.database}` TO File('{name}')")
        _move(place, target)


def restore(client: Client, where: WarehouseUrl, source: Path) -> None:
    """Make the tables of an empty warehouse from a backup.

    Raises:
        WarehouseError: the warehouse is no embedded one or has tables, or there is no backup of it there.
        clickhouse_connect.driver.exceptions.Error: the engine cannot read it.
    """
    _expect_embedded(where)
    if not (source / "metadata" / f"{where.database}.sql").is_file():
        raise WarehouseError(f"Directory {source} is no backup of database {where.database}; name one that is")
    asked = "SELECT count() FROM system.tables WHERE database = {database:String}"
    ((tables,),) = client.query(asked, {"database": where.database}).result_rows
    if tables:
        raise WarehouseError(f"Warehouse {where} has tables already; restore into a directory that is not there yet")
    with _told(source), _own_place(where) as (place, name):
        shutil.copytree(source, place)
        client.command(f"RESTORE DATABASE `{where.database}` FROM File('{name}')")


def _expect_embedded(where: WarehouseUrl) -> None:
    if not where.embedded:
        raise WarehouseError(
            f"Warehouse {where} is a server, which makes its backups itself; see 'restore from a backup' in "
            "docs/operations.md"
        )


@contextmanager
def _own_place(where: WarehouseUrl) -> Iterator[tuple[Path, str]]:
    """Lend a place that the engine may write a backup to, and its name there; what is left in it is removed."""
    assert where.directory is not None  # noqa: S101 - it is embedded
    name = uuid.uuid4().hex
    place = where.directory / _BACKUPS / name
    place.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        yield place, name
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WarehouseError(
            f"Backup {path} cannot be made or read ({error.strerror}); choose another place"
        ) from error


def _move(place: Path, target: Path) -> None:
    """Have it under its name when all of it is on the disk."""
    part = target.with_name(f".{target.name}.part")
    try:
        try:
            place.rename(part)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            shutil.copytree(place, part)
        for directory, _, files in os.walk(part):
            for name in files:
                _sync(os.path.join(directory, name))  # noqa: PTH118 - as os.walk gives it
            _sync(directory)
        part.rename(target)
        _sync(target.parent)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _sync(path: str | Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
