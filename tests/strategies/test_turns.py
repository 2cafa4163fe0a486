"""Blocks that take turns: how many are active, which, and when."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerdropback.strategies.random import Stream, random_numbers
from layerdropback.strategies.turns import Turns

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9)).filter(lambda pair: pair[0] <= pair[1])


def numbers(seed, turn):
    return partial(random_numbers, seed, Stream.MASK, turn)


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
