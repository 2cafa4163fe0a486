"""Every layer by itself."""

import numpy as np
import pytest

from facts_of import facts_of
from layerdropback import AttachError, Uniform


def test_what_is_free_drops_at_the_rate():
    odds = Uniform(0.3).odds(facts_of(4, kept=[1, 3]), 0.5)
    assert odds.chances.tolist() == [0.3, 0.0, 0.3, 0.0]
    assert odds.mean_rate == pytest.approx(0.3)
    assert odds.leaders.tolist() == [0, 1, 2, 3]


def test_what_it_saves_is_not_known():
    assert Uniform().saved(facts_of(2), np.ones(2, dtype=bool)) is None


def test_a_ramp_moves_every_rate():
    strategy, facts = Uniform(0.4, rates={"1": 0.9}), facts_of(3, kept=[2])
    low, high = (strategy.odds(facts, position).chances for position in (0, 1))
    np.testing.assert_allclose(low, [0.0, 0.8, 0.0])
    np.testing.assert_allclose(high, [0.8, 1.0, 0.0])


def test_some_layers_have_rates_of_their_own():
    """A later pattern goes before an earlier one, and a kept layer before all."""
    rates = {"*": 0.1, "2": 0.7, "1.weight": 0.2, "3": 0.9}
    odds = Uniform(0.5, rates=rates).odds(facts_of(4, kept=[3]), 0.5)
    assert odds.chances.tolist() == [0.1, 0.2, 0.7, 0.0]


@pytest.mark.parametrize(
    ("strategy", "drops"),
    [
        (Uniform(), True),
        (Uniform(0), False),
        (Uniform(0, rates={"0": 0}), False),
        (Uniform(0, rates={"0": 0.1}), True),
        (Uniform(0.1, rates={"*": 0}), True),
    ],
)
def test_whether_there_are_drop_epochs(strategy, drops):
    assert strategy.drops == drops


def test_it_asks_for_nothing_but_the_order():
    assert not Uniform.needs_costs
    assert not Uniform.needs_branches
    assert Uniform().switches(facts_of(2), np.array([True, False])) == ()


@pytest.mark.parametrize("rate", [-0.1, 1, 1.0, float("nan"), "0.5", True, None])
def test_a_rate_that_is_no_chance(rate):
    words = rf"rate={rate!r} is not usable. Cause: it is the chance.*\[0, 1\), 0 for plain"
    with pytest.raises(AttachError, match=words):
        Uniform(rate)


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ([0.5, 0.5], r"rates=\[0.5, 0.5\] is not usable.*maps layers to their drop rates"),
        ("0.5", "rates='0.5' is not usable"),
        ({"a": 1.0}, r"rates=\{'a': 1.0\} is not usable.*give \{'a name or pattern'"),
        ({1: 0.5}, r"rates=\{1: 0.5\} is not usable"),
    ],
)
def test_rates_that_make_no_sense(rates, words):
    """A list of them was a bare AttributeError once."""
    with pytest.raises(AttachError, match=words):
        Uniform(rates=rates)


def test_all_problems_come_at_once():
    with pytest.raises(AttachError, match="cannot make this Uniform: 4 problems"):
        Uniform(2, unit="x", pool=1, rates={"a": 2})


def test_its_words():
    assert Uniform(0.25).rate_text == "rate 0.25"
    assert Uniform(0.25, rates={"a": 0.5}).rate_text == "rate 0.25, 1 name with another"
    assert Uniform(0.25, rates={"a": 0.5, "b": 0}).rate_text == "rate 0.25, 2 names with another"
