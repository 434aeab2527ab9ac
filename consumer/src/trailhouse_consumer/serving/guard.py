"""What no client may run: what reads or writes files, the network or other programs, and what ends the engine.

The engine has no users to whom that could be forbidden, and a function that reads files would read those of whoever
serves, so it is refused by the names in a statement. What is allowed is listed, not what is forbidden: what a later
engine brings is refused until somebody has looked at it. What changes data is the engine's own business (`readonly`).
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Final

from trailhouse_consumer.serving.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from trailhouse_consumer.serving.tokens import Token

__all__ = ["TABLE_FUNCTIONS", "refuse_settings", "refuse_what_leaves_the_engine"]

_TABLE_FUNCTION_NAMES: Final = (
    "dictionary format fuzzjson fuzzquery generaterandom generate_series generateseries loop merge mergetreeindex "
    "mergetreeprojection mergetreetextindex mergetreeanalyzeindexes mergetreeanalyzeindexesuuid null numbers "
    "numbers_mt primes sqlstandardvalues values view viewexplain viewifpermitted zeros zeros_mt"
)
#: Table functions that read nothing but tables of the engine.
TABLE_FUNCTIONS: Final = frozenset(_TABLE_FUNCTION_NAMES.split())
#: Table engines that keep their rows in the engine, beside the MergeTree family.
_ENGINES: Final = frozenset(
    {"alias", "buffer", "generaterandom", "join", "log", "memory", "merge", "null", "set", "stripelog", "tinylog"}
)
_DATABASE_ENGINES: Final = frozenset({"atomic", "memory", "ordinary"})
_FUNCTION_NAMES: Final = (
    "file input disk catboostevaluate airedact aisimilarity aifilter aiclassify aiembed aiextract aigenerate "
    "aitranslate"
)
#: Functions of values that read files, or ask other machines.
_FUNCTIONS: Final = frozenset(_FUNCTION_NAMES.split())
_SETTING_NAMES: Final = (
    "additional_result_filter additional_table_filters cluster_for_parallel_replicas default_view_definer dialect "
    "filter format_avro_schema_registry_url format_schema format_schema_message_name format_schema_source "
    "format_template_resultset format_template_row implicit_select implicit_table_at_top_level "
    "input_format_record_errors_file_path order output_format_schema parallel_replicas_custom_key polyglot_dialect "
    "promql_database promql_table rename_files_after_processing s3_base select sort url_base"
)
#: Settings that name files or addresses, that hold SQL, or by which statements are in another language than read here.
_SETTINGS: Final = frozenset(_SETTING_NAMES.split())
_STATEMENT_NAMES: Final = (
    "SELECT WITH FROM ( SHOW DESCRIBE DESC EXISTS EXPLAIN CHECK INSERT CREATE REPLACE DROP ALTER TRUNCATE RENAME "
    "EXCHANGE OPTIMIZE UNDROP DELETE UPDATE SET USE KILL"
)
#: First words of the statements that clients have a use for; none of them acts on the process or on files.
_STATEMENTS: Final = frozenset(_STATEMENT_NAMES.split())
#: Of the others, those that a server knows.
_ELSEWHERE: Final = frozenset(
    {"ATTACH", "BACKUP", "DETACH", "EXECUTE", "GRANT", "MOVE", "RESTORE", "REVOKE", "SYSTEM", "WATCH"}
)

#: What `back_up` calls a backup until it is moved to where it is wanted, and of how many tokens its statement is.
_BACKUP_NAME: Final = re.compile(rb"'[0-9a-f]{32}'")
_BACKUP_TOKENS: Final = 8


def refuse_what_leaves_the_engine(
    found: Sequence[Token], table_functions: frozenset[str], params: Mapping[str, str], *, read_only: bool
) -> None:
    """Raise `Refused` when a statement names what reads or writes outside of the engine's tables.

    Args:
        found: The statement's tokens.
        table_functions: Names of all table functions of the engine, in lower case.
        params: Values of the statement's parameters.
        read_only: Whether the client may only read; the engine itself lets such a one write backups.
    """
    if not read_only and _is_backup_of_ours(found):
        return
    first = found[0].word or found[0].text.decode("utf-8", "replace")
    if first in _ELSEWHERE:
        raise _denied(f"{first} is not to be had over HTTP")
    if first not in _STATEMENTS:
        raise Refused(
            62, "SYNTAX_ERROR", f"Syntax error: no statement that is taken over HTTP begins with {first[:32]}"
        )
    for before, token in itertools.pairwise(found):
        _refuse_pair(before, token)
        if token.text == b"(" and before.kind in {"word", "quoted"}:
            _refuse_function(before, table_functions)
    refuse_settings(_set_in(found))
    if first in {"CREATE", "REPLACE"}:
        _refuse_engines(found)
    if first in {"DROP", "RENAME", "EXCHANGE"} and found[1].word == "DATABASE":
        named = {token.identifier for token in found} | {value.lower() for value in params.values()}
        if "default" in named:
            raise _denied("Database default is the engine's own, without which it does not work; leave it")


def _is_backup_of_ours(found: Sequence[Token]) -> bool:
    """Return whether it is the statement of `back_up`, which writes below the warehouse's own directory alone."""
    signs = [token.word or token.text.decode("utf-8", "replace") for token in found]
    if len(found) != _BACKUP_TOKENS or signs[:2] + signs[3:6] + signs[7:] != [
        "BACKUP",
        "DATABASE",
        "TO",
        "FILE",
        "(",
        ")",
    ]:
        return False
    return bool(found[2].identifier) and _BACKUP_NAME.fullmatch(found[6].text) is not None


