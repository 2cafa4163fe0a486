"""What is asked before anything is attached, what is put on, and that all of it goes away."""

import gc
import json
import weakref

import pytest
import torch
from torch import nn
from torch.optim import LBFGS

from attached import sgd
from engines import engine_of, learnt, step
from layerdropback import AttachError, Branch, Control, Schedule, Uniform
from layerdropback.engine.engine import Engine, attach, follow_changes
from layerdropback.engine.window import FULL
from layerdropback.settings import Settings
from wrapped_optimizers import Accelerated
from zoo import ZOO, mlp


def on_model(model):
    return [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]


def on_optimizer(optimizer):
    tables = optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks
    return (*map(len, tables), "step" in vars(optimizer))


def test_it_hooks_the_called_module_and_each_optimizer():
    model = mlp()
    optimizers = sgd(model[:2]), sgd(model[2:])
    engine, *_ = engine_of(model, Uniform(), *optimizers)
    of_parts = [2 * any(True for _ in part.parameters()) for part in model]
    assert on_model(model) == [2, *of_parts], "the parts, too: the loop may call these"
    assert [on_optimizer(optimizer) for optimizer in optimizers] == [(1, 1, True)] * 2
    engine.traces.close()
    assert not any(on_model(model))
    assert [on_optimizer(optimizer) for optimizer in optimizers] == [(0, 0, False)] * 2


@pytest.mark.parametrize(("strategy", "hooks"), [(Uniform(0), 0), (Control(), 2)])
def test_where_there_are_no_drop_epochs_steps_are_counted_and_no_more(strategy, hooks):
    model = mlp()
    engine, optimizer = engine_of(model, strategy)
    assert on_model(model)[0] == hooks
    step(model, optimizer)
    assert engine.windows.counters.step == 1


def test_switches_are_put_where_branches_end_and_taken_away():
    model = ZOO["residual"].model()
    engine, _ = learnt(model, Branch(0.9))
    assert len(model[2].inner._forward_hooks) == 1
    engine.traces.close()
    assert not any(on_model(model))


def test_what_is_dropped_and_the_chances_of_it():
    model = mlp()
    engine, optimizer = engine_of(model, Uniform(0.75))
    assert engine.dropped_ids() == frozenset()
    assert engine.chances() == []
    step(model, optimizer)
    assert engine.chances() == [0.75, 0.75, 0.0]
    for _ in range(5):
        mask = engine.windows.window.mask
        layers = [layer for layer, is_out in zip(engine.target.layers, mask, strict=True) if is_out]
        assert engine.dropped_ids() == {id(p) for layer in layers for p in layer.parameters}
        step(model, optimizer)


def test_after_it_is_stopped_nothing_drops():
    model = mlp()
    engine, _ = learnt(model)
    engine.stop()
    assert engine.windows.window is FULL
    assert engine.dropped_ids() == frozenset()


def masks(engine, count=6):
    found = []
    for _ in range(count):
        found.append(engine.windows.window.mask.tolist())
        engine.windows.next()
    return found


def test_another_engine_goes_on_from_its_state_with_its_seed():
    engine, _ = learnt(mlp(), seed=5)
    engine.windows.next()
    saved = json.loads(json.dumps(engine.to_state(), sort_keys=True))
    expected = masks(engine)
    other, _ = engine_of(mlp(), seed=6)
    other.restart(saved)
    other.windows.enter_epoch(0)
    assert other.to_state() == saved
    assert masks(other) == expected


@pytest.mark.parametrize("key", ["order", "seed", "step", "times_dropped"])
def test_a_restart_that_fails_changes_nothing(key):
    engine, _ = learnt(mlp())
    saved = engine.to_state()
    broken = {name: value for name, value in saved.items() if name != key}
    with pytest.raises(KeyError):
        engine.restart({**broken, "seed": 9} if key != "seed" else broken)
    assert engine.to_state() == saved
    assert masks(engine, 1)[0] is not None


def test_the_traces_hold_no_engine():
    model = mlp()
    engine, optimizer = learnt(model)
    traces, witness = engine.traces, weakref.ref(engine)
    del engine
    gc.collect()
    assert witness() is None
    step(model, optimizer)
    assert on_model(model)[0] == 2, "hooks that call nothing"
    traces.close()
    assert not any(on_model(model))
    assert on_optimizer(optimizer) == (0, 0, False)


def test_an_attachment_that_breaks_off_takes_everything_away():
    class Refuses(torch.optim.SGD):
        def register_step_post_hook(self, hook):
            raise KeyError

    model = mlp()
    first, second = sgd(model[:2]), Refuses(model[2:].parameters(), lr=0.1)
    with pytest.raises(KeyError):
        engine_of(model, Uniform(), first, second, schedule=Schedule())
    assert not any(on_model(model))
    assert [on_optimizer(first), on_optimizer(second)] == [(0, 0, False)] * 2


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
