"""Residual branches by themselves: one random number for each, all of its layers together."""

import numpy as np
import pytest

from facts_of import facts_of
from layerdropback import AttachError, Branch
from layerdropback.model.branches import Group

GROUPS = (Group((0, 1), ("a",), 0.25), Group((2, 3, 4), ("b", "c"), 0.5))


def test_a_branchs_layers_share_a_random_number():
    facts = facts_of(6, kept=[5], groups=GROUPS)
    odds = Branch(0.5).odds(facts, 0.5)
    assert odds.leaders.tolist() == [0, 0, 2, 2, 2, 5]
    assert odds.chances.tolist() == [0.5] * 5 + [0.0]


def test_a_name_of_any_of_its_layers_is_the_branchs():
    odds = Branch(0.5, rates={"3": 0.1}).odds(facts_of(6, kept=[5], groups=GROUPS), 0.5)
    assert odds.chances.tolist() == [0.5, 0.5, 0.1, 0.1, 0.1, 0.0]


@pytest.mark.parametrize(
    ("dropped", "names", "saved"),
    [
        ([], (), 0.0),
        ([0, 1], ("a",), 0.25),
        ([2, 3, 4], ("b", "c"), 0.5),
        ([0, 1, 2, 3, 4], ("a", "b", "c"), 0.75),
    ],
)
def test_a_dropped_branchs_output_is_detached(dropped, names, saved):
    mask, facts = np.isin(np.arange(6), dropped), facts_of(6, groups=GROUPS)
    assert Branch().switches(facts, mask) == names
    assert Branch().saved(facts, mask) == saved


def test_it_must_know_the_branches():
    assert Branch.needs_branches
    assert not Branch.needs_costs
    assert (Branch().rate, Branch().rate_text) == (0.3, "rate 0.3")


def test_a_rate_that_is_no_chance():
    with pytest.raises(AttachError, match="cannot make this Branch: 1 problem\n.*rate=1 is not"):
        Branch(1)
