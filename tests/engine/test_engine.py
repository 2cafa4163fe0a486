"""What is put on a model and its optimizers, what it tells, and that all of it goes away."""

import gc
import json
import weakref

import pytest
import torch

from attached import sgd
from engines import engine_of, learnt, step
from layerdropback import Branch, Control, Schedule, Uniform
from layerdropback.engine.window import FULL
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
