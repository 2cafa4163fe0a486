"""Attaching to the zoo's models, and what a step changes in them."""

import numpy as np
import pytest
import torch

from equal import assert_equal
from layerdropback import Branch, LayerDropBack, Truncate, Uniform
from zoo import ZOO

UNITS = ("layer", "block", "tensor")
NAMES = ("uniform", "truncate", "branch")


def each_strategy(test, names=NAMES):
    """What holds for one strategy holds for all: each test that is marked so runs with each.

    Where it has other arguments, too, the strategies take turns by default.
    """
    return pytest.mark.in_turn("strategy")(pytest.mark.parametrize("strategy", names)(test))


def each_but_branch(test):
    """Where the layer in question lies in no branch."""
    return each_strategy(test, NAMES[:2])


SKIPPING = {"resnet", "densenet", "vit", "beit", "attention", "tied_gpt", "residual"}

# Models, or their blocks, of which no part is a residual branch.
NO_BRANCH = {(name, unit) for name in set(ZOO) - SKIPPING for unit in UNITS}
NO_BRANCH |= {("resnet", "block"), ("attention", "block")}


def _zoo_cases():
    for model, name in enumerate(ZOO):
        for place, unit in enumerate(UNITS):
            known = [s for s in NAMES if s != "branch" or (name, unit) not in NO_BRANCH]
            for turn, strategy in enumerate(known):
                shown = turn == (model + place) % len(known)
                marks = () if shown else pytest.mark.slow
                yield pytest.param(
                    name, unit, strategy, id=f"{name}-{unit}-{strategy}", marks=marks
                )


# Every model with every unit and every strategy that can train it; by default the strategies take
# turns.
ZOO_CASES = list(_zoo_cases())


def dropping(name, amount=0.5, **fields):
    """A strategy by its name, with what a step drops: a rate, or a share in all its widths."""
    if name == "truncate":
        return Truncate(amount, "uniform", **fields)
    return {"uniform": Uniform, "branch": Branch}[name](amount, **fields)


def small(strategy, otherwise="mlp"):
    """A model of three layers, with a branch where branches are what is dropped."""
    return ZOO["residual" if strategy == "branch" else otherwise]


def nearly_all(strategy, **fields):
    """Hardly a step drops nothing; of the small models' cost no more can be cut."""
    return dropping(strategy, 0.8 if strategy == "truncate" else 0.99, **fields)


def sgd(model, **changes):
    settings = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-2} | changes
    return torch.optim.SGD(model.parameters(), **settings)


def attach(model, strategy="uniform", optimizer=None, **settings):
    """The controller, checking every step, and the optimizer."""
    optimizer = sgd(model) if optimizer is None else optimizer
    chosen = dropping(strategy) if isinstance(strategy, str) else strategy
    return LayerDropBack(model, optimizer, chosen, **({"verify": True} | settings)), optimizer


def train(entry, model, ldb, optimizer, epoch=0, steps=2):
    """One epoch of a plain loop; the mask of each step."""
    return entry.train(ldb, model, optimizer, [epoch], steps)


def dropped_names(ldb):
    """The parameters that are dropped now."""
    mask = ldb.mask
    chosen = [] if mask is None else [ldb.layers[i] for i in np.flatnonzero(mask)]
    return {name for layer in chosen for name in layer.parameter_names}


def flags(model):
    return {name: parameter.requires_grad for name, parameter in model.named_parameters()}


def snapshot(model, optimizer):
    """Every parameter with its optimizer state, by name."""
    return {
        name: [parameter.detach().clone()]
        + [torch.as_tensor(v).clone() for v in optimizer.state.get(parameter, {}).values()]
        for name, parameter in model.named_parameters()
    }


def unmoved(before, after):
    """The names of what is the same in two snapshots."""
    return {
        name
        for name, old in before.items()
        if len(old) == len(after[name]) and all(map(torch.equal, old, after[name]))
    }


def assert_same_weights(one, other):
    assert_equal(dict(one.state_dict()), dict(other.state_dict()))
