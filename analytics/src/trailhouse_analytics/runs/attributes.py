"""What people have said of runs since: their tags, as they hold at a moment."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING

from trailhouse_analytics.queries import ask
from trailhouse_analytics.runs.conditions import parameter_value

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from clickhouse_connect.driver.client import Client

__all__ = ["tagged", "tags_of"]


def tagged(client: Client, tags: Sequence[str], now: datetime) -> set[str]:
    """Return the ids of the runs that have all of these tags at a moment."""
    rows = ask(client, "runs_attributes", now=now, run_ids=[]).to_pylist()
    wanted = set(tags)
    return {row["run_id"] for row in rows if row["attribute"] == "tag" and wanted <= set(_words(row["held_values"]))}


def _words(values: Sequence[str]) -> list[str]:
    """Return values of an attribute, of which each is JSON: a word, or a list of words."""
    words: list[str] = []
    for text in values:
        value = parameter_value(text)
        if isinstance(value, str) and value.startswith("["):
            words += [str(parameter_value(part)) for part in _parts(value)]
        elif value is not None:
            words.append(str(value))
    return words


def _parts(text: str) -> list[str]:
    return [json.dumps(part) for part in json.loads(text)]


def tags_of(client: Client, run_ids: Sequence[str], now: datetime) -> defaultdict[str, list[str]]:
    """Return the tags that each of these runs has at a moment, sorted."""
    rows = ask(client, "runs_attributes", now=now, run_ids=list(run_ids)).to_pylist() if run_ids else []
    return defaultdict(
        list, {row["run_id"]: sorted(_words(row["held_values"])) for row in rows if row["attribute"] == "tag"}
    )
