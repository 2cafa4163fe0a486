"""Modules' outputs: detached by switches, found where there must be one, and gates of zeros."""

import contextlib
from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from attached import attach
from graphs import fresh_compiler
from layerdropback import Schedule, Truncate, Uniform
from layerdropback.engine.switches import ATTRIBUTE, Sources, Switches, install, through_gate, turn
from layerdropback.model.graph import output_tensors
from zoo import ZOO

Pair = namedtuple("Pair", "one two")


@dataclass(frozen=True)
class Output:
    hidden: torch.Tensor
    name: str = "x"


def of_hugging_face(x):
    outputs = pytest.importorskip("transformers.modeling_outputs")
    return outputs.BaseModelOutput(last_hidden_state=x, hidden_states=(x, x + 1))


KINDS = {
    "tensor": lambda x: x,
    "dictionary": lambda x: {"one": x, "more": [x + 1, "name"]},
    "tuple": lambda x: (x, None),
    "named tuple": lambda x: Pair(x, 3),
    "dataclass": Output,
    "Hugging Face's": of_hugging_face,
}


class Gives(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.linear, self.kind = nn.Linear(2, 2), kind

    def forward(self, x):
        return KINDS[self.kind](self.linear(x))


def wants_gradients(output):
    return [tensor.requires_grad for tensor in output_tensors(output)]


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_of_any_kind_are_detached_and_keep_their_kind(kind):
    module = Gives(kind)
    remove = install(module)
    x = torch.ones(1, 2)
    plain = module(x)
    assert all(wants_gradients(plain))
    turn([module], on=True)
    cut = module(x)
    assert type(cut) is type(plain)
    assert not any(wants_gradients(cut))
    torch.testing.assert_close(output_tensors(cut), output_tensors(plain), rtol=0, atol=0)
    turn([module], on=False)
    assert all(wants_gradients(module(x)))
    remove()


def test_what_is_removed_is_gone_and_turns_no_more():
    module = nn.Linear(2, 2)
    before = dict(vars(module))
    remove = install(module)
    turn([module], on=True)
    remove()
    remove()
    turn([module], on=True)
    assert vars(module) == before
    assert module(torch.ones(1, 2)).requires_grad


def switches_of(model, hidden=None):
    """The switches of a model, and the stack that closes them."""
    hidden, traces = [] if hidden is None else hidden, contextlib.ExitStack()

    def hide(module):
        hidden.append(module)
        return lambda: hidden.remove(module)

    return Switches(model, hide, traces), traces


def test_each_module_gets_one_switch_and_loses_it_in_the_end():
    model, hidden = nn.Sequential(*(nn.Linear(2, 2) for _ in range(3))), []
    switches, traces = switches_of(model, hidden)
    switches.install(["2", "0"])
    switches.install(["0"])
    assert switches.modules(["0", "2"]) == (model[0], model[2])
    assert [len(module._forward_hooks) for module in model] == [1, 0, 1]
    assert hidden == [model[2], model[0]], "copies leave them out"
    traces.close()
    assert [len(module._forward_hooks) for module in model] == [0, 0, 0]
    assert not any(ATTRIBUTE in vars(module) for module in model)
    assert hidden == []


class Block(nn.Sequential):
    """With code of its own: torch 2.6 leaves a plain ``Sequential`` uncompiled."""

    def forward(self, x):
        for module in self:
            x = module(x)
        return x


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the compiler's own
@pytest.mark.parametrize("compiled", ["before", "after"])
def test_a_compiled_block_follows_its_switch(compiled):
    """Also where its graph is older than the switch."""
    with fresh_compiler() as graphs:
        block = Block(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2))
        model, x = nn.Sequential(nn.Linear(2, 2), block), torch.ones(1, 2)
        switches, traces = switches_of(model)
        if compiled == "before":
            graphs.compile_blocks([block])
            model(x)
        switches.install(["1.1"])
        if compiled == "after":
            graphs.compile_blocks([block])
            switches.show()  # as at each epoch's begin
        for on in (False, True, False, True):
            turn(switches.modules(["1.1"]), on)
            model.zero_grad()
            model(x).sum().backward()
            assert (model[0].weight.grad is None) == on
            assert model[1][2].weight.grad is not None
        assert graphs.count == (2 if compiled == "after" else 3)
        traces.close()


def forced(module):
    """As ``enable_input_require_grads`` does."""
    module.register_forward_hook(lambda m, args, out: out.requires_grad_(True))
    return module


def model():
    frozen = nn.Linear(3, 3).requires_grad_(False)
    return nn.Sequential(forced(frozen), nn.Linear(3, 3), nn.Linear(3, 2))


def test_it_is_found_and_detached_there_and_then():
    net = model()
    net[1].requires_grad_(False)
    sources = Sources(net)
    sources.look([])
    seen = []
    net[1].register_forward_hook(lambda m, args, out: seen.append(out.requires_grad))
    net(torch.ones(1, 3))
    assert seen == [False]
    assert sources.stop() == ("0",)
    net(torch.ones(1, 3))
    assert seen == [False, True], "its hooks are gone"


