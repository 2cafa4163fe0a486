"""A canary for each private name of torch that is used: what breaks when torch changes it."""

import ast
import inspect
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

import layerdropback
from layerdropback.interop import private

CORE = Path(layerdropback.__file__).parent
ROOMS = ("distributed", "engine", "interop", "model", "strategies")


def functions():
    found = inspect.getmembers(private, inspect.isfunction)
    return [n for n, f in found if f.__module__ == private.__name__ and not n.startswith("_")]


def test_every_function_has_a_canary():
    here = Path(__file__)
    tested = "".join(file.read_text() for file in here.parent.glob(f"{here.stem}*.py"))
    missing = [name for name in functions() if f"private.{name}(" not in tested]
    assert not missing, "write a canary that says what breaks without it"


def torchs_private_names():
    model = nn.Linear(1, 1)
    output = model(torch.ones(1, 1))
    things = (
        model,
        output,
        output.grad_fn,
        DistributedDataParallel,
        torch.compile(model),
        torch.optim.SGD(model.parameters(), lr=0.1),
        *(torch, torch.autograd, torch.autograd.Variable, torch.compiler, torch.distributed),
    )
    names = {name for thing in things for name in (*dir(thing), *vars(type(thing)))}
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def used_in(path, names):
    """Private names of torch, of other objects than ``self``, and private modules of torch."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr in names:
            if not (isinstance(node.value, ast.Name) and node.value.id == "self"):
                yield node.attr
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("torch"):
            yield from [node.module] * ("._" in node.module)


def test_no_other_file_of_the_core_uses_a_private_name_of_torch():
    files = [path for room in ROOMS for path in (CORE / room).rglob("*.py")] + [*CORE.glob("*.py")]
    names = torchs_private_names()
    assert {"_sequence_nr", "_version", "_orig_mod", "_optimizer_step_pre_hooks"} <= names
    found = {
        f"{path.relative_to(CORE)}: {name}"
        for path in files
        if path.name != "private.py"
        for name in used_in(path, names)
    }
    assert not found, "put it into interop/private.py, with a canary here"


# ---- autograd ------------------------------------------------------------------------------------


def weight():
    return torch.ones(2, requires_grad=True)


def test_node_numbers_rise_or_the_order_of_layers_is_wrong():
    """The order of use, and with it every cut, is read from them."""
    first = weight().exp()
    second = first.exp()
    third = weight().exp()
    numbers = [private.node_number(tensor.grad_fn) for tensor in (first, second, third)]
    assert numbers == sorted(set(numbers))


def test_the_next_number_is_the_next_nodes_or_calls_are_not_matched_with_nodes():
    """Which module made a node (branches, tied weights, FLOPs) is told by it."""
    number = private.next_number()
    nodes = [private.node_number(weight().exp().grad_fn) for _ in range(2)]
    assert nodes == [number, number + 1]
    assert private.next_number() == number + 2


def test_callbacks_come_after_the_last_gradient_or_flags_stay_lowered_too_briefly():
    """What is recomputed by checkpointing in the backward pass needs the step's flags."""
    seen = []
    leaf = weight()
    leaf.register_hook(lambda _: seen.append("gradient"))
    output = checkpoint(lambda x: x.exp(), leaf, use_reentrant=False)
    output.grad_fn.register_prehook(
        lambda _: private.after_backward(lambda: seen.append("end")),
    )
    output.sum().backward()
    assert seen == ["gradient", "end"]


def test_versions_count_writes_or_unseen_steps_are_not_noticed():
    """A loop that steps another optimizer than the attached one is told by them."""
    tensor = torch.zeros(2)
    before = private.version(tensor)
    with torch.no_grad():
        tensor.add_(1)
    assert private.version(tensor) == before + 1
    for foreach in (True, False):
        parameter = nn.Parameter(torch.ones(2))
        parameter.grad = torch.ones(2)
        before = private.version(parameter)
        torch.optim.SGD([parameter], lr=0.1, foreach=foreach).step()
        assert private.version(parameter) > before


