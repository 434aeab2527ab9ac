"""The audit over a real warehouse: a story worked by hand, hour by hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from rows import event, insert_events
from trailhouse_analytics import permissions
from trailhouse_analytics.errors import AnalyticsError
from trailhouse_schemas.events import AccessDecided, ArtifactLogged, DatasetLogged, ModelLogged, PermissionChanged

if TYPE_CHECKING:
    from servers.warehouses import Warehouse

START = datetime(2026, 3, 1, tzinfo=UTC)


def at(hours: float) -> datetime:
    """The moment so many hours after the start."""
    return START + timedelta(hours=hours)


def granted(hours: float, grant_id: str, grantee: str, actions: str, resource: str, **fields: Any) -> PermissionChanged:
    """A grant, published at that hour."""
    return event(
        PermissionChanged,
        occurred_at=at(hours),
        grant_id=grant_id,
        grantee=grantee,
        actions=actions.split(","),
        resource=resource,
        **({"change": "granted"} | fields),
    )


def revoked(hours: float, grant_id: str) -> PermissionChanged:
    """A revocation, published at that hour."""
    return granted(hours, grant_id, "whoever", "x", "y", change="revoked")


def read(hours: float, principal: str, dataset_id: str, **fields: Any) -> DatasetLogged:
    """A run of that principal read a dataset at that hour."""
    values = {"direction": "input", "project": "sales", "run_id": f"run-{hours}"}
    return event(DatasetLogged, occurred_at=at(hours), principal=principal, dataset_id=dataset_id, **(values | fields))


def decided(hours: float, decision: str, subject: str, resource: str, *grant_ids: str, **fields: Any) -> AccessDecided:
    """A decision about reading something at that hour."""
    return event(
        AccessDecided,
        occurred_at=at(hours),
        project="sales",
        subject=subject,
        action="read",
        resource=resource,
        decision=decision,
        grant_ids=list(grant_ids),
        **fields,
    )


@pytest.fixture
def story(warehouse: Warehouse) -> Any:
    """Alice reads through a group until that is revoked, Bob until his grant expires, Eve without any permission."""
    insert_events(
        warehouse.client,
        [
            granted(0, "staff", "alice", "member", "group:staff"),
            granted(0, "emea", "staff", "read,train", "dataset:emea/*", grantee_kind="group"),
            granted(0, "bob-x", "bob", "read", "dataset:emea/x", expires_at=at(10)),
            granted(0, "etl", "etl", "write", "dataset:emea/*", grantee_kind="service"),
            granted(0, "idle", "carol", "read", "dataset:us/*", approved_by="dora", reason="a project that never came"),
            granted(1, "no-pii", "staff", "*", "dataset:emea/pii", grantee_kind="group", effect="deny"),
            revoked(20, "emea"),
            granted(30, "young", "carol", "read", "dataset:eu/*"),
        ],
    )
    insert_events(
        warehouse.client,
        [
            decided(2, "allow", "alice", "dataset:emea/x", "staff", "emea"),
            read(2.1, "alice", "emea/x"),
            decided(3, "deny", "alice", "dataset:emea/pii", "no-pii", reason="Denied by grant no-pii"),
            read(4, "bob", "emea/x"),
            read(5, "service:etl", "emea/y", direction="output"),
            decided(6, "deny", "eve", "dataset:emea/x"),
            read(7, "eve", "emea/x"),
            read(8, "eve", "emea/x"),
            read(12, "bob", "emea/x"),
            read(15, "bob", "emea/x"),
            decided(21, "allow", "alice", "dataset:emea/x", "staff", "emea"),
            read(22.5, "alice", "emea/x"),
            event(ModelLogged, occurred_at=at(23), principal="eve", project="sales", model_id="m1", name="churn"),
            event(ArtifactLogged, occurred_at=at(24), principal="eve", project="spam", name="plot", direction="output"),
        ],
    )
    return warehouse.client


def test_permissions_as_of_a_moment_are_expanded_through_groups(story: Any) -> None:
    """Each with the way that gives it, what denies touch it, and when it ends."""
    ledger = permissions.read_ledger(story)
    rows = permissions.effective_permissions(ledger.as_of(at(5)), "alice").to_rows()
    assert [(row["effect"], row["resource"], row["through"], row["but_denied"]) for row in rows] == [
        ("allow", "group:staff", [], []),
        ("allow", "dataset:emea/*", ["group:staff"], ["* dataset:emea/pii"]),
        ("deny", "dataset:emea/pii", ["group:staff"], []),
    ]
    everybody = permissions.effective_permissions(ledger.as_of(at(5))).to_rows()
    assert {row["principal"] for row in everybody} == {"alice", "bob", "carol", "service:etl"}


def test_the_past_is_as_it_was_decided_then(story: Any) -> None:
    """Before, at and after each change, to the microsecond."""
    ledger = permissions.read_ledger(story)
    microsecond = timedelta(microseconds=1)

    def may(who: str, moment: datetime, resource: str = "dataset:emea/x") -> bool:
        return bool(ledger.as_of(moment).decide(who, "read", resource))

    assert not may("alice", at(0) - microsecond)
    assert may("alice", at(0))
    assert may("alice", at(20) - microsecond)
    assert not may("alice", at(20))
    assert may("bob", at(10) - microsecond)
    assert not may("bob", at(10))
    assert may("alice", at(1) - microsecond, "dataset:emea/pii")
    assert not may("alice", at(1), "dataset:emea/pii")
    assert ledger.as_of(at(5)).moment == at(5)


def test_who_can_names_everybody_with_the_way(story: Any) -> None:
    """Those with no permission, or none any more, are not named."""
    policy = permissions.read_ledger(story).as_of(at(5))
    rows = permissions.who_can(policy, "read", "dataset:emea/x").to_rows()
    assert [(row["principal"], row["through"], row["expires_at"]) for row in rows] == [
        ("alice", ["through group:staff"], None),
        ("bob", ["directly"], at(10)),
    ]
    assert len(permissions.who_can(policy, "read", "dataset:emea/pii")) == 0


def test_use_without_a_permission_is_found_with_what_was_denied_before(story: Any) -> None:
    """Eve never had any."""
    report = permissions.audit(story, until=at(40))
    rows = report.unauthorised.to_rows()
    assert [(r["principal"], r["action"], r["resource"], r["times"], r["denied_before"]) for r in rows] == [
        ("eve", "read", "dataset:emea/x", 2, True),
        ("eve", "write", "model:churn", 1, False),
        ("eve", "write", "artifact:plot", 1, False),
    ]
    assert rows[0]["run_ids"] == ["run-7", "run-8"]


def test_use_after_revocation_or_expiry_is_found_with_how_long_after(story: Any) -> None:
    """Decisions that a stale policy allowed, and what was read; each with what had ended."""
    rows = permissions.audit(story, until=at(40)).after_end.to_rows()
    assert [(r["principal"], r["evidence"], r["how"], r["ended_at"], r["grant_ids"], r["times"]) for r in rows] == [
        ("bob", "logged", "expired", at(10), ["bob-x"], 2),
        ("alice", "asked", "revoked", at(20), ["emea"], 1),
        ("alice", "logged", "revoked", at(20), ["emea"], 1),
    ]
    assert (rows[0]["first_after"], rows[0]["last_after"]) == (timedelta(hours=2), timedelta(hours=5))
    assert rows[2]["last_after"] == timedelta(hours=2.5)


def test_denials_are_listed_with_their_reasons(story: Any) -> None:
    """In order of time."""
    rows = permissions.audit(story, until=at(40)).denials.to_rows()
    assert [(row["principal"], row["resource"], row["reason"]) for row in rows] == [
        ("alice", "dataset:emea/pii", "Denied by grant no-pii"),
        ("eve", "dataset:emea/x", ""),
    ]


def test_activity_counts_what_was_asked_denied_and_done(story: Any) -> None:
    """And how much of it was not permitted."""
    rows = permissions.audit(story, until=at(40), principal="user:alice").activity.to_rows()
    assert [(r["resource"], r["asked"], r["denied"], r["done"], r["not_permitted"], r["runs"]) for r in rows] == [
        ("dataset:emea/x", 2, 0, 2, 2, 2),
        ("dataset:emea/pii", 1, 1, 0, 0, 0),
    ]


def test_a_grant_is_unused_only_if_it_was_there_all_the_time(story: Any) -> None:
    """Not one that was given in between, not one that is over, not one that was on somebody's way, and no deny."""
    until = at(33)
    rows = permissions.audit(story, until=until, unused_days=1).unused.to_rows()
    assert [row["grant_id"] for row in rows] == ["etl", "idle"]
    assert [row["last_used_at"] for row in rows] == [at(5), None]
    assert (rows[1]["approved_by"], rows[1]["reason"]) == ("dora", "a project that never came")
    assert len(permissions.audit(story, until=until, unused_days=2).unused) == 0


