"""A module's output is detached while its switch is on, whatever it is, compiled or not."""

import contextlib
from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from graphs import fresh_compiler
from layerdropback.engine.switches import ATTRIBUTE, Switches, install, turn
from layerdropback.model.graph import output_tensors

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
