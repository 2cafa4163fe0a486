"""Which layers can drop as things stand, and which are always kept."""

import numpy as np
import pytest
import torch
from torch import nn

from layerdropback import (
    AttachError,
    Branch,
    Control,
    ResidualBranch,
    Truncate,
    Uniform,
    find_layers,
)
from layerdropback.model.order import Order
from layerdropback.strategies.plan import Learned, Plan

SHARES = {str(i): (i + 1) / 5 for i in range(5)}


@pytest.fixture
def model():
    return nn.Sequential(*(nn.Linear(2, 2) for _ in range(5)))


def order_of(names, **known):
    ranks = {name: rank for rank, name in enumerate(names)}
    return Order(ranks, ranks, **known)


def plan_of(model, strategy, names=None, groups=None, order=None, **learned):
    """A plan for a chain of layers that were used as they are registered.

    Args:
        model: the chain.
        strategy: of the plan.
        names: of the parameters that the loss reaches, by use; by default all.
        groups: for each optimizer the layers that it holds; by default one holds all.
        order: in the place of `names`.
        **learned: see `Learned`.
    """
    names = [name for name, _ in model.named_parameters()] if names is None else names
    held = [{id(p) for layer in group for p in layer.parameters()} for group in groups or [model]]
    order = order_of(names) if order is None else order
    return Plan(strategy, find_layers(model, strategy.unit), Learned(order, **learned), held)


def free(plan):
    return np.flatnonzero(plan.facts(plan.heads()).free).tolist()


def test_the_last_layer_is_kept(model):
    plan = plan_of(model, Uniform())
    assert plan.heads() == {4}
    assert free(plan) == [0, 1, 2, 3]
    assert plan.at(plan.heads(), 0.5)[1].chances.tolist() == [0.5, 0.5, 0.5, 0.5, 0.0]


def test_last_is_what_is_used_last(model):
    names = ["4.weight", "4.bias", "0.weight", "0.bias", "2.weight", "1.weight"]
    plan = plan_of(model, Uniform(), names)
    assert plan.heads() == {1}
    assert plan.reached.tolist() == [True, True, True, False, True]
    assert plan.reached_count == 4
    assert free(plan) == [0, 2, 4]


def test_each_optimizers_last_layer_is_kept(model):
    plan = plan_of(model, Uniform(), groups=[model[:2], model[2:]])
    assert plan.heads() == {1, 4}


def test_an_optimizer_with_no_layer_that_is_reached(model):
    other = [nn.Linear(2, 2)]
    assert plan_of(model, Uniform(), groups=[model, other]).heads() == {4}


def test_the_last_layer_of_each_output_is_kept(model):
    names = [name for name, _ in model.named_parameters()]
    order = order_of(names, ends=frozenset(["2.weight", "2.bias"]))
    assert plan_of(model, Uniform(), order=order).heads() == {2, 4}


def test_an_end_that_is_frozen_has_what_is_behind_it_kept(model):
    names = [name for name, _ in model.named_parameters()]
    ends = {"2.weight": ("2.weight", "2.bias", "1.weight", "0.weight"), "4.weight": ("4.weight",)}
    order = order_of(names, ends=frozenset(ends), behind=ends)
    plan = plan_of(model, Uniform(), order=order)
    assert plan.heads() == {2, 4}
    model[2].requires_grad_(False)
    assert plan.heads() == {1, 2, 4}, "it is kept as well, so that nothing is detached there"
    model[:2].requires_grad_(False)
    assert plan.heads() == {2, 4}


def test_a_tensors_siblings_are_kept_with_it(model):
    plan = plan_of(model, Uniform(unit="tensor"))
    assert plan.heads() == {8, 9}


def test_a_single_number_after_the_head_is_no_head(model):
    model.register_parameter("temperature", nn.Parameter(torch.ones(())))
    names = [name for name, _ in model.named_parameters() if name != "temperature"]
    plan = plan_of(model, Uniform(), [*names, "temperature"])
    layers = find_layers(model)
    assert {layers[i].name for i in plan.heads()} == {"4"}


def test_a_frozen_head_makes_the_next_one_the_head(model):
    plan = plan_of(model, Uniform())
    model[4].requires_grad_(False)
    assert plan.heads() == {3}
    model.requires_grad_(False)
    assert plan.heads() == {4}, "where all is frozen, the last"


