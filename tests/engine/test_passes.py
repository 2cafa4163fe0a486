"""A mask holds while the passes of a model, or of its parts, run, and at no other time."""

import contextlib

import pytest
import torch
from torch import nn

from attached import flags
from engines import engine_of, learnt, passes, step, without_gradient
from layerdropback import Uniform
from layerdropback.engine.passes import (
    see_through,
)
from layerdropback.engine.window import FULL
from zoo import mlp

DROPPED = {"0.weight", "0.bias", "2.weight", "2.bias"}


class Noting(nn.Module):
    """Notes which flags are lowered, at some moments of its forward pass."""

    def __init__(self):
        super().__init__()
        self.net, self.seen = mlp(), []

    def forward(self, x):
        self.note()
        return self.net(x)

    def note(self):
        self.seen.append({name for name, p in self.net.named_parameters() if not p.requires_grad})


def dropping(model, **settings):
    """An engine in whose window all layers but the last drop, and its optimizer."""
    engine, optimizer = learnt(model, **settings)
    while engine.windows.window.mask.sum() < 2:
        engine.windows.next()
    model.__dict__.get("seen", []).clear()
    return engine, optimizer


def test_flags_are_lowered_in_both_passes_and_up_between_and_after():
    model = Noting()
    engine, _ = dropping(model)
    loss = model(torch.randn(2, 8)).sum()
    assert model.seen == [DROPPED]
    assert all(flags(model).values())
    model.net[4].bias.register_hook(lambda _: model.note())
    loss.backward()
    assert model.seen == [DROPPED] * 2
    assert all(flags(model).values())
    assert engine.windows.seen.backward


def test_a_pass_without_gradients_is_none_of_ours():
    model = Noting()
    engine, _ = dropping(model)
    with torch.no_grad():
        model(torch.randn(2, 8))
    assert model.seen == [set()]
    assert not engine.windows.seen.forward


class Recursive(Noting):
    """Calls itself, the inner time with gradients or without."""

    def __init__(self, outer, inner):
        super().__init__()
        self.modes = [outer, inner]

    def forward(self, x, depth=0):
        if depth == 0:
            with torch.set_grad_enabled(self.modes[1]):
                x = x + self(x, depth=1).sum()
        return super().forward(x)


@pytest.mark.parametrize("inner", [True, False])
def test_a_model_that_calls_itself_drops_until_the_outer_call_ends(inner):
    model = Recursive(True, inner)
    engine, _ = dropping(model)
    passes(model)
    assert model.seen == [DROPPED] * 2, "the inner call lifts no flag"
    assert without_gradient(model.net) == DROPPED
    assert engine.windows.seen.backward


def test_an_inner_call_with_gradients_in_an_outer_one_without_counts():
    model = Recursive(False, True)
    engine, _ = dropping(model)
    with torch.no_grad():
        model(torch.randn(2, 8))
    assert model.seen == [DROPPED, set()]
    assert engine.windows.seen.forward


class Around(Noting):
    """A call of it makes two whole steps, each with a call of itself, and may break off."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(8))
        self.optimizer, self.inside, self.error = None, False, None

    def forward(self, x):
        if self.inside:
            return super().forward(x + self.shift)
        self.inside = True
        for _ in range(2):
            self(x).square().sum().backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
        self.inside = False
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", [None, MemoryError()])
def test_a_call_that_makes_steps_is_seen_through_and_its_calls_of_itself_are_not(error):
    model = Around()
    engine, model.optimizer = engine_of(model, Uniform(0.9, keep=["net.4"]))
    see_through(model)
    for _ in range(3):
        model.error = error
        with pytest.raises(MemoryError) if error else contextlib.nullcontext():
            model(torch.randn(2, 8))
        model.error = None
    stats = engine.windows.counters
    assert (stats.step, stats.drop_steps) == (6, 5)
    assert len(model.seen) == 6
    assert model.seen[0] == set()
    assert all(model.seen[1:])
    assert all(flags(model).values())


class Fails(Noting):
    error = None

    def forward(self, x):
        x = super().forward(x)
        if self.error is not None:
            raise self.error
        return x


def failed_call(model, error):
    model.error = error
    with pytest.raises(type(error)):
        model(torch.randn(2, 8))
    model.error = None
    model.seen.clear()


def test_an_exception_lifts_the_flags_and_the_window_goes_on():
    model = Fails()
    engine, optimizer = dropping(model)
    window = engine.windows.window
    failed_call(model, MemoryError())
    assert all(flags(model).values())
    assert engine.windows.window is window
    passes(model)
    assert model.seen == [DROPPED]
    assert without_gradient(model.net) == DROPPED
    optimizer.step()


def test_ctrl_c_lifts_them_at_the_next_touch():
    """Torch calls no hook for it: flags stay lowered until a step, the epoch's end or a save."""
    model = Fails()
    engine, optimizer = dropping(model)
    failed_call(model, KeyboardInterrupt())
    engine.passes.put_back()
    assert all(flags(model).values())
    passes(model)
    assert model.seen == [DROPPED]
    assert without_gradient(model.net) == DROPPED
    optimizer.step()
    assert all(flags(model).values())


def test_a_step_after_ctrl_c_is_right_without_a_touch():
    model = Fails()
    engine, optimizer = dropping(model)
    failed_call(model, KeyboardInterrupt())
    passes(model)
    assert without_gradient(model.net) == DROPPED
    optimizer.step()
    assert all(flags(model).values())
    assert engine.windows.counters.drop_steps > 0


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt()])
def test_a_recorded_pass_that_is_broken_off_is_recorded_anew(error):
    model = Fails()
    engine, optimizer = engine_of(model)
    failed_call(model, error)
    engine.passes.put_back()
    step(model, optimizer)
    learned = engine.windows.planner.knowledge.learned
    assert list(learned.order.first) == [f"net.{name}" for name in flags(model.net)]
    assert learned.order.ends
    assert engine.windows.window is not FULL


def test_a_forward_pass_without_a_backward_one_leaves_nothing():
    model = Noting()
    engine, optimizer = dropping(model)
    model(torch.randn(2, 8))
    assert engine.windows.seen.forward
    assert not engine.windows.seen.backward
    passes(model)
    assert without_gradient(model.net) == DROPPED
    optimizer.step()