def test_filters_look_at_a_part_and_leave_the_policy_whole(story: Any) -> None:
    """Time, project and principal."""
    assert {r["resource"] for r in permissions.audit(story, until=at(40), project="spam").activity.to_rows()} == {
        "artifact:plot"
    }
    early = permissions.audit(story, until=at(9))
    assert len(early.after_end) == 0
    late = permissions.audit(story, since=at(14), until=at(40), principal="bob")
    assert [(r["times"], r["first_after"]) for r in late.after_end.to_rows()] == [(1, timedelta(hours=5))]


def test_an_unknown_project_is_an_error_that_names_it(story: Any) -> None:
    """Not an empty report that looks like a clean one."""
    with pytest.raises(AnalyticsError, match="Project 'nope' is not known"):
        permissions.audit(story, project="nope")


def test_an_empty_warehouse_has_an_empty_audit_that_says_so(warehouse: Warehouse) -> None:
    """Every table is there, with its columns."""
    report = permissions.audit(warehouse.client)
    assert report.findings == 0
    assert report.permissions.to_arrow().column_names[:3] == ["principal", "effect", "actions"]
    assert report.notes == ("no grant was ever given: all that was done was done without a permission",)


def test_odd_statements_are_noted(warehouse: Warehouse) -> None:
    """A revocation of nothing, and a claim that the verified principal does not bear out."""
    client = warehouse.client
    insert_events(client, [granted(0, "a", "alice", "read", "*"), revoked(1, "stranger")])
    insert_events(client, [read(2, "alice", "x")], principal="mallory", principal_source="spool_owner")
    notes = permissions.audit(client, until=at(5)).notes
    assert any("'stranger', never given" in note for note in notes)
    assert any(note.startswith("1 use named a principal other than the one") for note in notes)


