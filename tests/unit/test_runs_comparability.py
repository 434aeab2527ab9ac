"""Whether metrics may be held against each other: every answer has its reason, and what was not logged is not known."""

from __future__ import annotations

from typing import Any

from trailhouse_analytics.runs.comparability import Comparable, Evidence, Reason, judge, measured_split, overall


def dataset(**fields: Any) -> dict[str, Any]:
    """An input that says everything."""
    return {
        "split": "validation",
        "split_fold": 0,
        "digest": "sha256:aa",
        "digest_scope": "content",
        "split_scheme": "k-fold",
        "split_settings": [("n_splits", "5"), ("random_state", "1")],
        "split_membership_digest": "sha256:m",
    } | fields


def run(label: str, *inputs: dict[str, Any], measured: dict[tuple[str, str], list[str]] | None = None) -> Evidence:
    """A run that measured a loss on validation data."""
    return Evidence(label, measured if measured is not None else {("loss", "validation"): []}, inputs)


def answer(*runs: Evidence, metric: str | None = None) -> tuple[Comparable, list[Reason]]:
    """The answer, and the reasons that are not simply fine."""
    reasons = judge(runs, metric)
    return overall(reasons), [reason for reason in reasons if reason.verdict is not Comparable.YES]


def test_runs_that_measured_the_same_on_the_same_are_comparable() -> None:
    """Same metric, data, members and scheme; another seed with the same members is the same split."""
    other = dataset(split_settings=[("n_splits", "5"), ("random_state", "2")])
    assert answer(run("a", dataset()), run("b", other)) == (Comparable.YES, [])


def test_other_data_is_not_comparable() -> None:
    """The digests are named."""
    verdict, (reason,) = answer(run("a", dataset()), run("b", dataset(digest="sha256:bb")))
    assert verdict is Comparable.NO
    assert reason == Reason("data", Comparable.NO, "validation data differs: sha256:aa in a, sha256:bb in b")


def test_other_training_data_alone_does_not_matter() -> None:
    """What is measured on is what counts."""
    more = dataset(split="train", digest="sha256:more")
    assert answer(run("a", dataset(), dataset(split="train")), run("b", dataset(), more))[0] is Comparable.YES


def test_other_members_of_the_split_are_not_comparable() -> None:
    """Even under one scheme."""
    verdict, (reason,) = answer(run("a", dataset()), run("b", dataset(split_membership_digest="sha256:n")))
    assert (verdict, reason.aspect) == (Comparable.NO, "split")


def test_another_validation_scheme_is_not_comparable() -> None:
    """By scheme, by settings and by folds."""
    for other in (
        dataset(split_scheme="hold-out"),
        dataset(split_settings=[("n_splits", "3")]),
    ):
        verdict, reasons = answer(run("a", dataset()), run("b", other))
        assert (verdict, [reason.aspect for reason in reasons]) == (Comparable.NO, ["validation scheme"])
    verdict, reasons = answer(run("a", dataset(), dataset(split_fold=1)), run("b", dataset()))
    assert verdict is Comparable.NO
    assert "folds 0, 1 in a" in reasons[-1].text


def test_what_was_not_logged_cannot_be_told() -> None:
    """No data, no digest, no members, no splitter: each is a reason of its own that names the run."""
    for lacking, aspects in (
        ([], ["data", "split", "validation scheme"]),
        ([dataset(digest="")], ["data"]),
        ([dataset(split_membership_digest="")], ["split"]),
        ([dataset(split_scheme="")], ["validation scheme"]),
    ):
        verdict, reasons = answer(run("a", dataset()), run("b", *lacking))
        assert (verdict, [reason.aspect for reason in reasons]) == (Comparable.CANNOT_TELL, aspects)
        assert all("b" in reason.text for reason in reasons)


def test_a_known_difference_weighs_more_than_what_is_not_known() -> None:
    """One reason against it is enough."""
    other = dataset(digest="sha256:bb", split_membership_digest="")
    assert answer(run("a", dataset()), run("b", other))[0] is Comparable.NO


def test_digests_of_different_things_cannot_be_held_against_each_other() -> None:
    """A file's digest says nothing about rows in memory."""
    other = dataset(digest="sha256:bb", digest_scope="file")
    verdict, (reason,) = answer(run("a", dataset()), run("b", other))
    assert (verdict, reason.aspect) == (Comparable.CANNOT_TELL, "data")


def test_runs_without_a_metric_in_common_are_not_comparable() -> None:
    """The same name on another split is another metric."""
    other = run("b", dataset(), measured={("loss", "test"): []})
    verdict, (reason,) = answer(run("a", dataset()), other)
    assert (verdict, reason.aspect) == (Comparable.NO, "metric")


def test_a_run_that_measured_nothing_cannot_be_told() -> None:
    """It may still."""
    verdict, (reason,) = answer(run("a", dataset()), run("b", dataset(), measured={}))
    assert (verdict, reason.text) == (Comparable.CANNOT_TELL, "b logged no metric")


def test_the_digest_that_was_logged_with_the_metric_counts() -> None:
    """It says more precisely what was measured on than the inputs do."""
    a = run("a", dataset(), measured={("loss", "validation"): ["sha256:x"]})
    b = run("b", dataset(), measured={("loss", "validation"): ["sha256:y"]})
    assert answer(a, b)[0] is Comparable.NO


def test_only_the_metric_that_is_asked_for_counts() -> None:
    """Others may be measured on other data."""
    measured = {("loss", "validation"): ["sha256:x"], ("f1", "test"): ["sha256:t"]}
    others = {("loss", "validation"): ["sha256:x"], ("f1", "test"): ["sha256:u"]}
    inputs = [dataset(), dataset(split="test")]
    a, b = run("a", *inputs, measured=measured), run("b", *inputs, measured=others)
    assert answer(a, b, metric="loss")[0] is Comparable.YES
    assert answer(a, b)[0] is Comparable.NO


def test_a_split_has_one_name_for_all_ways_to_write_it() -> None:
    """Also where the metric's own name says it."""
    said = [("loss", "val"), ("loss", "Validation"), ("val.loss", ""), ("eval/loss", ""), ("loss", "")]
    assert [measured_split(*metric) for metric in said] == [*["validation"] * 4, ""]
    assert measured_split("loss", "fold-a") == "fold-a"


def test_three_runs_are_comparable_only_if_all_are() -> None:
    """The one that is not is named."""
    verdict, (reason,) = answer(run("a", dataset()), run("b", dataset()), run("c", dataset(digest="sha256:cc")))
    assert (verdict, "in c" in reason.text) == (Comparable.NO, True)
