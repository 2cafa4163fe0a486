"""Intervals, tests and their corrections, against SciPy's own and by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from layerdropback.lab.statistics import chance, holm, interval, seeds_needed


def test_an_interval_is_scipys():
    values = [91.2, 90.4, 92.0, 91.1]
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    found = interval(values)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(np.mean(values))
    assert found.n == 4


@pytest.mark.parametrize("side", ["above", "below"])
def test_a_chance_is_scipys(side):
    values = [0.3, -0.1, 0.5, 0.2, 0.4]
    other = {"above": "greater", "below": "less"}[side]
    expected = stats.ttest_1samp(values, 0.1, alternative=other).pvalue
    assert chance(interval(values), 0.1, side) == pytest.approx(expected)


def test_one_value_says_nothing_of_its_spread():
    found = interval([90.0])
    assert (found.mean, found.low, found.high, found.n) == (90.0, -math.inf, math.inf, 1)
    assert chance(found, 0.0, "above") == 1.0
    assert interval([]).n == 0


def test_equal_values_do_not_prove_themselves():
    """Three accuracies that are equal by the coarseness of a small test set."""
    assert interval([90.0] * 3).low == 90.0
    found = interval([90.0] * 3, least_spread=0.28)
    assert found.low < 89.5 < 90.5 < found.high
    assert chance(interval([0.0] * 3), 0.0, "above") == 1.0
    assert chance(interval([0.5] * 3), 0.0, "above") == 0.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_plain_and_bonferronis(values):
    chances = {str(number): value for number, value in enumerate(values)}
    adjusted = holm(chances)
    assert list(adjusted) == list(chances)
    for name, value in chances.items():
        assert value <= adjusted[name] <= min(1.0, value * len(values))
    order = sorted(chances, key=chances.__getitem__)
    found = [adjusted[name] for name in order]
    assert found == sorted(found)
    assert found[0] == pytest.approx(min(1.0, chances[order[0]] * len(values)))


@given(st.floats(0.01, 5.0), st.floats(0.1, 5.0), st.integers(1, 5))
def test_seeds_needed_are_the_fewest(spread, width, questions):
    count = seeds_needed(spread, width, questions)

    def wide(n):
        return 2 * stats.t.isf(0.025 / questions, n - 1) * spread / math.sqrt(n)

    if count is None:
        assert wide(1000) > width
    else:
        assert wide(count) <= width
        assert count == 2 or wide(count - 1) > width
