"""Models that draw random numbers in their forward pass, from whatever generator."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from attached import attach, each_but_branch, each_strategy
from by_hand import CLASSES, Beside, block, heard, never_dropped, plain_passes, seed_all
from layerdropback import Schedule, VerificationError

DRAWS = {
    "python": random.random,
    "numpy": np.random.rand,
    "torch": lambda: float(torch.rand(())),
}


class LayerDrop(nn.Module):
    """Skips blocks, as BART's and wav2vec 2.0's encoders do."""

    def __init__(self, source):
        super().__init__()
        self.draw = DRAWS[source]
        self.stem, self.head = nn.Linear(8, 8), nn.Linear(8, CLASSES)
        self.blocks = nn.ModuleList(block() for _ in range(4))

    def forward(self, x):
        x = self.stem(x)
        for inner in self.blocks:
            if self.draw() > 0.4:
                x = inner(x)
        return self.head(x)


def generators():
    _, numbers, *place = np.random.get_state()
    return random.getstate(), numbers.tolist(), place, torch.get_rng_state().tolist()


def left_by(source, strategy=None):
    """Where the generators are after some epochs, and how often each layer was dropped."""
    seed_all(3)
    model = LayerDrop(source)
    ldb, optimizer = (None, None) if strategy is None else attach(model, strategy, verify=False)
    for epoch in range(4):
        for _ in range(10) if ldb is None else ldb.epoch(range(10), epoch):
            plain_passes(model)
            if optimizer is not None:
                optimizer.step()
                optimizer.zero_grad()
    return generators(), ldb and ldb.stats()


@each_strategy
@pytest.mark.parametrize("source", DRAWS)
def test_generators_end_where_plain_training_leaves_them(source, strategy):
    plain, _ = left_by(source)
    found, stats = left_by(source, strategy)
    assert found == plain
    if strategy != "truncate":  # a cut keeps the upper layers
        assert not [name for name in never_dropped(stats) if name.startswith("blocks")]


@each_but_branch
def test_layers_that_are_skipped_at_random_train_as_plain_ones(strategy):
    pair = Beside(lambda: LayerDrop("python"), strategy, verify=False)
    assert pair.train(epochs=2)["drop_steps"] > 14


def test_verifying_tells_of_layers_that_skip_themselves():
    pair = Beside(lambda: LayerDrop("torch"), "uniform", schedule=Schedule())
    with pytest.raises(VerificationError, match="train with verify=False if the model skips"):
        pair.train(epochs=4)


class Shuffled(LayerDrop):
    """Calls its blocks in another order, or some of them, in every pass."""

    def __init__(self, count):
        super().__init__("python")
        self.count = count

    def forward(self, x):
        x = self.stem(x)
        for inner in random.sample(list(self.blocks), self.count):
            x = inner(x)
        return self.head(x)


@each_but_branch
@pytest.mark.parametrize("count", [2, 4])
def test_another_order_in_every_pass(strategy, count):
    pair = Beside(lambda: Shuffled(count), strategy, verify=False)
    with heard() as texts:
        stats = pair.train(epochs=2)
    assert stats["drop_steps"] > 14
    assert texts == []


class DropPath(LayerDrop):
    """Stochastic depth: each sample's own branches are zeroed."""

    def forward(self, x):
        x = self.stem(x)
        for inner in self.blocks:
            kept = torch.bernoulli(torch.full((len(x), 1), 0.6))
            x = x + kept * (inner(x) - x)
        return self.head(x)


@each_but_branch
def test_stochastic_depth(strategy):
    assert Beside(lambda: DropPath("torch"), strategy).train()["drop_steps"] == 9
