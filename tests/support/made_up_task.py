"""A task whose steps take no time, for the lab's own tests; and a small model of transformers."""

import torch
from torch import nn

from layerdropback import LayerDropBack, Schedule, Truncate
from layerdropback.lab.task import Run, Task

STEPS = 6


class LinesRun(Run):
    """Fits a line; `way` is a strategy, or None."""

    def __init__(self, strategy, seed, epochs, lr):
        self.epochs, self.trained = epochs, []
        layers = [nn.Linear(4, 4) for _ in range(4)]
        self.model = nn.Sequential(*layers, nn.Linear(4, 1))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=lr, momentum=0.9)
        if strategy is not None:
            schedule = Schedule(every=1, start=0)
            self.ldb = LayerDropBack(self.model, self.optimizer, strategy, schedule, seed=seed)

    def steps_in(self, epoch):
        return max(1, round(STEPS * min(1, self.epochs - epoch)))

    def batches(self):
        return torch.randn(STEPS, 8, 4).unbind()

    def train(self, epoch, done=0):
        assert done == 0, "it is saved between epochs alone"
        batches = self.batches()
        for inputs in batches if self.ldb is None else self.ldb.epoch(batches, epoch):
            loss = (self.model(inputs)[:, 0] - inputs.sum(1)).square().mean()
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.trained.append(loss.item())
            yield loss

    def test(self):
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randn(64, 4, generator=generator)
        with torch.no_grad():
            loss = float((self.model(inputs)[:, 0] - inputs.sum(1)).square().mean())
        return {"test_accuracy": 100 / (1 + loss), "test_loss": loss, "extra": 7}


class Lines(Task):
    name, unit, train, test, epochs, lr = "lines", "lines", 48, 64, 3, 0.01
    made = LinesRun

    def start(self, way, seed, epochs, lr):
        return self.made(way, seed, epochs, lr)

    def held_out(self):
        other = type(self)()
        other.test = 10
        return other


def study(share=0.5):
    return Lines(), {"plain": None, "half": Truncate(share)}


def nothing():
    return Lines()
