"""Training loops over random vectors."""

import torch

from attached import attach
from layerdropback import Uniform
from twins import ALWAYS


def squared(model):
    """The passes of one step."""
    model(torch.randn(2, 8)).square().mean().backward()


def steps(ldb, model, optimizer, epoch, count=3, backward=squared):
    """One epoch of a loop that zeroes its gradients first."""
    for _ in ldb.epoch(range(count), epoch):
        optimizer.zero_grad()
        backward(model)
        optimizer.step()


def drop_counts(model, backward=squared, count=25, rate=0.8, unit="layer", **settings):
    """How often each layer drops, after one full step."""
    ldb, optimizer = attach(model, Uniform(rate, unit=unit), schedule=ALWAYS, **settings)
    steps(ldb, model, optimizer, 0, count, backward)
    return ldb.stats()["times_dropped"]
