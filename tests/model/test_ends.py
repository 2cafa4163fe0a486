"""The last layers before what losses are made of, and before activations that are asked for."""

import weakref

import pytest
import torch
from torch import nn

from layerdropback.interop.private import node_number
from layerdropback.model.call_trace import CallTrace
from layerdropback.model.ends import AskedGradients, Ends
from layerdropback.model.graph import Edge

WAYS = {
    "retain_grad": lambda x: x.retain_grad(),
    "register_hook": lambda x: x.register_hook(lambda grad: grad),
    "grad": lambda x: torch.autograd.grad(x.sum(), x, retain_graph=True),
    "grad by name": lambda x: torch.autograd.grad(x.sum(), inputs=[x], retain_graph=True),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_ask(way):
    with AskedGradients() as asked:
        hidden = torch.ones(2, requires_grad=True).exp()
        WAYS[way](hidden)
        hidden.exp()
    assert asked.numbers == [node_number(hidden.grad_fn)]


def test_what_is_asked_of_leaves_or_not_at_all_is_not_noted():
    with AskedGradients() as asked:
        leaf = torch.ones(2, requires_grad=True)
        leaf.register_hook(lambda grad: grad)
        torch.autograd.grad(leaf.exp().sum(), leaf)
    assert asked.numbers == []


def test_what_is_asked_before_and_after_is_not_noted():
    hidden = torch.ones(2, requires_grad=True).exp()
    asked = AskedGradients()
    hidden.retain_grad()
    with asked:
        pass
    hidden.register_hook(lambda grad: grad)
    assert asked.numbers == []


def test_code_that_asks_first_whether_it_may_asks_for_nothing():
    weight = torch.ones(2, requires_grad=True)
    with AskedGradients() as asked:
        guarded = weight.exp()
        if guarded.requires_grad:
            guarded.register_hook(lambda gradient: None)
        weight.sin().register_hook(lambda gradient: None)
    assert len(asked.numbers) == 1


LEAVES = {name: torch.zeros(2) for name in ("low", "mid", "high", "side")}
NAMES = {id(leaf): name for name, leaf in LEAVES.items()}
COUNTS = frozenset(LEAVES)


def trace(roots, edges):
    """Edges are pairs of numbers, or of a number and a parameter's name."""
    made = [
        Edge(number, 0, None, LEAVES[to]) if isinstance(to, str) else Edge(number, 1, to, None)
        for number, to in edges
    ]
    return CallTrace(made, NAMES, roots)


# low -> 3 -> mid -> 5 -> high -> 7, and beside it 3 -> side -> 6
EDGES = [(3, "low"), (5, 3), (5, "mid"), (7, 5), (7, "high"), (6, 3), (6, "side")]


def found(roots, *passes, asked=()):
    """The ends, where each backward pass reached some numbers."""
    ends = Ends()
    ends.saw_forward(trace(roots, EDGES), COUNTS, {}, asked)
    for numbers in passes:
        for number in numbers:
            ends.reach(number)
        ends.end_pass()
    return ends.found()


def test_an_output_on_the_way_to_another_is_no_end():
    assert found({7: False, 5: False}, [7, 5]) == {"high": ("high", "mid", "low")}


@pytest.mark.parametrize(
    ("counting", "behind"),
    [
        ({"low", "high"}, ("high", "low", "mid")),
        ({"low"}, ("low", "high", "mid")),
        (set(), ("high", "mid", "low")),
    ],
)
def test_what_is_no_last_layer_otherwise_is_one_where_nothing_else_is(counting, behind):
    """A single number, whose output has nothing else that trains."""
    ends = Ends()
    ends.saw_forward(trace({7: False}, EDGES), frozenset(counting), {}, ())
    ends.reach(7)
    assert ends.found() == {behind[0]: behind}


def test_but_it_is_one_of_a_backward_pass_of_its_own():
    assert found({7: False, 5: False}, [7, 5], [5]).keys() == {"high", "mid"}
    assert found({7: False, 5: False}, [5]).keys() == {"mid"}


def test_what_no_loss_reaches_is_no_end():
    assert found({7: False, 6: False}, [6]).keys() == {"side"}
    assert found({7: False, 6: False}) == {}


def test_several_ends_know_what_they_are_made_with():
    ends = found({7: False, 6: False}, [7, 6])
    assert ends == {"high": ("high", "mid", "low"), "side": ("side", "low")}


def test_of_an_output_on_the_way_to_another_the_last_parameter_is_known_alone():
    assert found({7: False, 5: False}, [5]) == {"mid": ("mid",)}


@pytest.mark.parametrize(
    ("roots", "names"),
    [
        ({7: True, 5: False}, {"mid"}),  # a loss beside the logits that it is made of
        ({7: True, 6: False}, {"high", "side"}),  # the loss of one head, the logits of another
        ({7: True, 6: True}, {"high", "side"}),  # losses alone
        ({7: True}, {"high"}),
    ],
)
def test_single_numbers(roots, names):
    assert found(roots, list(roots)).keys() == names


def test_activations_that_the_forward_pass_asks_for():
    assert found({7: False}, [7], asked=[5]).keys() == {"high", "mid"}


def watched(act):
    """The ends of a real pass, in which `act` does something with the lower output."""
    lower, upper = nn.Linear(2, 2), nn.Linear(2, 2)
    low = lower(torch.ones(1, 2))
    high = upper(low)
    names = {id(lower.weight): "lower", id(upper.weight): "upper"}
    numbers = {node: node._sequence_nr() for node in (low.grad_fn, high.grad_fn)}
    first, second = numbers.values()
    edges = [
        Edge(first, 0, None, lower.weight),
        Edge(second, 0, first, None),
        Edge(second, 1, None, upper.weight),
    ]
    ends = Ends()
    roots = dict.fromkeys(numbers.values(), False)
    outputs = {low.grad_fn: low, high.grad_fn: high}
    ends.saw_forward(CallTrace(edges, names, roots), frozenset({"lower", "upper"}), outputs, ())
    act(ends, low, high)
    return set(ends.found())


def test_an_output_whose_gradient_is_kept_or_hooked_is_asked_for():
    def act(ends, low, high):
        ends.begin_pass(towards_parameters=True)

    def keep(ends, low, high):
        low.retain_grad()
        act(ends, low, high)

    assert watched(act) == set()
    assert watched(keep) == {"lower"}


def test_an_output_that_a_pass_goes_to_by_name_is_asked_for():
    def act(ends, low, high):
        high.register_hook(lambda _: ends.begin_pass(towards_parameters=False))
        torch.autograd.grad(high.sum(), low)

    assert "lower" in watched(act)


def test_no_output_is_kept_alive():
    ends, out = Ends(), nn.Linear(2, 2)(torch.ones(1, 2))
    number = out.grad_fn._sequence_nr()
    ends.saw_forward(CallTrace([], {}, {number: False}), COUNTS, {out.grad_fn: out}, ())
    alive = weakref.ref(out)
    del out
    assert alive() is None
    ends.begin_pass(towards_parameters=False)
    assert ends.found() == {}
