"""A run beside a plain one, in which the same layers are frozen by hand."""

import contextlib
import itertools
import random
import warnings

import numpy as np
import torch
from torch import nn

from attached import assert_same_weights, dropped_names, dropping, sgd
from layerdropback import LayerDropBack, Schedule
from zoo import Skip

ALWAYS = Schedule(every=1, start=0)
CLASSES = 3


def block(width=8):
    return Skip(nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width)))


def skip_net(blocks=3):
    return nn.Sequential(nn.Linear(8, 8), *[block() for _ in range(blocks)], nn.Linear(8, CLASSES))


def loss_of(logits):
    """Of logits, with labels of its own."""
    return nn.functional.cross_entropy(logits, torch.randint(CLASSES, logits.shape[:1]))


def plain_passes(model):
    """Forward and backward pass of a batch of vectors."""
    loss_of(model(torch.randn(4, 8))).backward()


def seed_all(number):
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number)


@contextlib.contextmanager
def heard():
    """The warnings that come meanwhile, as texts."""
    texts = []
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield texts
    texts += [str(warning.message) for warning in found]


@contextlib.contextmanager
def frozen(model, names):
    lowered = [p for n, p in model.named_parameters() if n in names and p.requires_grad]
    for parameter in lowered:
        parameter.requires_grad_(False)
    yield
    for parameter in lowered:
        parameter.requires_grad_(True)


class Beside:
    """A model that drops, and a plain one with the same weights.

    Args:
        make: makes the model.
        strategy: or the name of one, see `attached.dropping`.
        optimizers: makes the optimizers of a model.
        **settings: of LayerDropBack.
    """

    def __init__(self, make, strategy, optimizers=lambda model: [sgd(model)], **settings):
        self.models = []
        for _ in range(2):
            seed_all(0)
            self.models.append(make())
        self.model, self.twin = self.models
        self.optimizers = [optimizers(model) for model in self.models]
        chosen = dropping(strategy, 0.4) if isinstance(strategy, str) else strategy
        settings = {"schedule": ALWAYS, "seed": 3, "verify": True} | settings
        self.ldb = LayerDropBack(self.model, self.optimizers[0], chosen, **settings)
        self.steps = 0

    def train(self, passes=plain_passes, epochs=1, steps=10, accumulate=1, before=None):
        """Train both.

        Args:
            passes: forward and backward pass of one batch, of the model that it is given.
            epochs: how many, from 0.
            steps: batches of each.
            accumulate: so many batches make a step.
            before: called with each epoch's number, model and optimizers.
        """
        for epoch in range(epochs):
            for model, optimizers in zip(self.models, self.optimizers, strict=True):
                if before is not None:
                    before(epoch, model, optimizers)
            for _ in self.ldb.epoch(range(steps), epoch):
                self._batch(passes, accumulate)
        assert_same_weights(self.model, self.twin)
        return self.ldb.stats()

    def train_alone(self, passes=plain_passes, epochs=1, steps=12):
        """Train the one that drops, where no flags by hand are the same."""
        for epoch in range(epochs):
            for _ in self.ldb.epoch(range(steps), epoch):
                self.steps += 1
                seed_all(self.steps)
                passes(self.model)
                for optimizer in self.optimizers[0]:
                    optimizer.step()
                    optimizer.zero_grad()
        return self.ldb.stats()

    def _batch(self, passes, accumulate):
        self.steps += 1
        seed_all(self.steps)
        passes(self.model)
        with frozen(self.twin, dropped_names(self.ldb)):
            seed_all(self.steps)
            passes(self.twin)
        if self.steps % accumulate == 0:
            for optimizer in itertools.chain(*self.optimizers):
                optimizer.step()
                optimizer.zero_grad()


def never_dropped(stats):
    """The layers that were not, in all of a run."""
    return {name for name, times in stats["times_dropped"].items() if not times}
