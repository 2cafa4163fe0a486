"""Layers that drop together, because residual branches do."""

from torch import nn

from layerdropback import ResidualBranch, find_layers
from layerdropback.model.groups import Group, make_groups

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
