"""Which module made which nodes of the graph."""

import pytest
import torch
from torch import nn

from layerdropback.interop.private import node_number
from layerdropback.model.module_calls import ModuleCalls
from zoo import ZOO


def test_each_call_has_the_numbers_of_its_nodes():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    watched = ModuleCalls(model)
    out = model(torch.ones(1, 3))
    calls = watched.stop()
    (last,) = calls["2"]
    assert last.outputs == [node_number(out.grad_fn)]
    for before, after in (("0", "1"), ("1", "2")):
        assert calls[before][0].end <= calls[after][0].begin
    assert all(call.begin <= call.outputs[0] < call.end for (call,) in calls.values())
    assert "" not in calls, "the root is left out"


def test_an_inner_modules_nodes_are_its_parents_too():
    model = ZOO["residual"].model()
    watched = ModuleCalls(model)
    model(torch.randn(2, 8))
    calls = watched.stop()
    (outer,), (inner,) = calls["2"], calls["2.inner"]
    assert outer.begin <= inner.begin < inner.end <= outer.end
    assert inner.outputs != outer.outputs


def test_a_module_that_is_called_twice_has_two_calls():
    shared = nn.Linear(3, 3)
    watched = ModuleCalls(model := nn.Sequential(shared, nn.ReLU(), shared))
    model(torch.ones(1, 3))
    assert len(watched.stop()["0"]) == 2


def test_no_hook_stays_and_nothing_is_noted_after_the_end():
    model = ZOO["vit"].model()
    watched = ModuleCalls(model)
    calls = watched.stop()
    model(torch.randn(2, 3, 16, 16))
    assert not any(calls.values())
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_a_call_that_raises_has_no_outputs():
    class Fails(nn.Module):
        def forward(self, x):
            raise KeyError

    watched = ModuleCalls(model := nn.Sequential(nn.Linear(3, 3), Fails()))
    with pytest.raises(KeyError):
        model(torch.ones(1, 3))
    calls = watched.stop()
    assert len(calls["0"][0].outputs) == 1
    assert calls["1"][0].outputs == []


def test_names_are_without_what_compiling_adds():
    model = nn.Sequential(torch.compile(nn.Linear(3, 3), backend="eager"), nn.Linear(3, 2))
    assert set(ModuleCalls(model).stop()) == {"0", "1"}
