"""Models that consume their batch, or write into it: it is given to them once, and untouched."""

from collections import UserDict
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from attached import each_but_branch
from by_hand import CLASSES, Beside, block


@dataclass
class Batch:
    x: torch.Tensor
    y: torch.Tensor


@dataclass(frozen=True)
class Output:
    loss: torch.Tensor
    logits: torch.Tensor


class Consuming(nn.Module):
    """Gives its loss, of a batch that is no more what it was."""

    def __init__(self, take):
        super().__init__()
        self.take = take
        self.net = nn.Sequential(nn.Linear(8, 8), block(), block(), nn.Linear(8, CLASSES))

    def forward(self, *args, **kwargs):
        x, y = self.take(*args, **kwargs)
        logits = self.net(x)
        return Output(nn.functional.cross_entropy(logits, y), logits)


def popping(batch):
    return batch.pop("x"), batch.pop("y")


def clearing(batch):
    x, y = batch["x"], batch["y"]
    batch.clear()
    return x, y


def deleting(batch):
    x, y = batch.x, batch.y
    del batch.x, batch.y
    return x, y


def marking(batch):
    assert "seen" not in batch, "this batch was used already"
    batch["seen"] = True
    return batch["x"], batch["y"]


def scaling(batch):
    return batch["x"].mul_(0.5), batch["y"]


def listed(x, y):
    return ([y, x],)


WAYS = {
    "popped": (popping, lambda x, y: ({"x": x, "y": y},)),
    "popped from a user's": (popping, lambda x, y: (UserDict(x=x, y=y),)),
    "taken from a list": (lambda batch: (batch.pop(), batch.pop()), listed),
    "iterated": (lambda batch: (next(batch), next(batch)), lambda x, y: (iter([x, y]),)),
    "generated": (lambda batch: tuple(batch), lambda x, y: ((part for part in (x, y)),)),
    "cleared": (clearing, lambda x, y: ({"x": x, "y": y},)),
    "deleted": (deleting, lambda x, y: (Batch(x, y),)),
    "marked": (marking, lambda x, y: ({"x": x, "y": y},)),
    "scaled in place": (scaling, lambda x, y: ({"x": x, "y": y},)),
}


@each_but_branch
@pytest.mark.parametrize("way", WAYS)
def test_a_batch_is_given_to_the_model_once(way, strategy):
    take, give = WAYS[way]

    def passes(model):
        model(*give(torch.randn(4, 8), torch.randint(CLASSES, (4,)))).loss.backward()

    assert Beside(lambda: Consuming(take), strategy).train(passes)["drop_steps"] == 9


@pytest.mark.parametrize("way", WAYS)
def test_branches_are_found_all_the_same(way):
    take, give = WAYS[way]

    def passes(model):
        model(*give(torch.randn(4, 8), torch.randint(CLASSES, (4,)))).loss.backward()

    stats = Beside(lambda: Consuming(take), "branch").train_alone(passes)
    assert sum(stats["times_dropped"].values()) > 0


class Lazy(Mapping):
    """Makes its values when they are asked for, with random numbers."""

    def __init__(self):
        self._make = {
            "x": lambda: torch.randn(4, 8),
            "y": lambda: torch.randint(CLASSES, (4,)),
        }

    def __getitem__(self, name):
        return self._make[name]()

    def __iter__(self):
        return iter(self._make)

    def __len__(self):
        return len(self._make)


@each_but_branch
def test_a_mapping_that_draws_is_asked_by_the_model_alone(strategy):
    def passes(model):
        model(Lazy()).loss.backward()

    pair = Beside(lambda: Consuming(lambda batch: (batch["x"], batch["y"])), strategy)
    assert pair.train(passes)["drop_steps"] == 9
