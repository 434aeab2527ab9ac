"""Dead letters replayed: each lands once, whoever replays, however often, wherever it stops; what fails stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from collected import NOW, dead_reasons, identities, metrics, new_producer_id, record, spooled
from trailhouse_analytics.loss import verify
from trailhouse_consumer import letters as letters_module
from trailhouse_consumer import replay as replay_module
from trailhouse_consumer.landing import Landing, Stage
from trailhouse_consumer.letters import Choice, chosen_letters, drop_letters, whole_letters
from trailhouse_consumer.replay import Replay
from trailhouse_consumer.service import collect
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_consumer.warehouse import Warehouse as Asked
from trailhouse_schemas.errors import UnknownSchemaError, WarehouseUnavailableError
from trailhouse_schemas.settings import Settings
from trailhouse_schemas.versions import latest
from trailhouse_schemas.wire import encode, with_registry_header

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers.warehouses import Warehouse
    from trailhouse_consumer.replay import Replayed

TOPIC = "trailhouse.metrics_logged"


class Known:
    """A registry that knows one schema."""

    def schema_of(self, registry_id: int) -> Any:
        """Return it, as 7."""
        if registry_id != 7:
            raise UnknownSchemaError(f"Schema id {registry_id} is not known")
        return latest("metrics_logged").schema


def collected(warehouse: Warehouse, home: Path, values: list[bytes], producer_id: str) -> None:
    """Collect these metrics of one producer, from a spool and without a registry."""
    spooled(home / "spool", [("metrics_logged", value) for value in values], producer_id)
    collect(
        Settings.read(home=str(home), kafka="", warehouse=warehouse.url),
        CollectorSettings.read(flush_seconds=0, idle_seconds=0.1),
        until_idle=True,
    )


def with_every_second_of_the_registry(producer_id: str, count: int) -> list[bytes]:
    """Return values of which every second one needs the registry."""
    values = [metrics(producer_id, sequence) for sequence in range(count)]
    return [with_registry_header(value, 7) if place % 2 else value for place, value in enumerate(values)]


def replayed(
    warehouse: Warehouse,
    chosen: Any = None,
    *,
    by: str = "somebody",
    registry: Any = None,
    on_stage: Callable[..., None] | None = None,
) -> Replayed:
    """Replay the open letters, or these."""
    asked = Asked(warehouse.client)
    chosen = chosen_letters(asked, Choice()) if chosen is None else chosen
    return Replay(asked, Landing(asked, on_stage), registry or Known(), by=by).run(chosen)


def standings(warehouse: Warehouse) -> dict[int, str]:
    """Return the standing of each letter by its offset."""
    return dict(warehouse.client.query("SELECT _offset, standing FROM dead_letters_standing ORDER BY 1").result_rows)


def test_what_can_be_decoded_by_now_lands_once_and_only_once(any_warehouse: Warehouse, tmp_path: Path) -> None:
    """Replayed, replayed again, and replayed by one who has not heard of it."""
    producer_id = new_producer_id()
    collected(any_warehouse, tmp_path, with_every_second_of_the_registry(producer_id, 20), producer_id)
    assert set(dead_reasons(any_warehouse.client).values()) == {"unknown_schema"}
    chosen = chosen_letters(Asked(any_warehouse.client), Choice())
    done = replayed(any_warehouse)
    assert (done.landed, done.there_already, done.failed.total()) == (10, 0, 0)
    assert len(chosen_letters(Asked(any_warehouse.client), Choice())) == 0
    done = replayed(any_warehouse, chosen)
    assert (done.landed, done.there_already) == (0, 10)
    assert identities(any_warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(20)]
    places = any_warehouse.client.query(
        "SELECT sequence, _topic_id, _partition, _offset FROM metrics_logged WHERE ordinal = 0 AND sequence = 3"
    )
    assert places.result_rows == [(3, f"spool:{producer_id}", -1, 3)]
    accounting = verify(any_warehouse.client)
    (account,) = accounting.accounts
    assert (account.landed, account.dead_letters, account.lost, account.doubled) == (20, 0, 0, 0)
    assert set(standings(any_warehouse).values()) == {"replayed"}


class StoppedError(Exception):
    """Here somebody pulled the plug."""


@pytest.mark.parametrize("stage", list(Stage))
def test_a_replay_that_stops_anywhere_is_finished_by_the_next(
    any_warehouse: Warehouse, tmp_path: Path, stage: Stage
) -> None:
    """After the plan, before the insert, after the insert and before the letters are marked."""
    producer_id = new_producer_id()
    collected(any_warehouse, tmp_path, with_every_second_of_the_registry(producer_id, 20), producer_id)

    def stop(at: Stage, *_: object) -> None:
        if at == stage:
            raise StoppedError

    for _ in range(2):
        with pytest.raises(StoppedError):
            replayed(any_warehouse, on_stage=stop)
        assert set(standings(any_warehouse).values()) == {"open"}
    replayed(any_warehouse, by="the next")
    assert identities(any_warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(20)]
    assert set(standings(any_warehouse).values()) == {"replayed"}


@pytest.mark.parametrize("stage", list(Stage))
def test_two_who_replay_at_once_land_each_once(any_warehouse: Warehouse, tmp_path: Path, stage: Stage) -> None:
    """One stops at a moment, the other replays part of it and then all, and the first goes on."""
    producer_id = new_producer_id()
    collected(any_warehouse, tmp_path, with_every_second_of_the_registry(producer_id, 20), producer_id)
    chosen = chosen_letters(Asked(any_warehouse.client), Choice())
    others: list[Replayed] = []

    def meanwhile(at: Stage, *_: object) -> None:
        if at == stage and not others:
            others.append(replayed(any_warehouse, chosen.slice(2, 5), by="other"))
            others.append(replayed(any_warehouse, chosen, by="other"))

    replayed(any_warehouse, chosen, on_stage=meanwhile)
    assert len(others) == 2
    assert identities(any_warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(20)]
    assert set(standings(any_warehouse).values()) == {"replayed"}


def test_one_who_wakes_up_amid_an_insert_lands_nothing_twice(any_warehouse: Warehouse, tmp_path: Path) -> None:
    """It has asked what is there, and sleeps while another lands all of it."""
    producer_id = new_producer_id()
    collected(any_warehouse, tmp_path, with_every_second_of_the_registry(producer_id, 20), producer_id)
    chosen = chosen_letters(Asked(any_warehouse.client), Choice())
    others: list[Replayed] = []

    class Sleeps(Asked):
        def insert(self, table: str, rows: Any, token: str) -> None:
            if table == "metrics_logged" and not others:
                others.append(replayed(any_warehouse, chosen, by="other"))
            super().insert(table, rows, token)

    asked = Sleeps(any_warehouse.client)
    free = Asked(any_warehouse.client)
    Replay(free, Landing(asked), Known(), by="sleeper").run(chosen)
    assert others
    assert identities(any_warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(20)]


def test_two_who_claim_the_same_plan_at_once_land_the_firsts(
    any_warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second finds that its plan is not there, lands the first's, and then what is left."""
    producer_id = new_producer_id()
    collected(any_warehouse, tmp_path, with_every_second_of_the_registry(producer_id, 20), producer_id)
    chosen = chosen_letters(Asked(any_warehouse.client), Choice())
    settle = letters_module.settle
    claims = 0

    def claimed_before(warehouse: Any, outcome: str, rows: Any, **how: Any) -> None:
        nonlocal claims
        if outcome == "replaying":
            claims += 1
            if claims == 1:
                with pytest.raises(StoppedError):
                    replayed(any_warehouse, chosen.slice(0, 4), by="first", on_stage=_stop)
        settle(warehouse, outcome, rows, **how)

    monkeypatch.setattr(replay_module, "settle", claimed_before)
    replayed(any_warehouse, chosen, by="second")
    assert identities(any_warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(20)]
    plans = any_warehouse.client.query(
        "SELECT batch, any(settled_by), count() FROM dead_letters_settled WHERE outcome = 'replaying' "
        "GROUP BY 1 ORDER BY 1"
    ).result_rows
    assert [plan[1:] for plan in plans] == [("first", 4), ("second", 6)]


