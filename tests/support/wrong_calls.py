"""Calls of the library that are wrong in one way each, and what every refusal must show."""

import re

import pytest
import torch
from torch import nn

from layerdropback import LayerDropBack
from layerdropback.errors import AttachError, LayerDropBackError


def net():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 2))


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def attached(*arguments, model=None, **changes):
    model = net() if model is None else model
    return LayerDropBack(model, sgd(model), *arguments, **changes)


def to_model(model):
    return LayerDropBack(model, sgd(net()))


def to_optimizer(make):
    model = net()
    return LayerDropBack(model, make(model))


def to_frozen(model):
    model.requires_grad_(False)
    return LayerDropBack(model, sgd(model))


def to_traced(model):
    return LayerDropBack(torch.jit.trace(model, torch.ones(1, 4)), sgd(model))


def attach_twice():
    model = net()
    optimizer = sgd(model)
    first = LayerDropBack(model, optimizer)
    try:
        LayerDropBack(model, optimizer)
    finally:
        first.detach()


def one_optimizer_twice(model):
    optimizer = sgd(model)
    return [optimizer, optimizer]


def loader(**changes):
    return torch.utils.data.DataLoader([1, 2], **changes)


def detached():
    ldb = attached()
    ldb.detach()
    return ldb


def refused(call, expected):
    """Three dots in what is expected stand for anything."""
    with pytest.raises(LayerDropBackError) as error:
        call()
    problems = error.value.problems if isinstance(error.value, AttachError) else [str(error.value)]
    pattern = ".*".join(map(re.escape, expected.split("...")))
    assert re.fullmatch(pattern, problems[0]), problems
    assert "\n" not in problems[0]
    assert re.search(r"\. Cause: .+\. Cure: .+\.$", problems[0]), problems
