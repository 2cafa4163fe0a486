"""An engine without the face around it, and plain steps with it."""

import torch

from attached import sgd
from layerdropback import Schedule, Uniform
from layerdropback.engine.engine import attach
from layerdropback.settings import Settings

ALWAYS = Schedule(every=1, start=0)


def engine_of(model, strategy=Uniform(0.9), *optimizers, **settings):
    """An engine whose every epoch drops, in epoch 0; its optimizers.

    Args:
        model: to attach to.
        strategy: what drops.
        *optimizers: by default one SGD with momentum and decay.
        **settings: other fields of `Settings`.
    """
    chosen = optimizers or (sgd(model),)
    engine = attach(model, chosen, Settings(strategy, **({"schedule": ALWAYS} | settings)))
    engine.windows.enter_epoch(0)
    return engine, *chosen


def learnt(model, strategy=Uniform(0.9), *optimizers, **settings):
    """The same after its first step, the full one."""
    engine, *chosen = engine_of(model, strategy, *optimizers, **settings)
    step(model, *chosen)
    return engine, *chosen


def passes(model):
    """Forward and backward pass of one batch."""
    model(torch.randn(2, 8)).square().sum().backward()


def step(model, *optimizers):
    """One whole step."""
    passes(model)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()


def without_gradient(model):
    """The names of the parameters that have none."""
    return {name for name, parameter in model.named_parameters() if parameter.grad is None}
