"""Whose team an allocation counts for, as of each moment.

The attribute `team` of the run, else of the project, else of the principal. It holds from its `valid_from` on (when
it was published, where that is not said) until the next one; `set` and `add` name the team, `remove` takes it away.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from trailhouse_analytics.accounting.moments import LAST
from trailhouse_analytics.accounting.timelines import Timeline
from trailhouse_analytics.queries import ask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clickhouse_connect.driver.client import Client

__all__ = ["Teams", "read_teams"]

_Steps = list[tuple[int, str]]


class Teams:
    """The teams of all entities over time; `names[i]` is the team that a timeline's value i stands for."""

    def __init__(self, changes: Sequence[dict[str, Any]]) -> None:
        """Take the changes in the order in which they hold: kind, entity, operation, value (JSON), valid_from_us."""
        self.names: list[str] = [""]
        self._code = {"": 0}
        self._steps: defaultdict[tuple[str, str], _Steps] = defaultdict(list)
        for change in changes:
            steps = self._steps[change["kind"], change["entity"]]
            held = steps[-1][1] if steps else ""
            named = _text(change["value"])
            if change["operation"] == "remove":
                named = held if named not in {"", held} else ""
            steps.append((change["valid_from_us"], named))

    def key(self, run: str, project: str, principal: str) -> tuple[str, str, str]:
        """Return what the timeline depends on: the names, less those that nobody said a team of."""
        return (
            run if ("run", run) in self._steps else "",
            project if ("project", project) in self._steps else "",
            principal if ("principal", principal) in self._steps else "",
        )

    def ever(self) -> list[str]:
        """Return every team that anything was ever said to be of."""
        return sorted({team for steps in self._steps.values() for _, team in steps if team})

    def timeline(self, key: tuple[str, str, str]) -> Timeline:
        """Return the team (its index in `names`) over time of what has this key."""
        entities = list(zip(("run", "project", "principal"), key, strict=True))
        merged = sorted(
            (moment, rank, order, team)
            for rank, entity in enumerate(entities)
            for order, (moment, team) in enumerate(self._steps.get(entity, ()))
        )
        held = ["", "", ""]
        found = []
        for moment, rank, _, team in merged:
            held[rank] = team
            found.append((moment, self._number(next(filter(None, held), ""))))
        return Timeline.of(found, 0)

    def _number(self, name: str) -> int:
        if name not in self._code:
            self._code[name] = len(self.names)
            self.names.append(name)
        return self._code[name]


def read_teams(client: Client, *, as_of_us: int = LAST) -> Teams:
    """Read what was said of teams, as it was believed at that moment."""
    return Teams(ask(client, "cost_teams", as_of_us=as_of_us).to_pylist())


def _text(value: str) -> str:
    """Return the name in a JSON value; text that is no JSON is a name as it is."""
    try:
        found = json.loads(value) if value else ""
    except ValueError:
        return value
    return found if isinstance(found, str) else value
