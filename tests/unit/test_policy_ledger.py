"""The ledger: the policy as of any moment, and how a permission ended."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from trailhouse_analytics.permissions import Ending, Ledger
from trailhouse_schemas.policy import PermissionChange, Policy

START = datetime(2026, 3, 1, tzinfo=UTC)
QUESTION = ("alice", "read", "dataset:x")
_sequences = itertools.count()


def at(hours: float) -> datetime:
    """The moment so many hours after the start."""
    return START + timedelta(hours=hours)


def granted(hours: float, grant_id: str, **fields: Any) -> PermissionChange:
    """Alice may read dataset x, unless the fields say otherwise."""
    values: dict[str, Any] = {
        "grant_id": grant_id,
        "change": "granted",
        "effect": "allow",
        "grantee_kind": "user",
        "grantee": "alice",
        "actions": ("read",),
        "resource": "dataset:x",
        "expires_at": None,
        "published_at": at(hours),
        "producer_id": "control",
        "sequence": next(_sequences),
    }
    return PermissionChange(**(values | fields))


def revoked(hours: float, grant_id: str) -> PermissionChange:
    """The revocation of a grant."""
    return granted(hours, grant_id, change="revoked")


def ending(changes: list[PermissionChange], hours: float) -> Ending | None:
    """How the permission had ended by then."""
    return Ledger(changes).ending(*QUESTION, at(hours))


def test_a_permission_ends_by_revocation_expiry_restatement_denial_or_doubt() -> None:
    """Each with the moment and the grants that it was about."""
    cases: list[tuple[list[PermissionChange], str, list[str]]] = [
        ([revoked(2, "g")], "revoked", ["g"]),
        ([granted(2, "g", resource="dataset:y")], "restated", ["g"]),
        ([granted(2, "d", effect="deny", resource="*")], "denied", ["d"]),
        ([granted(2, "odd", effect="perhaps")], "unclear", []),
    ]
    for changes, how, grant_ids in cases:
        assert ending([granted(1, "g"), *changes], 5) == Ending(at(2), how, tuple(grant_ids))
    assert ending([granted(1, "g", expires_at=at(2))], 5) == Ending(at(2), "expired", ("g",))


def test_the_end_of_a_membership_is_the_end_of_what_it_gave() -> None:
    """The membership is the grant that ended."""
    changes = [
        granted(0, "group", grantee="staff", grantee_kind="group"),
        granted(1, "member", actions=("member",), resource="group:staff", expires_at=at(3)),
    ]
    assert ending(changes, 4) == Ending(at(3), "expired", ("member",))


def test_of_two_grants_the_last_to_end_is_the_end() -> None:
    """And of several endings the latest before the moment."""
    changes = [granted(1, "a"), granted(1, "b"), revoked(2, "a"), revoked(3, "b")]
    assert ending(changes, 9) == Ending(at(3), "revoked", ("b",))
    changes += [granted(4, "c"), revoked(5, "c"), granted(8, "d"), revoked(8.5, "d")]
    assert ending(changes, 6) == Ending(at(5), "revoked", ("c",))
    assert ending(changes, 9) == Ending(at(8.5), "revoked", ("d",))


def test_what_was_never_permitted_or_only_later_has_no_ending() -> None:
    """Not even where a deny outweighed the allow from the beginning."""
    assert ending([], 9) is None
    assert ending([granted(5, "g")], 4) is None
    assert ending([granted(0, "d", effect="deny"), granted(1, "g"), revoked(2, "g")], 9) is None


def test_a_broker_whose_clock_went_back_does_not_change_the_order() -> None:
    """A revocation is later than its grant, whatever its time says."""
    ledger = Ledger([granted(5, "g"), revoked(4, "g")])
    assert not ledger.as_of(at(4.5)).grants
    assert not ledger.as_of(at(9)).grants


changes_of_any_kind = st.lists(
    st.builds(
        lambda hours, grant_id, change, effect, expires: granted(
            hours, grant_id, change=change, effect=effect, expires_at=None if expires is None else at(expires)
        ),
        st.integers(0, 8),
        st.sampled_from("abc"),
        st.sampled_from(["granted", "granted", "revoked"]),
        st.sampled_from(["allow", "allow", "deny"]),
        st.none() | st.integers(0, 10),
    ),
    max_size=12,
).map(lambda changes: sorted(changes, key=lambda change: change.published_at))


@settings(deadline=None)
@given(changes_of_any_kind, st.integers(-1, 24))
def test_the_policy_as_of_a_moment_is_that_of_what_was_published_by_then(
    changes: list[PermissionChange], half_hours: int
) -> None:
    """However the ledger divides time, and whatever it keeps: the same grants, decisions and digest."""
    moment = at(half_hours / 2)
    expected = Policy.of([change for change in changes if change.published_at <= moment], moment)
    found = Ledger(changes).as_of(moment)
    assert (found.moment, found.grants, found.digest) == (moment, expected.grants, expected.digest)
    assert found.decide(*QUESTION) == expected.decide(*QUESTION)


@settings(deadline=None)
@given(changes_of_any_kind, st.integers(0, 24))
def test_an_ending_is_between_allowed_and_not_allowed(changes: list[PermissionChange], half_hours: int) -> None:
    """A microsecond before it was permitted; from it on, until the moment, it was not. None: it never was before."""
    ledger, moment = Ledger(changes), at(half_hours / 2)
    if ledger.as_of(moment).decide(*QUESTION):
        return
    found = ledger.ending(*QUESTION, moment)
    before = [boundary for boundary in ledger.boundaries if boundary <= moment]
    if found is None:
        assert not any(ledger.as_of(boundary).decide(*QUESTION) for boundary in before)
        return
    assert ledger.as_of(found.ended_at - timedelta(microseconds=1)).decide(*QUESTION)
    assert not any(ledger.as_of(b).decide(*QUESTION) for b in before if b >= found.ended_at)
    assert found.how in {"revoked", "expired", "restated", "denied"}


changes_among_people_and_groups = st.lists(
    st.builds(
        lambda hours, grant_id, change, effect, grantee, action, resource: granted(
            hours,
            grant_id,
            change=change,
            effect=effect,
            grantee=grantee,
            grantee_kind="group" if grantee in "xy" else "user",
            actions=(action,),
            resource=resource,
        ),
        st.integers(0, 6),
        st.sampled_from("abcdef"),
        st.sampled_from(["granted", "granted", "granted", "revoked", "suspended"]),
        st.sampled_from(["allow", "allow", "deny"]),
        st.sampled_from(["alice", "bob", "x", "y"]),
        st.sampled_from(["read", "member", "member"]),
        st.sampled_from(["dataset:x", "group:x", "group:y", "*"]),
    ),
    max_size=12,
).map(lambda changes: sorted(changes, key=lambda change: change.published_at))


@settings(deadline=None)
@given(changes_among_people_and_groups, st.sampled_from(["alice", "bob"]))
def test_what_matters_to_one_principal_decides_the_same(changes: list[PermissionChange], who: str) -> None:
    """At every moment: whether it is allowed, by which grants, and why; and how it had ended."""
    whole = Ledger(changes)
    part = whole.about(who)
    for hours in range(8):
        expected = whole.as_of(at(hours)).decide(who, "read", "dataset:x")
        found = part.as_of(at(hours)).decide(who, "read", "dataset:x")
        assert (found.allowed, found.reason, found.grant_ids) == (expected.allowed, expected.reason, expected.grant_ids)
        if not expected:
            question = (who, "read", "dataset:x", at(hours))
            assert part.ending(*question) == whole.ending(*question)


def test_the_order_given_is_the_order_of_publication() -> None:
    """Two statements of one moment: the later in order holds."""
    first, second = granted(1, "g"), replace(revoked(1, "g"))
    assert not Ledger([first, second]).as_of(at(1)).grants
    assert Ledger([second, first]).as_of(at(1)).grants