def test_what_comes_of_parameters_is_no_source():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    sources = Sources(net)
    sources.look([])
    assert net(torch.ones(1, 3)).requires_grad
    assert sources.stop() == ()


def test_an_argument_of_the_model_is_the_users():
    net = nn.Sequential(nn.Identity(), nn.Linear(3, 2))
    x = torch.ones(1, 3, requires_grad=True)
    sources = Sources(net)
    sources.look([x])
    net(x).sum().backward()
    assert x.grad is not None
    assert sources.stop() == ()


def test_a_module_that_gives_its_parameter_is_no_source():
    class Gives(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return self.table

    net = nn.Sequential(Gives(), nn.Linear(3, 2))
    sources = Sources(net)
    sources.look([])
    net(torch.ones(1, 3)).sum().backward()
    assert net[0].table.grad is not None
    assert sources.stop() == ()


def test_nested_outputs_keep_their_kind():
    class Two(nn.Module):
        def forward(self, x):
            return {"hidden": x.detach().requires_grad_(), "names": ("a", "b")}

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.two, self.head = Two(), nn.Linear(3, 2)

        def forward(self, x):
            out = self.two(x)
            assert out["names"] == ("a", "b")
            assert not out["hidden"].requires_grad
            return self.head(out["hidden"])

    sources = Sources(net := Net())
    sources.look([])
    net(torch.ones(1, 3))
    assert sources.stop() == ("two",)


def test_looking_anew_forgets_and_stopping_twice_is_nothing():
    net = model()
    sources = Sources(net)
    sources.look([])
    net(torch.ones(1, 3))
    sources.look([])
    assert sources.stop() == ()
    assert sources.stop() == ()
    assert not net[1]._forward_hooks


ALWAYS = Schedule(every=1, start=0)


def test_values_and_gradients_are_those_without_it():
    weight, dropped = (nn.Parameter(torch.ones(2)) for _ in range(2))
    plain = {"a": weight.exp(), "b": [weight * 2, 3]}
    gated = through_gate(plain, [dropped])
    torch.testing.assert_close(gated["a"], plain["a"], rtol=0, atol=0)
    assert gated["b"][1] == 3
    loss = gated["a"].sum() + gated["b"][0].sum()
    mine, zero = torch.autograd.grad(loss, [weight, dropped])
    torch.testing.assert_close(mine, torch.ones(2).exp() + 2)
    assert (zero == 0).all()


def test_the_gradient_of_a_gradient_is_there():
    weight, dropped = (nn.Parameter(torch.ones(2)) for _ in range(2))
    loss = through_gate(weight.exp(), [dropped]).square().sum()
    gradients = torch.autograd.grad(loss, [weight, dropped], create_graph=True)
    sum(gradient.norm() for gradient in gradients).backward()
    assert (weight.grad != 0).all()
    assert dropped.grad is None


def test_a_plain_backward_brings_no_zeros():
    weight, dropped = (nn.Parameter(torch.ones(2)) for _ in range(2))
    through_gate(weight.exp(), [dropped]).sum().backward()
    assert weight.grad is not None
    assert dropped.grad is None


def test_what_went_through_can_be_changed_in_place():
    weight, dropped = (nn.Parameter(torch.ones(2)) for _ in range(2))
    through_gate(weight * 3, [dropped]).mul_(2).sum().backward()
    assert weight.grad.tolist() == [6, 6]


def test_what_needs_no_gradient_is_left_alone():
    out = torch.ones(2)
    assert through_gate(out, [nn.Parameter(torch.ones(2))]) is out


@pytest.mark.parametrize("strategy", [Uniform(0.6), Truncate(0.5)])
def test_a_loop_that_takes_gradients_by_name(strategy):
    """As multi-task methods do: one gradient for each loss, put together by hand."""
    entry = ZOO["mlp"]
    model = entry.model()
    ldb, optimizer = attach(model, strategy, schedule=ALWAYS)
    parameters = list(model.parameters())
    zeros = 0
    for images, targets in ldb.epoch(entry.batches(8), 0):
        mask = ldb.mask
        out = model(images)
        losses = [entry.loss(out, targets), out.square().mean()]
        parts = [torch.autograd.grad(loss, parameters, retain_graph=True) for loss in losses]
        for parameter, *grads in zip(parameters, *parts, strict=True):
            parameter.grad = torch.stack(grads).sum(0)
        for layer, dropped in zip(ldb.layers, mask if mask is not None else (), strict=False):
            assert all((p.grad == 0).all() == dropped for p in layer.parameters)
            zeros += bool(dropped)
        optimizer.step()
        optimizer.zero_grad()
    assert zeros
    assert ldb.stats()["drop_steps"] == 7 + strategy.foresees
