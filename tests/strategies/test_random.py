"""No two things that draw from one seed draw the same numbers."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from layerdropback.strategies.odds import Masks
from layerdropback.strategies.random import Stream, random_numbers
from layerdropback.training.images.augment import EpochOrder, cpu_generator

SEEDS = st.integers(0, 2**64 - 1)
INDICES = st.integers(0, 2**63 - 1)


@given(SEEDS, INDICES)
def test_every_stream_has_numbers_of_its_own(seed, index):
    drawn = {stream: random_numbers(seed, stream, index, 8) for stream in Stream}
    for one, other in itertools.combinations(drawn, 2):
        assert not set(drawn[one]) & set(drawn[other]), (one, other)


@given(SEEDS, INDICES, st.integers(1, 100))
def test_numbers_depend_on_seed_stream_and_index_alone(seed, index, count):
    one, again = (random_numbers(seed, Stream.MASK, index, count) for _ in range(2))
    assert one.shape == (count,)
    assert (one == again).all()
    assert ((one >= 0) & (one < 1)).all()
    assert (random_numbers(seed, Stream.MASK, index, count + 5)[:count] == one).all()
    assert not set(one) & set(random_numbers(seed, Stream.MASK, index + 1, count))
    assert not set(one) & set(random_numbers((seed + 1) % 2**64, Stream.MASK, index, count))


def test_streams_are_not_renumbered():
    """A run that is resumed draws what it would have drawn."""
    assert {stream.name: int(stream) for stream in Stream} == {
        "MASK": 0,
        "POOL": 1,
        "POOL_TURN": 2,
        "DATA_CROP": 16,
        "DATA_ORDER": 17,
        "DATA_IMAGE": 18,
        "DATA_MIX": 19,
    }


class Numbered:
    """Odds whose pool's masks tell their place in it."""

    def pool(self, numbers, masks):
        return np.eye(masks, dtype=bool)


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
@pytest.mark.parametrize("turn", [0, 3])
def test_a_pools_order_is_not_the_images(seed, turn):
    """They were the same permutation once: each mask met the same images again and again."""
    size = 64
    masks, odds = Masks(seed, pool=size), Numbered()
    steps = range(turn * size, (turn + 1) * size)
    pool_order = [int(masks.draw(odds, step).argmax()) for step in steps]
    images = EpochOrder(size, seed)
    images.set_epoch(turn)
    assert sorted(pool_order) == sorted(images) == list(range(size))
    assert pool_order != list(images)
    assert abs(np.corrcoef(pool_order, list(images))[0, 1]) < 0.5


def test_image_transforms_and_mixing_draw_apart():
    drawn = set()
    streams = (Stream.DATA_IMAGE, Stream.DATA_MIX)
    for stream, epoch, number in itertools.product(streams, range(3), range(3)):
        with cpu_generator(5, stream, epoch, number):
            drawn.add(tuple(torch.rand(4).tolist()))
    assert len(drawn) == 18
