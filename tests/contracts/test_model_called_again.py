"""A model that takes what it has given: the gradient of what went in first is right."""

import copy

import pytest
import torch
from torch import nn

from attached import attach, dropped_names, dropping, each_strategy, sgd
from by_hand import block, frozen
from twins import ALWAYS


def gradient(model, x, calls):
    """Of the input, and the passes of a batch."""
    x = x.clone().requires_grad_()
    y = x
    for _ in range(calls):
        y = model(y)
    y.square().mean().backward()
    return x.grad


@pytest.mark.parametrize("calls", [1, 2, 3])
@each_strategy
def test_an_arguments_gradient_is_right_through_all_calls(strategy, calls):
    model = nn.Sequential(block(), block(), block(), nn.Linear(8, 8))
    twin = copy.deepcopy(model)
    ldb, optimizer = attach(model, dropping(strategy, 0.4), schedule=ALWAYS)
    twin_optimizer, drops = sgd(twin), 0
    for _ in ldb.epoch(range(8), 0):
        x = torch.randn(4, 8)
        mine = gradient(model, x, calls)
        dropped = dropped_names(ldb)
        with frozen(twin, dropped):
            theirs = gradient(twin, x, calls)
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
        drops += bool(dropped)
        for each in (optimizer, twin_optimizer):
            each.step()
            each.zero_grad()
    assert drops > 2
