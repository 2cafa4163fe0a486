"""Masks that are drawn from a distribution, one by one or from a pool."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerdropback.strategies.odds import Independent, Masks

seeds = st.integers(0, 2**64 - 1)


def odds_of(rate, layers=6):
    return Independent(np.full(layers, rate), np.arange(layers))


def drawn(masks, odds, steps):
    return [tuple(masks.draw(odds, step).tolist()) for step in steps]


@given(seeds, st.integers(0, 2**40))
def test_without_a_pool_a_mask_depends_on_seed_and_step_alone(seed, step):
    odds = odds_of(0.5, 40)
    masks = Masks(seed)
    assert not masks.pooled
    first = drawn(masks, odds, [step])
    assert drawn(masks, odds, [step + 1]) != first
    assert drawn(Masks(seed), odds, [step]) == first
    assert drawn(Masks((seed + 1) % 2**64), odds, [step]) != first


@given(seeds, st.integers(2, 20), st.integers(0, 5))
def test_each_turn_takes_every_mask_once(seed, size, turn):
    odds, masks = odds_of(0.5), Masks(seed, size)
    assert masks.pooled
    this = drawn(masks, odds, range(turn * size, (turn + 1) * size))
    assert sorted(this) == sorted(drawn(masks, odds, range(size)))
    assert np.sum(this, axis=0).min() >= size // 2
    assert np.sum(this, axis=0).max() <= -(-size // 2)


def test_turns_have_orders_of_their_own():
    odds, masks = odds_of(0.5, 40), Masks(0, 8)
    turns = [tuple(drawn(masks, odds, range(8 * n, 8 * n + 8))) for n in range(5)]
    assert len(set(turns)) == 5


class Counting:
    """Odds that count how often a pool is made of them."""

    made = 0

    def pool(self, numbers, masks):
        Counting.made += 1
        return np.eye(masks, dtype=bool)


def test_a_pool_is_made_once_for_the_same_odds():
    """It was drawn anew in each step once."""
    masks, odds = Masks(0, 4), Counting()
    for step in range(40):
        masks.draw(odds, step)
    assert Counting.made == 1
    masks.draw(Counting(), 40)
    assert Counting.made == 2


def test_a_mask_from_a_pool_is_the_callers_own():
    masks, odds = Masks(0, 4), odds_of(0.5)
    before = drawn(masks, odds, range(4))
    masks.draw(odds, 0)[:] = True
    assert drawn(masks, odds, range(4)) == before


@pytest.mark.parametrize("pool", [None, 4])
def test_nothing_to_drop_is_nothing(pool):
    assert not Masks(0, pool).draw(Independent.never(3), 5).any()