def test_denials_of_what_was_permitted_are_noted(warehouse: Warehouse) -> None:
    """They say that the grants could not be known where somebody asked."""
    client = warehouse.client
    insert_events(client, [granted(0, "a", "alice", "read", "*"), decided(1, "deny", "alice", "dataset:x")])
    (note,) = permissions.audit(client, until=at(5)).notes
    assert note.startswith("denied although permitted: 1 use;")


def test_a_word_that_is_not_understood_denies_all_from_then_on_until_it_is_revoked(warehouse: Warehouse) -> None:
    """The warehouse takes words that this version does not know; the policy takes no chances with them."""
    client = warehouse.client
    odd = granted(1, "odd", "bob", "read", "x").model_copy(update={"effect": "perhaps"})
    insert_events(client, [granted(0, "a", "alice", "read", "*"), odd, revoked(2, "odd")])
    insert_events(client, [read(hours, "alice", "x") for hours in (0.5, 1.5, 2.5)])
    ledger = permissions.read_ledger(client)
    allowed = [bool(ledger.as_of(at(hours)).decide("alice", "read", "dataset:x")) for hours in (0.5, 1.5, 2.5)]
    assert allowed == [True, False, True]
    report = permissions.audit(client, until=at(5), as_of=at(1.5))
    assert [(row["how"], row["ended_at"]) for row in report.after_end.to_rows()] == [("unclear", at(1))]
    assert any("grant 'odd'" in note for note in report.notes)


def test_a_million_uses_are_judged_by_their_stretch_of_time(warehouse: Warehouse) -> None:
    """The warehouse counts; what is judged grows with grants and questions, not with events."""
    client = warehouse.client
    insert_events(client, [granted(0, "a", "alice", "read", "dataset:x", expires_at=at(5))])
    client.command(
        "INSERT INTO dataset_logged"
        " (occurred_at, producer_id, sequence, principal, dataset_id, direction, _published_at)"
        " SELECT toDateTime64('2026-03-01', 6, 'UTC') + toIntervalMillisecond(number * 36), 'p', number, 'alice', 'x',"
        " 'input', toDateTime64('2026-03-02', 6, 'UTC') FROM numbers(1000000)"
        " SETTINGS insert_deduplication_token = 'a million'"
    )
    (row,) = permissions.audit(client, until=at(40)).after_end.to_rows()
    assert row["times"] == 500_000
    assert row["first_after"] == timedelta(0)