def _stop(*_: object) -> None:
    raise StoppedError


def test_a_token_that_was_kept_without_its_plan_is_passed_over(any_warehouse: Warehouse, tmp_path: Path) -> None:
    """A crash at the wrong moment leaves one: the number is nobody's, for ever."""
    producer_id = new_producer_id()
    collected(any_warehouse, tmp_path, with_every_second_of_the_registry(producer_id, 6), producer_id)
    with pytest.raises(StoppedError):
        replayed(any_warehouse, on_stage=_stop)
    any_warehouse.client.command("ALTER TABLE dead_letters_settled DELETE WHERE true", settings={"mutations_sync": 1})
    assert replayed(any_warehouse).landed == 3
    assert identities(any_warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(6)]


def test_an_event_that_came_by_another_way_is_not_landed_again(any_warehouse: Warehouse, tmp_path: Path) -> None:
    """A forwarder sent some twice, and both were dead letters."""
    producer_id = new_producer_id()
    values = [with_registry_header(metrics(producer_id, sequence), 7) for sequence in range(4)]
    collected(any_warehouse, tmp_path / "a", values, producer_id)
    any_warehouse.client.command(
        "INSERT INTO dead_letters SELECT * REPLACE ('again' AS _topic_id) FROM dead_letters WHERE _offset < 3",
        settings={"insert_deduplicate": 0},
    )
    done = replayed(any_warehouse)
    assert (done.landed, done.there_already) == (4, 3)
    assert identities(any_warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(4)]


