"""The mask that needs the most memory, of any strategy."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from layerdropback import Branch, LayerDropBack, Schedule, Strategy, Truncate, Uniform
from layerdropback.lab.memory.worst import worst_of

ALWAYS = Schedule(every=1, start=0)


def chain(sizes=(8, 8, 8, 8, 8)):
    layers = [nn.Linear(8, size) for size in sizes]
    return nn.Sequential(
        *(nn.Sequential(la, nn.ReLU(), nn.Linear(la.out_features, 8)) for la in layers)
    )


def masks_of(strategy, positions=(0.5,), by="depth", model=None, steps=6):
    """The masks that are in force in the drop steps, and the choices."""
    model = chain() if model is None else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    chosen = {}
    ldb = LayerDropBack(model, optimizer, worst_of(strategy, positions, by, chosen), ALWAYS)
    found = []
    with ldb.epoch(None, 0):
        for step in range(steps):
            model(torch.ones(2, 8)).sum().backward()
            found += [ldb.mask] if step else []
            optimizer.step()
            optimizer.zero_grad()
    return found, chosen


@pytest.mark.parametrize(
    "strategy", [Uniform(0.9), Uniform(0.9, pool=4), Uniform(0.9, unit="block")]
)
def test_independent_layers_may_all_be_kept(strategy):
    found, _ = masks_of(strategy)
    assert len(found) == 5
    assert not np.any(found)


def test_of_a_cut_it_is_the_one_that_skips_the_least():
    fixed, _ = masks_of(Truncate(0.5))
    assert {int(mask.sum()) for mask in fixed} == {4}, "of 10 layers, whose first costs less"
    anywhere, _ = masks_of(Truncate(0.5, depth="uniform"))
    assert not np.any(anywhere)


def test_of_a_ramp_it_is_the_lowest():
    low, _ = masks_of(Truncate(0.5), positions=(0.0, 0.5, 1.0))
    assert not np.any(low)


@dataclass(frozen=True)
class Pair(Strategy):
    """Two blocks train, the others and all else rest, as in LISA."""

    name: ClassVar[str] = "pair"

    def odds(self, facts, position):
        return TwoOf(facts)


@dataclass(frozen=True)
class TwoOf:
    facts: object

    @property
    def chances(self):
        return np.where(self.facts.free, 0.5, 0.0)

    @property
    def mean_rate(self):
        return 0.5

    def draw(self, numbers, turn=0):
        mask = self.facts.free.copy()
        free = np.flatnonzero(mask)
        mask[free[np.argsort(numbers(len(free)))[:2]]] = False
        return mask

    def pool(self, numbers, masks):
        raise NotImplementedError


def test_where_always_as_many_train_no_mask_is_made_up():
    found, chosen = masks_of(Pair(unit="block"))
    kept = [np.flatnonzero(~mask).tolist() for mask in found]
    assert all(places[0] == 0 and len(places) == 3 for places in kept), "the head, and two of them"
    assert np.array_equal(chosen["depth"], found[0])


def test_the_deepest_and_the_largest_may_be_two():
    sizes = (8, 8, 64, 64, 8)
    deep, chosen = masks_of(Pair(unit="block"), model=chain(sizes))
    assert np.flatnonzero(~deep[0]).tolist() in ([0, 2, 4], [0, 3, 4])
    large, same = masks_of(Pair(unit="block"), by="parameters", model=chain(sizes))
    assert np.flatnonzero(~large[0]).tolist() == [2, 3, 4]
    assert all(np.array_equal(chosen[by], same[by]) for by in chosen)


def test_it_is_the_same_strategy_in_all_else():
    strategy = Branch(0.4, keep=("0",), unit="tensor")
    worst = worst_of(strategy, (0.5,), "depth", {})
    assert isinstance(worst, Branch)
    assert worst.to_state() == strategy.to_state()
    assert (worst.needs_branches, worst.needs_costs) == (True, False)
    assert type(strategy) is Branch, "what was given stays as it is"
