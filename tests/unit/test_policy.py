"""Permissions: cases worked by hand against the rules of trailhouse_schemas.policy."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from trailhouse_schemas.patterns import matches
from trailhouse_schemas.policy import PermissionChange, Policy, Principal

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_sequences = itertools.count()


def grant(
    grantee: str, actions: str, resource: str, *, grant_id: str = "", hours: float = 0, **fields: Any
) -> PermissionChange:
    """A grant of comma-separated actions, published so many hours after the start."""
    sequence = next(_sequences)
    values: dict[str, Any] = {
        "grant_id": grant_id or f"g{sequence}",
        "change": "granted",
        "effect": "allow",
        "grantee_kind": "user",
        "grantee": grantee,
        "actions": tuple(actions.split(",")),
        "resource": resource,
        "expires_at": None,
        "published_at": START + timedelta(hours=hours),
        "producer_id": "control",
        "sequence": sequence,
    }
    return PermissionChange(**(values | fields))


def deny(grantee: str, actions: str, resource: str, **fields: Any) -> PermissionChange:
    """A grant that denies."""
    return grant(grantee, actions, resource, effect="deny", **fields)


def revoke(change: PermissionChange, *, hours: float = 1) -> PermissionChange:
    """The revocation of a grant."""
    at = START + timedelta(hours=hours)
    return replace(change, change="revoked", published_at=at, sequence=next(_sequences))


def may(changes: list[PermissionChange], principal: str, action: str, resource: str, at: datetime = START) -> bool:
    """Whether the policy of these changes allows it."""
    return bool(Policy.of(changes, at).decide(principal, action, resource))


def test_an_empty_policy_allows_nothing() -> None:
    """What no grant allows is denied."""
    decision = Policy.of([], START).decide("alice", "read", "dataset:emea/sales")
    assert not decision
    assert decision.effect == "deny"
    assert decision.grant_ids == []
    assert "no grant allows alice" in decision.reason


def test_a_grant_allows_what_it_names_and_nothing_else() -> None:
    """Another principal, action or resource is not allowed by it."""
    changes = [grant("alice", "read,train", "dataset:emea/sales")]
    assert may(changes, "alice", "read", "dataset:emea/sales")
    assert may(changes, "alice", "train", "dataset:emea/sales")
    assert not may(changes, "alice", "write", "dataset:emea/sales")
    assert not may(changes, "bob", "read", "dataset:emea/sales")
    assert not may(changes, "alice", "read", "dataset:emea/sales2")
    assert not may(changes, "Alice", "read", "dataset:emea/sales")
    assert not may(changes, "service:alice", "read", "dataset:emea/sales")


def test_a_decision_names_the_grants_that_determined_it() -> None:
    """Memberships on the way are among them."""
    member = grant("alice", "member", "group:analysts", grant_id="m")
    read = grant("analysts", "read", "dataset:*", grant_id="r", grantee_kind="group")
    decision = Policy.of([member, read], START).decide("alice", "read", "dataset:x")
    assert decision.grant_ids == ["m", "r"]
    assert decision.reason == "Allowed by grant r through group:analysts"


@pytest.mark.parametrize("first", [True, False])
def test_a_deny_outweighs_every_allow_whatever_the_order(first: bool) -> None:
    """An allow published later does not lift a deny."""
    allow = grant("alice", "*", "*", grant_id="a")
    no = deny("alice", "read", "dataset:pii/*", grant_id="d")
    changes = [no, allow] if first else [allow, no]
    decision = Policy.of(changes, START).decide("alice", "read", "dataset:pii/names")
    assert not decision
    assert decision.grant_ids == ["d"]
    assert may(changes, "alice", "read", "dataset:public/x")


def test_groups_are_in_groups() -> None:
    """A grant to the outer group reaches the members of the inner one, not the other way round."""
    changes = [
        grant("alice", "member", "group:inner"),
        grant("inner", "member", "group:outer", grantee_kind="group"),
        grant("outer", "read", "dataset:x", grantee_kind="group"),
        grant("bob", "member", "group:outer"),
        grant("inner", "write", "dataset:x", grantee_kind="group"),
    ]
    assert may(changes, "alice", "read", "dataset:x")
    assert may(changes, "bob", "read", "dataset:x")
    assert may(changes, "alice", "write", "dataset:x")
    assert not may(changes, "bob", "write", "dataset:x")


def test_groups_in_a_circle_are_harmless() -> None:
    """Each of them has what all of them have; nobody outside does."""
    changes = [
        grant("a", "member", "group:b", grantee_kind="group"),
        grant("b", "member", "group:c", grantee_kind="group"),
        grant("c", "member", "group:a", grantee_kind="group"),
        grant("a", "member", "group:a", grantee_kind="group"),
        grant("alice", "member", "group:b"),
        grant("a", "read", "dataset:x", grantee_kind="group"),
    ]
    assert may(changes, "alice", "read", "dataset:x")
    assert not may(changes, "bob", "read", "dataset:x")


def test_two_thousand_groups_in_a_chain_are_no_trouble() -> None:
    """No recursion runs out of stack."""
    changes = [grant("alice", "member", "group:g0")]
    changes += [grant(f"g{i}", "member", f"group:g{i + 1}", grantee_kind="group") for i in range(2_000)]
    changes += [grant("g2000", "read", "dataset:x", grantee_kind="group")]
    assert may(changes, "alice", "read", "dataset:x")


def test_a_grant_ends_at_the_very_microsecond_of_its_expiry() -> None:
    """At `expires_at` itself it is no longer allowed; a microsecond before it is."""
    end = START + timedelta(hours=1)
    changes = [grant("alice", "read", "dataset:x", expires_at=end)]
    assert may(changes, "alice", "read", "dataset:x", end - MICROSECOND)
    assert not may(changes, "alice", "read", "dataset:x", end)
    assert not may(changes, "alice", "read", "dataset:x", end + MICROSECOND)


def test_a_deny_ends_at_its_expiry_too() -> None:
    """From then on the allow beside it counts."""
    end = START + timedelta(hours=1)
    changes = [grant("alice", "read", "*"), deny("alice", "read", "dataset:x", expires_at=end)]
    assert not may(changes, "alice", "read", "dataset:x", end - MICROSECOND)
    assert may(changes, "alice", "read", "dataset:x", end)


def test_a_membership_expires_like_any_grant() -> None:
    """With it goes what the group has."""
    end = START + timedelta(hours=1)
    changes = [
        grant("alice", "member", "group:a", expires_at=end),
        grant("a", "read", "dataset:x", grantee_kind="group"),
    ]
    assert may(changes, "alice", "read", "dataset:x", end - MICROSECOND)
    assert not may(changes, "alice", "read", "dataset:x", end)


def test_a_revoked_grant_is_over_and_a_new_one_is_a_new_one() -> None:
    """Revoke, then grant again: allowed, by the new grant."""
    old = grant("alice", "read", "dataset:x", grant_id="old")
    changes = [old, revoke(old)]
    assert not may(changes, "alice", "read", "dataset:x")
    changes.append(grant("alice", "read", "dataset:x", grant_id="new", hours=2))
    assert Policy.of(changes, START).decide("alice", "read", "dataset:x").grant_ids == ["new"]


def test_a_revocation_takes_back_the_grant_that_it_names_alone() -> None:
    """An equal grant with another id stays."""
    first, second = grant("alice", "read", "dataset:x"), grant("alice", "read", "dataset:x")
    assert may([first, second, revoke(first)], "alice", "read", "dataset:x")
    assert not may([first, second, revoke(first), revoke(second)], "alice", "read", "dataset:x")


def test_a_revoked_membership_takes_with_it_what_the_group_has() -> None:
    """The group's own grants stay for its other members."""
    member = grant("alice", "member", "group:a")
    changes = [member, grant("bob", "member", "group:a"), grant("a", "read", "dataset:x", grantee_kind="group")]
    changes.append(revoke(member))
    assert not may(changes, "alice", "read", "dataset:x")
    assert may(changes, "bob", "read", "dataset:x")


