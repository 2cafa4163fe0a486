"""Distributions of masks: of layers, of cuts, and of the turns of blocks."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from layerdropback.strategies.odds import QUANTILES, Cuts, Independent, Turns
from layerdropback.strategies.random import Stream, random_numbers

seeds = st.integers(0, 2**64 - 1)
indices = st.integers(0, 2**40)
rates = st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=50).map(np.array)


def numbers(seed, index):
    return partial(random_numbers, seed, Stream.MASK, index)


def alone(given_rates):
    return Independent(np.asarray(given_rates), np.arange(len(given_rates)))


# ---- each by itself ------------------------------------------------------------------------------


@given(rates, seeds, indices)
def test_rate_zero_is_never_dropped_and_masks_are_pure(given_rates, seed, index):
    before = np.random.get_state()[1].copy()
    odds = alone(given_rates)
    mask = odds.draw(numbers(seed, index))
    assert mask.shape == given_rates.shape
    assert mask.dtype == np.bool_
    assert not mask[given_rates == 0].any()
    assert (mask == odds.draw(numbers(seed, index))).all()
    assert (np.random.get_state()[1] == before).all()


@given(rates, seeds, indices)
def test_a_higher_rate_drops_more(given_rates, seed, index):
    lower = alone(given_rates / 2).draw(numbers(seed, index))
    assert (lower <= alone(given_rates).draw(numbers(seed, index))).all()


def test_the_empirical_rate_is_within_binomial_bounds():
    for rate in (0.1, 0.5, 0.9):
        layers, steps = 40, 2000
        odds = alone(np.full(layers, rate))
        masks = np.stack([odds.draw(numbers(3, i)) for i in range(steps)])
        # A fixed seed, so these never flicker; the bounds hold for all 41 counts at once.
        low, high = binom.interval(1 - 1e-4, steps, rate)
        assert ((masks.sum(0) >= low) & (masks.sum(0) <= high)).all()
        low, high = binom.interval(1 - 1e-4, steps * layers, rate)
        assert low <= masks.sum() <= high
        # Layers and steps are independent of their neighbours.
        assert abs(np.corrcoef(masks[:, 0], masks[:, 1])[0, 1]) < 0.1
        assert abs(np.corrcoef(masks[1:, 0], masks[:-1, 0])[0, 1]) < 0.1


def test_masks_stay_the_same_from_release_to_release():
    """A resumed run must draw what the saved one would have; these bits are part of the format."""
    drawn = np.flatnonzero(alone(np.full(16, 0.5)).draw(numbers(42, 1000)))
    assert drawn.tolist() == [1, 3, 5, 6, 7, 9, 11, 12]


def test_what_has_a_leader_goes_with_it():
    odds = Independent(np.full(6, 0.5), leaders=np.array([0, 0, 2, 2, 2, 5]))
    drawn = np.stack([odds.draw(numbers(3, i)) for i in range(50)])
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert (drawn[:, [2]] == drawn[:, 2:5]).all()
    assert (drawn[:, 0] != drawn[:, 2]).any()


def test_its_chances_are_its_rates_and_the_mean_is_over_what_can_drop():
    odds = alone([0.0, 0.2, 0.0, 0.6])
    assert odds.chances.tolist() == [0.0, 0.2, 0.0, 0.6]
    assert odds.mean_rate == pytest.approx(0.4)


def test_never_drops_nothing():
    odds = Independent.never(3)
    assert odds.mean_rate == 0
    assert not odds.draw(numbers(0, 0)).any()
    assert not odds.pool(numbers(0, 0), 4).any()


@given(rates, st.integers(2, 40), seeds)
def test_a_pool_drops_every_layer_equally_often(given_rates, masks, seed):
    pool = alone(given_rates).pool(numbers(seed, 0), masks)
    assert pool.shape == (masks, len(given_rates))
    assert (np.abs(pool.sum(axis=0) - given_rates * masks) < 1).all()


def test_a_pools_rate_is_right_over_seeds():
    """Three masks at rate 0.5 drop a layer once or twice."""
    odds = alone(np.full(50, 0.5))
    times = [odds.pool(numbers(seed, 0), 3).sum(axis=0) for seed in range(40)]
    assert set(np.unique(times)) == {1, 2}
    assert abs(np.mean(times) / 3 - 0.5) < 0.02


def test_a_pool_keeps_what_has_a_leader_with_it():
    odds = Independent(np.full(6, 0.5), leaders=np.array([0, 0, 2, 2, 2, 5]))
    pool = odds.pool(numbers(3, 0), 8)
    assert (pool[:, 0] == pool[:, 1]).all()
    assert (pool[:, [2]] == pool[:, 2:5]).all()


# ---- cuts ----------------------------------------------------------------------------------------


@st.composite
def cuts(draw):
    """Cuts at any costs, free layers among them, with a share that can be reached."""
    costs = draw(st.lists(st.sampled_from([0.0, 0.0, 0.1, 1.0, 3.0]), min_size=1, max_size=12))
    total = sum(costs) + draw(st.sampled_from([0.01, 1.0, 5.0]))  # the head's
    shares = np.cumsum([0.0, *costs]) / total
    share = draw(st.floats(0.01, 1)) * shares[-1]
    layers = draw(st.permutations(range(len(costs) + 2)))[: len(costs)]
    depth = draw(st.sampled_from(sorted(QUANTILES)))
    return Cuts(len(costs) + 2, tuple(layers), shares, float(share), depth)


some_cuts = cuts().filter(lambda given: given.share > 0)


@given(some_cuts, seeds, indices)
def test_what_is_below_a_cut_is_dropped_and_nothing_else(given, seed, index):
    mask = given.draw(numbers(seed, index))
    assert mask.shape == (given.count,)
    count = int(mask.sum())
    assert set(np.flatnonzero(mask)) == set(given.layers[:count])
    assert (mask == given.draw(numbers(seed, index))).all()
    # What costs nothing is dropped with what is below it.
    assert count in (0, len(given.layers)) or given.shares[count + 1] > given.shares[count]


@settings(deadline=None, max_examples=20)
@given(some_cuts)
def test_the_mean_share_is_what_was_asked_for_and_the_chances_are_those_of_draws(given):
    first = (np.arange(2048) + 0.5) / 2048
    second = np.random.default_rng(0).permutation(first)
    masks = [given.draw(lambda _, pair=pair: pair) for pair in zip(first, second, strict=True)]
    counts = np.sum(masks, axis=1)
    # 2,048 draws, stratified: their error is far below 3 / sqrt(2048).
    np.testing.assert_allclose(given.shares[counts].mean(), given.share, atol=0.04)
    np.testing.assert_allclose(given.chances, np.mean(masks, axis=0), atol=0.05)
    assert given.mean_rate == given.share


@given(some_cuts, st.floats(0, 1, exclude_max=True))
def test_depths_stay_within_reach(given, number):
    reach = given.shares[-1]
    share = QUANTILES[given.depth](given.share, reach, number)
    assert 0 <= share <= reach
    if given.depth == "uniform":  # the narrower of the two sides bounds both
        room = min(given.share, reach - given.share)
        assert given.share - room - 1e-12 <= share <= given.share + room + 1e-12


def test_depths_are_spread_as_their_names_say():
    places = (np.arange(1000) + 0.5) / 1000
    spread = {
        name: np.array([quantile(0.3, 0.9, place) for place in places])
        for name, quantile in QUANTILES.items()
    }
    for name, shares in spread.items():
        assert abs(shares.mean() - 0.3) < 1e-3, name
    assert np.ptp(spread["fixed"]) == 0
    assert spread["uniform"].min() < 0.001
    assert 0.599 < spread["uniform"].max() < 0.6
    assert spread["power"].max() > 0.89


def test_cuts_stay_the_same_from_release_to_release():
    given = Cuts(9, tuple(range(8)), np.arange(9) / 9, 0.5, "uniform")
    drawn = [int(given.draw(numbers(42, i)).sum()) for i in range(8)]
    assert drawn == [7, 3, 4, 4, 4, 7, 1, 4]


def test_a_pool_of_cuts_is_spread_evenly():
    given = Cuts(21, tuple(range(20)), np.arange(21) / 21, 0.4, "uniform")
    for seed in range(20):
        shares = sorted(given.pool(numbers(seed, 0), 8).sum(axis=1) / 21)
        for part, share in enumerate(shares):  # an eighth of [0, 0.8] each, but for rounding
            assert 0.1 * part - 1 / 21 <= share <= 0.1 * (part + 1) + 1 / 21


@pytest.mark.parametrize("depth", QUANTILES)
def test_where_nothing_can_be_cut_nothing_is(depth):
    given = Cuts(2, (), np.zeros(1), 0.0, depth)
    assert not given.draw(numbers(0, 0)).any()
    assert not given.chances.any()
    assert given.mean_rate == 0


SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9)).filter(lambda pair: pair[0] <= pair[1])


def turns_of(active, blocks, order):
    """So many blocks between a layer that always rests, 0, and one that always trains."""
    return Turns(blocks + 2, tuple(range(1, blocks + 1)), (0,), active, order)


def active_in(turns, seed, turn):
    return np.flatnonzero(~turns.draw(numbers(seed, turn), turn)).tolist()


@given(
    SIZES, st.sampled_from(["random", "cyclic", "fixed"]), st.integers(0, 2**63), st.integers(0, 99)
)
def test_just_so_many_are_active_and_what_is_no_block_never_changes(sizes, order, seed, turn):
    active, blocks = sizes
    turns = turns_of(active, blocks, order)
    found = active_in(turns, seed, turn)
    assert len(found) == active + 1
    assert found[-1] == blocks + 1
    assert 0 not in found
    assert active_in(turns, seed, turn) == found


def test_cyclic_turns_begin_with_the_last_block_and_go_around():
    turns = turns_of(2, 5, "cyclic")
    found = [active_in(turns, 0, turn)[:-1] for turn in range(4)]
    assert found == [[4, 5], [2, 3], [1, 5], [3, 4]]


def test_fixed_ones_are_the_last_and_stay():
    turns = turns_of(2, 5, "fixed")
    assert {tuple(active_in(turns, seed, turn)) for seed in (0, 1) for turn in range(5)} == {
        (4, 5, 6)
    }
    assert turns.chances.tolist() == [1, 1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize("order", ["random", "cyclic"])
def test_every_block_has_the_same_part(order):
    turns, count = turns_of(2, 5, order), 3000
    rests = np.mean([turns.draw(numbers(3, turn), turn) for turn in range(count)], axis=0)
    assert turns.chances.tolist() == [1, 0.6, 0.6, 0.6, 0.6, 0.6, 0]
    np.testing.assert_allclose(rests, turns.chances, atol=0.03)
    assert turns.mean_rate == 0.6


def test_pinned_masks():
    """Another release draws the same ones."""
    turns = turns_of(2, 6, "random")
    assert [active_in(turns, 42, turn)[:-1] for turn in range(5)] == [
        [1, 6],
        [4, 5],
        [3, 6],
        [1, 5],
        [5, 6],
    ]


def test_more_active_ones_than_blocks_are_all():
    turns = turns_of(3, 2, "random")
    assert active_in(turns, 0, 0) == [1, 2, 3]
    assert turns.mean_rate == 0
    nothing = Turns(3, (), (), 2, "cyclic")
    assert not nothing.draw(numbers(0, 0), 4).any()
    assert not nothing.chances.any()


@pytest.mark.parametrize("order", ["random", "cyclic"])
def test_a_pool_is_of_so_many_turns(order):
    turns = turns_of(2, 4, order)
    masks = turns.pool(numbers(3, 0), 20)
    assert masks.shape == (20, 6)
    assert (masks.sum(axis=1) == 3).all()
    assert len({tuple(mask) for mask in masks.tolist()}) == (2 if order == "cyclic" else 6)
