"""Permissions: what holds for every policy, tried on many random ones."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from trailhouse_schemas.patterns import matches, overlap
from trailhouse_schemas.policy import MEMBER, PermissionChange, Policy

START = datetime(2026, 3, 1, tzinfo=UTC)
PRINCIPALS = ("alice", "bob", "service:etl")
GROUPS = ("a", "b", "c")
ACTIONS = ("read", "write", MEMBER)
RESOURCES = ("dataset:x", "dataset:emea/x", "group:a", "group:b", "group:c")
QUESTIONS = [(p, a, r) for p in PRINCIPALS for a in ACTIONS for r in RESOURCES]
NOW = START + timedelta(hours=2)


@st.composite
def changes(draw: st.DrawFn, effects: tuple[str, ...] = ("allow", "deny")) -> PermissionChange:
    """A grant that makes sense, with an id and an identity of its own given later."""
    is_group = draw(st.booleans())
    actions = draw(st.lists(st.sampled_from([*ACTIONS, "*", "r*"]), min_size=1, max_size=2))
    return PermissionChange(
        grant_id="",
        change="granted",
        effect=draw(st.sampled_from(effects)),
        grantee_kind="group" if is_group else "user",
        grantee=draw(st.sampled_from(GROUPS if is_group else PRINCIPALS)),
        actions=tuple(actions),
        resource=draw(st.sampled_from([*RESOURCES, "*", "dataset:*", "group:*", "*x"])),
        expires_at=draw(st.sampled_from([None, START, NOW, NOW + timedelta(hours=1)])),
        published_at=START,
        producer_id="control",
        sequence=0,
    )


def numbered(drawn: list[PermissionChange]) -> list[PermissionChange]:
    """Give each an id and an identity of its own."""
    return [replace(change, grant_id=f"g{i}", sequence=i) for i, change in enumerate(drawn)]


policies = st.lists(changes(), max_size=10).map(numbered)


def allowed(given_changes: list[PermissionChange]) -> set[tuple[str, str, str]]:
    """All questions that are answered with yes."""
    policy = Policy.of(given_changes, NOW)
    return {question for question in QUESTIONS if policy.decide(*question)}


@settings(deadline=None)
@given(policies, changes(effects=("deny",)))
def test_adding_a_deny_never_allows_more(there: list[PermissionChange], extra: PermissionChange) -> None:
    """Not even a deny of membership in a group that is denied something."""
    more = [*there, replace(extra, grant_id="extra", sequence=1_000)]
    assert allowed(more) <= allowed(there)


@settings(deadline=None)
@given(policies.filter(bool), st.data())
def test_revoking_allows_more_only_where_a_deny_or_a_membership_goes(
    there: list[PermissionChange], data: st.DataObject
) -> None:
    """Who leaves a group leaves its denies as well; nothing else that is revoked allows anything."""
    gone = data.draw(st.sampled_from(there))
    after = [*there, replace(gone, change="revoked", sequence=1_000)]
    if gone.effect == "allow" and MEMBER not in gone.actions:
        assert allowed(after) <= allowed(there)
    elif gone.effect == "deny":
        assert allowed(after) >= allowed(there)


@settings(deadline=None)
@given(policies, st.randoms(use_true_random=False))
def test_the_order_of_different_grants_does_not_matter(there: list[PermissionChange], random: object) -> None:
    """Nor does it for the digest."""
    shuffled = list(there)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert allowed(shuffled) == allowed(there)
    assert Policy.of(shuffled, NOW).digest == Policy.of(there, NOW).digest


@settings(deadline=None)
@given(policies)
def test_every_statement_published_twice_changes_nothing(there: list[PermissionChange]) -> None:
    """Deliveries are at least once."""
    assert allowed([*there, *there]) == allowed(there)


@settings(deadline=None)
@given(policies)
def test_every_allow_names_allows_in_force_that_lead_from_the_principal_to_the_resource(
    there: list[PermissionChange],
) -> None:
    """A decision can be checked by hand from what it names, and by those grants alone it is the same."""
    policy = Policy.of(there, NOW)
    for question in sorted(allowed(there)):
        decision = policy.decide(*question)
        named = [change for change in there if change.grant_id in decision.grant_ids]
        assert named
        assert all(change.effect == "allow" for change in named)
        assert Policy.of(named, NOW).decide(*question)


@settings(deadline=None)
@given(policies)
def test_what_reaches_a_principal_is_what_is_decided(there: list[PermissionChange]) -> None:
    """Deciding from the expanded permissions gives the same answers."""
    policy = Policy.of(there, NOW)
    for principal, action, resource in QUESTIONS:
        allows, denies = policy.reaching(next(g.principal for g in Policy.of([_of(principal)], NOW).grants))
        yes = any(path.grant.covers(action, resource) for path in allows)
        no = any(path.grant.covers(action, resource) for path in denies)
        assert bool(policy.decide(principal, action, resource)) == (yes and not no)


def _of(principal: str) -> PermissionChange:
    return PermissionChange("g", "granted", "allow", "user", principal, ("x",), "y", None, START, "p", 0)


@settings(deadline=None)
@given(st.text("ab*/", max_size=8), st.text("ab/", max_size=10))
def test_a_pattern_matches_what_its_regular_expression_matches(pattern: str, text: str) -> None:
    """The oracle is `re`, each star as `.*` and all else escaped."""
    oracle = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
    assert matches(pattern, text) == bool(oracle.fullmatch(text))


@settings(deadline=None)
@given(st.text("ab*", max_size=6), st.text("ab*", max_size=6), st.text("abc", max_size=8))
def test_a_pattern_that_matches_a_pattern_covers_all_that_it_matches(wide: str, narrow: str, text: str) -> None:
    """So one pattern can be said to lie within another."""
    if matches(wide, narrow) and matches(narrow, text):
        assert matches(wide, text)


SHORT_TEXTS = [""] + ["".join(letters) for n in range(1, 7) for letters in itertools.product("ab", repeat=n)]


@settings(deadline=None)
@given(st.text("ab*", max_size=4), st.text("ab*", max_size=4))
def test_two_patterns_overlap_exactly_when_some_text_matches_both(one: str, other: str) -> None:
    """Tried on all texts that are long enough to show it."""
    both = any(matches(one, text) and matches(other, text) for text in SHORT_TEXTS)
    assert overlap(one, other) == overlap(other, one) == both