def test_the_same_event_published_twice_does_not_revive_a_revoked_grant() -> None:
    """A resent copy behind the revocation is the old statement, not a new one."""
    given = grant("alice", "read", "dataset:x")
    assert not may([given, revoke(given), given], "alice", "read", "dataset:x")


def test_a_restated_grant_is_what_it_was_restated_to() -> None:
    """The latest published statement about a grant id holds."""
    changes = [
        grant("alice", "read", "dataset:x", grant_id="g"),
        grant("alice", "read", "dataset:y", grant_id="g", hours=1),
    ]
    assert not may(changes, "alice", "read", "dataset:x")
    assert may(changes, "alice", "read", "dataset:y")
    assert Policy.of(changes, START).grants[0].granted_at == START


def test_a_revocation_of_an_unknown_grant_changes_nothing() -> None:
    """It is neither an error nor a doubt."""
    given = grant("alice", "read", "dataset:x")
    stranger = revoke(grant("bob", "read", "dataset:x"))
    assert may([given, stranger], "alice", "read", "dataset:x")


def test_a_deny_of_member_keeps_out_of_the_allows_of_a_group() -> None:
    """Whether it names the member or a group that the member is in, and also by a detour."""
    changes = [
        grant("alice", "member", "group:inner"),
        grant("inner", "member", "group:outer", grantee_kind="group"),
        grant("alice", "member", "group:outer"),
        grant("bob", "member", "group:outer"),
        grant("outer", "read", "dataset:x", grantee_kind="group"),
    ]
    assert may(changes, "alice", "read", "dataset:x")
    changes.append(deny("inner", "member", "group:outer", grantee_kind="group"))
    assert not may(changes, "alice", "read", "dataset:x")
    assert not may(changes, "alice", "member", "group:outer")
    assert may(changes, "bob", "read", "dataset:x")