def test_sparse_gradients_have_values_or_embeddings_cannot_be_looked_at():
    sparse = torch.eye(2).to_sparse()
    assert private.stored_values(sparse + sparse).tolist() == [2, 2]


def test_a_scaled_step_is_told_or_the_scaler_fails_where_all_of_an_optimizer_is_dropped():
    weight = nn.Parameter(torch.ones(1))
    optimizer, seen = torch.optim.SGD([weight], lr=0.1), []
    optimizer.register_step_pre_hook(lambda *_: seen.append(private.is_scaled_step()))
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(weight.sum()).backward()
    scaler.step(optimizer)
    optimizer.step()
    assert seen == [True, False]


def test_a_backward_pass_is_told_or_recomputed_parts_count_as_passes():
    seen = []
    weight = torch.ones(1, requires_grad=True)
    out = weight.exp()
    out.register_hook(lambda gradient: seen.append(private.is_in_backward()))
    assert not private.is_in_backward()
    out.sum().backward()
    assert seen == [True]
    assert not private.is_in_backward()


@pytest.mark.parametrize("accumulates", [True, False])
def test_gradients_that_are_asked_for_by_name_are_told_or_the_loop_is_refused(accumulates):
    """Loops with ``torch.autograd.grad`` need a graph in which dropped weights have a part."""
    seen = []
    leaf = weight()
    leaf.register_hook(lambda _: seen.append(private.is_asked_for_by_name(leaf)))
    loss = leaf.exp().sum()
    if accumulates:
        loss.backward()
    else:
        torch.autograd.grad(loss, leaf)
    assert seen == [not accumulates]


@pytest.mark.parametrize("asked", [0, 1, None])
def test_one_backward_pass_answers_for_all_parameters_it_is_asked_of(asked):
    """It adds to all gradients that it reaches, or gives those that are asked for by name."""
    seen = []
    frozen, leaf, other = torch.ones(2), weight(), weight()
    leaf.register_hook(lambda _: seen.append(private.accumulates([frozen, leaf, other])))
    loss = (leaf.exp() + other.exp()).sum()
    if asked is None:
        loss.backward()
    else:
        torch.autograd.grad(loss, [leaf, other][: 1 + asked])
    assert seen == [True if asked is None else None]
    assert private.accumulates([frozen]) is False


def test_the_nodes_of_one_pass_are_told_or_gradients_of_features_are_missed():
    """``torch.autograd.grad(loss, features)`` stops at the features."""
    seen = []
    low = weight().exp()
    high = low.exp()
    nodes = [low.grad_fn, weight().exp().grad_fn, high.grad_fn]
    high.register_hook(lambda _: seen.append([private.will_run(node) for node in nodes]))
    torch.autograd.grad(high.sum(), low)
    assert seen == [[True, False, True]]


def test_a_tensor_whose_gradient_is_wanted_is_told_or_nothing_before_it_is_kept():
    plain, kept, hooked = (weight().exp() for _ in range(3))
    kept.retain_grad()
    hooked.register_hook(lambda _: None)
    assert [private.is_watched(tensor) for tensor in (plain, kept, hooked)] == [False, True, True]


def test_transformed_functions_are_told_or_their_graphs_are_misread():
    """In ``torch.func.grad`` flags and hooks of the outer graph mean nothing."""
    seen = []

    def function(x):
        seen.append(private.is_transformed())
        return x.exp().sum()

    function(torch.ones(2))
    torch.func.grad(function)(torch.ones(2))
    torch.func.vmap(function)(torch.ones(2, 2))
    assert seen == [False, True, True]


def test_a_dispatch_mode_sees_operations_or_no_cost_is_counted():
    seen = []

    class Mode(private.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            seen.append(str(function))
            return function(*args, **(kwargs or {}))

    with Mode():
        torch.ones(2, 2) @ torch.ones(2, 2)
    assert "aten.mm.default" in seen
