"""Where the graph begins in a model's outputs, and what lies behind them."""

import warnings
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from layerdropback import AttachError
from layerdropback.model.graph import (
    compiled_leaves,
    compiled_too_late,
    edges,
    first_uses,
    graph_roots,
    made_by,
    output_tensors,
)


class Slots:
    __slots__ = ("logits", "me")

    def __init__(self, logits):
        self.logits, self.me = logits, self


@dataclass
class Fields:
    logits: torch.Tensor
    name: str = "fields"


@pytest.mark.parametrize(
    "nest",
    [
        lambda out: out,
        lambda out: (out, 3, None),
        lambda out: {"a": [out], "b": "text"},
        lambda out: Fields(out),
        lambda out: [Slots(out)],
    ],
)
def test_outputs_are_found_however_they_are_nested(nest):
    out = torch.ones(1, requires_grad=True).exp()
    assert graph_roots(nest(out)) == [out.grad_fn]
    assert len(output_tensors(nest(out))) == 1


def test_a_cycle_ends_and_what_holds_no_tensor_has_no_root():
    assert len(graph_roots(Slots(torch.ones(1, requires_grad=True).exp()))) == 1
    assert graph_roots(torch.ones(1)) == graph_roots("text") == graph_roots(nn.Linear(2, 2)) == []


def test_one_node_that_made_several_outputs_is_one_root():
    one, two = torch.ones(4, requires_grad=True).split(2)
    assert len(graph_roots((one, two))) == 1


def test_edges_lead_from_the_outputs_to_every_leaf():
    layer, x = nn.Linear(3, 2), torch.ones(1, 3, requires_grad=True)
    found = list(edges(graph_roots(layer(x).sum())))
    leaves = {id(edge.leaf) for edge in found if edge.leaf is not None}
    assert leaves == {id(x), id(layer.weight), id(layer.bias)}
    inner = {edge.number for edge in found}
    assert all(edge.child in inner for edge in found if edge.leaf is None and edge.child)


def test_what_lies_behind_an_argument_is_not_the_models():
    outside, layer = nn.Linear(3, 3), nn.Linear(3, 2)
    x = outside(torch.ones(1, 3))
    out = layer(x)
    ends = made_by(((x,), {}))
    leaves = [edge.leaf for edge in edges(graph_roots(out), ends) if edge.leaf is not None]
    assert any(leaf is x for leaf in leaves)
    assert not any(leaf is outside.weight for leaf in leaves)
    uses = first_uses(graph_roots(out), ends.keys())
    assert layer.weight in uses
    assert outside.weight not in uses


def test_an_output_that_is_an_argument_has_nothing_behind_it():
    x = torch.ones(2, requires_grad=True).exp()
    assert list(edges(graph_roots(x), made_by(x))) == []


def test_numbers_rise_as_the_forward_pass_makes_nodes():
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    uses = first_uses(graph_roots(second(first(torch.ones(1, 3)))), frozenset())
    assert uses[first.weight] < uses[second.weight]


def test_the_first_of_several_uses_counts():
    weight, other = (nn.Parameter(torch.ones(2)) for _ in range(2))
    early = weight.exp()
    uses = first_uses(graph_roots((early * other) * weight), frozenset())
    assert uses[weight] < uses[other]


def test_a_cast_by_autocast_is_the_parameter_itself():
    layer = nn.Linear(3, 2)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(torch.ones(1, 3))
    leaves = {id(edge.leaf) for edge in edges(graph_roots(out)) if edge.leaf is not None}
    assert leaves == {id(layer.weight), id(layer.bias)}


def test_reentrant_checkpointing_is_refused_with_its_cure():
    layer = nn.Linear(3, 3)
    out = checkpoint(layer, torch.ones(1, 3, requires_grad=True), use_reentrant=True)
    with pytest.raises(AttachError, match=r"hides its layers.*Cure: .*use_reentrant=False"):
        list(edges(graph_roots(out)))


def test_a_compiled_graph_is_refused_and_its_leaves_are_told():
    torch._dynamo.reset()
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The .grad attribute")  # the compiler's own
        out = torch.compile(model, backend="aot_eager")(torch.ones(1, 3))
    with pytest.raises(AttachError, match="compiled as a whole after the attachment"):
        list(edges(graph_roots(out)))
    (leaves,) = compiled_leaves(graph_roots(out))
    assert {id(leaf) for leaf in leaves} == {id(p) for p in model.parameters()}


@pytest.mark.parametrize(("release", "cure"), [("2.9.0", False), ("2.12.0", True)])
def test_the_whole_model_is_a_cure_only_where_compiled_graphs_see_flags(release, cure, monkeypatch):
    monkeypatch.setattr(torch, "__version__", release)
    text = compiled_too_late("one node")
    assert "compile block by block with unit='block'" in text
    assert ("LayerDropBack(torch.compile(model), ...)" in text) == cure