def test_a_deny_of_member_does_not_take_out_of_the_denies_of_a_group() -> None:
    """Else a deny would allow something."""
    changes = [
        grant("alice", "read", "dataset:x"),
        grant("alice", "member", "group:suspended"),
        deny("suspended", "*", "*", grantee_kind="group"),
        deny("alice", "member", "group:suspended"),
    ]
    assert not may(changes, "alice", "read", "dataset:x")


def test_no_wildcard_makes_a_member() -> None:
    """Who may do everything is not thereby in every group, whose denies would then hit them."""
    changes = [
        grant("root", "*", "*"),
        grant("root", "member", "group:*"),
        deny("interns", "read", "dataset:x", grantee_kind="group"),
    ]
    assert may(changes, "root", "read", "dataset:x")
    assert not may(changes, "root", "member", "group:interns")


def test_a_service_and_a_user_of_one_name_are_two() -> None:
    """And a service may be named with its kind, without it, or both."""
    for change in (
        grant("etl", "read", "dataset:x", grantee_kind="service"),
        grant("service:etl", "read", "dataset:x", grantee_kind="service"),
        grant("service:etl", "read", "dataset:x"),
    ):
        assert may([change], "service:etl", "read", "dataset:x")
        assert not may([change], "etl", "read", "dataset:x")
    assert may([grant("user:alice", "read", "dataset:x")], "alice", "read", "dataset:x")
    assert may([grant("alice", "read", "dataset:x")], "user:alice", "read", "dataset:x")


@pytest.mark.parametrize(
    ("principal", "action", "resource", "reason"),
    [
        ("", "read", "dataset:x", "must be named"),
        ("user:", "read", "dataset:x", "must be named"),
        ("alice", "", "dataset:x", "must be named"),
        ("alice", "read", "", "must be named"),
        ("group:staff", "read", "dataset:x", "is a group"),
        ("alice", "*", "dataset:x", "is a pattern"),
        ("alice", "read", "dataset:*", "is a pattern"),
        ("*", "read", "dataset:x", "is a pattern"),
        ("alice", "read", "dataset:emea/../pii/x", "'..'"),
    ],
)
def test_a_question_that_is_none_is_denied(principal: str, action: str, resource: str, reason: str) -> None:
    """Even where all is allowed to all."""
    changes = [grant(name, "*", "*") for name in ("alice", "*", "")] + [grant("staff", "*", "*", grantee_kind="group")]
    decision = Policy.of(changes[:2] + changes[3:], START).decide(principal, action, resource)
    assert not decision
    assert reason in decision.reason


