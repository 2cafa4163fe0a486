"""Hooks hold nothing alive, and stay out of copies, exports and compiled graphs."""

import copy
import pickle

import pytest
import torch
from torch import nn

from layerdropback.engine.hooks import WeakHook


class Owner:
    def __init__(self):
        self.calls = []

    def called(self, *args):
        self.calls.append(args)
        return len(self.calls)


def test_it_calls_its_owner_while_that_lives():
    owner = Owner()
    hook = WeakHook(owner.called)
    assert (hook(), hook("a", 1)) == (1, 2)
    assert owner.calls == [(), ("a", 1)]
    assert hook.alive
    del owner
    assert hook() is None
    assert not hook.alive


WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda hook: pickle.loads(pickle.dumps(hook)),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_calls_nothing(way):
    owner = Owner()
    twin = WAYS[way](WAYS[way](WeakHook(owner.called)))
    assert twin("a") is None
    assert not twin.alive
    assert owner.calls == []


def test_a_pickled_hook_is_called_where_no_other_was_made(monkeypatch):
    owner = Owner()
    pickled = pickle.dumps(WeakHook(owner.called))
    monkeypatch.setattr(WeakHook, "_in_python", None)  # as in a fresh process
    assert pickle.loads(pickled)("a") is None


def hooked(owner):
    module = nn.Linear(2, 2)
    module.register_forward_pre_hook(WeakHook(owner.called))
    return module


@pytest.mark.skipif(not hasattr(torch.compiler, "is_exporting"), reason="torch is too old")
def test_an_export_calls_no_owner():
    owner = Owner()
    module, batch = hooked(owner), torch.ones(1, 2)
    exported = torch.export.export(nn.Sequential(module), (batch,), strict=False)
    assert owner.calls == []
    torch.testing.assert_close(
        exported.module()(batch), nn.functional.linear(batch, *list(module.parameters()))
    )


def test_a_compiled_function_calls_it_anew_each_time():
    owner = Owner()
    hook = WeakHook(owner.called)

    @torch.compile(backend="eager")
    def function(x):
        hook("in the midst")
        return x + 1

    for _ in range(3):
        function(torch.ones(2))
    assert len(owner.calls) == 3
