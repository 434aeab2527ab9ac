"""What a warehouse on a cluster of ClickHouse servers has instead: replicated and distributed tables.

A table NAME of the migrations becomes two, on every server of the cluster: `NAME_local`, replicated within a shard,
holds the rows; `NAME` is distributed over the shards, and is what everybody reads and inserts into, so that all SQL
stays the same. Rows of one run are on one shard; facts outside a run lie by their message key.

The renderer knows the forms that our migrations are written in and refuses every other aloud: SQL that it had half
understood would make tables that look right. docs/deploy.md gives the reasons for what it makes.
"""

from __future__ import annotations

import re
from typing import Final

from trailhouse_schemas.catalogue import CATALOGUE
from trailhouse_schemas.errors import WarehouseError
from trailhouse_schemas.warehouse.cluster import LOCAL

__all__ = ["render", "render_ledger"]

#: A replicated table forgets a token after this long, whatever its window: as long as a topic keeps a range, which is
#: how long a collector that was stopped may go on with it.
_WINDOW_SECONDS: Final = 7 * 24 * 3600

#: Tables that are of no event type, with the expression that says which shard a row belongs to. The letters of one
#: partition are together: a plan of replaying is claimed by one insert, which must be one block in one shard.
_SHARDED_BY: Final = {
    "dead_letters": "sipHash64(_topic_id, _partition)",
    "dead_letters_settled": "sipHash64(_topic_id, _partition)",
    "retention_changes": "sipHash64(table_name)",
}
#: Tables that remember no tokens: what is inserted twice is said twice.
_WITHOUT_TOKENS: Final = frozenset({"retention_changes"})

_CREATE_TABLE: Final = re.compile(
    r"CREATE TABLE IF NOT EXISTS (?P<name>\w+) \(\n(?P<columns>.*?)\n\) "
    r"ENGINE = (?P<family>Replacing|Summing|Aggregating|)MergeTree(?:\((?P<arguments>[^()]*)\))?\n(?P<rest>.*)",
    re.DOTALL,
)
_CREATE_VIEW: Final = re.compile(r"CREATE VIEW IF NOT EXISTS (?P<name>\w+) AS\n(?P<query>.*)", re.DOTALL)
_CREATE_SUMMARY: Final = re.compile(
    r"CREATE MATERIALIZED VIEW IF NOT EXISTS (?P<name>\w+) TO (?P<target>\w+) AS\n(?P<query>.*)", re.DOTALL
)
_ALTER: Final = re.compile(r"ALTER TABLE (?P<name>\w+) (?P<action>.*)", re.DOTALL)
_LEDGER: Final = re.compile(
    r"CREATE TABLE IF NOT EXISTS (?P<name>\w+) \(\n(?P<columns>.*?)\n\) "
    r"ENGINE = ReplacingMergeTree ORDER BY (?P<key>\w+) SETTINGS (?P<settings>.*)",
    re.DOTALL,
)
#: Changes of how rows are kept, which concern the tables of the shards alone; and changes of the columns.
_OF_THE_SHARDS: Final = re.compile(
    r"(MODIFY|RESET) SETTING\b|(ADD|DROP|MATERIALIZE) (INDEX|PROJECTION)\b|(MODIFY|REMOVE|MATERIALIZE) TTL\b"
)
_OF_COLUMNS: Final = re.compile(r"(ADD|DROP|MODIFY|COMMENT) COLUMN\b")
_CLAUSE: Final = re.compile(r"(PARTITION BY|ORDER BY|PRIMARY KEY|TTL|SETTINGS) ")
_SOURCE: Final = re.compile(r"\b(FROM|JOIN)\s+(\w+|\()")
_SETTING: Final = re.compile(r"(?P<name>\w+) = (?P<value>\d+)")
_CODEC: Final = re.compile(r" CODEC\((?:[^()]|\([^()]*\))*\)")


def render(statement: str, cluster: str, database: str) -> list[str]:
    """Return the statements that do on a cluster what this statement of a migration does on one server.

    Args:
        statement: As in a migration, without the semicolon.
        cluster: The cluster's name among the servers' `remote_servers`.
        database: The warehouse's database.

    Raises:
        WarehouseError: the statement is of a form that is not known.
    """
    text = _without_comments(statement)
    for form, rendered in (
        (_CREATE_TABLE, _table),
        (_CREATE_SUMMARY, _summary),
        (_CREATE_VIEW, _view),
        (_ALTER, _alter),
    ):
        if match := form.fullmatch(text):
            return rendered(match, cluster, database)
    raise _unknown(text, "the statement")


def render_ledger(statement: str, cluster: str, database: str) -> str:
    """Return the statement that makes the list of applied migrations: one table, with a replica on every server.

    Raises:
        WarehouseError: the statement is of another form.
    """
    match = _LEDGER.fullmatch(statement.strip())
    if match is None:
        raise _unknown(statement.strip(), "the ledger")
    name, columns, key, settings = match.group("name", "columns", "key", "settings")
    place = f"'/clickhouse/tables/{cluster}/all/{database}/{name}', '{{shard}}-{{replica}}'"
    return (
        f"CREATE TABLE IF NOT EXISTS {name} ON CLUSTER {cluster} (\n{columns}\n) "
        f"ENGINE = ReplicatedReplacingMergeTree({place}) ORDER BY {key} SETTINGS {settings}"
    )


