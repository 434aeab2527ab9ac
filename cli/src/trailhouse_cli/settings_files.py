"""What the files of settings say: which of them sets what, and which of their keys mean nothing.

The keys of a file are the settings that all parts share and those of the producer; the table `collect` has those of the
collector.
"""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from trailhouse_schemas.settings import config_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

__all__ = ["sources_of", "unknown_keys"]

_TABLE: Final = "collect"


def sources_of() -> dict[str, str]:
    """Return the file that sets each setting, by the variable that would; raises `SettingsError`."""
    return {"_".join(filter(None, ("TRAILHOUSE", table, key))).upper(): str(file) for file, table, key in _keys()}


def unknown_keys(known: Mapping[str, Collection[str]]) -> list[str]:
    """Return a line for each key that no setting has: its file, and the nearest one that is known.

    Args:
        known: The keys by table: that of the file itself is `""`.

    Raises:
        SettingsError: a file is not there.
    """
    names = {_written(table, key): (table, key) for table, keys in known.items() for key in keys}
    lines = []
    for file, table, key in _keys():
        if key in known.get(table, ()):
            continue
        close = get_close_matches(_written(table, key), names, n=1) or [n for n, k in names.items() if k[1] == key]
        meant = f"; did you mean {close[0]!r}?" if close else "; take it out"
        lines.append(f"{file}: key {_written(table, key)!r} is no setting{meant}")
    return lines


def _written(table: str, key: str) -> str:
    return f"{table}.{key}" if table else key


def _keys() -> Iterator[tuple[Path, str, str]]:
    for file in config_files():
        if file.is_file():
            found: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))
            for name, value in found.items():
                if name == _TABLE and isinstance(value, dict):
                    yield from ((file, name, key) for key in value)
                else:
                    yield file, "", name
