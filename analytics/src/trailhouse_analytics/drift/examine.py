"""One pair of columns measured: its tests before they are adjusted, and its effect sizes.

Nothing is concluded here, because the adjustment of the p-values needs those of all columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from trailhouse_analytics.drift import effects, significance
from trailhouse_analytics.drift.pairing import CategoryPair, NotCompared, NumericPair, TypeChanged, pair_columns

if TYPE_CHECKING:
    import numpy.typing as npt

    from trailhouse_analytics.drift.column import Column, Histogram, NumericSample
    from trailhouse_analytics.drift.significance import Outcome

__all__ = ["MAX_RARE_CATEGORIES", "Examination", "Hypothesis", "examine"]

#: Where every category is rare, tables with up to this many are drawn by Monte Carlo, larger ones are not tested.
MAX_RARE_CATEGORIES = 1_000
#: New and vanished categories that a finding names.
NAMED_CATEGORIES = 100

_MEDIAN, _QUARTILES = 0.5, (0.25, 0.75)


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One thing that is the same on both sides, unless its test says otherwise."""

    aspect: Literal["values", "missing", "infinite"]
    result: Outcome
    #: By the names of `Thresholds`.
    effects: dict[str, float]


@dataclass(frozen=True, slots=True)
class Examination:
    """What was measured of one pair of columns."""

    hypotheses: tuple[Hypothesis, ...]
    #: Figures by the names of `ColumnFinding`.
    figures: dict[str, object]
    #: Why the values were not tested, or what there is to say about them; empty where the test says it all.
    remark: str = ""
    #: Whether the remark means that too little is known to conclude anything about the values.
    untold: bool = False
    not_compared: bool = False
    type_changed: bool = False
    #: For the words: the largest change of a category's share, as (name, reference's share, current's share).
    moved: tuple[str, float, float] | None = None


@dataclass(frozen=True, slots=True)
class _Values:
    """The part of an examination that is about the values themselves."""

    hypothesis: Hypothesis | None = None
    figures: dict[str, object] = field(default_factory=dict)
    remark: str = ""
    untold: bool = False
    moved: tuple[str, float, float] | None = None


def examine(reference: Column, current: Column, *, role: str = "", minimum: int, seed: int) -> Examination:
    """Measure two columns of one name; `minimum` is the number of values a side from which on they are tested."""
    figures: dict[str, object] = {
        "reference_type": reference.type,
        "current_type": current.type,
        "reference_rows": reference.rows,
        "current_rows": current.rows,
    }
    pair = pair_columns(reference, current, role)
    match pair:
        case NotCompared():
            return Examination((), figures, remark=pair.reason, not_compared=True)
        case TypeChanged():
            words = f"type changed from {pair.reference} to {pair.current}"
            return Examination((), figures, remark=words, type_changed=True)
        case NumericPair():
            values = _numeric(pair, minimum, seed)
        case CategoryPair():
            values = _categorical(pair, minimum, seed)
        case None:
            values = _no_values(reference, current, minimum)
    missing = _share_test("missing", _missing_table(reference, current), minimum, seed)
    infinite = _share_test("infinite", _infinite_table(reference, current), minimum, seed)
    for aspect, table in (
        ("missing", _missing_table(reference, current)),
        ("infinite", _infinite_table(reference, current)),
    ):
        for side, (hit, rest) in zip(("reference", "current"), table.tolist(), strict=True):
            figures[f"{side}_{aspect}"] = hit / (hit + rest) if hit + rest else None
    return Examination(
        hypotheses=tuple(h for h in (values.hypothesis, missing, infinite) if h is not None),
        figures=figures | values.figures,
        remark=values.remark,
        untold=values.untold,
        moved=values.moved,
    )


def _missing_table(reference: Column, current: Column) -> npt.NDArray[np.int64]:
    return np.array([[column.nulls, column.rows - column.nulls] for column in (reference, current)], dtype=np.int64)


def _infinite_table(reference: Column, current: Column) -> npt.NDArray[np.int64]:
    return np.array(
        [[column.infinities, column.rows - column.nulls - column.infinities] for column in (reference, current)],
        dtype=np.int64,
    )


def _share_test(
    aspect: Literal["missing", "infinite"], table: npt.NDArray[np.int64], minimum: int, seed: int
) -> Hypothesis | None:
    """Test a share; None where there are too few rows, or where it is none or all of both sides."""
    totals = table.sum(axis=1)
    if (totals < minimum).any() or (table.sum(axis=0) == 0).any():
        return None
    shares = table[:, 0] / totals
    return Hypothesis(
        aspect,
        significance.homogeneity(table, seed=seed),
        {"cohens_h": effects.cohens_h(float(shares[0]), float(shares[1]))},
    )


def _no_values(reference: Column, current: Column, minimum: int) -> _Values:
    if min(reference.rows, current.rows) < minimum:
        return _Values(remark=_too_few(reference.rows, current.rows, minimum, "rows"), untold=True)
    return _Values(remark="all values are missing on both sides")


def _too_few(reference: int, current: int, minimum: int, what: str = "values") -> str:
    return f"too few {what}: {reference:,} in the reference, {current:,} in the current data, {minimum} are needed"


