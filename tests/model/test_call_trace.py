"""One forward pass in numbers: which outputs are ends, and what is used last before each."""

import itertools

import pytest
import torch
from torch import nn

from layerdropback.model.call_trace import CallTrace
from layerdropback.model.graph import Edge
from recorded import recorded, recorded_entry
from zoo import ZOO


def chain(*numbers):
    return [Edge(above, 0, below, None) for above, below in itertools.pairwise(numbers)]


def test_an_output_on_the_way_to_another_is_no_end():
    trace = CallTrace(chain(5, 4, 3), {}, {5: False, 4: False})
    assert trace.tops() == [5]


def test_two_outputs_of_two_branches_are_two_ends():
    trace = CallTrace([*chain(5, 3), *chain(4, 3)], {}, {5: False, 4: False, 3: False})
    assert sorted(trace.tops()) == [4, 5]


@pytest.mark.parametrize(("roots", "tops"), [({6: True, 5: False}, [5]), ({6: True}, [6])])
def test_a_single_number_is_an_end_only_where_nothing_else_is(roots, tops):
    """A loss that the model gives beside its logits, or alone."""
    assert CallTrace(chain(6, 5, 4), {}, roots).tops() == tops


def test_the_parameter_that_is_used_last_behind_a_node():
    recorder, model = recorded_entry(ZOO["mlp"])
    trace = recorder.traces[0]
    names = frozenset(name for name, _ in model.named_parameters())
    (top,) = trace.tops()
    assert trace.last_behind(top, names).startswith("4.")
    lower = frozenset(name for name in names if not name.startswith("4."))
    assert trace.last_behind(top, lower).startswith("2.")
    assert trace.last_behind(top, frozenset()) is None


def test_numbers_keep_no_tensor_alive_but_leaves():
    model = nn.Linear(3, 2)
    trace = recorded(model, lambda m: m(torch.ones(1, 3)).sum().backward()).traces[0]
    leaves = [edge.leaf for edge in trace.edges if edge.leaf is not None]
    assert {id(leaf) for leaf in leaves} == {id(p) for p in model.parameters()}
    assert {type(number) for number in trace.reached} == {int}
