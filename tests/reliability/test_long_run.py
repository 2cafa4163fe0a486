"""2,000 epochs of the digits, in random ways: what is left after each, and what grows."""

import copy
import gc
import json
import random
import warnings

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from attached import assert_same_weights
from layerdropback import AttachError, LayerDropBack
from random_way import OPTIMIZERS, random_schedule, random_strategy
from traces import everything_in, everything_on
from zoo import Skip

EPOCHS, STEPS, BATCH = 2_000, 4, 32

# Tensors that the library and the loop may hold besides weights, gradients and states.
FEW = 20


def net():
    blocks = [Skip(nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16))) for _ in "abc"]
    return nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), *blocks, nn.Linear(16, 10))


def batches():
    found = load_digits()
    images = torch.tensor(found.data[: STEPS * BATCH], dtype=torch.float32) / 16
    labels = torch.tensor(found.target[: STEPS * BATCH])
    return list(zip(images.split(BATCH), labels.split(BATCH), strict=True))


def living():
    """How many tensors there are."""
    gc.collect()
    return sum(isinstance(one, torch.Tensor) for one in gc.get_objects())


class Digits:
    """One model, trained by one controller after another."""

    def __init__(self):
        self.chance = random.Random("a long run")
        self.data = batches()
        self.model, self.epochs, self.drop_steps, self.loads = net(), 0, 0, 0
        self.fresh()

    def fresh(self, kind=None):
        """An optimizer, and what model and optimizer look like without a controller."""
        kind = self.chance.choice("snarf") if kind is None else kind
        self.optimizer = OPTIMIZERS[kind](self.model.parameters())
        self.plain = everything_on(self.model), everything_in(self.optimizer)

    def size(self):
        """How many tensors there are without a controller and an optimizer's state."""
        self.fresh("s")
        return living()

    def attach(self, strategy, schedule):
        settings = {"seed": self.chance.randrange(2**64), "verify": self.chance.random() < 0.5}
        return LayerDropBack(self.model, self.optimizer, strategy, schedule, **settings)

    def session(self):
        """Attach, train some epochs, save and load in their midst, and detach."""
        if self.chance.random() < 0.3:
            self.fresh()
        strategy, epochs = random_strategy(self.chance), self.chance.randint(1, 8)
        schedule = random_schedule(self.chance, strategy, STEPS * epochs, epochs)
        try:
            ldb = self.attach(strategy, schedule)
        except AttachError:
            self.check_left()
            return
        saved = self.chance.randrange(1, 2 * STEPS * epochs)
        for epoch in range(epochs):
            for number, batch in enumerate(ldb.epoch(self.data, epoch)):
                if epoch * STEPS + number == saved:
                    self.round_trip(ldb)
                    break
                try:
                    self.step(batch)
                except AttachError:
                    self.optimizer.zero_grad()
                    ldb.detach()
                    self.check_left()
                    return
            self.epochs += 1
            self.check_between()
        self.drop_steps += ldb.stats()["drop_steps"]
        ldb.detach()
        self.check_left()

    def step(self, batch):
        functional.cross_entropy(self.model(batch[0]), batch[1]).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def round_trip(self, ldb):
        """Save everything, train on for a moment, and load: all is where it was."""
        states = copy.deepcopy((self.model.state_dict(), self.optimizer.state_dict()))
        own = json.loads(json.dumps(ldb.state_dict()))
        before = copy.deepcopy(self.model)
        with ldb.epoch(None, 10**6):
            self.step(self.data[0])
        self.model.load_state_dict(states[0])
        self.optimizer.load_state_dict(states[1])
        ldb.load_state_dict(own)
        assert_same_weights(self.model, before)
        assert json.loads(json.dumps(ldb.state_dict())) == own
        self.loads += 1

    def check_between(self):
        """After an epoch: flags are the user's, gradients gone, and nothing piles up."""
        assert all(parameter.requires_grad for parameter in self.model.parameters())
        assert all(parameter.grad is None for parameter in self.model.parameters())
        states = self.optimizer.state_dict()["state"].values()
        count = sum(isinstance(value, torch.Tensor) for one in states for value in one.values())
        known = [*self.model.parameters(), *self.model.buffers()]
        known += [tensor for batch in self.data for tensor in batch]
        assert living() <= len(known) + count + FEW

    def check_left(self):
        """After a controller: no hook, flag or attribute is left."""
        on, (attributes, *others) = everything_on(self.model), everything_in(self.optimizer)
        assert (on, others) == (self.plain[0], list(self.plain[1][1:]))
        assert attributes == self.plain[1][0]


@pytest.mark.slow
def test_2000_epochs_leave_nothing_behind():
    run, sessions, sizes = Digits(), 0, []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "no layer can be dropped in drop epoch")
        while run.epochs < EPOCHS:
            run.session()
            sessions += 1
            if sessions % 50 == 0:
                sizes.append(run.size())
    assert sessions > 300
    assert run.loads > 100
    assert run.drop_steps > EPOCHS
    assert sizes[-1] == sizes[0]
