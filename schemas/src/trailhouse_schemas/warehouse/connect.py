"""Opens a warehouse by its URL: ClickHouse embedded in the process (chDB), or a ClickHouse server.

    chdb:///absolute/directory            chdb://relative/directory        chdb://DIRECTORY?database=NAME
    clickhouse://user@host:8123/database  clickhouses://user@host:8443/database   (the second: TLS)
    clickhouse://user@host:8123/database?cluster=NAME                             (a cluster, by any of its servers)

All give the same client of the same library, so that everything behind this line is the same for all. An embedded
warehouse that another process serves (`served`) is reached through that process, by the same URL.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from trailhouse_schemas.errors import (
    WarehouseError,
    WarehouseLockedError,
    WarehouseUnavailableError,
)
from trailhouse_schemas.warehouse.cluster import cluster_settings
from trailhouse_schemas.warehouse.served import Served, Tokens, find_served

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

__all__ = ["DEFAULT_DATABASE", "WarehouseUrl", "connect", "parse_url"]

DEFAULT_DATABASE: Final = "trailhouse"
_DEFAULT_PORTS: Final = {"clickhouse": 8123, "clickhouses": 8443}
_DATABASE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

#: For every statement: an insert is done when it returns, is never dropped for looking like another one, and never
#: turns a null into a 0; times are UTC whatever the server's zone.
_SETTINGS: Final[dict[str, Any]] = {
    "async_insert": 0,
    "input_format_null_as_default": 0,
    "session_timezone": "UTC",
}

#: What the embedded engine is told when it is opened.
_ENGINE: Final = Path(__file__).with_name("engine.xml")

#: Some of which is in a directory once the engine has had it open, however soon it was killed.
_ENGINES_OWN: Final = {"metadata", "store", "status"}

#: How long a directory may be locked and not served: a collector opens it first, and closes it last.
_CHANGING_SECONDS: Final = 3.0

#: chDB allows several clients of one directory in one process, and none of another process. Opening takes this lock
#: because the engine itself reports a directory that is locked only on the standard error.
_opening = threading.Lock()
_opened: set[Path] = set()


@dataclass(frozen=True, slots=True)
class WarehouseUrl:
    """What a warehouse's URL says. Without its password: that comes from a setting of its own."""

    scheme: str
    directory: Path | None
    host: str
    port: int
    user: str
    password: str
    database: str
    #: Name of the cluster whose servers share the tables; empty for one server.
    cluster: str = ""

    @property
    def embedded(self) -> bool:
        """Whether the engine runs in this process."""
        return self.directory is not None

    def __str__(self) -> str:
        """Return the URL without a password, for people."""
        if self.directory is not None:
            return f"chdb://{self.directory}"
        cluster = f"?cluster={self.cluster}" if self.cluster else ""
        return f"{self.scheme}://{self.user}@{self.host}:{self.port}/{self.database}{cluster}"