def test_what_still_fails_stays_with_its_new_reason(any_warehouse: Warehouse, tmp_path: Path) -> None:
    """The schema is known by now, and the time is still absurd; the other is still no record."""
    producer_id = new_producer_id()
    late = NOW.replace(year=NOW.year + 2)
    values = [
        with_registry_header(metrics(producer_id, 0, occurred_at=late), 7),
        b"junk",
        with_registry_header(metrics(producer_id, 2), 7),
    ]
    collected(any_warehouse, tmp_path, values, producer_id)
    done = replayed(any_warehouse)
    assert (done.landed, dict(done.failed)) == (1, {"invalid_time": 1, "no_header": 1})
    chosen = chosen_letters(Asked(any_warehouse.client), Choice())
    assert dict(zip(chosen.column("offset").to_pylist(), chosen.column("reason").to_pylist(), strict=True)) == {
        0: "invalid_time",
        1: "no_header",
    }
    said = any_warehouse.count("dead_letters_settled")
    replayed(any_warehouse)
    assert any_warehouse.count("dead_letters_settled") == said


def test_a_record_that_the_warehouse_refuses_stays_and_the_others_land(
    any_warehouse: Warehouse, tmp_path: Path
) -> None:
    """The plan is given up and tried by halves."""
    any_warehouse.client.command("ALTER TABLE metrics_logged ADD CONSTRAINT low CHECK value < 100")
    producer_id = new_producer_id()
    point = {"name": "m", "step": 1, "value": 1000.0, "logged_at": NOW}
    high = encode(latest("metrics_logged"), record("metrics_logged", producer_id, 4, points=[point]))
    values = [with_registry_header(high if i == 4 else metrics(producer_id, i), 7) for i in range(11)]
    collected(any_warehouse, tmp_path, values, producer_id)
    try:
        done = replayed(any_warehouse)
        assert (done.landed, dict(done.failed)) == (10, {"rejected": 1})
        assert identities(any_warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(11) if i != 4]
        assert replayed(any_warehouse).failed == {"rejected": 1}
    finally:
        any_warehouse.client.command("ALTER TABLE metrics_logged DROP CONSTRAINT low")
    assert replayed(any_warehouse).landed == 1
    assert identities(any_warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(11)]


