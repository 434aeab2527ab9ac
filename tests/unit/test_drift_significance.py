"""The tests of drift, against SciPy and against cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from trailhouse_analytics.drift import significance


def test_kolmogorov_smirnov_by_hand() -> None:
    """{1, 2, 3} against {4, 5, 6}: distance 1; 2 of the 20 ways to split six values are as extreme, so p = 0.1."""
    result = significance.kolmogorov_smirnov(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]))
    assert (result.test, result.statistic) == ("ks", 1.0)
    assert result.p_value == pytest.approx(2 / math.comb(6, 3))
    assert (result.reference_size, result.current_size) == (3, 3)


@pytest.mark.parametrize(("n", "m"), [(50, 80), (500, 31), (20_000, 15_000)])
def test_kolmogorov_smirnov_is_scipys(n: int, m: int) -> None:
    """Exact and asymptotic, with unequal sizes."""
    random = np.random.default_rng(n)
    a, b = random.normal(size=n), random.normal(0.1, 1.1, size=m)
    expected = stats.ks_2samp(a, b)
    result = significance.kolmogorov_smirnov(a, b)
    assert (result.statistic, result.p_value) == (expected.statistic, expected.pvalue)


def test_chi_square_by_hand() -> None:
    """[[30, 20], [20, 30]]: all expected 25, so chi-square is 4 * 25/25 = 4 without Yates; p of 1 degree is 0.0455."""
    result = significance.homogeneity(np.array([[30, 20], [20, 30]]), seed=0)
    assert result.test == "chi-square"
    assert result.statistic == pytest.approx(4.0)
    assert result.p_value == pytest.approx(math.erfc(math.sqrt(2)))
    assert (result.reference_size, result.current_size) == (50, 50)


def test_chi_square_is_scipys() -> None:
    """A 2 x 4 table with unequal totals."""
    table = np.array([[120, 90, 40, 50], [33, 20, 30, 17]])
    expected = stats.chi2_contingency(table, correction=False)
    result = significance.homogeneity(table, seed=0)
    assert result.statistic == pytest.approx(expected.statistic)
    assert result.p_value == pytest.approx(expected.pvalue)


def test_a_small_table_of_four_is_fishers() -> None:
    """Fisher's tea: three of four cups right has p = 34/70."""
    result = significance.homogeneity(np.array([[3, 1], [1, 3]]), seed=0)
    assert result.test == "Fisher"
    assert result.p_value == pytest.approx(34 / 70)


def test_a_small_table_is_held_against_random_ones() -> None:
    """By hand: [[2, 0, 0], [0, 1, 1]] is one of the two most extreme of C(4, 2) = 6 draws: p = 1/3."""
    result = significance.homogeneity(np.array([[2, 0, 0], [0, 1, 1]]), seed=7)
    assert result.test == "chi-square (Monte Carlo)"
    assert result.p_value == pytest.approx(1 / 3, abs=0.02)


def test_one_small_expected_count_of_many_leaves_chi_square_valid() -> None:
    """Cochran's rule: a fifth of them may be under 5, none under 1."""
    assert significance.homogeneity(np.array([[40, 50, 3], [75, 80, 9]]), seed=0).test == "chi-square"
    assert significance.homogeneity(np.array([[400, 500, 1], [45, 40, 0]]), seed=0).test == "chi-square (Monte Carlo)"


def test_the_same_seed_gives_the_same_p_value() -> None:
    """A report can be made again."""
    table = np.array([[4, 3, 2, 1], [1, 2, 3, 4]])
    assert significance.homogeneity(table, seed=5) == significance.homogeneity(table, seed=5)


def test_rare_categories_are_pooled() -> None:
    """Expected counts under 5 (the last three columns) become one; empty columns go."""
    table = np.array([[50, 40, 0, 3, 3, 4], [45, 50, 0, 1, 2, 2]])
    np.testing.assert_array_equal(significance.pool_rare(table), [[50, 40, 10], [45, 50, 5]])


def test_a_single_rare_category_is_not_pooled() -> None:
    """There is nothing to put it together with."""
    table = np.array([[50, 40, 3], [45, 50, 1]])
    np.testing.assert_array_equal(significance.pool_rare(table), table)


def test_benjamini_and_hochbergs_own_example() -> None:
    """The 15 p-values of their paper (1995, section 4.1): at 0.05 exactly the first four are rejected."""
    text = "0.0001 0.0004 0.0019 0.0095 0.0201 0.0278 0.0298 0.0344 0.0459 0.324 0.4262 0.5719 0.6528 0.759 1"
    p_values = np.array(text.split(), dtype=float)
    adjusted = significance.false_discovery_adjusted(p_values)
    assert (adjusted < 0.05).tolist() == [True] * 4 + [False] * 11
    assert adjusted[0] == pytest.approx(0.0001 * 15)
    assert adjusted[3] == pytest.approx(0.0095 * 15 / 4)
    np.testing.assert_allclose(adjusted, stats.false_discovery_control(p_values))


def test_no_tests_need_no_adjustment() -> None:
    """Nothing in, nothing out."""
    assert significance.false_discovery_adjusted(np.array([])).size == 0