@pytest.mark.parametrize(
    "fields",
    [
        {"change": "suspended"},
        {"effect": "perhaps"},
        {"grantee_kind": "robot"},
        {"grantee": ""},
        {"grantee": "service:etl", "grantee_kind": "group"},
        {"actions": ()},
        {"actions": ("",)},
        {"resource": ""},
        {"grant_id": ""},
    ],
)
def test_a_statement_that_is_not_understood_denies_all_until_it_is_revoked(fields: dict[str, Any]) -> None:
    """It could be a deny of anything."""
    good = grant("alice", "read", "dataset:x")
    odd = replace(grant("bob", "read", "dataset:x", grant_id="odd"), **fields)
    decision = Policy.of([good, odd], START).decide("alice", "read", "dataset:x")
    assert not decision
    assert repr(odd.grant_id) in decision.reason
    if odd.grant_id:
        assert may([good, odd, revoke(odd)], "alice", "read", "dataset:x")


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("*", "anything/at all:é\n", True),
        ("**", "a", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*a", "aba", True),
        ("ab*ba", "aba", False),
        ("*a*b*", "xxbxaxx", False),
        ("*a*b*", "xxaxbxx", True),
        ("dataset:emea/*", "dataset:emea/", True),
        ("dataset:emea/*", "dataset:emea/a/b", True),
        ("dataset:emea/*", "dataset:emea", False),
        ("dataset:emea/*", "dataset:EMEA/a", False),
        ("*/sales", "dataset:emea/sales", True),
        ("dataset:*/sales", "dataset:a/b/sales", True),
        ("dataset:*/sales", "dataset:a/sales/x", False),
        ("a.c", "abc", False),
        ("a?c", "abc", False),
        ("[ab]", "a", False),
        ("(a+)+$", "aaaa", False),
        ("a*b*c", "a" + "b" * 50, False),
        ("dataset:*", "dataset:emea/*", True),
        ("dataset:emea/x*", "dataset:emea/*", False),
        ("%", "a", False),
        ("_", "a", False),
    ],
)
def test_a_star_is_any_text_and_nothing_else_is_special(pattern: str, text: str, expected: bool) -> None:
    """No other metacharacter, no regular expression behind it."""
    assert matches(pattern, text) is expected


def test_a_pattern_of_many_stars_is_matched_in_no_time() -> None:
    """Where a regular expression would backtrack for years."""
    begin = time.process_time()
    assert not matches("*a" * 500 + "*b", "a" * 100_000)
    assert time.process_time() - begin < 1.0


def test_the_digest_depends_on_what_holds_and_not_on_how_it_came_about() -> None:
    """Order, words of explanation and what is over do not count; contents do."""
    a, b = grant("alice", "read,train", "dataset:x"), grant("bob", "read", "dataset:y")
    over = grant("eve", "read", "*")
    digest = Policy.of([a, b], START).digest
    assert digest.startswith("sha256:")
    assert Policy.of([b, over, a, revoke(over)], START + timedelta(hours=5)).digest == digest
    assert Policy.of([replace(a, reason="because", actions=("train", "read")), b], START).digest == digest
    assert Policy.of([a], START).digest != digest
    assert Policy.of([replace(a, effect="deny"), b], START).digest != digest


def test_a_policy_knows_its_users_and_services() -> None:
    """Groups are not among them."""
    changes = [grant("b", "read", "x"), grant("etl", "read", "x", grantee_kind="service")]
    changes += [grant("a", "read", "x", grantee_kind="group")]
    assert Policy.of(changes, START).principals() == [Principal("user", "b"), Principal("service", "etl")]
