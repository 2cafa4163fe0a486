"""Activations whose gradient the forward pass asks for are noted, and nothing else."""

import pytest
import torch

from layerdropback.interop.private import node_number
from layerdropback.model.asked import AskedGradients

WAYS = {
    "retain_grad": lambda x: x.retain_grad(),
    "register_hook": lambda x: x.register_hook(lambda grad: grad),
    "grad": lambda x: torch.autograd.grad(x.sum(), x, retain_graph=True),
    "grad by name": lambda x: torch.autograd.grad(x.sum(), inputs=[x], retain_graph=True),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_ask(way):
    with AskedGradients() as asked:
        hidden = torch.ones(2, requires_grad=True).exp()
        WAYS[way](hidden)
        hidden.exp()
    assert asked.numbers == [node_number(hidden.grad_fn)]


def test_what_is_asked_of_leaves_or_not_at_all_is_not_noted():
    with AskedGradients() as asked:
        leaf = torch.ones(2, requires_grad=True)
        leaf.register_hook(lambda grad: grad)
        torch.autograd.grad(leaf.exp().sum(), leaf)
    assert asked.numbers == []


def test_what_is_asked_before_and_after_is_not_noted():
    hidden = torch.ones(2, requires_grad=True).exp()
    asked = AskedGradients()
    hidden.retain_grad()
    with asked:
        pass
    hidden.register_hook(lambda grad: grad)
    assert asked.numbers == []


def test_code_that_asks_first_whether_it_may_asks_for_nothing():
    weight = torch.ones(2, requires_grad=True)
    with AskedGradients() as asked:
        guarded = weight.exp()
        if guarded.requires_grad:
            guarded.register_hook(lambda gradient: None)
        weight.sin().register_hook(lambda gradient: None)
    assert len(asked.numbers) == 1
