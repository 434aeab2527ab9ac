"""Whether the metrics of runs may be held against each other. Decides on what was logged, asks nothing.

They may when all runs measured the same thing (the metric, of the same split) on the same data (its digest), with the
same members in that split (the digest of the membership) and under one validation scheme (scheme, settings, folds).
What was not logged is not known: the answer is then "cannot tell", never "comparable".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Comparable", "Evidence", "Reason", "judge", "measured_split", "overall"]

_SPLITS: Final = {
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "eval": "validation",
    "evaluation": "validation",
    "hold-out": "test",
    "holdout": "test",
}
_KNOWN: Final = {"train", "validation", "test", *_SPLITS}
#: Settings of a splitter that the digest of the membership speaks for.
_SEEDS: Final = {"random_state", "seed"}
_SHOWN: Final = 5
_DIGEST_SHOWN: Final = 19


class Comparable(StrEnum):
    """The answer, of one reason and of all; of several the first one here is the answer."""

    NO = "not comparable"
    CANNOT_TELL = "cannot tell"
    YES = "comparable"


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that had to be the same."""

    #: metric, data, split, validation scheme.
    aspect: str
    verdict: Comparable
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a run logged about what it measured and on which data."""

    label: str
    #: Digests of the data by (metric, split), as they were logged with the metric; empty where none was.
    measured: Mapping[tuple[str, str], Sequence[str]]
    #: The inputs: split, split_fold, digest, digest_scope, split_scheme, split_settings, split_membership_digest.
    inputs: Sequence[Mapping[str, Any]]

    def of_split(self, split: str) -> list[Mapping[str, Any]]:
        """Return the inputs of a split; all inputs where the split is not known."""
        return [row for row in self.inputs if not split or _same_word(row["split"]) == split]


def measured_split(metric: str, split: str) -> str:
    """Return the split that a metric was measured on, in one word for all ways to write it; empty when it is not said.

    `val.loss` without a split was measured on `validation`.
    """
    if split:
        return _same_word(split)
    first = re.split(r"[./_ -]", metric.lower())[0]
    return _same_word(first) if first in _KNOWN else ""


def overall(reasons: Sequence[Reason]) -> Comparable:
    """Return the answer of all reasons together."""
    order = list(Comparable)
    return min((reason.verdict for reason in reasons), key=order.index, default=Comparable.CANNOT_TELL)


def judge(runs: Sequence[Evidence], metric: str | None = None) -> list[Reason]:
    """Return what had to be the same, and whether it is; each run is held against the first.

    Args:
        runs: Two or more.
        metric: The metric that counts; None: all that the runs have in common.
    """
    shared, reason = _shared_metrics(runs, metric)
    if not shared:
        return [reason]
    reasons = [reason]
    for split in sorted({measured_split(name, of) for name, of in shared}):
        reasons += [_data(runs, split, shared), _membership(runs, split), _scheme(runs, split)]
    return reasons


def _shared_metrics(runs: Sequence[Evidence], metric: str | None) -> tuple[list[tuple[str, str]], Reason]:
    of_each = [{key for key in run.measured if metric is None or key[0] == metric} for run in runs]
    shared = sorted(set.intersection(*of_each))
    if shared:
        names = _listed([f"{name}@{split}" if split else name for name, split in shared])
        return shared, Reason("metric", Comparable.YES, f"all measured {names}")
    silent = [run.label for run, measured in zip(runs, of_each, strict=True) if not measured]
    if silent:
        what = f"metric {metric!r}" if metric else "metric"
        return [], Reason("metric", Comparable.CANNOT_TELL, f"{_listed(silent)} logged no {what}")
    return [], Reason("metric", Comparable.NO, "no metric of the same name and split is in all of them")


def _data(runs: Sequence[Evidence], split: str, shared: Sequence[tuple[str, str]]) -> Reason:
    what = _data_of(split)
    keys = [key for key in shared if measured_split(*key) == split]
    found = []
    for run in runs:
        said = {digest for key in keys for digest in run.measured[key]}
        rows = run.of_split(split)
        logged = {row["digest"] for row in rows}
        if not said and not rows:
            return Reason("data", Comparable.CANNOT_TELL, f"{run.label} logged no {what}")
        if not said and "" in logged:
            return Reason("data", Comparable.CANNOT_TELL, f"{run.label} logged {what} without a digest")
        found.append(
            (run.label, said or logged, {row["digest_scope"] for row in rows if row["digest"] in (said or logged)})
        )
    label, digests, scopes = found[0]
    for other, others, their_scopes in found[1:]:
        if digests == others:
            continue
        if scopes and their_scopes and scopes != their_scopes:
            kinds = f"{_listed(sorted(scopes))} and {_listed(sorted(their_scopes))}"
            return Reason("data", Comparable.CANNOT_TELL, f"digests of {what} cover different things: {kinds}")
        differ = f"{what} differs: {_digests(digests)} in {label}, {_digests(others)} in {other}"
        return Reason("data", Comparable.NO if split else Comparable.CANNOT_TELL, differ)
    return Reason("data", Comparable.YES, f"same {what}: {_digests(digests)}")


def _membership(runs: Sequence[Evidence], split: str) -> Reason:
    what = f"members of split {split}" if split else "members of the splits"
    found = []
    for run in runs:
        rows = run.of_split(split)
        if not rows or any(not row["split_membership_digest"] for row in rows):
            return Reason("split", Comparable.CANNOT_TELL, f"{run.label} did not log the {what}")
        found.append((run.label, {(row["split_fold"], row["split_membership_digest"]) for row in rows}))
    label, members = found[0]
    for other, others in found[1:]:
        if members != others:
            return Reason("split", Comparable.NO, f"{what} differ between {label} and {other}")
    return Reason("split", Comparable.YES, f"same {what}")


def _scheme(runs: Sequence[Evidence], split: str) -> Reason:
    found = []
    for run in runs:
        rows = run.of_split(split)
        if not rows or any(not row["split_scheme"] for row in rows):
            return Reason("validation scheme", Comparable.CANNOT_TELL, f"{run.label} did not log its splitter")
        schemes = {_scheme_text(row["split_scheme"], dict(row["split_settings"])) for row in rows}
        folds = sorted({row["split_fold"] for row in rows if row["split_fold"] is not None})
        found.append((run.label, _listed(sorted(schemes)) + (f", folds {_folds(folds)}" if folds else "")))
    label, scheme = found[0]
    for other, others in found[1:]:
        if scheme != others:
            text = f"validation scheme differs: {scheme} in {label}, {others} in {other}"
            return Reason("validation scheme", Comparable.NO, text)
    return Reason("validation scheme", Comparable.YES, f"same validation scheme: {scheme}")


def _same_word(split: str) -> str:
    word = split.lower()
    return _SPLITS.get(word, word)


def _data_of(split: str) -> str:
    return f"{split} data" if split else "input data (the metric does not say its split)"


def _scheme_text(scheme: str, settings: Mapping[str, str]) -> str:
    shown = ", ".join(f"{name}={value}" for name, value in sorted(settings.items()) if name not in _SEEDS)
    return f"{scheme} ({shown})" if shown else scheme


def _folds(folds: Sequence[int]) -> str:
    return ", ".join(map(str, folds))


def _digests(digests: set[str]) -> str:
    return _listed([f"{d[:_DIGEST_SHOWN]}…" if len(d) > _DIGEST_SHOWN else d for d in sorted(digests)])


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