def _table(match: re.Match[str], cluster: str, database: str) -> list[str]:
    name, columns, family, arguments = match.group("name", "columns", "family", "arguments")
    local = f"{name}{LOCAL}"
    # No {uuid}: a server that lost its disk finds the others by the table's name.
    place = f"'/clickhouse/tables/{cluster}/{{shard}}/{database}/{local}', '{{replica}}'"
    engine = f"Replicated{family}MergeTree({place}{f', {arguments}' if arguments else ''})"
    clauses = _clauses(match["rest"], tokens=name not in _WITHOUT_TOKENS)
    distributed = f"Distributed({cluster}, {database}, {local}, {_shard(name)})"
    return [
        f"CREATE TABLE IF NOT EXISTS {local} ON CLUSTER {cluster} (\n{columns}\n) ENGINE = {engine}\n{clauses}",
        f"CREATE TABLE IF NOT EXISTS {name} ON CLUSTER {cluster} AS {local}\nENGINE = {distributed}",
    ]


def _summary(match: re.Match[str], cluster: str, _database: str) -> list[str]:
    """Each shard sums up its own rows: the view is fed by inserts into the local table, and writes into the other."""
    name, target, query = match.group("name", "target", "query")
    sources = _SOURCE.findall(query)
    if len(sources) != 1 or not sources[0][1].isidentifier():
        raise _unknown(query, f"the query of the materialized view {name}, which must read one table")
    local = _SOURCE.sub(lambda source: f"{source[0]}{LOCAL}", query)
    return [
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {name} ON CLUSTER {cluster} TO {target}{LOCAL} AS\n{local}",
    ]


def _view(match: re.Match[str], cluster: str, _database: str) -> list[str]:
    return [f"CREATE VIEW IF NOT EXISTS {match['name']} ON CLUSTER {cluster} AS\n{match['query']}"]


def _alter(match: re.Match[str], cluster: str, _database: str) -> list[str]:
    name, action = match.group("name", "action")
    of_the_shards = f"ALTER TABLE {name}{LOCAL} ON CLUSTER {cluster} {action}"
    if _OF_THE_SHARDS.match(action):
        if "SETTING " in action:
            action = action.removeprefix("MODIFY SETTING ")
            of_the_shards = f"ALTER TABLE {name}{LOCAL} ON CLUSTER {cluster} MODIFY SETTING {_settings(action)}"
        return [of_the_shards]
    if not _OF_COLUMNS.match(action) or "," in _outside_brackets(action):
        raise _unknown(action, f"the change of {name}")
    # The shards first: the table over them must not name a column that they lack.
    return [of_the_shards, f"ALTER TABLE {name} ON CLUSTER {cluster} {_CODEC.sub('', action)}"]


def _clauses(rest: str, *, tokens: bool) -> str:
    """Return what follows the engine, with the settings of a replicated table."""
    lines = rest.split("\n")
    for line in lines:
        if not _CLAUSE.match(line):
            raise _unknown(line, "the clause")
    kept = [line for line in lines if not line.startswith("SETTINGS ")]
    (settings,) = [line.removeprefix("SETTINGS ") for line in lines if line not in kept] or [""]
    if not tokens:
        settings = f"non_replicated_deduplication_window = 0, {settings}"
    elif "non_replicated_deduplication_window = " not in settings:
        raise _unknown(
            rest, "a table without non_replicated_deduplication_window, which would double what is repeated,"
        )
    return "\n".join([*kept, f"SETTINGS {_settings(settings)}"])


def _settings(text: str) -> str:
    rendered = []
    for setting in text.split(", "):
        match = _SETTING.fullmatch(setting)
        if match is None:
            raise _unknown(setting, "the setting")
        if match["name"] == "non_replicated_deduplication_window":
            rendered.append(f"replicated_deduplication_window = {match['value']}")
            rendered.append(f"replicated_deduplication_window_seconds = {_WINDOW_SECONDS}")
        else:
            rendered.append(setting)
        if setting == "fsync_after_insert = 1":
            # A replica that counts towards the quorum has the rows on its disk too.
            rendered.append("min_compressed_bytes_to_fsync_after_fetch = 1")
    return ", ".join(rendered)


def _shard(name: str) -> str:
    """Return the expression that says which shard a row of the table belongs to."""
    if name in _SHARDED_BY:
        return _SHARDED_BY[name]
    event_type = CATALOGUE.get(name)
    if event_type is None:
        raise WarehouseError(
            f"Table {name} is not known to the cluster's renderer; say in warehouse/cluster_tables.py which shard "
            "its rows belong to"
        )
    key = "producer_id" if event_type.key == "run_id" else event_type.key
    return f"sipHash64(if(run_id = '', {key}, run_id))"


def _without_comments(statement: str) -> str:
    """Return the statement without the lines of comment before it."""
    lines = statement.strip().split("\n")
    while lines and (not lines[0].strip() or lines[0].startswith("--")):
        del lines[0]
    return "\n".join(lines)


def _outside_brackets(text: str) -> str:
    depth, kept = 0, []
    for character in text:
        depth += (character == "(") - (character == ")")
        if not depth:
            kept.append(character)
    return "".join(kept)


def _unknown(text: str, what: str) -> WarehouseError:
    return WarehouseError(
        f"On a cluster {what} is of no known form: {' '.join(text.split())[:120]!r}; "
        "write it as other migrations do, or teach warehouse/cluster_tables.py"
    )
