"""What is asked before anything is attached, and again when an epoch begins."""

import pytest
import torch
from torch import nn
from torch.optim import LBFGS

from attached import sgd
from engines import learnt
from layerdropback import AttachError, Branch, Uniform
from layerdropback.engine.attaching import attach, follow_changes
from layerdropback.engine.engine import Engine
from layerdropback.settings import Settings
from wrapped_optimizers import Accelerated
from zoo import ZOO, mlp


def test_the_torch_optimizers_inside_wrappers_are_attached_to():
    model = mlp()
    inner = sgd(model)
    engine = attach(model, [Accelerated(inner)], Settings(Uniform(unit="tensor")))
    assert isinstance(engine, Engine)
    assert engine.target.optimizers == (inner,)
    assert len(engine.target.layers) == 6


def problems(model, optimizers, settings=Settings()):
    with pytest.raises(AttachError) as error:
        attach(model, optimizers, settings)
    assert str(error.value).startswith("cannot attach LayerDropBack: ")
    return error.value.problems


def test_problems_of_model_optimizers_and_strategy_come_all_at_once():
    model = nn.Sequential(mlp(), nn.DataParallel(nn.Linear(5, 5)))
    outside, no_rate = LBFGS(mlp().parameters()), sgd(model[0][0])
    no_rate.param_groups[0]["lr"] = None
    strategy = Uniform(keep=["nothing"], rates={"nor.this": 0.1})
    found = problems(model, [outside, no_rate], Settings(strategy, lr_scale=2.0))
    facts = [text.split(". Cause: ")[0] for text in found]
    assert facts == [
        "module '1' is nn.DataParallel",
        "optimizer LBFGS cannot drop layers",
        "optimizer SGD has no learning rate",
        "optimizer LBFGS has no layer to keep",
        "trainable parameters are in no optimizer: '0.2.weight', '0.2.bias', '0.4.weight', "
        "'0.4.bias', '1.module.weight' and 1 more",
        "keep='nothing' matches nothing",
        "rates='nor.this' matches nothing",
    ]


def test_what_is_no_model_or_optimizer_is_told_alone_and_all_at_once():
    optimizer = sgd(mlp())
    found = problems("a model", [optimizer, optimizer, "adam"])
    assert [text.split(".")[0] for text in found] == [
        "model is a str",
        "an optimizer was given twice",
        "optimizer is a str",
    ]
    lazy = nn.Sequential(nn.LazyLinear(2))
    assert [text.split(". ")[0] for text in problems(lazy, [])] == [
        "the model has uninitialized parameters",
        "there is no optimizer",
    ]


def test_a_refused_attachment_leaves_nothing():
    model = mlp()
    optimizer = sgd(model)
    before = dict(vars(model)), dict(vars(optimizer))
    problems(model, [optimizer], Settings(Uniform(keep=["*"])))
    assert (vars(model), vars(optimizer)) == before
    assert not model._forward_hooks
    assert not optimizer._optimizer_step_pre_hooks
    attach(model, [optimizer], Settings())


def test_where_nothing_ever_drops_no_problem_is_looked_for():
    model = nn.DataParallel(mlp())
    attach(model, [LBFGS(model.parameters())], Settings(Uniform(0, keep=["nothing"])))


# ---- when an epoch begins ------------------------------------------------------------------------


def test_a_changed_optimizer_is_followed():
    model = ZOO["frozen_stem"].model()
    optimizer = torch.optim.SGD([*model[2].parameters(), *model[4].parameters()], lr=0.1)
    engine, _ = learnt(model, Uniform(0.9), optimizer)
    model[0].requires_grad_(True)
    with pytest.raises(AttachError, match=r"cannot begin the epoch.*\n.*no optimizer: '0.weight'"):
        follow_changes(engine, 1)
    optimizer.add_param_group({"params": model[0].parameters()})
    follow_changes(engine, 1)
    assert {id(p) for p in model[0].parameters()} < engine.windows.planner.held[0]


def test_a_changed_model_is_told_alone():
    model = mlp()
    engine, _ = learnt(model)
    model.add_module("more", nn.Linear(5, 5))
    with pytest.raises(AttachError) as error:
        follow_changes(engine, 1)
    (problem,) = error.value.problems
    assert "not those LayerDropBack was attached to (new: 'more.weight', 'more.bias')" in problem


def test_a_plan_that_cannot_be_followed_changes_nothing():
    """What the strategy cannot do is told by the first step, before a weight has moved."""
    model = mlp()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with pytest.raises(AttachError, match="Sequential has no residual branch"):
        learnt(model, Branch())
    torch.testing.assert_close([p.detach() for p in model.parameters()], before, rtol=0, atol=0)