def test_more_letters_than_a_plan_holds_are_landed_in_several(
    any_warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven a plan, and by bytes."""
    monkeypatch.setattr(replay_module, "_PLAN_LETTERS", 7)
    producer_id = new_producer_id()
    collected(any_warehouse, tmp_path, with_every_second_of_the_registry(producer_id, 40), producer_id)
    assert replayed(any_warehouse).landed == 20
    monkeypatch.setattr(replay_module, "_PLAN_BYTES", 500)
    assert identities(any_warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(40)]
    (plans,) = any_warehouse.client.query(
        "SELECT uniqExact(batch) FROM dead_letters_settled WHERE batch != ''"
    ).first_row
    assert plans == 3


def test_what_was_replayed_is_not_landed_again_when_its_range_is(any_warehouse: Warehouse, tmp_path: Path) -> None:
    """The same spool collected once more by one who can decode it: the table has those places."""
    producer_id = new_producer_id()
    values = with_every_second_of_the_registry(producer_id, 10)
    collected(any_warehouse, tmp_path / "a", values, producer_id)
    replayed(any_warehouse)
    collected(any_warehouse, tmp_path / "b", [metrics(producer_id, i) for i in range(10)], producer_id)
    assert identities(any_warehouse.client, "metrics_logged") == [(producer_id, i) for i in range(10)]


def test_what_was_dropped_is_not_replayed_and_stays_in_the_accounts(any_warehouse: Warehouse, tmp_path: Path) -> None:
    """No hole: `verify` names it, with who dropped it and why."""
    producer_id = new_producer_id()
    collected(any_warehouse, tmp_path, with_every_second_of_the_registry(producer_id, 8), producer_id)
    asked = Asked(any_warehouse.client)
    chosen = chosen_letters(asked, Choice())
    assert drop_letters(asked, chosen.slice(0, 2), by="ada", why="a test run") == 2
    assert replayed(any_warehouse).landed == 2
    assert standings(any_warehouse) == {1: "dropped", 3: "dropped", 5: "replayed", 7: "replayed"}
    accounting = verify(any_warehouse.client)
    (account,) = accounting.accounts
    assert (account.landed, account.dead_letters, account.lost) == (6, 2, 0)
    dropped = [finding for finding in accounting.findings if finding.kind == "dead letter dropped"]
    assert [(f.first, f.last, f.detail) for f in dropped] == [
        (1, 1, "by ada: a test run"),
        (3, 3, "by ada: a test run"),
    ]


def test_letters_are_read_as_they_came(any_warehouse: Warehouse, tmp_path: Path) -> None:
    """Any bytes, null and empty."""
    producer_id = new_producer_id()
    collected(any_warehouse, tmp_path, [bytes(range(256)), b"", b"\xff\xfe"], producer_id)
    found = whole_letters(Asked(any_warehouse.client), f"spool:{producer_id}", -1, [0, 1, 2])
    assert [letter.value for letter in found] == [bytes(range(256)), b"", b"\xff\xfe"]
    assert [letter.sequence for letter in found] == [0, 1, 2]


def test_a_warehouse_that_goes_away_is_said(any_warehouse: Warehouse, tmp_path: Path) -> None:
    """Nothing is half done that the next replay does not finish."""
    producer_id = new_producer_id()
    collected(any_warehouse, tmp_path, with_every_second_of_the_registry(producer_id, 6), producer_id)

    def away(stage: Stage, *_: object) -> None:
        if stage == Stage.INSERTING:
            raise WarehouseUnavailableError("away")

    with pytest.raises(WarehouseUnavailableError):
        replayed(any_warehouse, on_stage=away)
    assert replayed(any_warehouse).landed == 3
