"""A window's mask and factor hold for a pass or a step, and for no longer."""

from contextlib import ExitStack

import numpy as np
import pytest
import torch

from attached import flags, sgd
from layerdropback.engine.flags import Flags
from layerdropback.engine.hold import Hold
from layerdropback.engine.resting import Resting
from layerdropback.engine.switches import ATTRIBUTE, Switches, install
from layerdropback.engine.window import FULL, Window
from zoo import mlp


@pytest.fixture
def model():
    model = mlp()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    return model


def hold_of(model, *optimizers):
    chosen = optimizers or (sgd(model),)
    switches = Switches(model, lambda module: lambda: None, ExitStack())
    resting = Resting(chosen, None, ExitStack())
    return Hold(chosen, Flags(), switches, resting), *chosen


def window_of(model, factor=1.0, switched=()):
    """In which the first layer is dropped."""
    mask = np.array([True, False, False])
    return Window(mask, tuple(model[0].parameters()), switched, factor)


def gradients(model):
    return {name for name, parameter in model.named_parameters() if parameter.grad is not None}


def rate(optimizer):
    return optimizer.param_groups[0]["lr"]


def test_in_a_step_what_is_dropped_has_no_gradient_and_the_rate_is_scaled(model):
    hold, optimizer = hold_of(model)
    hold.begin_step(window_of(model, factor=3.0), optimizer)
    assert gradients(model) == {"2.weight", "2.bias", "4.weight", "4.bias"}
    assert rate(optimizer) == pytest.approx(0.3)
    hold.put_back()
    assert rate(optimizer) == 0.1
    assert "0.weight" not in gradients(model), "a gradient is no flag: it does not come back"


def test_a_full_window_changes_nothing(model):
    hold, optimizer = hold_of(model)
    hold.begin_step(FULL, optimizer)
    hold.begin_pass(FULL)
    assert len(gradients(model)) == 6
    assert all(flags(model).values())
    assert rate(optimizer) == 0.1


def test_where_nothing_happens_to_drop_the_rate_is_scaled_all_the_same(model):
    hold, optimizer = hold_of(model)
    hold.begin_step(Window(np.zeros(3, dtype=bool), lr_factor=2.0), optimizer)
    assert rate(optimizer) == 0.2
    assert len(gradients(model)) == 6


def test_just_the_optimizer_that_steps_is_scaled(model):
    first, second = sgd(model[:2]), sgd(model[2:])
    hold, *_ = hold_of(model, first, second)
    hold.begin_step(window_of(model, factor=3.0), second)
    assert (rate(first), rate(second)) == (0.1, pytest.approx(0.3))
    hold.put_back()
    assert (rate(first), rate(second)) == (0.1, 0.1)


@pytest.mark.parametrize("cuts", [True, False])
def test_in_a_pass_flags_are_lowered_and_outputs_detached(model, cuts):
    hold, _ = hold_of(model)
    remove = install(model[2])
    hold.begin_pass(window_of(model, switched=(model[2],)), cuts)
    assert {name for name, flag in flags(model).items() if not flag} == {"0.weight", "0.bias"}
    assert vars(model[2])[ATTRIBUTE] == cuts
    hold.put_back()
    assert all(flags(model).values())
    assert not vars(model[2])[ATTRIBUTE]
    remove()
