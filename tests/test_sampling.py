import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from layerdropback.sampling import DRAW, EPOCHS, STEPS, none, random_numbers, uniform

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
    mask = uniform(given_rates, seed, stream, index)
    assert mask.shape == given_rates.shape
    assert mask.dtype == np.bool_
    assert not mask[given_rates == 0].any()
    assert (mask == uniform(given_rates, seed, stream, index)).all()
    assert (np.random.get_state()[1] == before).all()
    assert not none(given_rates, seed, stream, index).any()


@given(rates, seeds, indices)
def test_a_higher_rate_drops_more(given_rates, seed, index):
    lower = uniform(given_rates / 2, seed, STEPS, index)
    assert (lower <= uniform(given_rates, seed, STEPS, index)).all()


def test_the_empirical_rate_is_within_binomial_bounds():
    for rate in (0.1, 0.5, 0.9):
        layers, steps = 40, 2000
        masks = np.stack([uniform(np.full(layers, rate), 3, STEPS, i) for i in range(steps)])
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
    drawn = np.flatnonzero(uniform(np.full(16, 0.5), seed=42, stream=STEPS, index=1000))
    assert drawn.tolist() == [1, 3, 5, 6, 7, 9, 11, 12]
    assert sorted(DRAW) == ["none", "uniform"]
