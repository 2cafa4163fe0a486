import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from layerdropback.strategies.sampling import (
    DRAW,
    EPOCHS,
    POOL,
    QUANTILES,
    STEPS,
    Cuts,
    Odds,
    draw,
    none,
    random_numbers,
    truncate,
    uniform,
)

seeds = st.integers(0, 2**64 - 1)
indices = st.integers(0, 2**40)
streams = st.sampled_from([STEPS, EPOCHS])
rates = st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=50).map(np.array)


@given(seeds, streams, indices, st.integers(1, 200))
def test_numbers_are_uniform_fractions_and_repeatable(seed, stream, index, count):
    numbers = random_numbers(seed, stream, index, count)
    assert numbers.shape == (count,)
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert (numbers == random_numbers(seed, stream, index, count)).all()
    # A draw for fewer layers is a prefix of a draw for more.
    assert (random_numbers(seed, stream, index, count + 1)[:count] == numbers).all()


@given(seeds, indices, st.integers(1, 8))
def test_other_seeds_steps_and_streams_give_other_numbers(seed, index, count):
    one = random_numbers(seed, STEPS, index, count)
    assert (one != random_numbers(seed, STEPS, index + 1, count)).any()
    assert (one != random_numbers(seed, EPOCHS, index, count)).any()
    assert (one != random_numbers((seed + 1) % 2**64, STEPS, index, count)).any()


@given(rates, seeds, streams, indices)
def test_rate_zero_is_never_dropped_and_masks_are_pure(given_rates, seed, stream, index):
    before = np.random.get_state()[1].copy()
    mask = uniform(Odds(given_rates), seed, stream, index)
    assert mask.shape == given_rates.shape
    assert mask.dtype == np.bool_
    assert not mask[given_rates == 0].any()
    assert (mask == uniform(Odds(given_rates), seed, stream, index)).all()
    assert (np.random.get_state()[1] == before).all()
    assert not none(Odds(given_rates), seed, stream, index).any()


@given(rates, seeds, indices)
def test_a_higher_rate_drops_more(given_rates, seed, index):
    lower = uniform(Odds(given_rates / 2), seed, STEPS, index)
    assert (lower <= uniform(Odds(given_rates), seed, STEPS, index)).all()


def test_the_empirical_rate_is_within_binomial_bounds():
    for rate in (0.1, 0.5, 0.9):
        layers, steps = 40, 2000
        masks = np.stack([uniform(Odds(np.full(layers, rate)), 3, STEPS, i) for i in range(steps)])
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
    odds = Odds(np.full(16, 0.5))
    drawn = np.flatnonzero(uniform(odds, seed=42, stream=STEPS, index=1000))
    assert drawn.tolist() == [1, 3, 5, 6, 7, 9, 11, 12]
    assert sorted(DRAW) == sorted(POOL) == ["adaptive", "branch", "none", "truncate", "uniform"]


@given(rates, st.integers(2, 40), seeds, st.integers(0, 5))
def test_a_pool_drops_every_layer_equally_often_and_each_turn_takes_every_mask(
    given_rates, masks, seed, turn
):
    odds = Odds(given_rates)
    drawn = [draw("uniform", odds, seed, STEPS, turn * masks + i, masks) for i in range(masks)]
    again = [draw("uniform", odds, seed, STEPS, i, masks) for i in range(masks)]
    assert sorted(map(tuple, drawn)) == sorted(map(tuple, again))
    times = np.sum(drawn, axis=0)
    assert (np.abs(times - given_rates * masks) < 1).all()


def test_a_pools_rate_is_right_over_seeds():
    """Three masks at rate 0.5 drop a layer once or twice."""
    odds = Odds(np.full(50, 0.5))
    times = [
        np.sum([draw("uniform", odds, seed, STEPS, i, 3) for i in range(3)], axis=0)
        for seed in range(40)
    ]
    assert set(np.unique(times)) == {1, 2}
    assert abs(np.mean(times) / 3 - 0.5) < 0.02


def test_a_pool_of_branches_keeps_them_whole():
    odds = Odds(np.full(6, 0.5), leaders=np.array([0, 0, 2, 2, 2, 5]))
    for index in range(8):
        mask = draw("branch", odds, 3, STEPS, index, 8)
        assert mask[0] == mask[1]
        assert mask[2] == mask[3] == mask[4]