def _numeric(pair: NumericPair, minimum: int, seed: int) -> _Values:
    reference, current = pair.reference, pair.current
    figures: dict[str, object] = {"measure": "numeric"}
    if min(reference.population, current.population) < minimum:
        return _Values(figures=figures, remark=_too_few(reference.population, current.population, minimum), untold=True)
    if min(len(reference.values), len(current.values)) < minimum:
        return _by_bins(reference, current, figures, seed)
    a, b = reference.values, current.values
    figures |= {
        "reference_median": float(np.quantile(a, _MEDIAN)),
        "current_median": float(np.quantile(b, _MEDIAN)),
    }
    if a[0] == a[-1] == b[0] == b[-1]:
        where = "on both sides" if reference.complete and current.complete else "throughout both samples"
        return _Values(figures=figures, remark=f"constant ({a[0]:.6g}) {where}")
    result = significance.kolmogorov_smirnov(a, b)
    measured = _numeric_effects(a, b)
    sizes = {"ks": result.statistic}
    for name in ("psi", "jensen_shannon", "wasserstein_per_sd"):
        size = measured[name]
        if size is not None:
            sizes[name] = size
    return _Values(Hypothesis("values", result, sizes), figures | measured)


def _numeric_effects(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> dict[str, float | None]:
    reference_cuts, pooled_cuts = effects.quantile_cuts(a), effects.quantile_cuts(np.sort(np.concatenate([a, b])))
    distance = effects.wasserstein(a, b)
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = float(np.std(a)) or float(np.std(np.concatenate([a, b])))
        low, high = np.quantile(a, _QUARTILES)
        width = float(high - low)
    return {
        "psi": effects.psi(effects.binned(a, reference_cuts), effects.binned(b, reference_cuts)),
        "jensen_shannon": effects.jensen_shannon(effects.binned(a, pooled_cuts), effects.binned(b, pooled_cuts)),
        "wasserstein": distance,
        "wasserstein_per_sd": _ratio(distance, deviation),
        "wasserstein_per_iqr": _ratio(distance, width),
    }


def _ratio(distance: float, unit: float) -> float | None:
    """None where there is no unit, or where either is beyond what a double can hold."""
    return distance / unit if unit and np.isfinite(unit) and np.isfinite(distance) else None


def _by_bins(reference: NumericSample, current: NumericSample, figures: dict[str, object], seed: int) -> _Values:
    """Profiles that hold no sample: the counts over the same edges are tested as categories."""
    shared = reference.histogram or current.histogram
    left = None if shared is None else _counts_over(reference, shared)
    right = None if shared is None else _counts_over(current, shared)
    if left is None or right is None:
        remark = "the profiles hold neither samples nor counts over the same edges"
        return _Values(figures=figures, remark=remark, untold=True)
    table = np.stack([left, right])
    occurring = table[:, table.sum(axis=0) > 0]
    if occurring.shape[1] == 1:
        return _Values(figures=figures, remark="all values lie in one bin on both sides")
    return _of_table(occurring, figures, seed)


def _counts_over(sample: NumericSample, shared: Histogram) -> npt.NDArray[np.int64] | None:
    """Counts below, within and above the shared edges; None where they are not known."""
    own = sample.histogram
    if own is not None and np.array_equal(own.edges, shared.edges):
        return own.counts
    if len(sample.values) == 0:
        return None
    return effects.binned(sample.values, np.append(shared.edges[:-1], np.nextafter(shared.edges[-1], np.inf)))


def _categorical(pair: CategoryPair, minimum: int, seed: int) -> _Values:
    figures: dict[str, object] = {
        "measure": "categorical",
        "new_categories": pair.new[:NAMED_CATEGORIES],
        "new_category_count": len(pair.new),
        "vanished_categories": pair.vanished[:NAMED_CATEGORIES],
        "vanished_category_count": len(pair.vanished),
    }
    table = np.array(
        [[*pair.reference, pair.reference_other], [*pair.current, pair.current_other]],
        dtype=np.int64,
    )
    names = (*pair.names, "(other)")
    totals = table.sum(axis=1)
    if totals.min() < minimum:
        return _Values(figures=figures, remark=_too_few(int(totals[0]), int(totals[1]), minimum), untold=True)
    shares = table / totals[:, None]
    most = int(np.argmax(np.abs(shares[1] - shares[0])))
    moved = (names[most], float(shares[0, most]), float(shares[1, most]))
    occurring = table[:, table.sum(axis=0) > 0]
    if occurring.shape[1] == 1:
        only = names[int(np.argmax(table.sum(axis=0)))]
        return _Values(figures=figures, remark=f"constant ({only!r}) on both sides")
    return _of_table(occurring, figures, seed, moved)


def _of_table(
    occurring: npt.NDArray[np.int64],
    figures: dict[str, object],
    seed: int,
    moved: tuple[str, float, float] | None = None,
) -> _Values:
    """Test a 2 x k table, k >= 2, without empty columns; its rare columns are pooled unless all of them are rare."""
    tested = significance.pool_rare(occurring)
    if tested.shape[1] == 1:
        if occurring.shape[1] > MAX_RARE_CATEGORIES:
            remark = f"{occurring.shape[1]:,} categories, all of them too rare to compare"
            return _Values(figures=figures, remark=remark, untold=True)
        if occurring.sum(axis=0).max() == 1:
            return _Values(figures=figures, remark="every value occurs once: nothing repeats to compare", untold=True)
        tested = occurring
    measured = {
        "psi": effects.psi(tested[0], tested[1]),
        "jensen_shannon": effects.jensen_shannon(tested[0], tested[1]),
        "cramers_v_balanced": effects.cramers_v_balanced(tested),
    }
    return _Values(
        Hypothesis("values", significance.homogeneity(tested, seed=seed), measured),
        figures | measured | {"cramers_v": effects.cramers_v(tested)},
        moved=moved,
    )
