"""Residual branches in the graph of a recorded step, and layers that drop together with them."""

import pytest
import torch
from torch import nn

from layerdropback import find_layers
from layerdropback.model.branches import (
    Group,
    ResidualBranch,
    branches_of,
    make_groups,
    merged,
    module_sizes,
)
from recorded import recorded, recorded_entry
from zoo import ZOO, Skip


def found(model, *shape):
    trace = recorded(model, lambda m: m(torch.randn(*shape)).sum().backward()).traces[0]
    return branches_of(trace, module_sizes(model))


def names(branches):
    return [branch.name for branch in branches]


def test_a_branch_ends_where_a_skip_connection_joins_it():
    recorder, model = recorded_entry(ZOO["residual"])
    (branch,) = branches_of(recorder.traces[0], module_sizes(model))
    assert branch.name == "2.inner"
    assert branch.parameter_names == ("2.inner.weight", "2.inner.bias")
    # Of the products: two for each of the three layers but for the input's gradient, by its size.
    assert branch.share == pytest.approx(2 * 16 * 16 / (8 * 16 + 2 * 16 * 16 + 2 * 16 * 5))


def test_a_chain_has_none():
    recorder, model = recorded_entry(ZOO["mlp"])
    assert branches_of(recorder.traces[0], module_sizes(model)) == ()


def test_of_parallel_ways_the_cheapest_stays_open():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.main = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 8))
            self.shortcut = nn.Linear(8, 8)

        def forward(self, x):
            return self.main(x) + self.shortcut(x)

    model = nn.Sequential(nn.Linear(8, 8), Block(), nn.Linear(8, 3))
    assert names(found(model, 2, 8)) == ["1.main"]


def test_a_module_that_is_called_twice_ends_no_branch():
    shared = nn.Linear(8, 8)
    model = nn.Sequential(nn.Linear(8, 8), Skip(shared), Skip(shared), nn.Linear(8, 3))
    assert found(model, 2, 8) == ()


def test_where_several_modules_give_the_same_output_the_outermost_ends_the_branch():
    model = nn.Sequential(
        nn.Linear(8, 8), Skip(nn.Sequential(nn.Sequential(nn.Linear(8, 8)))), nn.Linear(8, 3)
    )
    assert names(found(model, 2, 8)) == ["1.inner"]


def test_a_branch_inside_another_is_a_part_of_it():
    inner = nn.Sequential(nn.Linear(8, 8), Skip(nn.Linear(8, 8)), nn.Linear(8, 8))
    model = nn.Sequential(nn.Linear(8, 8), Skip(inner), Skip(nn.Linear(8, 8)), nn.Linear(8, 3))
    branches = found(model, 2, 8)
    assert names(branches) == ["1.inner", "2.inner"]
    assert "1.inner.1.inner.weight" in branches[0].parameter_names
    inside = [name for branch in branches for name in branch.parameter_names]
    assert len(inside) == len(set(inside)) == 8, "each parameter is in one branch"


def test_a_branch_that_shares_a_tensor_with_the_outside_holds_it_not():
    linear = nn.Linear(8, 8)
    model = nn.Sequential(linear, Skip(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))))
    model[1].inner[0].weight = linear.weight
    model.append(nn.Linear(8, 3))
    (branch,) = found(model, 2, 8)
    assert "0.weight" not in branch.parameter_names
    assert "1.inner.2.weight" in branch.parameter_names


def test_the_newer_recording_goes_before_the_older_where_it_saw_as_much():
    one, two = ResidualBranch("a", ("a.w",), 0.1), ResidualBranch("b", ("b.w",), 0.1)
    assert merged([one], [two], {"b.w"}) == (one, two)
    assert merged([one], [two], {"a.w", "b.w"}) == (two,), "a is used, but in no branch now"
    again = ResidualBranch("a", ("a.w",), 0.2)
    assert merged([one, two], [again], {"a.w"}) == (two, again)


def test_what_is_frozen_now_stays_in_its_branch():
    older = ResidualBranch("m", ("m.a", "m.b", "m.c"), 0.5)
    now = ResidualBranch("m", ("m.a", "m.new"), 0.3)
    (found,) = merged([older], [now], {"m.a", "m.new"})
    assert found == ResidualBranch("m", ("m.a", "m.new", "m.b", "m.c"), 0.3)
    inner, outer = ResidualBranch("m.x", ("m.b",), 0.1), ResidualBranch("m", ("m.a",), 0.2)
    found = merged([older], [inner, outer], {"m.a", "m.b"})
    assert [one.parameter_names for one in found] == [("m.b",), ("m.a", "m.c")]


MODEL = nn.Sequential(*(nn.Linear(2, 2) for _ in range(4)))
LAYERS = find_layers(MODEL)
ALL = [name for name, _ in MODEL.named_parameters()]


def branch(name, *layers):
    return ResidualBranch(name, tuple(f"{i}.{kind}" for i in layers for kind in NAMES), 0.25)


NAMES = ("weight", "bias")


def test_each_branch_is_a_group_of_its_layers():
    groups = list(make_groups(LAYERS, [branch("a", 0, 1), branch("b", 2)], ALL))
    assert groups == [Group((0, 1), ("a",), 0.25), Group((2,), ("b",), 0.25)]


def test_branches_that_share_a_layer_are_one_group():
    one = ResidualBranch("a", ("0.weight", "0.bias", "1.weight"), 0.25)
    other = ResidualBranch("b", ("1.bias", "2.weight", "2.bias"), 0.5)
    assert list(make_groups(LAYERS, [one, other], ALL)) == [Group((0, 1, 2), ("a", "b"), 0.75)]


def test_a_layer_that_is_used_outside_of_branches_takes_its_branch_out():
    one = ResidualBranch("a", ("0.weight", "0.bias", "1.weight"), 0.25)
    assert list(make_groups(LAYERS, [one, branch("b", 2)], ALL)) == [Group((2,), ("b",), 0.25)]


def test_what_the_loss_does_not_reach_has_no_say():
    one = ResidualBranch("a", ("0.weight", "0.bias", "1.weight"), 0.25)
    reached = [name for name in ALL if name != "1.bias"]
    assert list(make_groups(LAYERS, [one], reached)) == [Group((0, 1), ("a",), 0.25)]


def test_blocks_are_one_group_with_all_of_their_branches():
    layers = find_layers(
        nn.Sequential(*(nn.Sequential(*MODEL[i : i + 2]) for i in (0, 2))), "block"
    )
    names = [f"{i}.{j}.{kind}" for i in range(2) for j in range(2) for kind in NAMES]
    ends = [
        ResidualBranch(f"{i}.{j}", tuple(f"{i}.{j}.{k}" for k in NAMES), 0.1)
        for i in range(2)
        for j in range(2)
    ]
    groups = list(make_groups(layers, ends, names))
    assert [group.modules for group in groups] == [("0.0", "0.1"), ("1.0", "1.1")]
