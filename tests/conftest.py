"""Fixtures that everybody shares: a real broker, a real registry, a real warehouse.

A server that cannot be had here skips the tests that ask for it, with the reason; where CI is set they fail with it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
import structlog

from servers.clusters import open_engine
from servers.missing import cannot_have
from servers.topics import Topics
from servers.warehouses import ServedWarehouse, Warehouse, fresh
from trailhouse.ring_reader import RingReader
from trailhouse.rings import RingLocks, all_rings, remove_ring
from trailhouse_cli.errors import ServerMissingError
from trailhouse_cli.servers.discovery import find_clickhouse, find_kafka, find_registry
from trailhouse_schemas.errors import SpoolError
from trailhouse_schemas.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trailhouse_cli.servers.clickhouse import ClickHouseServer
    from trailhouse_cli.servers.kafka import KafkaServer
    from trailhouse_cli.servers.registry import RegistryServer

    Server = KafkaServer | RegistryServer | ClickHouseServer


_SETTINGS = pytest.StashKey[Settings]()
#: Servers that live for minutes: half of what it takes to start one is compiling what then hardly runs.
_JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


def pytest_configure(config: pytest.Config) -> None:
    """Take from the developer's settings where servers are, and let no test see any of them by accident."""
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        return  # the workers of pytest-xdist run the tests, and have the environment from here
    config.stash[_SETTINGS] = Settings.read()
    for name in [name for name in os.environ if name.startswith("TRAILHOUSE_")]:
        del os.environ[name]
    os.environ["TRAILHOUSE_CONFIG"] = os.devnull
    os.environ.setdefault("JDK_JAVA_OPTIONS", _JAVA_OPTIONS)
    os.environ.pop("COLUMNS", None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return one worker more than there are processors: tests wait for servers for a good part of their time."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the long ones first, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(autouse=True)
def _logs_as_they_come() -> Iterator[None]:
    """Undo what a command that ran in this process has set up: its stream may be closed by now."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session", autouse=True)
def _no_rings_are_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Remove the buffers of processes that tests have killed and nobody took up: they are in memory, and stay there."""
    yield
    for path in all_rings():
        with contextlib.suppress(SpoolError):
            if Path(RingReader.open(path).owner["spool"]).is_relative_to(tmp_path_factory.getbasetemp()):
                remove_ring(path, RingLocks(path))


@pytest.fixture(scope="session")
def settings(pytestconfig: pytest.Config) -> Settings:
    """The settings that the tests were started with: where servers are."""
    return pytestconfig.stash[_SETTINGS]


@pytest.fixture(scope="session")
def _servers() -> Iterator[list[Server]]:
    """The servers that this session has; at its end none is left."""
    servers: list[Server] = []
    yield servers
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def kafka(_servers: list[Server], settings: Settings) -> KafkaServer:
    """A real broker: `.bootstrap_servers`; one of our own has `.stop()`, `.kill()`, `.start()` on the same data."""
    try:
        server = find_kafka(settings)
    except ServerMissingError as error:
        cannot_have(error)
    _servers.append(server)
    return server


@pytest.fixture(scope="session")
def registry(_servers: list[Server], settings: Settings) -> RegistryServer:
    """A real schema registry: `.url` of Confluent's API; `.stop()`, `.kill()`, `.start()`, after which it is empty."""
    try:
        server = find_registry(settings)
    except ServerMissingError as error:
        cannot_have(error)
    _servers.append(server)
    return server


@pytest.fixture(autouse=True)
def _servers_up(_servers: list[Server]) -> Iterator[None]:
    """Start again what a test has stopped, so that the next one finds it."""
    yield
    for server in _servers:
        if not server.running:
            server.start()


@pytest.fixture
def topics(kafka: KafkaServer) -> Iterator[Topics]:
    """Creates topics: `topics.create("name", partitions=3)`, `topics.create_catalogue()`; deletes them at the end."""
    made = Topics(kafka.bootstrap_servers)
    yield made
    if kafka.running:
        made.close()


@pytest.fixture
def topic(topics: Topics) -> str:
    """Name of a fresh topic with one partition."""
    return topics.create()


@pytest.fixture(scope="session")
def chdb_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The one directory that the engine of this process has open, which knows the clusters of servers/clusters.xml."""
    directory = tmp_path_factory.mktemp("warehouse")
    engine = open_engine(directory)  # the first to open it decides what it knows, as long as it is open
    yield directory
    engine.close()


@pytest.fixture(scope="session")
def clickhouse(_servers: list[Server], settings: Settings) -> ClickHouseServer:
    """A server with `.url(database)`: a real one where it can be had, else the embedded engine, served."""
    try:
        server = find_clickhouse(settings, None)
    except ServerMissingError:
        server = ServedWarehouse()
    _servers.append(server)
    return server


@pytest.fixture
def warehouse(chdb_directory: Path) -> Iterator[Warehouse]:
    """A fresh, migrated database in this process: `.url`, `.client`, `.database`, `.count(table)`."""
    with fresh(chdb_directory) as made:
        yield made


@pytest.fixture
def server_warehouse(clickhouse: ClickHouseServer, settings: Settings) -> Iterator[Warehouse]:
    """The same on a server, which other processes can open too."""
    with fresh(clickhouse, settings.warehouse_password.get_secret_value()) as made:
        yield made


@pytest.fixture(params=["embedded", "server"])
def any_warehouse(request: pytest.FixtureRequest) -> Warehouse:
    """Either of them: what holds for one holds for the other."""
    name = {"embedded": "warehouse", "server": "server_warehouse"}[request.param]
    return cast("Warehouse", request.getfixturevalue(name))
