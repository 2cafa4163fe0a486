"""Gradients of dropped parameters, asked for by name, are zero and cost nothing."""

import pytest
import torch
from torch import nn

from attached import attach
from layerdropback import Schedule, Truncate, Uniform
from layerdropback.engine.gate import through_gate
from zoo import ZOO

ALWAYS = Schedule(every=1, start=0)


def test_values_and_gradients_are_those_without_it():
    weight, dropped = (nn.Parameter(torch.ones(2)) for _ in range(2))
    plain = {"a": weight.exp(), "b": [weight * 2, 3]}
    gated = through_gate(plain, [dropped])
    torch.testing.assert_close(gated["a"], plain["a"], rtol=0, atol=0)
    assert gated["b"][1] == 3
    loss = gated["a"].sum() + gated["b"][0].sum()
    mine, zero = torch.autograd.grad(loss, [weight, dropped])
    torch.testing.assert_close(mine, torch.ones(2).exp() + 2)
    assert (zero == 0).all()


def test_the_gradient_of_a_gradient_is_there():
    weight, dropped = (nn.Parameter(torch.ones(2)) for _ in range(2))
    loss = through_gate(weight.exp(), [dropped]).square().sum()
    gradients = torch.autograd.grad(loss, [weight, dropped], create_graph=True)
    sum(gradient.norm() for gradient in gradients).backward()
    assert (weight.grad != 0).all()
    assert dropped.grad is None


def test_a_plain_backward_brings_no_zeros():
    weight, dropped = (nn.Parameter(torch.ones(2)) for _ in range(2))
    through_gate(weight.exp(), [dropped]).sum().backward()
    assert weight.grad is not None
    assert dropped.grad is None


def test_what_went_through_can_be_changed_in_place():
    weight, dropped = (nn.Parameter(torch.ones(2)) for _ in range(2))
    through_gate(weight * 3, [dropped]).mul_(2).sum().backward()
    assert weight.grad.tolist() == [6, 6]


def test_what_needs_no_gradient_is_left_alone():
    out = torch.ones(2)
    assert through_gate(out, [nn.Parameter(torch.ones(2))]) is out


@pytest.mark.parametrize("strategy", [Uniform(0.6), Truncate(0.5)])
def test_a_loop_that_takes_gradients_by_name(strategy):
    """As multi-task methods do: one gradient for each loss, put together by hand."""
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model, strategy, schedule=ALWAYS)
    parameters = list(model.parameters())
    zeros = 0
    for images, targets in ldb.epoch(entry.batches(8), 0):
        mask = ldb.mask
        out = model(images)
        losses = [entry.loss(out, targets), out.square().mean()]
        parts = [torch.autograd.grad(loss, parameters, retain_graph=True) for loss in losses]
        for parameter, *grads in zip(parameters, *parts, strict=True):
            parameter.grad = torch.stack(grads).sum(0)
        for layer, dropped in zip(ldb.layers, mask if mask is not None else (), strict=False):
            assert all((p.grad == 0).all() == dropped for p in layer.parameters)
            zeros += bool(dropped)
        optimizer.step()
        optimizer.zero_grad()
    assert zeros
    assert ldb.stats()["drop_steps"] == 7 + strategy.foresees
