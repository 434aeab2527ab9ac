"""Effect sizes of drift, against cases worked by hand and against SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from trailhouse_analytics.drift import effects


def test_psi_is_jeffreys_divergence_of_the_shares_with_half_a_count_added() -> None:
    """By hand: shares (99.5/200, 100.5/200) against (49.5/200, 150.5/200)."""
    expected = (49.5 - 99.5) / 200 * math.log(49.5 / 99.5) + (150.5 - 100.5) / 200 * math.log(150.5 / 100.5)
    # 99 and 100 against 49 and 150, half a count added to each.
    assert effects.psi(np.array([99, 100]), np.array([49, 150])) == pytest.approx(expected)
    assert expected == pytest.approx(0.2755, abs=1e-4)


def test_psi_of_many_values_is_the_textbook_figure() -> None:
    """By hand, 50/50 against 25/75: -0.25 ln 0.5 + 0.25 ln 1.5 = 0.25 ln 3 = 0.2747."""
    assert effects.psi(np.array([500_000, 500_000]), np.array([250_000, 750_000])) == pytest.approx(
        0.25 * math.log(3), abs=1e-5
    )


def test_psi_of_an_empty_bin_is_large_and_finite() -> None:
    """A vanished bin does not make it infinite."""
    assert 1.0 < effects.psi(np.array([500, 500]), np.array([0, 1000])) < 10.0


def test_jensen_shannon_runs_from_0_to_1() -> None:
    """Equal shares are at distance 0, shares with nothing in common at 1 (base 2)."""
    assert effects.jensen_shannon(np.array([10, 30]), np.array([100, 300])) == 0.0
    assert effects.jensen_shannon(np.array([10, 0]), np.array([0, 7])) == pytest.approx(1.0)


def test_jensen_shannon_is_the_root_of_the_divergence_in_bits() -> None:
    """By hand, (1/2, 1/2) against (1, 0): mixture (3/4, 1/4); ½[½ lb(2/3) + ½ lb 2] + ½ lb(4/3) = 0.3113 bits."""
    half = 0.5 * (0.5 * math.log2(2 / 3) + 0.5 * math.log2(2)) + 0.5 * math.log2(4 / 3)
    assert half == pytest.approx(0.3113, abs=1e-4)
    assert effects.jensen_shannon(np.array([50, 50]), np.array([100, 0])) == pytest.approx(math.sqrt(half))


def test_cramers_v_is_scipys() -> None:
    """By hand: chi-square of [[30, 20], [20, 30]] is 4, so V is the root of 4/100."""
    table = np.array([[30, 20], [20, 30]])
    assert effects.cramers_v(table) == pytest.approx(0.2)
    assert effects.cramers_v(table) == pytest.approx(stats.contingency.association(table, method="cramer"))


def test_the_balanced_v_is_v_where_both_sides_have_as_many() -> None:
    """With equal totals there is nothing to balance."""
    table = np.array([[10, 20, 70], [30, 30, 40]])
    assert effects.cramers_v_balanced(table) == pytest.approx(effects.cramers_v(table))


def test_the_balanced_v_does_not_fall_when_one_side_grows() -> None:
    """A thousand rows against a million: V itself is nearly 0 for 50/50 against 90/10, the balanced one stays."""
    small, large = np.array([[500, 500], [900, 100]]), np.array([[500_000, 500_000], [900, 100]])
    assert effects.cramers_v(large) < 0.03
    assert effects.cramers_v_balanced(large) == pytest.approx(effects.cramers_v(small))


def test_cohens_h_of_none_to_one_per_cent_is_small() -> None:
    """By hand: 2 asin(sqrt(0.01)) = 0.2003; and 50 to 60 % is 0.2014 in Cohen's table."""
    assert effects.cohens_h(0.0, 0.01) == pytest.approx(0.2003, abs=1e-4)
    assert effects.cohens_h(0.6, 0.5) == pytest.approx(0.2014, abs=1e-4)
    assert effects.cohens_h(0.0, 1.0) == pytest.approx(math.pi)


def test_wasserstein_is_how_far_the_values_moved() -> None:
    """By hand: {0, 1, 3} to {5, 6, 8} moves each value by 5."""
    assert effects.wasserstein(np.array([0.0, 1.0, 3.0]), np.array([5.0, 6.0, 8.0])) == pytest.approx(5.0)


def test_wasserstein_of_values_at_the_end_of_the_doubles_is_infinite_not_nan() -> None:
    """A distance that no double can hold has a defined answer."""
    assert math.isinf(effects.wasserstein(np.array([-1.7e308]), np.array([1.7e308])))


def test_tenths_hold_a_tenth_of_the_reference_each() -> None:
    """1 to 1,000 falls into ten bins of about a hundred."""
    sample = np.arange(1.0, 1001.0)
    counts = effects.binned(sample, effects.quantile_cuts(sample))
    assert len(counts) == 10
    assert counts.sum() == 1000
    assert abs(counts - 100).max() <= 1


def test_a_value_that_many_rows_share_has_a_bin_of_its_own() -> None:
    """A column that is half zeros: what is a little below or above zero is not taken for zero."""
    sample = np.sort(np.concatenate([np.zeros(500), np.arange(1.0, 501.0)]))
    cuts = effects.quantile_cuts(sample)
    moved = np.sort(np.where(sample == 0, -0.001, sample))
    assert effects.psi(effects.binned(sample, cuts), effects.binned(moved, cuts)) > 1.0


def test_a_column_of_few_values_has_a_bin_a_value() -> None:
    """Constant data that becomes another constant is seen, upwards and downwards."""
    constant = np.full(100, 2.5)
    cuts = effects.quantile_cuts(constant)
    for other in (-1.0, 2.4, 2.6):
        assert effects.psi(effects.binned(constant, cuts), effects.binned(np.full(100, other), cuts)) > 1.0
