"""Tensors in containers are found and changed; the containers keep their kinds."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass, field

import pytest
import torch

from layerdropback.model.graph import output_tensors
from layerdropback.model.nested import map_tensors

Pair = namedtuple("Pair", "one two")


@dataclass
class Output:
    hidden: torch.Tensor
    name: str = "x"
    later: torch.Tensor = field(init=False)


@dataclass(frozen=True, slots=True)
class Frozen:
    parts: tuple


NESTED = {
    "tensor": torch.ones(2),
    "tuple": (torch.ones(2), "name"),
    "list": [torch.ones(2), 3],
    "mapping": OrderedDict(b=torch.ones(2), a=None),
    "named tuple": Pair(torch.ones(2), {"x": 1.5}),
    "dataclass": Output(torch.ones(2)),
    "frozen dataclass": Frozen((torch.ones(2), None)),
}


@pytest.mark.parametrize("kind", NESTED)
def test_kinds_stay_and_tensors_change(kind):
    value = NESTED[kind]
    changed = map_tensors(lambda tensor: tensor + 1, value)
    assert type(changed) is type(value)
    assert [tensor.tolist() for tensor in output_tensors(changed)] == [[2.0, 2.0]]
    assert [tensor.tolist() for tensor in output_tensors(value)] == [[1.0, 1.0]], (
        "the old one stays"
    )


def test_what_is_no_container_is_returned_as_it_is():
    thing = object()
    assert map_tensors(torch.neg, thing) is thing
    assert map_tensors(torch.neg, Output) is Output
    assert output_tensors("text") == []


def test_outputs_of_hugging_face_keep_their_class():
    outputs = pytest.importorskip("transformers.modeling_outputs")
    output = outputs.BaseModelOutput(last_hidden_state=torch.ones(2, requires_grad=True).exp())
    cut = map_tensors(torch.Tensor.detach, output)
    assert type(cut) is type(output)
    assert not cut.last_hidden_state.requires_grad
    assert not cut[0].requires_grad
    assert output.last_hidden_state.requires_grad
