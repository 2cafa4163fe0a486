"""A window's mask and factor hold for a pass or a step: flags, and all together."""

from contextlib import ExitStack

import numpy as np
import pytest
import torch
from torch import nn

from attached import flags, sgd
from layerdropback.engine.hold import Flags, Hold, places
from layerdropback.engine.resting import Resting
from layerdropback.engine.switches import ATTRIBUTE, Switches, install
from layerdropback.engine.window import FULL, Window
from zoo import frozen_stem, mlp


def test_only_raised_flags_are_lowered_and_lifted():
    model = frozen_stem()
    users, held = flags(model), Flags()
    held.lower([*model[0].parameters(), *model[2].parameters()])
    up = {name for name, flag in flags(model).items() if flag}
    assert up == {"4.weight", "4.bias"}
    held.lift()
    assert flags(model) == users


def test_lowering_twice_and_lifting_without_need():
    model, held = nn.Linear(2, 2), Flags()
    held.lift()
    held.lower([model.weight])
    held.lower([model.weight, model.bias])
    held.lift()
    held.lift()
    assert flags(model) == {"weight": True, "bias": True}


def test_what_the_user_freezes_between_two_passes_stays_frozen():
    model, held = nn.Linear(2, 2), Flags()
    held.lower(model.parameters())
    held.lift()
    model.weight.requires_grad_(False)
    held.lower(model.parameters())
    held.lift()
    assert flags(model) == {"weight": False, "bias": True}


def test_switches_are_on_for_as_long():
    module, plain = nn.Linear(2, 2), nn.Linear(2, 2)
    install(module)
    held = Flags()
    held.lower([], [module, plain])
    assert vars(module)[ATTRIBUTE]
    assert ATTRIBUTE not in vars(plain), "it has none"
    held.lift()
    assert not vars(module)[ATTRIBUTE]


class Table(dict):
    """A module's table of parameters that notes what is put into it."""

    def update(self, pairs):
        self.put = [*getattr(self, "put", []), pairs]
        super().update(pairs)


def test_places_are_written_to_with_what_they_hold():
    """Compilers before torch 2.12 look at a flag only then."""
    one, other = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    table = Table(a=one, b=other)
    held = Flags({id(one): [(table, "a"), (table, "gone")]})
    held.lower([one, other])
    assert table.put == [[("a", None), ("a", one)]], "in one call, and no name that is gone"
    held.lift()
    assert len(table.put) == 2
    assert list(table.items()) == [("a", one), ("b", other)]


def test_a_tied_parameter_has_a_place_in_each_module():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, bias=False))
    model[1].weight = model[0].weight
    found = places(model)
    tables = [table for table, name in found[id(model[0].weight)] if name == "weight"]
    assert [id(table) for table in tables] == [id(part._parameters) for part in model]
    assert len(found[id(model[0].bias)]) == 1


class Interrupted:
    """A parameter; Ctrl-C comes right before or after its flag is set."""

    def __init__(self, moment):
        self.flag, self.moment = True, moment

    @property
    def requires_grad(self):
        return self.flag

    @requires_grad.setter
    def requires_grad(self, flag):
        moment, self.moment = self.moment, (None, None)
        if moment == (flag, "before"):
            raise KeyboardInterrupt
        self.flag = flag
        if moment == (flag, "after"):
            raise KeyboardInterrupt
        self.moment = moment if moment[0] != flag else (None, None)


@pytest.mark.parametrize("flag", [False, True])
@pytest.mark.parametrize("side", ["before", "after"])
def test_no_flag_is_lost_where_it_is_interrupted(flag, side):
    parameters = [Interrupted((None, None)), Interrupted((flag, side)), Interrupted((None, None))]
    held = Flags()
    with pytest.raises(KeyboardInterrupt):
        held.lower(parameters)
        held.lift()
    held.lift()
    assert [parameter.flag for parameter in parameters] == [True] * 3


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
