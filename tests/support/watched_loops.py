"""A loop, and the warnings that it hears."""

import torch

from attached import dropping
from by_hand import ALWAYS, heard, plain_passes, skip_net
from layerdropback import LayerDropBack


def sgd(parameters, **changes):
    return torch.optim.SGD(parameters, **({"lr": 0.05, "momentum": 0.9} | changes))


class Loop:
    """A model, its optimizers, and a controller that drops in every epoch."""

    def __init__(self, make=skip_net, strategy="uniform", optimizers=None, schedule=ALWAYS):
        self.model = make()
        self.optimizers = [sgd(self.model.parameters())] if optimizers is None else optimizers(self)
        chosen = dropping(strategy, 0.4) if isinstance(strategy, str) else strategy
        self.ldb = LayerDropBack(self.model, self.optimizers, chosen, schedule)
        self.number = 0
        self.more = {}

    @property
    def optimizer(self):
        return self.optimizers[0]

    def passes(self):
        plain_passes(self.model)

    def step(self):
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()

    def train(self, body, epochs=2, steps=15):
        """What the loop hears; `body` is what it does with each batch."""
        with heard() as texts:
            for epoch in range(epochs):
                for _ in self.ldb.epoch(range(steps), epoch):
                    self.number += 1
                    body(self)
        return texts


def plain(loop):
    loop.passes()
    loop.step()


def halves(loop):
    parameters = list(loop.model.parameters())
    return [sgd(parameters[:6]), torch.optim.AdamW(parameters[6:])]