def test_a_pool_of_cuts_is_spread_evenly():
    given = Cuts(tuple(range(20)), np.arange(1, 21) / 21, 0.4)
    for seed in range(20):
        masks = [
            draw("truncate", Odds(np.full(21, 0.4), given), seed, STEPS, i, 8) for i in range(8)
        ]
        shares = sorted(int(mask.sum()) / 21 for mask in masks)
        for part, share in enumerate(shares):  # an eighth of [0, 0.8] each, but for rounding
            assert 0.1 * part - 1 / 21 <= share <= 0.1 * (part + 1) + 1 / 21


def test_a_pool_of_nothing_is_empty():
    assert not draw("none", Odds(np.full(3, 0.5)), 0, STEPS, 5, 4).any()


# ---- truncate ------------------------------------------------------------------------------------


@st.composite
def cuts(draw):
    """Cuts at any costs, free layers among them, with a rate that can be reached."""
    costs = draw(st.lists(st.sampled_from([0.0, 0.0, 0.1, 1.0, 3.0]), min_size=1, max_size=12))
    total = sum(costs) + draw(st.sampled_from([0.01, 1.0, 5.0]))  # the head's
    shares = np.cumsum(costs) / total
    rate = draw(st.floats(0.01, 1)) * shares[-1]
    layers = draw(st.permutations(range(len(costs) + 2)))[: len(costs)]
    depth = draw(st.sampled_from(sorted(QUANTILES)))
    return Cuts(tuple(layers), shares, float(rate), depth)


def odds_of(given):
    return Odds(np.full(len(given.layers) + 2, 0.5), given)


@given(cuts().filter(lambda given: given.rate > 0), seeds, streams, indices)
def test_what_is_below_a_cut_is_dropped_and_nothing_else(given, seed, stream, index):
    mask = truncate(odds_of(given), seed, stream, index)
    count = int(mask.sum())
    assert set(np.flatnonzero(mask)) == set(given.layers[:count])
    assert (mask == truncate(odds_of(given), seed, stream, index)).all()
    # What costs nothing is dropped with what is below it.
    assert count in (0, len(given.layers)) or given.shares[count] > given.shares[count - 1]


@settings(deadline=None, max_examples=40)
@given(cuts().filter(lambda given: given.rate > 0))
def test_the_mean_share_is_the_rate_and_the_chances_are_those_of_draws(given):
    shares = np.concatenate([[0.0], given.shares])
    numbers = (np.arange(4096) + 0.5) / 4096
    seconds = np.random.default_rng(0).permutation(numbers)
    counts = np.array([given.draw(np.array(pair)) for pair in zip(numbers, seconds, strict=True)])
    # 4,096 draws, stratified: their error is far below 3 / sqrt(4096).
    np.testing.assert_allclose(shares[counts].mean(), given.rate, atol=0.03)
    drawn = [(counts > place).mean() for place in range(len(given.layers))]
    np.testing.assert_allclose(given.chances(), drawn, atol=0.05)


@given(cuts().filter(lambda given: given.rate > 0), st.floats(0, 1, exclude_max=True))
def test_depths_stay_within_reach(given, number):
    share = QUANTILES[given.depth](given.rate, given.reach, number)
    assert 0 <= share <= given.reach
    if given.depth == "uniform":  # the narrower of the two sides bounds both
        room = min(given.rate, given.reach - given.rate)
        assert given.rate - room - 1e-12 <= share <= given.rate + room + 1e-12


def test_depths_are_spread_as_their_names_say():
    numbers = (np.arange(1000) + 0.5) / 1000
    spread = {
        name: np.array([quantile(0.3, 0.9, number) for number in numbers])
        for name, quantile in QUANTILES.items()
    }
    for name, shares in spread.items():
        assert abs(shares.mean() - 0.3) < 1e-3, name
    assert np.ptp(spread["fixed"]) == 0
    assert spread["uniform"].min() < 0.001
    assert 0.599 < spread["uniform"].max() < 0.6
    assert spread["power"].max() > 0.89


def test_cuts_stay_the_same_from_release_to_release():
    given = Cuts(tuple(range(8)), np.arange(1, 9) / 9, 0.5)
    drawn = [int(truncate(Odds(np.full(9, 0.5), given), 42, STEPS, i).sum()) for i in range(8)]
    assert drawn == [7, 3, 4, 4, 4, 7, 1, 4]