def parse_url(url: str) -> WarehouseUrl:
    """Return the parts of a warehouse's URL; raises `WarehouseError` when it is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise WarehouseError(
            "Warehouse is no URL; write chdb://DIRECTORY or clickhouse://user@host:8123/database"
        ) from None
    query = parse_qs(parts.query, keep_blank_values=True)
    if parts.scheme == "chdb":
        location = unquote(parts.netloc + parts.path)
        if not location:
            raise WarehouseError(f"Warehouse {url!r} names no directory; write chdb:///path/to/directory")
        database = query.get("database", [DEFAULT_DATABASE])[0]
        found = WarehouseUrl("chdb", Path(location).expanduser().absolute(), "", 0, "", "", database)
    elif parts.scheme in _DEFAULT_PORTS:
        try:
            port = parts.port or _DEFAULT_PORTS[parts.scheme]
        except ValueError:
            raise WarehouseError(
                f"Warehouse {parts.scheme}://{parts.hostname} has a port that is no number; write host:8123"
            ) from None
        if not parts.hostname:
            raise WarehouseError(f"Warehouse {url!r} names no host; write {parts.scheme}://user@host:{port}/database")
        found = WarehouseUrl(
            parts.scheme,
            None,
            parts.hostname,
            port,
            unquote(parts.username or "default"),
            unquote(parts.password or ""),
            parts.path.strip("/") or DEFAULT_DATABASE,
            query.get("cluster", [""])[0],
        )
    else:
        raise WarehouseError(
            f"Warehouse {parts.scheme or url!r} is of no known kind; "
            "write chdb://DIRECTORY or clickhouse://user@host:8123/database"
        )
    if not _DATABASE_NAME.fullmatch(found.database):
        raise WarehouseError(f"Database {found.database!r} is no name; use letters, digits and _")
    if "cluster" in query and found.embedded:
        raise WarehouseError(f"Warehouse {found} is in one process, and so in no cluster; leave ?cluster= out")
    if "cluster" in query and not _DATABASE_NAME.fullmatch(found.cluster):
        raise WarehouseError(
            f"Cluster {query['cluster'][0]!r} is no name of a server's cluster; write clickhouse://…?cluster=NAME"
        )
    return found


def connect(url: str | WarehouseUrl, *, password: str = "", create: bool = False) -> Client:
    """Open a warehouse.

    Args:
        url: Its URL; see the module.
        password: Password of the user of a server, unless the URL has one.
        create: Make the directory and the database when they are not there.

    Raises:
        WarehouseLockedError: another process has the embedded warehouse open, and does not serve it.
        WarehouseUnavailableError: it does not answer, or is not there and `create` is not set.
        WarehouseError: the URL is none.
    """
    where = parse_url(url) if isinstance(url, str) else url
    client = _open_embedded(where, create=create) if where.embedded else _open_server(where, password)
    try:
        if where.cluster:
            _require_cluster(client, where)
        if create:
            everywhere = f" ON CLUSTER {where.cluster}" if where.cluster else ""
            client.command(f"CREATE DATABASE IF NOT EXISTS `{where.database}`{everywhere}")
        elif not client.query(
            "SELECT 1 FROM system.databases WHERE name = {name:String}", {"name": where.database}
        ).row_count:
            raise WarehouseUnavailableError(  # noqa: TRY301 - the client is closed below
                f"Warehouse {where} has no database {where.database!r}; run 'trailhouse migrate' to make it"
            )
        client.database = where.database
    except BaseException:
        client.close()
        raise
    return client


def _open_embedded(where: WarehouseUrl, *, create: bool) -> Client:
    directory = where.directory
    assert directory is not None  # noqa: S101 - what `embedded` means
    _require_directory(where, directory, create=create)
    resolved = directory.resolve()
    deadline = time.monotonic() + _CHANGING_SECONDS
    while True:
        if resolved not in _opened and (served := find_served(resolved)):
            return _open_served(where, served, Tokens.of(resolved))
        with _opening:
            if resolved in _opened or not _is_locked(resolved / "status"):
                return _open_here(where, directory, resolved)
        if time.monotonic() > deadline:
            raise WarehouseLockedError(
                f"Warehouse {where} is open in another process that does not serve it; end that one, "
                "or let it serve ('trailhouse collect' does, and 'trailhouse warehouse serve')"
            )
        time.sleep(0.05)


def _open_here(where: WarehouseUrl, directory: Path, resolved: Path) -> Client:
    """Open it with the engine of this process; `_opening` is held."""
    import clickhouse_connect  # noqa: PLC0415 - slow, and only who opens a warehouse needs it
    from clickhouse_connect.driver.exceptions import Error  # noqa: PLC0415

    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WarehouseUnavailableError(
            f"Warehouse {where} cannot be made ({error.strerror}); choose another place"
        ) from error
    if not os.access(directory, os.W_OK):
        raise WarehouseUnavailableError(f"Warehouse {where} cannot be written; ask the owner of the directory")
    try:
        client = clickhouse_connect.get_client(
            interface="chdb",
            path=str(directory),
            settings=dict(_SETTINGS),
            chdb_options={"config-file": str(_ENGINE)},
        )
    except Error as error:
        raise WarehouseUnavailableError(f"Warehouse {where} cannot be opened: {_first_line(error)}") from error
    _opened.add(resolved)
    return client


def _require_directory(where: WarehouseUrl, directory: Path, *, create: bool) -> None:
    """Refuse what is no warehouse, and to make one among files that are somebody's."""
    try:
        inside = {entry.name for entry in directory.iterdir()}
    except FileNotFoundError:
        inside = set()
    except NotADirectoryError:
        if not create or directory.exists():
            raise WarehouseUnavailableError(f"Warehouse {where} is not a directory; choose another place") from None
        inside = set()
    except OSError as error:
        raise WarehouseUnavailableError(
            f"Warehouse {where} cannot be read ({error.strerror}); ask the owner of the directory"
        ) from error
    if "metadata" in inside:
        return
    if not create:
        raise WarehouseUnavailableError(f"Warehouse {where} is not there; run 'trailhouse migrate' to make it")
    if inside and not inside & _ENGINES_OWN:
        raise WarehouseUnavailableError(f"Warehouse {where} cannot be made among other files; name an empty directory")


def _open_server(where: WarehouseUrl, password: str) -> Client:
    return _open_http(
        where,
        "start it, or set TRAILHOUSE_WAREHOUSE",
        host=where.host,
        port=where.port,
        username=where.user,
        password=where.password or password,
        secure=where.scheme == "clickhouses",
    )


def _open_served(where: WarehouseUrl, served: Served, tokens: Tokens) -> Client:
    """Open an embedded warehouse through the process that serves it: without a proxy, and without compression."""
    from trailhouse_schemas.warehouse.local_pool import local_pool  # noqa: PLC0415 - slow, as the client is

    return _open_http(
        where,
        f"it is served at {served} by process {served.process}; end that one",
        host=served.host or "localhost",
        port=served.port or 80,
        username="default",
        password=tokens.write,
        compress=False,
        pool_mgr=local_pool(served.socket),
    )


def _open_http(where: WarehouseUrl, way_out: str, **how: Any) -> Client:
    import clickhouse_connect  # noqa: PLC0415 - slow, and only who opens a warehouse needs it
    from clickhouse_connect.driver.exceptions import Error  # noqa: PLC0415

    # Without a handler Python prints the library's own line about every error that it raises anyway.
    log = logging.getLogger("clickhouse_connect")
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    try:
        return clickhouse_connect.get_client(
            settings=_SETTINGS | (cluster_settings(where.cluster) if where.cluster else {}), **how
        )
    except (Error, OSError) as error:
        raise WarehouseUnavailableError(f"Warehouse {where} does not answer ({_cause(error)}); {way_out}") from error


def _require_cluster(client: Client, where: WarehouseUrl) -> None:
    known = [
        name for (name,) in client.query("SELECT DISTINCT cluster FROM system.clusters ORDER BY cluster").result_rows
    ]
    if where.cluster not in known:
        raise WarehouseError(
            f"Warehouse {where} knows no cluster {where.cluster!r} (but {', '.join(known) or 'none'}); "
            "name one of the server's remote_servers"
        )


def _is_locked(status: Path) -> bool:
    try:
        descriptor = os.open(status, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _cause(error: BaseException) -> str:
    """Return what the operating system said, where it is behind the error: the libraries between say it at length."""
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, OSError) and behind.strerror:
            return behind.strerror
        behind = behind.__cause__ or behind.__context__
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
