"""One forward pass in numbers: calls of modules, outputs that are ends, early uses."""

import itertools

import pytest
import torch
from torch import nn

from layerdropback.interop.private import node_number
from layerdropback.model.call_trace import CallTrace, ModuleCalls, early_users
from layerdropback.model.graph import Edge
from recorded import recorded, recorded_entry
from zoo import CLASSES, ZOO


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


def chain(*numbers):
    return [Edge(above, 0, below, None) for above, below in itertools.pairwise(numbers)]


def test_an_output_on_the_way_to_another_is_no_end():
    trace = CallTrace(chain(5, 4, 3), {}, {5: False, 4: False})
    assert trace.tops() == [5]


def test_two_outputs_of_two_branches_are_two_ends():
    trace = CallTrace([*chain(5, 3), *chain(4, 3)], {}, {5: False, 4: False, 3: False})
    assert sorted(trace.tops()) == [4, 5]


@pytest.mark.parametrize(("roots", "tops"), [({6: True, 5: False}, [5]), ({6: True}, [6])])
def test_a_single_number_is_an_end_only_where_nothing_else_is(roots, tops):
    """A loss that the model gives beside its logits, or alone."""
    assert CallTrace(chain(6, 5, 4), {}, roots).tops() == tops


def test_the_parameter_that_is_used_last_behind_a_node():
    recorder, model = recorded_entry(ZOO["mlp"])
    trace = recorder.traces[0]
    names = frozenset(name for name, _ in model.named_parameters())
    (top,) = trace.tops()
    assert trace.last_behind(top, names).startswith("4.")
    lower = frozenset(name for name in names if not name.startswith("4."))
    assert trace.last_behind(top, lower).startswith("2.")
    assert trace.last_behind(top, frozenset()) is None


def test_numbers_keep_no_tensor_alive_but_leaves():
    model = nn.Linear(3, 2)
    trace = recorded(model, lambda m: m(torch.ones(1, 3)).sum().backward()).traces[0]
    leaves = [edge.leaf for edge in trace.edges if edge.leaf is not None]
    assert {id(leaf) for leaf in leaves} == {id(p) for p in model.parameters()}
    assert {type(number) for number in trace.reached} == {int}


class Thrice(nn.Module):
    """Two modules share a weight; the first is called once or twice, then the second."""

    def __init__(self, calls):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.head = nn.Linear(4, CLASSES)
        self.second.weight = self.first.weight
        self.calls = calls

    def forward(self, x):
        for _ in range(self.calls):
            x = self.first(x)
        return self.head(self.second(x))


def found(model, owners):
    trace = recorded(model, lambda m: m(torch.ones(1, 4)).sum().backward()).traces[0]
    return early_users(trace, owners)


OWNERS = {"first.weight": ("first", "second")}


def test_the_embedding_makes_the_early_use_of_a_tied_head():
    recorder, _ = recorded_entry(ZOO["tied_gpt"])
    owners = {"head.weight": ("head", "tokens")}
    assert early_users(recorder.traces[0], owners) == {"head.weight": ("tokens",)}


def test_all_early_uses_must_be_in_calls_of_owners():
    assert found(Thrice(1), OWNERS) == {"first.weight": ("first",)}
    assert found(Thrice(2), OWNERS) == {"first.weight": ("first",)}


class Halves(nn.Module):
    """One table for the encoder, the decoder and the head, as BART and T5 have it."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Embedding(7, 4), nn.Embedding(7, 4)
        self.middle = nn.Linear(4, 4)
        self.decoder.weight = self.encoder.weight

    def forward(self, x):
        words = torch.arange(5)
        read = self.middle(self.encoder(words)).mean(0)
        return (read + self.decoder(words)) @ self.encoder.weight.T


def test_an_embedding_for_each_half_of_an_encoder_decoder():
    owners = {"encoder.weight": ("encoder", "decoder")}
    assert found(Halves(), owners) == {"encoder.weight": ("encoder", "decoder")}
    assert found(Halves(), {"encoder.weight": ("encoder",)}) == {}


def test_what_nobody_asks_about_or_is_used_once_has_no_early_user():
    assert found(Thrice(1), {}) == {}
    assert found(Thrice(1), {"head.weight": ("head",)}) == {}


@pytest.mark.parametrize("around", [True, False])
def test_a_module_that_also_makes_the_last_use_is_none(around):
    class Net(nn.Module):
        """One module makes both uses by itself."""

        def __init__(self):
            super().__init__()
            self.inner = Around() if around else nn.Linear(4, 4)

        def forward(self, x):
            return self.inner(x) if around else self.inner(self.inner(x))

    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4, 4))

        def forward(self, x):
            return (x @ self.weight).exp() @ self.weight

    assert found(Net(), {"inner.weight": ("inner",)}) == {}
