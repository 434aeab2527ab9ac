"""The tests: how likely is a difference at least this large if both sides were drawn from one distribution?

All are SciPy's; what is decided here is which of them is valid for the numbers at hand. Plain values in and out.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

__all__ = [
    "MONTE_CARLO_RESAMPLES",
    "SMALL_EXPECTED",
    "Outcome",
    "expected_counts",
    "false_discovery_adjusted",
    "homogeneity",
    "kolmogorov_smirnov",
    "pool_rare",
]

#: Expected counts below this are small; of a table larger than 2 x 2 a fifth may be, but none below 1 (Cochran, "Some
#: methods for strengthening the common chi-square tests", Biometrics 10, 1954).
SMALL_EXPECTED = 5.0
SMALLEST_EXPECTED = 1.0
SMALL_SHARE = 0.2
#: Tables drawn where no approximation is valid: the smallest p-value that this can give is 1e-4.
MONTE_CARLO_RESAMPLES = 9_999


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a test of one hypothesis gave."""

    #: ks, chi-square, chi-square (Monte Carlo), Fisher.
    test: str
    #: The KS distance, or Pearson's chi-square statistic (for the exact tests too).
    statistic: float
    p_value: float
    #: Values that went into it.
    reference_size: int
    current_size: int


def kolmogorov_smirnov(reference: npt.NDArray[np.float64], current: npt.NDArray[np.float64]) -> Outcome:
    """Two-sample, two-sided Kolmogorov-Smirnov test of two non-empty samples.

    Exact up to 10,000 values a side, asymptotic beyond (Hodges, Arkiv för Matematik 3, 1958); with ties it is
    conservative. `scipy.stats.ks_2samp`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "exact calculation unsuccessful": SciPy takes the asymptotic
        result = stats.ks_2samp(reference, current)
    return Outcome("ks", float(result.statistic), float(result.pvalue), len(reference), len(current))


def expected_counts(table: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the counts expected under homogeneity, of the table's shape; the table must not be empty."""
    return np.asarray(table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / table.sum())


def pool_rare(table: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Put the columns of a 2 x k table whose expected counts are small into one, which comes last."""
    table = table[:, table.sum(axis=0) > 0]
    if table.size == 0:
        return table
    rare = (expected_counts(table) < SMALL_EXPECTED).any(axis=0)
    if rare.sum() <= 1:
        return table
    return np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])


def homogeneity(table: npt.NDArray[np.int64], *, seed: int) -> Outcome:
    """Test whether the two rows of a 2 x k table of counts (k >= 2, no empty row or column) have one distribution.

    Pearson's chi-square without Yates' correction where the expected counts are large enough (Cochran's rule); else
    Fisher's exact test of a 2 x 2 table, and for a larger one the chi-square statistic against 9,999 random tables with
    the same margins (Patefield, Applied Statistics 30, 1981), drawn with `seed`. `scipy.stats.chi2_contingency`,
    `fisher_exact`.
    """
    sizes = table.sum(axis=1)
    plain = stats.chi2_contingency(table, correction=False)
    name, p_value = "chi-square", float(plain.pvalue)
    small = plain.expected_freq < SMALL_EXPECTED
    two_by_two = table.shape[1] == 2  # noqa: PLR2004 - what the name says
    if small.any():
        if two_by_two:
            name, p_value = "Fisher", float(stats.fisher_exact(table).pvalue)
        elif small.mean() > SMALL_SHARE or (plain.expected_freq < SMALLEST_EXPECTED).any():
            method = stats.MonteCarloMethod(n_resamples=MONTE_CARLO_RESAMPLES, rng=np.random.default_rng(seed))
            drawn = stats.chi2_contingency(table, correction=False, method=method)
            name, p_value = "chi-square (Monte Carlo)", float(drawn.pvalue)
    return Outcome(name, float(plain.statistic), min(p_value, 1.0), int(sizes[0]), int(sizes[1]))


def false_discovery_adjusted(p_values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return p-values adjusted by Benjamini and Hochberg (JRSS B 57, 1995), in the same order.

    `scipy.stats.false_discovery_control`.
    """
    if len(p_values) == 0:
        return p_values
    return np.asarray(stats.false_discovery_control(p_values, method="bh"))
