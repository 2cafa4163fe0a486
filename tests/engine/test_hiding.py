"""Copies and pickles carry none of our hooks, and all of the user's."""

import copy
import gc
import pickle
import weakref

import pytest
import torch
from torch import nn

from attached import attach, nearly_all, train
from layerdropback.engine.hooks import WeakHook, hide_from_copies
from layerdropback.engine.switches import ATTRIBUTE, install, turn
from zoo import ZOO


def users_hook(module, args, output):
    return output + 1


class Owner:
    def called(self, *args):
        raise AssertionError("a copy's hook was called")


OWNER = Owner()


def hooked():
    """A module with a hook of the user's, ours, and a switch; and what undoes the hiding."""
    module = nn.Linear(2, 2)
    module.register_forward_hook(users_hook)
    module.register_forward_pre_hook(WeakHook(OWNER.called), with_kwargs=True)
    module.register_forward_hook(WeakHook(OWNER.called), always_call=True)
    install(module)
    install(module, leaves=True)
    return module, hide_from_copies(module, before=lambda: None)


WAYS = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda module: pickle.loads(pickle.dumps(module)),
}


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_a_copy_has_the_users_hooks_alone(way):
    module, _ = hooked()
    before = sorted(vars(module))
    twin = WAYS[way](module)
    assert list(twin._forward_hooks.values()) == [users_hook]
    assert not twin._forward_pre_hooks
    assert not twin._forward_hooks_always_called
    assert not twin._forward_pre_hooks_with_kwargs
    assert {"__deepcopy__", "__reduce_ex__", ATTRIBUTE} & vars(twin).keys() == set()
    expected = nn.functional.linear(torch.ones(1, 2), module.weight, module.bias) + 1
    assert torch.equal(twin(torch.ones(1, 2)), expected)
    assert sorted(vars(module)) == before, "the original has everything still"
    assert len(module._forward_hooks) == 4
    assert len(module._forward_hooks_always_called) == 1


@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_a_copy_of_a_copy_is_one(way):
    module, _ = hooked()
    again = WAYS[way](WAYS[way](module))
    assert list(again._forward_hooks.values()) == [users_hook]


def test_what_is_copied_inside_of_something_keeps_its_ties():
    module, _ = hooked()
    holder = {"one": module, "other": module, "weight": module.weight}
    twin = copy.deepcopy(holder)
    assert twin["one"] is twin["other"] is not module
    assert twin["weight"] is twin["one"].weight
    assert twin["one"].weight is not module.weight


def test_it_is_called_before_each_copy_is_made():
    module, calls = nn.Linear(2, 2), []
    undo = hide_from_copies(module, before=lambda: calls.append(1))
    copy.deepcopy(module)
    pickle.dumps(module)
    assert len(calls) == 2
    undo()
    copy.deepcopy(module)
    assert len(calls) == 2


def test_undoing_leaves_no_trace():
    module = nn.Linear(2, 2)
    before = dict(vars(module))
    undo = hide_from_copies(module, before=lambda: None)
    hide_from_copies(module, before=lambda: None)()  # a second one is the first's guest
    assert "__deepcopy__" in vars(module)
    undo()
    undo()
    assert vars(module) == before


def test_it_holds_no_module_alive():
    module = nn.Linear(2, 2)
    undo = hide_from_copies(module, before=lambda: None)
    witness = weakref.ref(module)
    del module
    gc.collect()
    assert witness() is None
    undo()


def test_a_switch_that_is_on_is_off_in_a_copy():
    module, _ = hooked()
    turn([module], on=True)
    twin = copy.deepcopy(module)
    assert twin(torch.ones(1, 2)).requires_grad
    assert vars(module)[ATTRIBUTE]


# ---- a user's own way to be copied ---------------------------------------------------------------


def with_own_copying(model):
    """A model with a ``__deepcopy__`` of its own instance, as some libraries put there."""
    made = []

    def own(memo):
        made.append(1)
        twin = ZOO["mlp"].model()
        twin.load_state_dict(model.state_dict())
        twin.note = "made by the user's own"
        return twin

    vars(model)["__deepcopy__"] = own
    return own, made


def test_the_users_own_deepcopy_is_used_and_survives():
    """``detach()`` deleted it once."""
    entry = ZOO["mlp"]
    model = entry.model()
    own, made = with_own_copying(model)
    ldb, optimizer = attach(model, nearly_all("uniform"))
    train(entry, model, ldb, optimizer)
    with ldb.epoch(None, 1):
        twin = copy.deepcopy(model)
    assert made == [1]
    assert twin.note == "made by the user's own"
    assert not twin._forward_hooks
    assert not twin._forward_pre_hooks
    ldb.detach()
    assert vars(model)["__deepcopy__"] is own
    assert copy.deepcopy(model).note == "made by the user's own"


def test_a_users_own_reduction_is_used_and_survives():
    module = nn.Linear(2, 2)

    def own(protocol):
        return nn.Linear, (3, 3)

    vars(module)["__reduce_ex__"] = own
    undo = hide_from_copies(module, before=lambda: None)
    assert pickle.loads(pickle.dumps(module)).in_features == 3
    undo()
    assert vars(module)["__reduce_ex__"] is own


class OwnCopying(nn.Linear):
    """A class that says itself how it is copied."""

    def __deepcopy__(self, memo):
        twin = OwnCopying(self.in_features, self.out_features)
        twin.load_state_dict(self.state_dict())
        twin.note = "by the class"
        return twin


def test_a_class_own_deepcopy_is_used():
    module = OwnCopying(2, 2)
    undo = hide_from_copies(module, before=lambda: None)
    twin = copy.deepcopy(module)
    assert twin.note == "by the class"
    assert torch.equal(twin.weight, module.weight)
    undo()
    assert copy.deepcopy(module).note == "by the class"


def test_one_that_the_user_puts_there_meanwhile_is_the_users():
    model = ZOO["mlp"].model()
    ldb, _ = attach(model)
    own, made = with_own_copying(model)
    copy.deepcopy(model)
    ldb.detach()
    assert made == [1]
    assert vars(model)["__deepcopy__"] is own
    assert "__reduce_ex__" not in vars(model)
    assert not [name for name in vars(model) if name.startswith("_layerdropback")]
