"""What LayerDropBack is attached to: the module that is called, its parameters, their gradients."""

import pytest
import torch
from torch import nn

from layerdropback import find_layers
from layerdropback.engine.target import Target, is_something
from layerdropback.interop.private import stored_values
from zoo import TiedGPT, mlp


def target_of(model, *optimizers):
    return Target(model, optimizers, find_layers(model))


def test_a_plain_model_is_called_itself():
    model = mlp()
    target = target_of(model)
    assert target.called is target.inner is target.model is model
    assert list(target.sharded) == []


def test_of_a_compiled_model_the_wrapper_is_called_and_the_inside_is_the_users():
    model = mlp()
    compiled = torch.compile(model, backend="eager")
    target = target_of(compiled)
    assert target.called is target.model is compiled
    assert target.inner is model
    assert next(name for name, _ in target.named_parameters()) == "0.weight"


def test_every_parameter_comes_once():
    model = TiedGPT()
    named = list(target_of(model).named_parameters())
    assert len({id(parameter) for _, parameter in named}) == len(named)
    assert {id(p) for _, p in named} == {id(p) for p in model.parameters()}
    assert [name for name, p in named if p is model.tokens.weight] == ["head.weight"]


def test_what_each_optimizer_holds_is_asked_anew():
    model = mlp()
    optimizers = [torch.optim.SGD(model[i].parameters(), lr=0.1) for i in (0, 4)]
    target = target_of(model, *optimizers)
    assert target.held() == [{id(p) for p in model[i].parameters()} for i in (0, 4)]
    optimizers[0].add_param_group({"params": model[2].parameters()})
    assert {id(p) for p in model[2].parameters()} < target.held()[0]


def test_gradients_are_there_where_one_is_not_zero():
    model = mlp()
    target = target_of(model)
    assert not target.has_gradients()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    assert not target.has_gradients()
    model[2].bias.grad[3] = -1
    assert target.has_gradients()


def test_gradients_of_a_sparse_embedding():
    model = nn.Sequential(nn.Embedding(5, 3, sparse=True), nn.Linear(3, 2))
    target = target_of(model)
    model(torch.tensor([1, 1, 4])).sum().backward()
    model[1].zero_grad()
    assert model[0].weight.grad.is_sparse
    assert target.has_gradients()
    model[0].weight.grad.zero_()
    assert not target.has_gradients()


KINDS = {
    "dense": lambda eye: eye,
    "no number": lambda eye: eye * torch.nan,
    "complex": lambda eye: eye * 1j,
    "sparse": lambda eye: eye.to_sparse(),
    "compressed by rows": lambda eye: eye.to_sparse_csr(),
    "compressed by columns": lambda eye: eye.to_sparse_csc(),
}


@pytest.mark.filterwarnings("ignore:Sparse")  # torch's own: they are in beta, and not checked
@pytest.mark.parametrize("kind", KINDS)
def test_whether_a_gradient_is_something(kind):
    gradient = KINDS[kind](torch.eye(2))
    assert is_something(gradient) is True
    stored_values(gradient).zero_()
    assert is_something(gradient) is False


def test_an_empty_gradient_is_nothing():
    assert is_something(torch.empty(0)) is False
