"""Flags are lowered for a pass, and are the user's again after it, whatever happens between."""

import pytest
import torch
from torch import nn

from attached import flags
from layerdropback.engine.flags import Flags, places
from layerdropback.engine.switches import ATTRIBUTE, install
from zoo import frozen_stem


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
