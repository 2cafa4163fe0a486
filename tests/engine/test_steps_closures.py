"""Steps in steps, closures that make the passes, and several optimizers: one window each."""

import pytest
import torch

from attached import sgd
from engines import engine_of, learnt, passes, step, without_gradient
from layerdropback import AttachError, Uniform
from parallel import Parallel, make_up_ranks, needs_distributed
from zoo import mlp


def counted(engine):
    return engine.windows.counters.step


def rate(optimizer):
    return optimizer.param_groups[0]["lr"]


class Derived(torch.optim.SGD):
    """Calls its base class's step twice, whose hooks fire each time."""

    def step(self, closure=None):
        self.rates = [rate(self)]
        super().step()
        self.rates.append(rate(self))
        super().step(closure)
        self.rates.append(rate(self))


@pytest.fixture
def derived():
    model = mlp()
    sgd(model)  # torch gives a class's step its hooks when the first of it is made
    optimizer = Derived(model.parameters(), lr=0.1)
    engine, _ = learnt(model, Uniform(0.9), optimizer, lr_scale=3.0)
    return model, optimizer, engine


def test_the_steps_of_a_base_class_are_part_of_the_step(derived):
    model, optimizer, engine = derived
    assert counted(engine) == 1
    assert optimizer.rates == [0.1] * 3
    step(model, optimizer)
    assert counted(engine) == 2
    assert optimizer.rates == pytest.approx([0.3] * 3)
    assert rate(optimizer) == 0.1


def test_an_inner_step_that_raises_leaves_no_depth_behind(derived):
    model, optimizer, engine = derived
    window = engine.windows.window

    def fails():
        raise KeyError

    with pytest.raises(KeyError):
        optimizer.step(fails)
    assert (counted(engine), rate(optimizer)) == (1, 0.1)
    assert engine.windows.window is window, "the step was not made"
    step(model, optimizer)
    assert counted(engine) == 2


class Twice(torch.optim.SGD):
    """Calls its closure twice, as a line search does."""

    def step(self, closure):
        closure()
        loss = closure()
        super().step()
        return loss


@pytest.mark.parametrize("way", ["by position", "by name"])
def test_all_passes_of_a_closure_are_in_one_window(way):
    model = mlp()
    optimizer = Twice(model.parameters(), lr=0.1)
    engine, _ = engine_of(model, Uniform(0.9), optimizer)
    windows, missing = [], []

    def closure():
        optimizer.zero_grad()
        passes(model)
        windows.append(engine.windows.window)
        missing.append(without_gradient(model))
        return 7.0

    for _ in range(4):
        loss = optimizer.step(closure) if way == "by position" else optimizer.step(closure=closure)
        assert loss == 7.0
    assert counted(engine) == 4
    assert windows[::2] == windows[1::2]
    dropped = [{id(p) for p in window.parameters} for window in windows]
    named = {id(p): name for name, p in model.named_parameters()}
    assert missing == [{named[key] for key in keys} for keys in dropped]
    assert any(missing)


def test_gradients_that_a_closure_makes_by_hand_for_dropped_layers_are_cleared():
    model = mlp()
    engine, optimizer = learnt(model)
    while not engine.windows.window.parameters:
        engine.windows.next()
    dropped = engine.windows.window.parameters
    before = [parameter.detach().clone() for parameter in dropped]

    def closure():
        passes(model)
        for parameter in dropped:
            parameter.grad = torch.ones_like(parameter)

    with pytest.warns(UserWarning, match="gradients came to dropped .* and are thrown away"):
        optimizer.step(closure)
    for parameter, old in zip(dropped, before, strict=True):
        assert parameter.grad is None
        torch.testing.assert_close(parameter.detach(), old, rtol=0, atol=0)


def test_a_window_ends_when_each_optimizer_has_stepped_however_often():
    model = mlp()
    first, second = sgd(model[:2]), sgd(model[2:])
    engine, *_ = learnt(model, Uniform(0.9), first, second)
    window = engine.windows.window
    passes(model)
    for optimizer in (second, second):
        optimizer.step()
        assert (counted(engine), engine.windows.window) == (1, window)
    first.step()
    assert counted(engine) == 2
    assert engine.windows.window is not window


def test_what_others_put_before_a_step_may_raise():
    model = mlp()
    engine, optimizer = learnt(model, Uniform(0.9), lr_scale=2.0)

    def fails(*_):
        raise KeyError

    handle = optimizer.register_step_pre_hook(fails)
    passes(model)
    with pytest.raises(KeyError):
        optimizer.step()
    assert rate(optimizer) == 0.1
    handle.remove()
    optimizer.step()
    assert counted(engine) == 2


# ---- windows of several passes under DDP, the last of them in a closure --------------------------


@needs_distributed
@pytest.mark.parametrize("reduced", [True, False])
def test_the_last_pass_reduces_also_where_it_comes_in_the_closure(reduced, monkeypatch):
    make_up_ranks(monkeypatch, lambda value: value)
    model = Parallel(mlp())
    engine, optimizer = engine_of(model)

    def closure():
        model.require_backward_grad_sync = reduced
        passes(model)

    before = [p.detach().clone() for p in model.parameters()]
    for _ in range(2):
        model.require_backward_grad_sync = False
        passes(model)
        if reduced:
            optimizer.step(closure)
            optimizer.zero_grad()
        else:
            with pytest.raises(AttachError, match="gradients that DDP has not reduced"):
                optimizer.step(closure)
            torch.testing.assert_close(list(model.parameters()), before, rtol=0, atol=0)
    assert engine.windows.counters.step == (2 if reduced else 0)
