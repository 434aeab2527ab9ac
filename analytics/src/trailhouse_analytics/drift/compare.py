"""Reference against current: the tests of all columns adjusted together, a verdict for each, one for the whole.

A column drifts when a difference is both significant (adjusted p < alpha) and large enough to matter (an effect
reaches its threshold). A column that is missing, added or of another type is a drift of the schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trailhouse_analytics.drift import wording
from trailhouse_analytics.drift.examine import Examination, Hypothesis, examine
from trailhouse_analytics.drift.report import ColumnFinding, DriftReport, Verdict
from trailhouse_analytics.drift.significance import false_discovery_adjusted
from trailhouse_analytics.drift.thresholds import DEFAULT_ALPHA, Thresholds
from trailhouse_analytics.errors import DriftInputError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from trailhouse_analytics.drift.column import Column, Dataset

__all__ = ["compare_datasets"]

#: Roles of columns that training data has and production data cannot have yet.
_KNOWN_LATER = frozenset({"target", "weight"})

_EFFECT_WORDS = {
    "ks": "KS",
    "wasserstein_per_sd": "Wasserstein/sd",
    "psi": "PSI",
    "jensen_shannon": "Jensen-Shannon",
    "cramers_v_balanced": "Cramér's V (balanced)",
    "cohens_h": "Cohen's h",
}


def compare_datasets(
    reference: Dataset,
    current: Dataset,
    *,
    alpha: float = DEFAULT_ALPHA,
    thresholds: Thresholds | None = None,
    columns: Collection[str] = (),
    exclude: Collection[str] = (),
    roles: Mapping[str, str] | None = None,
    seed: int = 0,
) -> DriftReport:
    """Compare two datasets column by column.

    Args:
        reference: What is taken as usual.
        current: What is held against it.
        alpha: Accepted share of false alarms among the alarms, between 0 and 1.
        thresholds: From which size on a difference matters.
        columns: Compare these only; empty for all.
        exclude: Leave these out.
        roles: Role of a column (feature, target, id, …) where it differs from the one it came with.
        seed: Seed of the Monte Carlo tests.

    Raises:
        DriftInputError: No column is on both sides, a named one is on neither, or alpha is no probability.
    """
    thresholds = thresholds or Thresholds()
    if not 0 < alpha < 1:
        raise DriftInputError(f"alpha {alpha} is no probability; give one between 0 and 1, such as 0.05")
    if thresholds.minimum < 1:
        raise DriftInputError(f"minimum {thresholds.minimum} is no number of values; give at least 1")
    names = _selected(reference, current, columns, {*exclude})
    _check_known(reference, current, {*exclude, *(roles or {})})
    examined: dict[str, Examination] = {}
    for name in names:
        if name in reference.columns and name in current.columns:
            examined[name] = examine(
                reference.columns[name],
                current.columns[name],
                role=(roles or {}).get(name, ""),
                minimum=thresholds.minimum,
                seed=seed,
            )
    if not examined:
        raise DriftInputError(
            f"{reference.label} and {current.label} have no column in common: "
            f"{wording.listed(list(reference.columns))} against {wording.listed(list(current.columns))}"
        )
    adjusted = _adjusted(examined)
    findings = tuple(
        _conclude(name, examined[name], adjusted, alpha, thresholds)
        if name in examined
        else _one_sided(name, reference.columns.get(name), current.columns.get(name), (roles or {}).get(name))
        for name in names
    )
    verdict = _overall(findings)
    return DriftReport(
        verdict=verdict,
        reasons=_reasons(verdict, findings, len(adjusted), alpha, (*reference.notes, *current.notes)),
        columns=findings,
        reference=reference.label,
        current=current.label,
        reference_rows=reference.rows,
        current_rows=current.rows,
        alpha=alpha,
    )


def _selected(reference: Dataset, current: Dataset, columns: Collection[str], exclude: Collection[str]) -> list[str]:
    _check_known(reference, current, columns)
    every = [*reference.columns, *(name for name in current.columns if name not in reference.columns)]
    return [name for name in every if (not columns or name in columns) and name not in exclude]


def _check_known(reference: Dataset, current: Dataset, named: Collection[str]) -> None:
    for name in named:
        if name not in reference.columns and name not in current.columns:
            known = wording.listed([*reference.columns])
            raise DriftInputError(f"Column {name!r} is on neither side; the reference has {known}")


def _adjusted(examined: Mapping[str, Examination]) -> dict[tuple[str, str], float]:
    """Adjusted p-values by column and aspect, over all tests of all columns."""
    keys, p_values = [], []
    for name, examination in examined.items():
        for hypothesis in examination.hypotheses:
            keys.append((name, hypothesis.aspect))
            p_values.append(hypothesis.result.p_value)
    adjusted = false_discovery_adjusted(np.array(p_values, dtype=np.float64))
    return dict(zip(keys, adjusted.tolist(), strict=True))


def _one_sided(name: str, reference: Column | None, current: Column | None, role: str | None) -> ColumnFinding:
    verdict, reason = Verdict.DRIFT, "is new: the reference does not have it"
    if reference is not None:
        reason = "is missing in the current data"
        if (role or reference.role) in _KNOWN_LATER:
            verdict, reason = Verdict.NOT_COMPARED, f"the current data has no {role or reference.role} (yet)"
    return ColumnFinding(
        column=name,
        verdict=verdict,
        reason=reason,
        reference_type=reference.type if reference else "",
        current_type=current.type if current else "",
        reference_rows=reference.rows if reference else None,
        current_rows=current.rows if current else None,
    )


def _conclude(
    name: str,
    examination: Examination,
    adjusted: Mapping[tuple[str, str], float],
    alpha: float,
    thresholds: Thresholds,
) -> ColumnFinding:
    figures: dict[str, Any] = dict(examination.figures)
    if examination.type_changed or examination.not_compared:
        verdict = Verdict.DRIFT if examination.type_changed else Verdict.NOT_COMPARED
        return ColumnFinding(column=name, verdict=verdict, reason=examination.remark, **figures)
    drifting, quiet = [], []
    for hypothesis in examination.hypotheses:
        p_value = adjusted[name, hypothesis.aspect]
        figures |= _figures_of(hypothesis, p_value)
        large = _reached(hypothesis, thresholds)
        clause = _clause(hypothesis, p_value, examination, large)
        if p_value < alpha and large:
            drifting.append(clause)
        elif p_value < alpha:
            quiet.append(f"{clause}, significant but too small to matter")
        elif hypothesis.aspect == "values":
            quiet.append(clause)
    if examination.remark:
        quiet.insert(0, examination.remark)
    if drifting:
        verdict, words = Verdict.DRIFT, drifting
    elif examination.untold:
        verdict, words = Verdict.CANNOT_TELL, quiet
    else:
        verdict, words = Verdict.NO_DRIFT, quiet
    return ColumnFinding(column=name, verdict=verdict, reason="; ".join(words + _categories(figures)), **figures)


def _figures_of(hypothesis: Hypothesis, adjusted: float) -> dict[str, object]:
    result = hypothesis.result
    if hypothesis.aspect == "values":
        return {
            "test": result.test,
            "reference_size": result.reference_size,
            "current_size": result.current_size,
            "statistic": result.statistic,
            "p_value": result.p_value,
            "adjusted_p_value": adjusted,
        }
    return {
        f"{hypothesis.aspect}_test": result.test,
        f"{hypothesis.aspect}_p_value": result.p_value,
        f"{hypothesis.aspect}_adjusted_p_value": adjusted,
        f"{hypothesis.aspect}_cohens_h": hypothesis.effects["cohens_h"],
    }


def _reached(hypothesis: Hypothesis, thresholds: Thresholds) -> list[str]:
    """Names of the effects that reach their thresholds."""
    reached = []
    for name, value in hypothesis.effects.items():
        threshold = getattr(thresholds, name)
        if threshold is not None and value >= threshold:
            reached.append(name)
    return reached


def _clause(hypothesis: Hypothesis, adjusted: float, examination: Examination, reached: list[str]) -> str:
    significance = f"adjusted p {wording.p_value(adjusted)}"
    figures = examination.figures
    if hypothesis.aspect != "values":
        before, after = (wording.share(figures[f"{s}_{hypothesis.aspect}"]) for s in ("reference", "current"))  # type: ignore[arg-type]
        size = wording.number(hypothesis.effects["cohens_h"])
        return f"{hypothesis.aspect} {before} -> {after}, {significance}; Cohen's h {size}"
    parts = []
    if hypothesis.result.test == "ks":
        parts.append(f"KS {wording.number(hypothesis.result.statistic)}, {significance}")
        before, after = (wording.number(figures[f"{s}_median"]) for s in ("reference", "current"))  # type: ignore[arg-type]
        parts.append(f"median {before} -> {after}")
    else:
        parts.append(f"{hypothesis.result.test} {wording.number(hypothesis.result.statistic)}, {significance}")
    if examination.moved:
        category, before_share, after_share = examination.moved
        parts.append(f"{category!r} {wording.share(before_share)} -> {wording.share(after_share)}")
    shown = [name for name in hypothesis.effects if name != "ks" and (name in reached or name == "psi")]
    parts.extend(f"{_EFFECT_WORDS[name]} {wording.number(hypothesis.effects[name])}" for name in shown)
    return "; ".join(parts)


def _categories(figures: Mapping[str, Any]) -> list[str]:
    return [
        f"{word} {wording.listed(figures[f'{kind}_categories'], figures[f'{kind}_category_count'])}"
        for word, kind in (("new:", "new"), ("vanished:", "vanished"))
        if figures.get(f"{kind}_categories")
    ]


def _overall(findings: Collection[ColumnFinding]) -> Verdict:
    verdicts = {finding.verdict for finding in findings}
    if Verdict.DRIFT in verdicts:
        return Verdict.DRIFT
    return Verdict.NO_DRIFT if Verdict.NO_DRIFT in verdicts else Verdict.CANNOT_TELL


def _reasons(
    verdict: Verdict, findings: Collection[ColumnFinding], tests: int, alpha: float, notes: tuple[str, ...]
) -> tuple[str, ...]:
    lines = []
    if verdict is Verdict.NO_DRIFT:
        judged = sum(finding.verdict is Verdict.NO_DRIFT for finding in findings)
        lines.append(
            f"{wording.count_of(judged, 'column')} compared in {wording.count_of(tests, 'test')}: "
            f"no difference is both significant (adjusted p < {alpha:g}) and large enough to matter"
        )
    lines += [f"{f.column}: {f.reason}" for f in findings if f.verdict is Verdict.DRIFT]
    lines += [f"{f.column}: cannot tell, {f.reason}" for f in findings if f.verdict is Verdict.CANNOT_TELL]
    lines += [f"{f.column}: not compared, {f.reason}" for f in findings if f.verdict is Verdict.NOT_COMPARED]
    return (*lines, *notes)
