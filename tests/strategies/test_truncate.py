"""A cut: where it can lie, and what of the cost is below it."""

import numpy as np
import pytest

from facts_of import facts_of
from layerdropback import AttachError, Truncate

SHARES = {"0": 0.25, "1": 0.5, "2": 0.75, "3": 1.0}


def facts(kept=(3,), **known):
    return facts_of(4, kept, **({"shares": SHARES} | known))


def test_a_fixed_share_is_the_default():
    odds = Truncate().odds(facts(), 0.5)
    assert (odds.layers, odds.shares.tolist()) == ((0, 1, 2), [0.0, 0.25, 0.5, 0.75])
    assert (odds.share, odds.depth) == (0.5, "fixed")
    assert odds.chances.tolist() == [1.0, 1.0, 0.0, 0.0]


def test_a_cut_lies_below_the_first_kept_layer():
    odds = Truncate(0.1).odds(facts(kept=(1, 3)), 0.5)
    assert odds.layers == (0,)


def test_the_order_is_that_of_use():
    odds = Truncate(0.1).odds(facts(ascending=(2, 0, 1, 3)), 0.5)
    assert odds.layers == (2, 0, 1)


def test_a_ramp_stays_within_reach():
    strategy = Truncate(0.5, "fixed")
    shares = [strategy.odds(facts(), position).share for position in (0, 0.5, 1)]
    assert shares == [0.25, 0.5, 0.75]


def test_where_less_can_be_cut_now_all_of_that_is():
    """What was frozen or kept since the first step may have taken the rest away."""
    assert Truncate(0.5).odds(facts(kept=(1, 3)), 0.5).share == 0.25
    nothing = Truncate(0.5).odds(facts(kept=(0, 3)), 0.5)
    assert (nothing.layers, nothing.share) == ((), 0.0)
    assert not nothing.chances.any()


def test_a_share_beyond_reach_is_an_error_that_names_the_layer():
    words = (
        "share=0.9 cannot be reached: cuts skip at most 0.75 of the cost. Cause: layer '3' is "
        "always kept.*give a share of at most 0.75"
    )
    with pytest.raises(AttachError, match=words):
        Truncate(0.9).check(facts())
    Truncate(0.75).check(facts())
    Truncate(0.9).check(facts(kept=(0, 3)))  # nothing to cut is a warning of its own


def test_it_detaches_early_uses_with_every_cut():
    known = facts(early=("embed",))
    assert Truncate().switches(known, np.array([True, False, False, False])) == ("embed",)
    assert Truncate().switches(known, np.zeros(4, dtype=bool)) == ()


@pytest.mark.parametrize(("dropped", "saved"), [([], 0.0), ([2], 0.25), ([2, 0], 0.5)])
def test_what_a_cut_saves(dropped, saved):
    known = facts(ascending=(2, 0, 1, 3), shares={"2": 0.25, "0": 0.5, "1": 0.75, "3": 1.0})
    assert Truncate().saved(known, np.isin(np.arange(4), dropped)) == saved
    assert Truncate().saved(facts(shares=None), np.zeros(4, dtype=bool)) is None


def test_it_must_know_the_costs():
    assert Truncate.needs_costs
    assert not Truncate.needs_branches
    assert Truncate(0.25, "power").rate_text == "share 0.25 (power)"
    assert not Truncate(0).drops
    assert Truncate(0.01).drops


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"share": 1}, r"share=1 is not usable. Cause: it is the share that is skipped"),
        ({"share": -0.1}, "share=-0.1 is not usable"),
        ({"depth": "deep"}, "depth='deep' is not usable.*give one of uniform, fixed, power"),
    ],
)
def test_what_makes_no_sense_is_an_error(fields, words):
    with pytest.raises(AttachError, match=f"cannot make this Truncate: 1 problem\n.*{words}"):
        Truncate(**fields)


def test_it_has_no_rates():
    with pytest.raises(TypeError):
        Truncate(rates={"0": 0.5})
