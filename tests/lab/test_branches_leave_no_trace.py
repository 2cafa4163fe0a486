"""Finding branches calls the model, and leaves it as it was; also while it is being trained."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from attached import attach, dropping
from layerdropback.lab import find_branches
from zoo import Skip


class Draws(nn.Module):
    """Draws from every generator, and counts in a buffer."""

    def __init__(self):
        super().__init__()
        self.norm, self.inner = nn.BatchNorm1d(8), Skip(nn.Linear(8, 8))

    def forward(self, x):
        x = x + random.random() + float(np.random.rand())
        return nn.functional.dropout(self.inner(self.norm(x)), 0.1)


def tensors_of(model):
    return {name: tensor.tolist() for name, tensor in model.state_dict().items()}


def state_of(model):
    """Everything that a call could change."""
    return {
        "tensors": tensors_of(model),
        "flags": [parameter.requires_grad for parameter in model.parameters()],
        "gradients": [parameter.grad for parameter in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "hooks": [
            (list(m._forward_hooks), list(m._forward_pre_hooks), list(m._backward_hooks))
            for m in model.modules()
        ],
        "hooks of parameters": [
            [*(p._backward_hooks or ()), *(p._post_accumulate_grad_hooks or ())]
            for p in model.parameters()
        ],
        "attributes": [sorted(vars(module)) for module in model.modules()],
        "generators": (
            torch.get_rng_state().tolist(),
            random.getstate(),
            np.random.get_state()[1].tolist(),
        ),
        "grad mode": torch.is_grad_enabled(),
    }


def assert_same(after, before):
    for key, value in before.items():
        assert after[key] == value, key


def drawing():
    model = nn.Sequential(nn.Linear(8, 8), Draws(), nn.Linear(8, 2))
    model[0].requires_grad_(False)
    return model


def test_finding_leaves_no_trace():
    model, batch = drawing(), torch.randn(4, 8)
    before = state_of(model)
    branches = find_branches(model, batch)
    assert [branch.name for branch in branches] == ["1.inner.inner"]
    assert_same(state_of(model), before)
    assert not batch.requires_grad


def test_a_call_that_raises_leaves_no_trace():
    model = drawing()
    before = state_of(model)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        find_branches(model, torch.ones(4, 9))
    assert_same(state_of(model), before)


@pytest.mark.parametrize("strategy", ["uniform", "branch"])
@pytest.mark.parametrize("moment", ["full", "drop", "between passes", "no epoch"])
def test_finding_while_attached_leaves_the_run_as_it_was(strategy, moment):
    """The twin's run does not look; both go on alike."""
    runs = []
    for looks in (True, False):
        torch.manual_seed(3)
        model = drawing()
        ldb, optimizer = attach(model, dropping(strategy, 0.5))
        masks = []
        for epoch in range(2):
            for number, batch in enumerate(ldb.epoch(torch.ones(5, 4, 8).unbind(), epoch)):
                look = looks and number == 3 and moment == ("drop" if epoch else "full")
                if look:
                    look_once(model, ldb)
                masks.append(None if ldb.mask is None else ldb.mask.tolist())
                random.seed(number)
                np.random.seed(number)
                loss = model(batch).square().sum()
                if looks and moment == "between passes":
                    look_once(model, ldb)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
        if looks and moment == "no epoch":
            look_once(model, ldb)
        runs.append((masks, ldb.state_dict(), ldb.stats(), tensors_of(model)))
        ldb.detach()
    assert runs[0] == runs[1]
    assert any(any(mask) for mask in runs[0][0] if mask)


def look_once(model, ldb):
    before = state_of(model), ldb.state_dict(), ldb.stats()
    find_branches(model, torch.ones(2, 8))
    assert all(parameter.requires_grad for parameter in list(model.parameters())[2:])
    after = state_of(model), ldb.state_dict(), ldb.stats()
    for one, other in zip(after, before, strict=True):
        assert_same(one, other)