def refuse_settings(names: Iterable[str]) -> None:
    """Raise `Refused` when one of these settings reaches outside of the engine, or around what is refused here."""
    for name in names:
        if name.lower() in _SETTINGS:
            raise _denied(f"Setting {name.lower()} is not to be had over HTTP")


def _set_in(found: Sequence[Token]) -> Iterator[str]:
    """Yield the names of what a statement sets, and of what it may set."""
    setting = found[0].word == "SET"
    for before, token in itertools.pairwise(found):
        setting = setting or before.word == "SETTINGS"
        if setting and (before.text == b"," or before.word in {"SET", "SETTINGS"}):
            yield token.identifier


def _refuse_pair(before: Token, token: Token) -> None:
    match before.word, token.word:
        case "INTO", "OUTFILE":
            raise _denied("INTO OUTFILE writes files of the server; take the answer instead")
        case "FROM", "INFILE":
            raise _denied("FROM INFILE reads files of the server; send the data behind the statement")
        case "CREATE" | "REPLACE", "DICTIONARY" | "FUNCTION" | "NAMED":
            raise _denied(f"CREATE {token.word} is not to be had over HTTP")
        case "PARALLEL", "WITH":
            raise _denied("PARALLEL WITH is not to be had over HTTP; send one statement after another")


def _refuse_function(token: Token, table_functions: frozenset[str]) -> None:
    name = token.identifier
    if token.kind == "quoted" and b"\\" in token.text:
        raise _denied(f"Function {token.text.decode('utf-8', 'replace')} is written with an escape; write it plainly")
    if name in _FUNCTIONS or name in table_functions - TABLE_FUNCTIONS:
        raise _denied(f"Function {name} reads or writes outside of the warehouse, which nobody may over HTTP")


def _refuse_engines(found: Sequence[Token]) -> None:
    of_database = any(token.word == "DATABASE" for token in found[1:4])
    for at, token in enumerate(found[:-1]):
        if token.word != "ENGINE":
            continue
        behind = found[at + 1]
        name = found[at + 2].identifier if behind.text == b"=" and at + 2 < len(found) else behind.identifier
        kept = name in _DATABASE_ENGINES if of_database else name in _ENGINES or name.endswith("mergetree")
        if not kept:
            raise _denied(f"Engine {name} reads or writes outside of the warehouse, which nobody may over HTTP")


def _denied(message: str) -> Refused:
    return Refused(497, "ACCESS_DENIED", message)