def test_kept_patterns(model):
    assert free(plan_of(model, Uniform(keep=["0", "2.*"]))) == [1, 3]


def test_what_can_drop_is_asked_anew_where_flags_have_changed(model):
    plan = plan_of(model, Uniform())
    assert plan.can_drop(plan.heads(), 0.5)
    for layer in model[:4]:
        layer.requires_grad_(False)
    assert not plan.can_drop(plan.heads(), 0.5)
    model[1].requires_grad_(True)
    assert plan.can_drop(plan.heads(), 0.5)
    model.requires_grad_(False)
    assert plan.can_drop(plan.heads(), 0.5), "whatever can be unfrozen counts"


def test_the_control_always_can(model):
    plan = plan_of(model, Control())
    model.requires_grad_(False)
    assert plan.can_drop(plan.heads(), 0.5)


def test_odds_are_made_once_while_nothing_changes(model):
    """The cache grew with each position of a ramp once."""
    plan = plan_of(model, Uniform())
    heads = plan.heads()
    odds = plan.at(heads, 0.25)[1]
    assert plan.at(heads, 0.25)[1] is odds
    assert plan.at(heads, 0.75)[1] is not odds
    for position in np.linspace(0, 1, 100):
        plan.at(heads, position)[1]
    assert plan._last is not None
    assert plan._last[0] == (heads, 1.0), "one entry"


# ---- branches ------------------------------------------------------------------------------------

BRANCHES = (
    ResidualBranch("1", ("1.weight", "1.bias"), 0.2),
    ResidualBranch("3", ("2.weight", "2.bias", "3.weight", "3.bias"), 0.4),
)


def test_branches_drop_whole(model):
    plan = plan_of(model, Branch(), branches=BRANCHES)
    assert free(plan) == [1, 2, 3]
    odds = plan.at(plan.heads(), 0.5)[1]
    assert odds.leaders.tolist() == [0, 1, 2, 2, 4]
    mask = np.array([False, False, True, True, False])
    assert Branch().switches(plan.facts(plan.heads()), mask) == ("3",)


def test_a_branch_with_a_kept_layer_is_kept(model):
    assert free(plan_of(model, Branch(keep=["3"]), branches=BRANCHES)) == [1]


# ---- cuts ----------------------------------------------------------------------------------------


def test_a_cut_lies_below_what_is_kept(model):
    plan = plan_of(model, Truncate(0.2, keep=["2"]), shares=SHARES)
    assert plan.at(plan.heads(), 0.5)[1].layers == (0, 1)
    with pytest.raises(AttachError, match="cannot be reached: cuts skip at most 0.4"):
        Truncate(0.5, keep=["2"]).check(plan.facts(plan.heads()))


def test_early_uses_and_sources_are_detached_with_a_cut(model):
    learned = {"shares": SHARES, "early": {"4.weight": ("0",)}, "sources": ("0", "1")}
    plan = plan_of(model, Truncate(), **learned)
    mask = np.array([True, False, False, False, False])
    assert Truncate().switches(plan.facts(plan.heads()), mask) == ("0", "1")
    assert Learned(order_of([]), branches=BRANCHES, **learned).cut_off == ("1", "3", "0")


# ---- words ---------------------------------------------------------------------------------------


def test_a_layers_part_in_words(model):
    model[0].requires_grad_(False)
    names = ["0.weight", "1.weight", "2.weight", "4.weight"]
    plan = plan_of(model, Uniform(0.25, keep=["2"]), names)
    assert plan.describe() == [
        "frozen",
        "0.25",
        "always kept",
        "the loss does not reach it",
        "always kept",
    ]


def test_a_layers_part_in_words_for_a_cut_and_for_branches(model):
    cut = plan_of(model, Truncate(0.4, keep=["2"]), shares=SHARES)
    assert [cut.describe()[i] for i in (0, 2, 3)] == ["1", "always kept", "above every cut"]
    branch = plan_of(model, Branch(0.3), branches=BRANCHES)
    assert [branch.describe()[i] for i in (0, 1, 4)] == ["in no branch", "0.3", "in no branch"]
