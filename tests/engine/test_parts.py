"""The parts of a model that a loop calls, and what is said of an error in them."""

import pytest
import torch
from torch import nn

from layerdropback.engine.passes import (
    Parts,
    is_seen_through,
    note_missing_gradient,
    parts_of,
    see_through,
)


def test_lists_and_dictionaries_are_looked_into():
    inner = nn.Linear(2, 2)
    lists = nn.ModuleList([nn.Linear(2, 2), nn.ModuleDict({"a": nn.Sequential(inner)})])
    model = nn.ModuleDict({"lists": lists, "head": nn.Linear(2, 2)})
    assert list(parts_of(model)) == [lists[0], lists[1]["a"], model["head"]]


def test_what_has_no_parameters_is_no_part():
    assert list(parts_of(nn.Sequential(nn.ReLU(), nn.CrossEntropyLoss()))) == []


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_what_takes_no_hooks_is_no_part():
    compiled = nn.Linear(2, 2)
    compiled.compile(backend="eager")
    model = nn.Sequential(torch.jit.script(nn.Linear(2, 2)), compiled)
    assert list(parts_of(model)) == []


def made():
    return torch.ones(2, requires_grad=True).exp()


def test_what_an_earlier_pass_made_is_its_own_until_the_window_ends():
    parts, output = Parts(), made()
    assert not parts.is_own(output)
    parts.saw_outputs([output.grad_fn])
    assert parts.is_own(output)
    assert parts.is_own(output.tanh().sum())
    assert not parts.is_own(made())
    assert not parts.is_own(torch.ones(2, requires_grad=True))
    parts.end_window()
    assert not parts.is_own(output)


def test_what_a_pass_made_with_a_users_argument_is_the_users_too():
    parts, output, other = Parts(), made(), made()
    parts.saw_outputs([output.grad_fn], own=False)
    parts.saw_outputs([other.grad_fn])
    assert not parts.is_own(output.tanh())
    assert not parts.is_own(output + other)
    assert parts.is_own(other)
    parts.end_window()
    parts.saw_outputs([output.grad_fn])
    assert parts.is_own(output)


@pytest.mark.parametrize(
    ("calls", "left"), [([True], 0), ([False], 1), ([True, False], 1), ([], 1)]
)
def test_hooks_stay_where_parts_are_called(calls, left):
    parts, module = Parts(), nn.Linear(2, 2)
    parts.hooks.callback(module.register_forward_hook(lambda *_: None).remove)
    for whole in calls:
        parts.called(whole)
    parts.end_window()
    assert len(module._forward_hooks) == left


def test_a_module_that_is_seen_through():
    module = nn.Linear(2, 2)
    assert not is_seen_through(module)
    see_through(module)
    assert is_seen_through(module)
    see_through(module, False)
    see_through(module, False)
    assert vars(module).keys() == vars(nn.Linear(2, 2)).keys()


def test_only_the_outermost_call_of_such_a_module_is_around_passes():
    parts, around, other = Parts(), nn.Linear(2, 2), nn.Linear(2, 2)
    see_through(around)
    for _ in range(2):
        assert parts.enter(other)
        parts.leave(other)
        assert not parts.enter(around)
        assert parts.enter(other)
        assert parts.enter(around)
        parts.leave(around)
        parts.leave(other)
        parts.leave(around)


@pytest.mark.parametrize(
    "text",
    [
        "cannot register a hook on a tensor that doesn't require gradient",
        "can't retain_grad on Tensor that has requires_grad=False",
        "One of the differentiated Tensors does not require grad",
        "'NoneType' object has no attribute 'register_prehook'",
    ],
)
def test_what_speaks_of_gradients_gets_a_note(text):
    error = RuntimeError(text)
    note_missing_gradient(error, ["stem", "body"])
    (note,) = error.__notes__
    assert note == (
        "LayerDropBack dropped 'stem', 'body' in this step. Cause: an activation with nothing but "
        "dropped layers before it requires no gradient, and the model asks for its gradient, in a "
        "way that was not seen in the step that was looked at. Cure: ask for it only where "
        "tensor.requires_grad is True, ask for it in every step, or keep a layer before it with "
        "keep=[...]."
    )


@pytest.mark.parametrize(
    ("text", "dropped"),
    [("mat1 and mat2 shapes cannot be multiplied", ["stem"]), ("requires_grad", [])],
)
def test_other_errors_get_none(text, dropped):
    error = RuntimeError(text)
    note_missing_gradient(error, dropped)
    assert not hasattr(error, "__notes__")
