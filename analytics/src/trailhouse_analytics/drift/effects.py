"""Effect sizes: how large a difference is, whatever the number of values that showed it.

Plain values in and out. Shares are of the values that are not missing.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.spatial.distance import jensenshannon

__all__ = [
    "binned",
    "cohens_h",
    "cramers_v",
    "cramers_v_balanced",
    "jensen_shannon",
    "psi",
    "quantile_cuts",
    "wasserstein",
]

#: Bins of a numeric column for PSI and Jensen-Shannon: tenths, as credit scoring has it.
BINS = 10
#: Added to each count before PSI takes logarithms (Jeffreys' prior), so that an empty bin does not make it infinite.
PSI_PSEUDO_COUNT = 0.5


def psi(reference: npt.NDArray[np.int64], current: npt.NDArray[np.int64]) -> float:
    """Population stability index of counts over the same k cells, shape (k,) each; cells empty on both sides go out.

    Sum of (q - p) ln(q / p): Jeffreys' divergence in nats (Siddiqi, "Credit Risk Scorecards", 2006, who calls 0.1 to
    0.25 a moderate and more a large shift). Of samples of one distribution it is about (k - 1)(1/n + 1/m), not 0
    (Yurdakul and Naranjo, Journal of Risk Model Validation 14, 2020).
    """
    kept = (reference + current) > 0
    p = reference[kept] + PSI_PSEUDO_COUNT
    q = current[kept] + PSI_PSEUDO_COUNT
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum((q - p) * np.log(q / p)))


def jensen_shannon(reference: npt.NDArray[np.int64], current: npt.NDArray[np.int64]) -> float:
    """Jensen-Shannon distance, base 2, of counts over the same cells: 0 for equal shares, 1 for no cell in common.

    The square root of the divergence (Endres and Schindelin, IEEE Trans. Inf. Theory 49, 2003).
    `scipy.spatial.distance.jensenshannon`.
    """
    distance = float(jensenshannon(reference, current, base=2))
    return 0.0 if math.isnan(distance) else distance  # rounding can leave the root of a tiny negative number


def cramers_v(table: npt.NDArray[np.int64]) -> float:
    """Cramér's V of a table of counts, from 0 to 1 (Cramér, "Mathematical Methods of Statistics", 1946).

    `scipy.stats.contingency.association`.
    """
    return float(stats.contingency.association(table, method="cramer"))


def cramers_v_balanced(table: npt.NDArray[np.int64]) -> float:
    """Cramér's V that a 2 x k table would have if both rows had the same total.

    V itself falls towards 0 as the rows' totals grow apart, however different their shares are: a window of 1,000
    rows would never drift from a reference of a million.
    """
    p, q = table / table.sum(axis=1, keepdims=True)
    return math.sqrt(float(np.sum((p - q) ** 2 / (p + q))) / 2)


def cohens_h(reference_share: float, current_share: float) -> float:
    """Cohen's h of two shares, from 0 to pi; 0.2 is small, 0.5 medium, 0.8 large (Cohen 1988, chapter 6).

    Unlike a difference it weighs 0 to 1 % (h = 0.2) as it weighs 50 to 60 %.
    """
    return abs(2 * math.asin(math.sqrt(current_share)) - 2 * math.asin(math.sqrt(reference_share)))


def wasserstein(reference: npt.NDArray[np.float64], current: npt.NDArray[np.float64]) -> float:
    """Wasserstein-1 (earth mover's) distance of two samples, in the column's own unit.

    `scipy.stats.wasserstein_distance`. Infinite where it is beyond what a double can hold.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        distance = float(stats.wasserstein_distance(reference, current))
    return math.inf if math.isnan(distance) else distance


def quantile_cuts(sample: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return increasing cuts that divide a sorted sample into tenths.

    A value that a tenth of the sample or more shares (a zero, a default), and every value of a sample that has few,
    gets a cell of its own: a cut at it and one right after it.
    """
    levels, counts = np.unique(sample, return_counts=True)
    if len(levels) <= BINS:
        cuts, shared = levels, levels
    else:
        cuts = np.quantile(sample, np.arange(1, BINS) / BINS, method="inverted_cdf")
        shared = levels[counts >= len(sample) / BINS]
    return np.unique(np.concatenate([cuts, shared, np.nextafter(shared, np.inf)]))


def binned(sample: npt.NDArray[np.float64], cuts: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Count the values of a sorted sample in the k + 1 cells between k cuts; a value on a cut lies above it."""
    bounds = np.concatenate([[0], np.searchsorted(sample, cuts, side="left"), [len(sample)]])
    return np.diff(bounds).astype(np.int64)
